"""Trains on a TPU VM that is rented for one run, and checks beforehand whether a training fits a TPU.

A run (``python -m trainer.submit``):

- `options`: the flags.
- `driver`: carries out a run. Begin here, at `RunController.train`.
- `state_machine`: decides what to do next. Pure, and the place to read how a run ends.
- `phases`: what each phase does with gcloud.
- `platforms`: the two services that rent TPUs, `tpu_vm` and `compute_engine`, as command lines of gcloud.
- `accelerators`: the names of TPUs on both.
- `gcloud_commands`, `gcloud`, `gcloud_output`: make the scripts on the TPU VM, run gcloud, parse its output.
- `supervisor`: runs on the TPU VM and restarts the trainer there.

Whether a training fits a TPU (``python -m trainer --mode=tpu_fit``): `fit`, which uses `compiler` and `chips`.
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from trainer.tpu.driver import RunController
    from trainer.tpu.fit import report_fit
    from trainer.tpu.options import RunRequest, TpuTarget, parse_submit_flags

__all__ = ["RunController", "RunRequest", "TpuTarget", "parse_submit_flags", "report_fit"]

# Imported on first use: the supervisor must start without them, and --help without TensorFlow.
_MODULES = {
    "RunController": "driver",
    "RunRequest": "options",
    "TpuTarget": "options",
    "parse_submit_flags": "options",
    "report_fit": "fit",
}

__getattr__ = lazy_exports(__name__, _MODULES)
