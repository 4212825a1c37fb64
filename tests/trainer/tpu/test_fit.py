"""What the TPU compiler is given, and how its results are reported. The compiler itself runs with -m tpu_compiler.

pip install -e '.[cpu,dev,tpu-check]' && pytest -m tpu_compiler tests/trainer/tpu/test_fit.py
"""

import logging
import math
import re
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.errors import UsageError
from trainer import main
from trainer.network import build
from trainer.presets import make_config
from trainer.tpu import compiler, fit

GIB = fit.GIB
SMALL = {
    "mode": "tpu_fit",
    "image_size": "64",
    "pyramid_channels": 16,
    "head_depth": 1,
    "train_batch_size": 8,
    "num_classes": 3,
}


@pytest.mark.parametrize(
    ("topology", "reason"),
    [
        ("", "nothing given"),
        ("v5e", "no grid"),
        ("v5e:", "an empty grid"),
        ("v5e:2x", "a side is missing"),
        ("v5e:2x0", "no chips along a side"),
        ("v5e:²", "a digit that is no number"),
        ("v5litepod-8", "Cloud's name of a slice, not the compiler's"),
        ("v99:2x2", "no such chip"),
    ],
)
def test_a_topology_of_another_form_is_refused(topology: str, reason: str) -> None:
    with pytest.raises(UsageError, match=r"^--tpu_topology: .*such as v5e:2x2"):
        pytest.fail(f"accepted: {fit.find_chip(topology)}, although {reason}")


@pytest.mark.parametrize(
    ("topology", "gib"),
    [("v4:2x2x1", 32), ("v5e:2x4", 16), ("v5p:2x2x1", 96), ("v6e:16x16", 32)],
)
def test_a_program_may_use_nearly_all_memory_of_a_chip(topology: str, gib: int) -> None:
    assert 0.95 * gib * GIB < fit.find_chip(topology).hbm < gib * GIB


def test_the_bound_is_work_over_peak() -> None:
    program = compiler.CompiledProgram(hbm=GIB, flops=394e12)
    assert fit.min_step_seconds(program, fit.CHIPS["v5e"]) == pytest.approx(2.0)


def test_the_report_in_lines() -> None:
    program = compiler.CompiledProgram(hbm=4 * GIB, flops=3.94e12)
    lines = fit.fit_lines(program, fit.CHIPS["v5e"], batch_size=8, chips=4)
    assert lines == [
        "compiles: yes, 8 images on each of 4 chips",
        "memory: 4.00 GiB of a chip's 15.75 GiB: fits",
        "work: 3,940.0 GFLOP a step on each chip",
        "time: at least 20 ms a step, so at most 1,600 images/s"
        " (at the chip's peak, 197 TFLOP/s, which no program reaches)",
    ]


@pytest.mark.parametrize(
    ("hbm", "line", "reason"),
    [
        (20.0 * GIB, "memory: 20.00 GiB of a chip's 15.75 GiB: does not fit", "the compiler states the memory"),
        (math.inf, "memory: an unknown amount of a chip's 15.75 GiB: does not fit", "it does not say"),
    ],
)
def test_a_step_that_is_too_large_has_no_speed(hbm: float, line: str, reason: str) -> None:
    answer = compiler.ChipMemoryError("RESOURCE_EXHAUSTED", hbm)
    assert fit.fit_lines(answer, fit.CHIPS["v5e"], batch_size=8, chips=4) == [line], reason


@pytest.mark.parametrize(
    ("fits", "too_large", "line"),
    [
        (36, 40, "largest batch: 36 images a chip fit (--train_batch_size=144); 40 do not fit"),
        (64, None, "largest batch: 64 images a chip fit (--train_batch_size=256); larger ones were not tried"),
        (0, 1, "largest batch: none was found to fit; 1 do not fit"),
    ],
)
def test_the_largest_batch_in_a_line(fits: int, too_large: int | None, line: str) -> None:
    assert fit.largest_batch_line(fits, too_large, chips=4) == line


@given(
    fixed=st.integers(0, 1500),
    image=st.integers(1, 900),
    first=st.integers(1, 64),
    stated=st.booleans(),
)
def test_the_search_brackets_the_limit_with_few_compilations(fixed: int, image: int, first: int, stated: bool) -> None:
    """A compiler whose memory is a fixed part plus a part per image; it may not state a value that is too large."""
    asked = []

    def hbm_of(batch: int) -> float:
        asked.append(batch)
        hbm = fixed + image * batch
        return hbm if stated or hbm <= 1000 else math.inf

    ceiling = 8 * first
    known = {first: hbm_of(first)}
    fits, too_large = fit.find_largest_batch(hbm_of, known, capacity=1000, ceiling=ceiling)
    assert len(asked) == len(set(asked)) <= 5
    assert all(1 <= batch <= ceiling for batch in asked)
    assert fits == 0 or fixed + image * fits <= 1000
    assert too_large is None or fixed + image * too_large > 1000
    if stated:  # a straight line is found at once
        assert fits + max(1, fits // 8) >= (too_large if too_large else ceiling)


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
    reason = compiler.explain_compiler_error(message)
    assert isinstance(reason, compiler.ChipMemoryError)
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
    reason = compiler.explain_compiler_error(message)
    assert not isinstance(reason, compiler.ChipMemoryError) and str(reason) == want


def test_an_operation_without_translation_is_named() -> None:
    @tf.function(jit_compile=True)
    def step(image: tf.Tensor) -> tf.Tensor:
        return tf.io.encode_jpeg(image)

    with pytest.raises(ValueError, match="EncodeJpeg") as error:
        step.experimental_get_compiler_ir(tf.TensorSpec((8, 8, 3), tf.uint8))(stage="stablehlo")
    reason = compiler.explain_lowering_error(str(error.value))
    assert reason.startswith("no translation for EncodeJpeg, made at ") and f"{Path(__file__).name}:" in reason


def test_the_step_is_that_of_one_of_several_replicas() -> None:
    """Its sums over replicas are in the program, over all of them, and no operation needs a machine of its own."""
    config = make_config("tiny", SMALL)
    net = build.build_network(config, fit.synthetic_manifest(3))
    text = compiler.lower_step(config, net, batch_size=2, max_instances=5, replicas=4)
    # One sum for the positives and two for the gradient of each variable: the optimizer sums once more.
    assert text.count('"stablehlo.all_reduce"') == 1 + 2 * len(net.model.trainable_variables)
    assert text.count("replica_groups = dense<[[0, 1, 2, 3]]>") == text.count('"stablehlo.all_reduce"')
    assert "custom_call" not in text
    assert "tensor<2x64x64x3xui8>" in text and "tensor<2x5x4xf32>" in text


@pytest.mark.parametrize(
    ("reduction", "replicas", "want"),
    [
        ("SUM", 2, '"stablehlo.all_reduce"'),
        (tf.distribute.ReduceOp.MEAN, 2, "stablehlo.divide"),
    ],
)
def test_a_replica_reduces_as_a_strategy_does(reduction: str, replicas: int, want: str) -> None:
    @tf.function(jit_compile=True)
    def reduce(value: tf.Tensor) -> tf.Tensor:
        with compiler.TracedReplica(replicas):
            context = tf.distribute.get_replica_context()
            assert context.num_replicas_in_sync == replicas
            return context.all_reduce(reduction, {"a": value})

    text = reduce.experimental_get_compiler_ir(tf.TensorSpec((3,), tf.float32))(stage="stablehlo")
    assert want in text and ("divide" in text) == (reduction != "SUM")


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--num_classes=3", "--tpu_topology=v5e:2by2"], "--tpu_topology: expected one of"),
        ([], "needs --dataset, or --num_classes in its place"),
    ],
)
def test_a_bad_request_ends_with_one_line(flags: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--mode=tpu_fit", *flags]) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1


def test_without_the_compiler_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"jax": object()}
    monkeypatch.setattr(compiler.importlib.util, "find_spec", found.get)
    with pytest.raises(UsageError, match=r"^--mode=tpu_fit: needs libtpu: pip install .*tpu-check"):
        compiler.check_packages()


@pytest.fixture(scope="module")
def small_step() -> fit.ReplicaStep:
    config = make_config("tiny", SMALL)
    return fit.make_replica_step(config, fit.synthetic_manifest(config.data.num_classes))


@pytest.mark.tpu_compiler
@pytest.mark.parametrize(
    ("kind", "operation", "error"),
    [
        pytest.param("tensor<90000x90000xf32>", "stablehlo.add %x, %x", compiler.ChipMemoryError, id="30 GiB on 16"),
        pytest.param("tensor<8x8xf32>", '"stablehlo.log_plus"(%x)', compiler.CompilationError, id="no such operation"),
        pytest.param(
            "tensor<8x8xf32>",
            '"stablehlo.custom_call"(%x) {call_target_name = "lapack"}',
            compiler.CompilationError,
            id="a routine of the CPU's",
        ),
    ],
)
def test_what_the_compiler_does_not_take(
    kind: str, operation: str, error: type[Exception], small_step: fit.ReplicaStep
) -> None:
    signature = f"({kind}) -> {kind}" if operation.startswith('"') else kind
    module = (
        f"module {{ func.func @main(%x: {kind}) -> {kind} {{\n%y = {operation} : {signature}\nreturn %y : {kind}\n}} }}"
    )
    with pytest.raises(error) as refused:
        compiler.compile_for(small_step.devices, module)
    assert type(refused.value) is error


@pytest.mark.tpu_compiler
def test_a_topology_that_is_not_built_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^--tpu_topology: INVALID_ARGUMENT"):
        compiler.find_devices("v5e:3x5")


@pytest.mark.tpu_compiler
def test_the_mode_compiles_and_reports(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every operation of targets, network, losses and optimizer, and the sums over four chips, pass the compiler."""
    monkeypatch.setattr(fit, "_CEILING", 1)  # no search: the batch asked for alone
    with caplog.at_level(logging.INFO, logger="trainer"):
        assert main.main([f"--{name}={value}" for name, value in SMALL.items()]) == 0
    assert "compiles: yes, 2 images on each of 4 chips" in caplog.text
    assert "largest batch: 2 images a chip fit (--train_batch_size=8)" in caplog.text
    used = re.search(r"memory: (\S+) GiB of a chip's 15.75 GiB: fits", caplog.text)
    work = re.search(r"work: (\S+) GFLOP", caplog.text)
    # 2 M weights with AdamW's two averages, in float32, take 0.022 GiB; two small images not much more.
    assert used and 0.02 < float(used[1]) < 0.5
    assert work and float(work[1]) > 0.1
