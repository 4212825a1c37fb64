"""Compiles the training step for TPU chips on a machine without a TPU.

`lower_step` lets TensorFlow translate the step of one replica (trainer.loop.steps) to StableHLO, the input language of
XLA's compilers. `compile_for` lets libtpu compile that for chips that are described rather than attached. The same
program runs on every chip, on its share of the batch. The packages jax and libtpu (the extra [tpu-check]) are imported
only when something is compiled.
"""

import importlib.util
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from retinanet_odm.errors import UsageError
from trainer.config import TrainConfig
from trainer.loop import schedule, steps
from trainer.network.build import Network

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


class CompilationError(Exception):
    """The step does not compile. The message is one line with the reason, and the operation if there is one."""


class ChipMemoryError(CompilationError):
    """The step needs more memory than a chip has.

    Attributes:
      hbm: the bytes that it needs; infinity if the compiler does not report them.
    """

    def __init__(self, text: str, hbm: float) -> None:
        super().__init__(text)
        self.hbm = hbm


@dataclass(frozen=True, kw_only=True)
class CompiledProgram:
    """Cost of a compiled step on one chip.

    Attributes:
      hbm: bytes of the chip's memory: arguments and results, temporaries and the code.
      flops: floating-point operations; a multiplication and an addition count as two.
    """

    hbm: int
    flops: float


class TracedReplica(tf.distribute.ReplicaContext):
    """Replica context for tracing a step: sums over replicas become XLA's all-reduce.

    tf.distribute.TPUStrategy makes such a context too, but only on a machine with a TPU.
    """

    def __init__(self, replicas: int) -> None:
        super().__init__(tf.distribute.get_strategy(), replica_id_in_sync_group=0)
        self._replicas = replicas

    @property
    def num_replicas_in_sync(self) -> int:
        """Returns the number of replicas that share a batch."""
        return self._replicas

    def all_reduce(self, reduce_op: Any, value: Any, options: Any = None) -> Any:  # noqa: ARG002 - the signature of the base class
        """Sum each tensor of a structure over the replicas, or average it for ``MEAN``."""
        # Callers pass the enum or its name, such as "SUM".
        mean = tf.distribute.ReduceOp(reduce_op) == tf.distribute.ReduceOp.MEAN
        group = tf.range(self._replicas)[None]

        def reduce(tensor: tf.Tensor) -> tf.Tensor:
            total = gen_xla_ops.xla_all_reduce(tensor, group, reduce_op="Add", mode="CrossReplica")
            return total / self._replicas if mean else total

        return tf.nest.map_structure(reduce, value)


def check_packages() -> None:
    """Raise UsageError if the compiler is not installed."""
    missing = [name for name in ("jax", "libtpu") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"--mode=tpu_fit: needs {' and '.join(missing)}: pip install -e '.[cpu,tpu-check]' (on Linux, x86-64)"
        )


def lower_step(config: TrainConfig, network: Network, *, batch_size: int, max_instances: int, replicas: int) -> str:
    """Translate the training step of one replica into the text of a StableHLO module.

    Args:
      batch_size: number of images of one replica.
      max_instances: number of boxes of one image, including padding.
      replicas: number of replicas over which the step sums.

    Raises:
      CompilationError: an operation of the step has no translation.
    """
    # The number of steps is only a constant of the program, so any number will do.
    total_steps = 2 * config.schedule.warmup_steps + 1
    # The real schedule and optimizer: their variables take memory on the chip, too.
    optimizer, _ = schedule.build_optimizer(config.schedule, network.model, total_steps=total_steps)

    @tf.function(jit_compile=True)
    def step(image: tf.Tensor, boxes: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        with TracedReplica(replicas):
            return steps.train_step({"image": image, "boxes": boxes, "labels": labels}, config, network, optimizer)

    arguments = (
        tf.TensorSpec((batch_size, *network.canvas, 3), tf.uint8),
        tf.TensorSpec((batch_size, max_instances, 4), tf.float32),
        tf.TensorSpec((batch_size, max_instances), tf.int32),
    )
    try:
        return str(step.experimental_get_compiler_ir(*arguments)(stage="stablehlo"))
    except ValueError as error:
        raise CompilationError(explain_lowering_error(str(error))) from error


def compile_for(devices: Sequence[Any], stablehlo: str) -> CompiledProgram:
    """Compile the program of a replica for devices of find_devices, one replica on each.

    Raises:
      ChipMemoryError: it needs more memory than a chip has.
      CompilationError: the compiler rejects it.
    """
    # Imported here: the packages are an extra, and libtpu reads its environment when it is loaded (`find_devices`).
    import numpy as np
    from jax.errors import JaxRuntimeError
    from jax.interpreters import mlir
    from jaxlib import xla_client
    from jaxlib.mlir import ir

    options = xla_client.CompileOptions()
    options.num_replicas = len(devices)
    # One row for each replica, one column: a replica has a single device.
    options.device_assignment = xla_client.DeviceAssignment.create(np.arange(len(devices))[:, None])
    try:
        with mlir.make_ir_context():
            # TensorFlow emits copies, which libtpu does not know. A barrier is an identity that it does know.
            module = ir.Module.parse(stablehlo.replace("mhlo.copy", "stablehlo.optimization_barrier"))
        compiled = devices[0].client.compile(module, xla_client.DeviceList(tuple(devices)), options)
    except (ir.MLIRError, JaxRuntimeError) as error:
        raise explain_compiler_error(str(error)) from error
    memory = compiled.get_compiled_memory_stats()
    return CompiledProgram(
        hbm=memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes  # results that replace arguments in place: the variables
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes,
        flops=compiled.cost_analysis()["flops"],
    )


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
        raise UsageError(f"--tpu_topology: {_one_line(str(error))}") from error


def explain_lowering_error(message: str) -> str:
    """Shorten TensorFlow's error to one line: the operations without translation, and where they are made."""
    operations = re.findall(r"(\w+) \(No registered", message)
    if not operations:
        return _one_line(message)
    locations = re.findall(r'File "([^"]+)", line (\d+)', message)
    made = f", made at {locations[-1][0]}:{locations[-1][1]}" if locations else ""
    return f"no translation for {', '.join(dict.fromkeys(operations))}{made}"


_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def explain_compiler_error(message: str) -> CompilationError:
    """Return the compiler's error as an exception with a message of one line."""
    line = _one_line(message)
    if "RESOURCE_EXHAUSTED" not in line:
        return CompilationError(line)
    # The need is the number before a closing bracket, or before " of" and the capacity.
    amount = re.search(r"(\d+(?:\.\d+)?)([KMGT]?)\b(?=\)| of)", line)
    return ChipMemoryError(line, float(amount[1]) * _UNITS[amount[2]] if amount else float("inf"))


def _one_line(message: str) -> str:
    """Return the line that names the operation, which XLA may wrap in others; else the first line."""
    lines = message.strip().splitlines()
    return next((line for line in lines if "error: " in line), lines[0])
