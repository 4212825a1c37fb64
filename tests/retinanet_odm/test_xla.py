"""What compiles a lowered step: the interfaces of jax that it needs, and the compiler's errors."""

import importlib
import math

import pytest

from retinanet_odm.xla import ChipMemoryError, explain_compiler_error

GIB = 2**30

INTERFACES = [
    ("jax", "shard_map", "runs the module on each device"),
    ("jax.export", "default_export_platform", "of the devices of this machine"),
    ("jax.export", "export", "makes a function with the types of the module"),
    ("jax.export", "Exported.mlir_module_serialized", "the module of this function, which ours replaces"),
    ("jax.extend.mlir", "serialize_portable_artifact", "the form of a module that jax.export reads"),
    ("jax.extend.mlir.ir", "Module.parse", "reads the text of a module"),
    ("jax.extend.mlir.dialects.stablehlo", "get_current_version", "of the form"),
    ("jax.interpreters.mlir", "make_ir_context", "knows the operations of a module"),
    ("jax.experimental.topologies", "get_topology_desc", "describes chips to the compiler, for --mode=tpu_fit"),
]


@pytest.mark.parametrize(("module", "name", "why"), INTERFACES, ids=[f"{row[0]}.{row[1]}" for row in INTERFACES])
def test_jax_has_what_the_runtime_needs(module: str, name: str, why: str) -> None:
    found = importlib.import_module(module)
    first, *rest = name.split(".")
    assert hasattr(found, first), f"{module} no longer has {first}: {why}"
    if rest:
        holder = getattr(found, first)
        assert rest[0] in {*dir(holder), *getattr(holder, "__dataclass_fields__", {})}, f"{name} is gone: {why}"


@pytest.mark.parametrize(
    ("message", "want"),
    [
        (
            "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory required for HLO"
            " temporaries (47.68G) exceeds available HBM (15.75G). HLO module: main.\nSee the web",
            47.68 * GIB,
        ),
        (
            "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 512.5M of 15.75G hbm.",
            512.5 * 2**20,
        ),
        ("RESOURCE_EXHAUSTED: Ran out of memory.", math.inf),
    ],
)
def test_a_step_that_is_too_large_states_its_memory(message: str, want: float) -> None:
    reason = explain_compiler_error(message)
    assert isinstance(reason, ChipMemoryError)
    assert reason.hbm == pytest.approx(want) and "\n" not in str(reason)


@pytest.mark.parametrize(
    ("message", "want"),
    [
        pytest.param(
            "INVALID_ARGUMENT: Custom emitter for __foo not found\n\nSuspected location",
            "INVALID_ARGUMENT: Custom emitter for __foo not found",
            id="libtpu has no such routine",
        ),
        pytest.param(
            "INVALID_ARGUMENT: CHLO => [StableHLO+Shape] => StableHLO failed;\n\n"
            "Detailed error from MLIR: -:1:76: error: failed to legalize operation 'mhlo.copy'",
            "Detailed error from MLIR: -:1:76: error: failed to legalize operation 'mhlo.copy'",
            id="a pass of the compiler gives up",
        ),
        pytest.param(
            "Unable to parse module assembly:\nerror: \"-\":1:76: custom op 'stablehlo.foo' is unknown",
            "error: \"-\":1:76: custom op 'stablehlo.foo' is unknown",
            id="not even read",
        ),
    ],
)
def test_another_refusal_names_the_operation(message: str, want: str) -> None:
    reason = explain_compiler_error(message)
    assert not isinstance(reason, ChipMemoryError) and str(reason) == want
