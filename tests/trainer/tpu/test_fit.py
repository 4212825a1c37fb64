"""What the TPU compiler is given, and how its results are reported. The compiler itself runs with -m tpu_compiler.

pip install -e '.[cpu,dev,tpu-check]' && pytest -m tpu_compiler tests/trainer/tpu/test_fit.py
"""

import logging
import math
import re

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.errors import UsageError
from retinanet_odm.xla import ChipMemoryError, CompilationError
from trainer import main
from trainer.loop.lowering import LoweredStep
from trainer.presets import make_config
from trainer.tpu import chips, compiler, fit

GIB = chips.GIB
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
        pytest.fail(f"accepted: {chips.find_chip(topology)}, although {reason}")


@pytest.mark.parametrize(
    ("topology", "gib"),
    [("v4:2x2x1", 32), ("v5e:2x4", 16), ("v5p:2x2x1", 96), ("v6e:16x16", 32), ("tpu7x:2x2x1", 192 / 2)],
)
def test_a_program_may_use_nearly_all_memory_of_a_chip(topology: str, gib: float) -> None:
    assert 0.95 * gib * GIB < chips.find_chip(topology).hbm < gib * GIB


def test_the_bound_is_work_over_peak() -> None:
    program = compiler.CompiledProgram(hbm=GIB, flops=394e12)
    assert fit.min_step_seconds(program, chips.CHIPS["v5e"]) == pytest.approx(2.0)


def test_the_report_in_lines() -> None:
    program = compiler.CompiledProgram(hbm=4 * GIB, flops=3.94e12)
    lines = fit.fit_lines(program, chips.CHIPS["v5e"], batch_size=8, chips=4)
    assert lines == [
        "compiles: yes, 8 images on each of 4 chips",
        "memory: 4.00 GiB of a chip's 15.75 GiB: fits",
        "work: 3,940.0 GFLOP a step on each chip",
        "time: at least 20 ms a step, so at most 1,600 images/s"
        " (at the chip's peak, 197 TFLOP/s, which no program reaches)",
    ]


def test_a_tpu7x_is_two_devices() -> None:
    program = compiler.CompiledProgram(hbm=4 * GIB, flops=2307e9)
    first, memory, _, time = fit.fit_lines(program, chips.CHIPS["tpu7x"], batch_size=8, chips=8)
    assert first == "compiles: yes, 8 images on each of 8 half chips"
    assert memory == "memory: 4.00 GiB of a half chip's 94.74 GiB: fits"
    assert time.startswith("time: at least 2 ms a step, so at most 32,000 images/s")


@pytest.mark.parametrize(
    ("hbm", "line", "reason"),
    [
        (20.0 * GIB, "memory: 20.00 GiB of a chip's 15.75 GiB: does not fit", "the compiler states the memory"),
        (math.inf, "memory: an unknown amount of a chip's 15.75 GiB: does not fit", "it does not say"),
    ],
)
def test_a_step_that_is_too_large_has_no_speed(hbm: float, line: str, reason: str) -> None:
    answer = ChipMemoryError("RESOURCE_EXHAUSTED", hbm)
    assert fit.fit_lines(answer, chips.CHIPS["v5e"], batch_size=8, chips=4) == [line], reason


@pytest.mark.parametrize(
    ("fits", "too_large", "line"),
    [
        (36, 40, "largest batch: 36 images a chip fit (--train_batch_size=144); 40 do not fit"),
        (64, None, "largest batch: 64 images a chip fit (--train_batch_size=256); larger ones were not tried"),
        (0, 1, "largest batch: none was found to fit; 1 do not fit"),
    ],
)
def test_the_largest_batch_in_a_line(fits: int, too_large: int | None, line: str) -> None:
    assert fit.largest_batch_line(fits, too_large, chips.CHIPS["v5e"], chips=4) == line


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
        pytest.param("tensor<90000x90000xf32>", "stablehlo.add %x, %x", ChipMemoryError, id="30 GiB on 16"),
        pytest.param("tensor<8x8xf32>", '"stablehlo.log_plus"(%x)', CompilationError, id="no such operation"),
        pytest.param(
            "tensor<8x8xf32>",
            '"stablehlo.custom_call"(%x) {call_target_name = "lapack"}',
            CompilationError,
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
    sides = [int(side) for side in re.findall(r"(\d+)x", kind)]
    variable = tf.TensorSpec(sides, tf.float32)
    lowered = LoweredStep(text=module, batch={}, variables=(variable,), metrics=(), changed=(0,), replicas=4)
    with pytest.raises(error) as refused:
        compiler.compile_for(small_step.devices, lowered)
    assert type(refused.value) is error


@pytest.mark.tpu_compiler
def test_variables_are_replaced_in_place(small_step: fit.ReplicaStep) -> None:
    text = "module { func.func @main(%x: tensor<1024x1024xf32>) -> tensor<1024x1024xf32> {\n"
    text += "%y = stablehlo.add %x, %x : tensor<1024x1024xf32>\nreturn %y : tensor<1024x1024xf32>\n} }"
    variable = tf.TensorSpec((1024, 1024), tf.float32)
    lowered = LoweredStep(text=text, batch={}, variables=(variable,), metrics=(), changed=(0,), replicas=4)
    assert compiler.compile_for(small_step.devices, lowered).hbm < 1.5 * 4 * 2**20


@pytest.mark.tpu_compiler
@pytest.mark.parametrize(("topology", "devices"), [("v6e:2x2", 4), ("tpu7x:2x2x1", 8)])
def test_the_compiler_knows_the_chips(topology: str, devices: int) -> None:
    assert len(compiler.find_devices(topology)) == devices


@pytest.mark.tpu_compiler
def test_a_topology_that_is_not_built_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^--tpu_topology: INVALID_ARGUMENT"):
        compiler.find_devices("v5e:3x5")


@pytest.mark.tpu_compiler
def test_the_mode_compiles_and_reports(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every operation of targets, network, losses and optimizer, and the sums over four chips, pass the compiler."""
    monkeypatch.setattr(fit, "_MAX_BATCH_FACTOR", 1)  # no search: the batch asked for alone
    with caplog.at_level(logging.INFO, logger="trainer"):
        assert main.main([f"--{name}={value}" for name, value in SMALL.items()]) == 0
    assert "compiles: yes, 2 images on each of 4 chips" in caplog.text
    assert "largest batch: 2 images a chip fit (--train_batch_size=8)" in caplog.text
    used = re.search(r"memory: (\S+) GiB of a chip's 15.75 GiB: fits", caplog.text)
    work = re.search(r"work: (\S+) GFLOP", caplog.text)
    # 2 M weights with AdamW's two averages, in float32, take 0.022 GiB; two small images not much more.
    assert used and 0.02 < float(used[1]) < 0.5
    assert work and float(work[1]) > 0.1
