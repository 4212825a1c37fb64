"""Compiles programs by XLA for devices that jax finds or describes: `as_function`, after `list_devices`.

A program is a StableHLO module, the input language of XLA's compilers. This is the only module that knows how one
becomes a function of jax. Everything is public: `jax.export` makes a function of arrays from a module, and `jax.jit` of
that function adds what the module does not say: the devices, how arrays are divided among them, and which are replaced
in place. The package jax (the extra [xla] or [tpu-check]) is imported only when something is compiled.
"""

import dataclasses
import importlib.util
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retinanet_odm.errors import UsageError

if TYPE_CHECKING:
    import jax

TENSORFLOW, XLA = "tensorflow", "xla"
RUNTIMES = (TENSORFLOW, XLA)  # the values of --runtime

_CACHE_BYTES = 1 << 30  # of compiled programs; the least recently used are deleted


class CompilationError(Exception):
    """A program does not compile. The message is one line with the reason, and the operation if there is one."""


class ChipMemoryError(CompilationError):
    """A program needs more memory than a chip has.

    Attributes:
      hbm: the bytes that it needs; infinity if the compiler does not report them.
    """

    def __init__(self, text: str, hbm: float) -> None:
        super().__init__(text)
        self.hbm = hbm


def check_jax() -> None:
    """Raise UsageError if jax is not installed."""
    if importlib.util.find_spec("jax") is None:
        raise UsageError("--runtime=xla: needs jax, which is not installed: pip install '.[cpu,xla]'")


def list_devices() -> list[Any]:
    """Return the devices that XLA has: TPUs, otherwise GPUs, otherwise the CPU; those of other machines, too.

    Raises:
      UsageError: jax is not installed or cannot use them.
    """
    check_jax()
    import jax

    try:
        return list(jax.devices())
    except RuntimeError as error:
        raise UsageError(f"--runtime=xla: no device: {str(error).strip().splitlines()[0]}") from error


def local_device() -> Any:
    """Return the first device of this machine that XLA has.

    Raises:
      UsageError: as list_devices.
    """
    devices = list_devices()
    import jax

    # A slice of several machines lists the devices of all.
    return next(device for device in devices if device.process_index == jax.process_index())


def keep_compiled() -> None:
    """Keep compiled programs in the user's cache folder: a run that is started again compiles nothing.

    JAX_COMPILATION_CACHE_DIR is the variable of jax that names another folder.
    """
    import jax

    if not jax.config.jax_compilation_cache_dir:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(caches / "retinanet-odm" / "xla"))
    jax.config.update("jax_compilation_cache_max_size", _CACHE_BYTES)


def allow_int64() -> None:
    """Let arrays have 64 bits, as TensorFlow's have: steps are counted in int64."""
    import jax

    jax.config.update("jax_enable_x64", True)


def as_function(
    text: str,
    arguments: Sequence["jax.ShapeDtypeStruct"],
    results: Sequence["jax.ShapeDtypeStruct"],
    *,
    platform: str = "",
) -> Callable[..., tuple[Any, ...]]:
    """Return a function of jax that calls a module, for jax.jit.

    Args:
      text: of the module.
      arguments: of its main function.
      results: of its main function.
      platform: of the devices, if they are not those of this machine.

    Raises:
      CompilationError: the text is no StableHLO.
    """
    import jax
    from jax import export

    def signature(*_: Any) -> tuple[Any, ...]:
        return tuple(jax.numpy.zeros(result.shape, result.dtype) for result in results)

    # A function with the types of the module, whose body the module then replaces.
    exported = export.export(
        jax.jit(signature, keep_unused=True), platforms=[platform or export.default_export_platform()]
    )(*arguments)
    call: Callable[..., tuple[Any, ...]] = dataclasses.replace(exported, mlir_module_serialized=_serialize(text)).call
    return call


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


def compile_lowered(function: Any, *arguments: Any) -> "jax.stages.Compiled":
    """Compile a function of jax.jit for arguments of these shapes.

    Raises:
      ChipMemoryError: it needs more memory than a chip has.
      CompilationError: the compiler rejects it.
    """
    import jax

    try:
        return function.lower(*arguments).compile()
    except jax.errors.JaxRuntimeError as error:
        raise explain_compiler_error(str(error)) from error


def memory_of(compiled: "jax.stages.Compiled") -> int:
    """Return the bytes of a chip's memory that a program takes: arguments, results, temporaries and the code."""
    memory = compiled.memory_analysis()
    size: int = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes  # results that replace arguments in place
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes
    )
    return size


# --- What went wrong, in a line ---

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def explain_compiler_error(message: str) -> CompilationError:
    """Return the compiler's error as an exception with a message of one line."""
    line = error_line(message)
    if "RESOURCE_EXHAUSTED" not in line:
        return CompilationError(line)
    # The need is the number before a closing bracket, or before " of" and the capacity.
    amount = re.search(r"(\d+(?:\.\d+)?)([KMGT]?)\b(?=\)| of)", line)
    return ChipMemoryError(line, float(amount[1]) * _UNITS[amount[2]] if amount else float("inf"))


def explain_lowering_error(message: str) -> str:
    """Shorten TensorFlow's error to one line: the operations without translation, and where they are made."""
    operations = re.findall(r"(\w+) \(No registered", message)
    if not operations:
        return error_line(message)
    locations = re.findall(r'File "([^"]+)", line (\d+)', message)
    made = f", made at {locations[-1][0]}:{locations[-1][1]}" if locations else ""
    return f"no translation for {', '.join(dict.fromkeys(operations))}{made}"


def error_line(message: str) -> str:
    """Return the line of a compiler's message that names the operation, which may be wrapped; else the first."""
    lines = message.strip().splitlines()
    return next((line for line in lines if "error: " in line), lines[0])
