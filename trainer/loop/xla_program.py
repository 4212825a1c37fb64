"""Compiles a lowered step by XLA for devices that jax finds or describes. Begin with `compile_step`.

`retinanet_odm.xla` makes the step a function of jax; here it gets its devices, how arrays are divided among them, and
which are replaced in place. The package jax (the extra [xla] or [tpu-check]) is imported only when something is
compiled.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retinanet_odm import xla
from trainer.loop.lowering import LoweredStep

if TYPE_CHECKING:
    import jax

REPLICAS = "replicas"  # the axis of the devices


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceLayout:
    """How arrays lie on devices that hold a replica each.

    Attributes:
      split: Along the first axis, a part on each device: batches.
      whole: The same on each device: variables and metrics.
    """

    split: "jax.sharding.Sharding"
    whole: "jax.sharding.Sharding"


def place_on(devices: Sequence[Any]) -> DeviceLayout:
    """Return how arrays lie on these devices."""
    import jax
    from jax.sharding import NamedSharding, PartitionSpec

    xla.allow_int64()
    mesh = jax.sharding.Mesh(list(devices), (REPLICAS,))
    return DeviceLayout(split=NamedSharding(mesh, PartitionSpec(REPLICAS)), whole=NamedSharding(mesh, PartitionSpec()))


def compile_step(lowered: LoweredStep, layout: DeviceLayout, *, platform: str = "") -> "jax.stages.Compiled":
    """Compile a step for the devices of a layout.

    Args:
      lowered: The step.
      layout: Of as many devices as it has replicas.
      platform: Of the devices, if they are not those of this machine.

    Returns:
      A function of (batch, changing, kept) that returns (changed, metrics): the parts of a whole batch; the variables
      that the step changes, whose memory it takes for the new values; the other variables; the new values; the metrics.
      All are lists of arrays, in the order of the lowered step.

    Raises:
      ChipMemoryError: It needs more memory than a chip has.
      CompilationError: The compiler rejects it.
    """
    import jax
    from jax.sharding import PartitionSpec

    split, whole = layout.split, layout.whole
    shapes = [_shape(variable) for variable in lowered.variables]
    metric = jax.ShapeDtypeStruct((), "float32")
    module = xla.as_function(
        lowered.text,
        [*map(_shape, lowered.batch.values()), *shapes],
        [*(metric for _ in lowered.metrics), *(shapes[index] for index in lowered.changed)],
        platform=platform,
    )

    def step(batch: list[Any], changing: list[Any], others: list[Any]) -> tuple[list[Any], list[Any]]:
        variables = dict(zip((*lowered.changed, *lowered.kept), (*changing, *others), strict=True))
        results = module(*batch, *(variables[index] for index in range(len(variables))))
        return list(results[len(lowered.metrics) :]), list(results[: len(lowered.metrics)])

    # Each device runs the whole module on its part of the batch.
    replicated = jax.shard_map(
        step,
        mesh=split.mesh,
        in_specs=(PartitionSpec(REPLICAS), PartitionSpec(), PartitionSpec()),
        out_specs=PartitionSpec(),
        check_vma=False,  # the sums are inside of the module, where jax does not see them
    )
    function = jax.jit(replicated, in_shardings=(split, whole, whole), out_shardings=whole, donate_argnames="changing")
    return xla.compile_lowered(
        function,
        [_shape(spec, times=lowered.replicas) for spec in lowered.batch.values()],
        [shapes[index] for index in lowered.changed],
        [shapes[index] for index in lowered.kept],
    )


def _shape(array: Any, times: int = 1) -> "jax.ShapeDtypeStruct":
    """Return the shape and type of a variable or spec, repeated along its first axis."""
    import jax

    shape = tuple(array.shape)
    return jax.ShapeDtypeStruct((times * shape[0], *shape[1:]) if times > 1 else shape, array.dtype.as_numpy_dtype)
