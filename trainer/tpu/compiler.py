"""Compiles the training step for TPU chips on a machine without a TPU.

`find_devices` describes the chips to libtpu, and `compile_for` compiles for them what `--runtime=xla` runs: the step of
one replica (`trainer.loop.lowering`) on every chip, on its share of the batch. The packages jax and libtpu (the extra
[tpu-check]) are imported only when something is compiled.
"""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retinanet_odm.errors import UsageError
from retinanet_odm.xla import error_line, memory_of
from trainer.loop.lowering import LoweredStep
from trainer.loop.xla_program import compile_step, place_on

# libtpu reads these variables when it is loaded. They keep it from contacting a metadata server, searching this machine
# for chips and writing logs. Several programs may load it at the same time, because none of them uses a chip.
_ENVIRONMENT = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "true",
    "JAX_PLATFORMS": "cpu",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_LOG_DIR": "disabled",
    "TPU_MIN_LOG_LEVEL": "3",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_WORKER_HOSTNAMES": "localhost",
}


@dataclass(frozen=True, kw_only=True)
class CompiledProgram:
    """Cost of a compiled step on one chip.

    Attributes:
      hbm: bytes of the chip's memory: arguments and results, temporaries and the code.
      flops: floating-point operations; a multiplication and an addition count as two.
    """

    hbm: int
    flops: float


def check_packages() -> None:
    """Raise UsageError if the compiler is not installed."""
    missing = [name for name in ("jax", "libtpu") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"--mode=tpu_fit: needs {' and '.join(missing)}: pip install -e '.[cpu,tpu-check]' (on Linux, x86-64)"
        )


def compile_for(devices: Sequence[Any], lowered: LoweredStep) -> CompiledProgram:
    """Compile a step for devices of find_devices, one replica on each.

    Raises:
      ChipMemoryError: it needs more memory than a chip has.
      CompilationError: the compiler rejects it.
    """
    compiled = compile_step(lowered, place_on(devices), platform="tpu")
    return CompiledProgram(hbm=memory_of(compiled), flops=compiled.cost_analysis()["flops"])


def find_devices(topology: str, **settings: str) -> Sequence[Any]:
    """Return the devices of a topology, one for each chip.

    Args:
      topology: its name in libtpu, such as ``v5e:2x2``.
      settings: further options of libtpu, see trainer.tpu.fit.Chip.

    Raises:
      UsageError: there is no such topology.
    """
    # The order matters: the variables must be set before the imports below load libtpu.
    os.environ.update(_ENVIRONMENT)
    from jax.errors import JaxRuntimeError
    from jax.experimental import topologies

    try:
        return topologies.get_topology_desc(topology_name=topology, platform="tpu", **settings).devices
    except JaxRuntimeError as error:
        raise UsageError(f"--tpu_topology: {error_line(str(error))}") from error
