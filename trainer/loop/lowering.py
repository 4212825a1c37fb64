"""Translates the training step of one replica to StableHLO, the input language of XLA's compilers.

TensorFlow does it, on a machine with or without an accelerator: the step is that of `trainer.loop.steps`, and no other
code knows its numerics. Begin with `lower_step`; `trainer.loop.xla_program` compiles the result.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from retinanet_odm.xla import CompilationError, explain_lowering_error
from trainer.config import TrainConfig
from trainer.loop import steps
from trainer.network.build import Network
from trainer.typing import Tensor

# The way TensorFlow names the result that replaces a parameter: the new value of a variable.
_ALIAS = re.compile(r"parameter_number = (\d+) : i64\}, output_index = array<i64: (\d+)>")


@dataclass(frozen=True, kw_only=True)
class LoweredStep:
    """A step of one replica as a program of arrays.

    Its arguments are the parts of the batch, then the variables. Its results are the metrics, then the new values of
    the variables that it changes.

    Attributes:
      text: The StableHLO module.
      batch: Shape and type of each part of the batch of one replica, in the order of the arguments.
      variables: In the order of the arguments.
      metrics: Names of float32 scalars.
      changed: Positions in variables, in the order of the results.
      replicas: Over which it sums.
    """

    text: str
    batch: Mapping[str, tf.TensorSpec]
    variables: tuple[tf.Variable, ...]
    metrics: tuple[str, ...]
    changed: tuple[int, ...]
    replicas: int

    @property
    def kept(self) -> tuple[int, ...]:
        """Positions of the variables that the step only reads."""
        return tuple(sorted(set(range(len(self.variables))) - set(self.changed)))


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

        @tf.custom_gradient
        def reduce(tensor: tf.Tensor) -> tuple[tf.Tensor, Any]:
            # To XLA, the devices of a program of jax.jit are partitions of one replica, the first. All are summed.
            total = gen_xla_ops.xla_all_reduce(tensor, [[0]], reduce_op="Add", mode="CrossReplicaAndPartition")
            # The gradient of a sum over replicas is the sum of their gradients.
            return (total / self._replicas if mean else total), reduce

        return tf.nest.map_structure(reduce, value)


def lower_step(
    config: TrainConfig,
    network: Network,
    optimizer: keras.optimizers.Optimizer,
    batch: Mapping[str, tf.TensorSpec],
    *,
    replicas: int,
) -> LoweredStep:
    """Translate the training step of one replica.

    Args:
      config: Its sections loss and schedule are used.
      network: Its variables are changed by the step.
      optimizer: Built for these variables.
      batch: What one replica gets, as `trainer.loop.steps.train_step` takes it.
      replicas: Over which the step sums. All replicas have the same variables before it and after it.

    Raises:
      CompilationError: An operation of the step has no translation.
    """

    @tf.function(jit_compile=True, autograph=False)
    def step(*parts: Tensor) -> list[Tensor]:
        context = TracedReplica(replicas)
        # A scope, because the names of some optimizers may not begin the name of an operation.
        with context, tf.name_scope("step"):
            values = steps.train_step(dict(zip(batch, parts, strict=True)), config, network, optimizer)
            if replicas > 1:
                values = context.all_reduce("SUM", values)
                _share_statistics(network.model, context)
            return [values[name] for name in steps.METRICS]

    try:
        text = str(step.experimental_get_compiler_ir(*batch.values())(stage="stablehlo"))
    except ValueError as error:
        raise CompilationError(explain_lowering_error(str(error))) from error
    traced = step.get_concrete_function(*batch.values())
    by_handle = {id(variable.handle): variable for variable in traced.variables}
    aliases = {int(result): int(parameter) for parameter, result in _ALIAS.findall(text)}
    return LoweredStep(
        text=text,
        batch=dict(batch),
        variables=tuple(by_handle[id(handle)] for handle in traced.captured_inputs),
        metrics=steps.METRICS,
        changed=tuple(aliases[result] - len(batch) for result in sorted(aliases)),
        replicas=replicas,
    )


def _share_statistics(model: keras.Model, context: TracedReplica) -> None:
    """Average the statistics of BatchNorm over the replicas, so that all keep the same variables.

    Under MirroredStrategy each replica keeps its own, and checkpoints hold their mean. The statistics are moving
    averages, that is linear, so the mean is the same.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            for variable in (layer.moving_mean, layer.moving_variance):
                variable.assign(context.all_reduce("MEAN", tf.convert_to_tensor(variable)))
