r"""Trains RetinaNet on a prepared data set, evaluates it and exports a SavedModel.

On a CPU, from random weights, in minutes:

  python -m trainer --mode=train_and_eval --preset=tiny --dataset=DATASET --model_dir=MODEL

On a TPU VM (tensorflow-tpu installed):

  python -m trainer --mode=train_and_eval --preset=retinanet_r50 --use_tpu \
      --dataset=gs://BUCKET/dataset --model_dir=gs://BUCKET/model

Command lines of tensorflow/tpu's retinanet_main.py are accepted too (docs/migrating.md). Before a long run:

  python -m trainer --mode=doctor --dataset=DATASET --model_dir=MODEL

MODEL receives checkpoints/, tensorboard/, eval.json, eval.html and export/ (SavedModel and model.json). To resume a
stopped run from its newest checkpoint, start it again with the same --model_dir.
"""

import importlib
import logging
from collections.abc import Sequence

from retinanet_odm.cli.installation import print_checks
from retinanet_odm.cli.native_log import import_quietly
from retinanet_odm.cli.program import Ending, explain_request, run_main
from retinanet_odm.errors import UsageError
from retinanet_odm.storage import files
from retinanet_odm.storage.file_system import StorageUnavailableError
from trainer.flags import TrainRequest, help_text, parse_request
from trainer.loop.recovery import PreemptedError
from trainer.tf_errors import describe_disk_error, describe_memory_error, describe_storage_error

_LOGGER = logging.getLogger(__name__)
_RESUME_HINT = "start again with the same --model_dir to resume"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the trainer; return the exit status (see retinanet_odm.cli.program)."""
    return run_main(_run_command, argv, explain=_explain)


def _run_command(argv: Sequence[str]) -> int:
    # Before parsing: absl's own help would list its modules' flags.
    if {"-h", "--help"} & set(argv):
        print(f"{__doc__}\nflags (default; preset):\n{help_text()}")  # noqa: T201 - help goes to standard output
        return 0
    request = parse_request(argv, read_text=lambda path: files.read_text(path, flag="--config_file"))
    return _dispatch(request, argv)


def _dispatch(request: TrainRequest, argv: Sequence[str]) -> int:
    """Carry out a request by its mode."""
    for notice in request.notices:
        _LOGGER.info("note: %s", notice)
    config = request.config
    # Imported here, because TensorFlow takes seconds to import: --help and a bad flag are answered at once.
    if config.run.mode == "doctor":
        from trainer import doctor

        return print_checks(doctor.run_checks(config))
    run = import_quietly(lambda: importlib.import_module("trainer.run"))

    if config.run.mode == "inspect":
        from trainer import inspection

        manifest = run.read_manifest(config, request.expectations) if config.data.dataset else None
        for line in inspection.inspect_weights(config, manifest):
            print(line)  # noqa: T201 - the report is the output
        return 0
    if config.run.mode == "tpu_fit":
        from trainer.tpu import fit

        has_data = bool(config.data.dataset)
        classes = config.data.num_classes
        manifest = run.read_manifest(config, request.expectations) if has_data else fit.synthetic_manifest(classes)
        return fit.report_fit(config, manifest)
    if config.run.mode == "learning_curve":
        from trainer.learning_curve import run_learning_curve

        run_learning_curve(config, request.expectations)
        return 0
    if config.run.mode == "folds":
        from trainer.folds import run_folds

        run_folds(config, request.expectations)
        return 0
    run.run(config, request.expectations, argv)
    return 0


def _explain(error: BaseException) -> Ending | None:
    """Explain also what can end a run that resumes from its last checkpoint when it is started again."""
    if line := describe_storage_error(error):
        return Ending(status=1, line=f"error: {line}: {_RESUME_HINT}")
    if line := describe_disk_error(error):
        return Ending(status=2, line=f"error: {line}, then run the same command again")
    if line := describe_memory_error(error):
        return Ending(status=2, line=f"error: {line}: give a smaller --train_batch_size or --image_size")
    if isinstance(error, PreemptedError):
        return Ending(status=0, line=f"{error}: {_RESUME_HINT}")
    ending = explain_request(error)
    if ending and ending.status == 130:
        return Ending(status=130, line=f"{ending.line}: {_RESUME_HINT}")
    if isinstance(error, UsageError) and isinstance(error.__cause__, StorageUnavailableError):
        # The request is in order: the supervisor of a TPU VM tries again after any status other than 2.
        return Ending(status=1, line=f"error: {error}")
    return ending
