"""Compiles a lowered step by XLA for devices that jax finds or describes. Begin with `compile_step`.

The only module that knows how a StableHLO module becomes a function of jax. Everything is public: `jax.export` makes
a function of arrays from a module, and `jax.jit` of that function adds what the module does not say: the devices, how
arrays are divided among them, and which are replaced in place. The package jax (the extra [xla] or [tpu-check]) is
imported only when something is compiled.
"""

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.loop.lowering import CompilationError, LoweredStep, error_line

if TYPE_CHECKING:
    import jax

REPLICAS = "replicas"  # the axis of the devices
_CACHE_BYTES = 1 << 30  # of compiled programs; the least recently used are deleted


class ChipMemoryError(CompilationError):
    """The step needs more memory than a chip has.

    Attributes:
      hbm: the bytes that it needs; infinity if the compiler does not report them.
    """

    def __init__(self, text: str, hbm: float) -> None:
        super().__init__(text)
        self.hbm = hbm


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceLayout:
    """How arrays lie on devices that hold a replica each.

    Attributes:
      split: Along the first axis, a part on each device: batches.
      whole: The same on each device: variables and metrics.
    """

    split: "jax.sharding.Sharding"
    whole: "jax.sharding.Sharding"


def keep_compiled() -> None:
    """Keep compiled programs in the user's cache folder: a run that is started again compiles nothing.

    JAX_COMPILATION_CACHE_DIR is the variable of jax that names another folder.
    """
    import jax

    if not jax.config.jax_compilation_cache_dir:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(caches / "retinanet-odm" / "xla"))
    jax.config.update("jax_compilation_cache_max_size", _CACHE_BYTES)


def place_on(devices: Sequence[Any]) -> DeviceLayout:
    """Return how arrays lie on these devices."""
    import jax
    from jax.sharding import NamedSharding, PartitionSpec

    # Steps are counted in int64.
    jax.config.update("jax_enable_x64", True)
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
    module = _as_function(lowered, platform)

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
    shapes = [_shape(variable) for variable in lowered.variables]
    arguments = (
        [_shape(spec, times=lowered.replicas) for spec in lowered.batch.values()],
        [shapes[index] for index in lowered.changed],
        [shapes[index] for index in lowered.kept],
    )
    function = jax.jit(replicated, in_shardings=(split, whole, whole), out_shardings=whole, donate_argnames="changing")
    try:
        return function.lower(*arguments).compile()
    except jax.errors.JaxRuntimeError as error:
        raise explain_compiler_error(str(error)) from error


def _as_function(lowered: LoweredStep, platform: str) -> Any:
    """Return a function of jax that calls the module: arrays in, tuple of arrays out."""
    import jax
    from jax import export

    arguments = [_shape(spec) for spec in (*lowered.batch.values(), *lowered.variables)]

    def signature(*arrays: Any) -> tuple[Any, ...]:
        new_values = (arrays[len(lowered.batch) + index] for index in lowered.changed)
        return (*(jax.numpy.float32(0) for _ in lowered.metrics), *new_values)

    # A function with the types of the module, whose body the module then replaces.
    exported = export.export(
        jax.jit(signature, keep_unused=True), platforms=[platform or export.default_export_platform()]
    )(*arguments)
    return dataclasses.replace(exported, mlir_module_serialized=_serialize(lowered.text)).call


def _serialize(text: str) -> bytes:
    """Return a StableHLO module in the portable form of jax.export."""
    from jax.extend import mlir
    from jax.extend.mlir import ir
    from jax.extend.mlir.dialects import stablehlo
    from jax.interpreters.mlir import make_ir_context

    with make_ir_context():
        try:
            module = ir.Module.parse(text)
        except ir.MLIRError as error:
            raise CompilationError(error_line(str(error))) from error
        _remove_copies(module)
        return bytes(mlir.serialize_portable_artifact(module, stablehlo.get_current_version()))


def _remove_copies(module: Any) -> None:
    """Replace each copy of TensorFlow's by its operand: XLA's compilers take StableHLO, of which copies are no part."""
    from jax.extend.mlir.ir import WalkResult

    copies = []

    def collect(operation: Any) -> Any:
        if operation.name == "mhlo.copy":
            copies.append(operation)
        return WalkResult.ADVANCE

    module.operation.walk(collect)
    for copy in copies:
        copy.result.replace_all_uses_with(copy.operands[0])
        copy.erase()


def _shape(array: Any, times: int = 1) -> "jax.ShapeDtypeStruct":
    """Return the shape and type of a variable or spec, repeated along its first axis."""
    import jax

    shape = tuple(array.shape)
    return jax.ShapeDtypeStruct((times * shape[0], *shape[1:]) if times > 1 else shape, array.dtype.as_numpy_dtype)


_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def explain_compiler_error(message: str) -> CompilationError:
    """Return the compiler's error as an exception with a message of one line."""
    line = error_line(message)
    if "RESOURCE_EXHAUSTED" not in line:
        return CompilationError(line)
    # The need is the number before a closing bracket, or before " of" and the capacity.
    amount = re.search(r"(\d+(?:\.\d+)?)([KMGT]?)\b(?=\)| of)", line)
    return ChipMemoryError(line, float(amount[1]) * _UNITS[amount[2]] if amount else float("inf"))
