"""The TPU compiler on a machine without a TPU: libtpu compiles for chips that are described, not attached.

What is compiled is one replica's training step, as trainer.loop.steps has it: the same program runs on every chip, on its
share of the batch. TensorFlow turns it into StableHLO, the language that XLA's compilers read, and libtpu compiles
that. The packages jax and libtpu (the extra [tpu-check]) are imported only when something is compiled.
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
from trainer.loop import steps, train
from trainer.network.build import Network

Tensor = Any

# Read by libtpu when it is loaded: it is to ask no metadata server, look for no chip of this machine, stay silent and
# write no log files, and not mind another program that has loaded it, since nobody uses a chip.
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


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """The step does not compile; the text is one line that says why, with the operation where there is one."""


class TooLarge(Refused):
    """The step needs more memory than a chip has.

    Attributes:
      hbm: bytes that it needs, as far as the compiler says; infinity where it does not.
    """

    def __init__(self, text: str, hbm: float) -> None:
        super().__init__(text)
        self.hbm = hbm


@dataclass(frozen=True, kw_only=True)
class Program:
    """A compiled step, on one chip.

    Attributes:
      hbm: bytes of the chip's memory: arguments and results, temporaries and the code.
      flops: floating-point operations, a multiplication and an addition counting as two.
    """

    hbm: int
    flops: float


class Replica(tf.distribute.ReplicaContext):
    """Stands for one of several replicas while a step is traced: its sums over replicas are XLA's all-reduce.

    tf.distribute.TPUStrategy makes such a context itself, but only where there is a TPU.
    """

    def __init__(self, replicas: int) -> None:
        super().__init__(tf.distribute.get_strategy(), replica_id_in_sync_group=0)
        self._replicas = replicas

    @property
    def num_replicas_in_sync(self) -> int:
        """How many replicas share a batch."""
        return self._replicas

    def all_reduce(self, reduce_op: Any, value: Any, options: Any = None) -> Any:  # noqa: ARG002 - the base's signature
        """Sums, or averages for ``MEAN``, each tensor of a structure over the replicas."""
        mean = tf.distribute.ReduceOp(reduce_op) == tf.distribute.ReduceOp.MEAN
        group = tf.range(self._replicas)[None]

        def reduce(tensor: Tensor) -> Tensor:
            total = gen_xla_ops.xla_all_reduce(tensor, group, reduce_op="Add", mode="CrossReplica")
            return total / self._replicas if mean else total

        return tf.nest.map_structure(reduce, value)


def check_packages() -> None:
    """Raises UsageError when the compiler is not installed."""
    missing = [name for name in ("jax", "libtpu") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"--mode=tpu_fit: needs {' and '.join(missing)}: pip install -e '.[cpu,tpu-check]' (on Linux, x86-64)"
        )


def lower_step(config: TrainConfig, network: Network, *, batch_size: int, max_instances: int, replicas: int) -> str:
    """The training step of one replica as the text of a StableHLO module.

    Args:
      batch_size: images of one replica.
      max_instances: boxes of one image, padding included.
      replicas: over how many the step sums.

    Raises:
      Refused: an operation of the step has no translation.
    """
    # The number of steps is a constant of the program: any will do.
    optimizer, _ = train.build_optimizer(config, network, total_steps=2 * config.warmup_steps + 1)

    @tf.function(jit_compile=True)
    def step(image: Tensor, boxes: Tensor, labels: Tensor) -> dict[str, Tensor]:
        with Replica(replicas):
            return steps.train_step({"image": image, "boxes": boxes, "labels": labels}, config, network, optimizer)

    arguments = (
        tf.TensorSpec((batch_size, *network.canvas, 3), tf.uint8),
        tf.TensorSpec((batch_size, max_instances, 4), tf.float32),
        tf.TensorSpec((batch_size, max_instances), tf.int32),
    )
    try:
        return step.experimental_get_compiler_ir(*arguments)(stage="stablehlo")
    except ValueError as error:
        raise Refused(explain_lowering(str(error))) from error


def compile_for(devices: Sequence[Any], stablehlo: str) -> Program:
    """Compiles a replica's program for these devices of find_devices, one replica on each.

    Raises:
      TooLarge: a chip has not the memory for it.
      Refused: the compiler does not take it.
    """
    import numpy as np
    from jax.errors import JaxRuntimeError
    from jax.interpreters import mlir
    from jaxlib import xla_client
    from jaxlib.mlir import ir

    options = xla_client.CompileOptions()
    options.num_replicas = len(devices)
    options.device_assignment = xla_client.DeviceAssignment.create(np.arange(len(devices))[:, None])
    try:
        with mlir.make_ir_context():
            # TensorFlow's translation leaves copies that libtpu does not know; a barrier is an identity that it does.
            module = ir.Module.parse(stablehlo.replace("mhlo.copy", "stablehlo.optimization_barrier"))
        compiled = devices[0].client.compile(module, xla_client.DeviceList(tuple(devices)), options)
    except (ir.MLIRError, JaxRuntimeError) as error:
        raise explain_refusal(str(error)) from error
    memory = compiled.get_compiled_memory_stats()
    return Program(
        hbm=memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes  # results that take the place of arguments: the variables
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes,
        flops=compiled.cost_analysis()["flops"],
    )


def find_devices(topology: str, **settings: str) -> Sequence[Any]:
    """The devices of a topology by its name for libtpu, such as ``v5e:2x2``; for one chip each.

    Raises:
      UsageError: there is no such topology.
    """
    os.environ.update(_ENVIRONMENT)
    from jax.errors import JaxRuntimeError
    from jax.experimental import topologies

    try:
        return topologies.get_topology_desc(topology_name=topology, platform="tpu", **settings).devices
    except JaxRuntimeError as error:
        raise UsageError(f"--tpu_topology: {_one_line(str(error))}") from error


def explain_lowering(message: str) -> str:
    """One line from what TensorFlow says when it cannot translate a step: the operations, and where they are made."""
    operations = re.findall(r"(\w+) \(No registered", message)
    if not operations:
        return _one_line(message)
    places = re.findall(r'File "([^"]+)", line (\d+)', message)
    made = f", made at {places[-1][0]}:{places[-1][1]}" if places else ""
    return f"no translation for {', '.join(dict.fromkeys(operations))}{made}"


_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def explain_refusal(message: str) -> Refused:
    """What the compiler says as an exception of one line."""
    line = _one_line(message)
    if "RESOURCE_EXHAUSTED" not in line:
        return Refused(line)
    amount = re.search(r"(\d+(?:\.\d+)?)([KMGT]?)\b(?=\)| of)", line)
    return TooLarge(line, float(amount[1]) * _UNITS[amount[2]] if amount else float("inf"))


def _one_line(message: str) -> str:
    """The line that names the operation, where XLA's parts have wrapped it in others; else the first."""
    lines = message.strip().splitlines()
    return next((line for line in lines if "error: " in line), lines[0])
