"""The runtimes: XLA computes what TensorFlow does, and a run may change between them."""

import importlib.util
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.loop.small_networks import make_small_network
from trainer import strategy
from trainer.loop import schedule
from trainer.loop.runtimes import Runtime, TensorFlowRuntime, XlaRuntime
from trainer.main import main
from trainer.presets import make_config

SMALL = [
    *("--image_size=64", "--pyramid_channels=16", "--head_depth=1", "--train_batch_size=8", "--sync_batch_norm"),
    *("--optimizer=sgd", "--learning_rate=1e-4"),
]

STEPS = 3
# Gradients of SGD enter linearly: AdamW would make of a rounding error of a small gradient a step of full size.
SETTINGS = {"optimizer": "sgd", "learning_rate": 0.01, "ema_decay": 0.9, "backbone_rate": 0.5, "warmup_steps": 1}


class Run:
    """Three steps of a small network."""

    def __init__(self, devices: int = 0, *, synchronised: bool = True) -> None:
        self.config = make_config("tiny", {**SETTINGS, "sync_batch_norm": synchronised})
        self.network = make_small_network(self.config)
        self.optimizer, self.factor = schedule.build_optimizer(self.config.schedule, self.network.model, total_steps=9)
        parts = self.config, self.network, self.optimizer
        self.runtime: Runtime = (
            XlaRuntime(*parts, strategy.xla_devices()[:devices])
            if devices
            else TensorFlowRuntime(*parts, tf.distribute.OneDeviceStrategy("/CPU:0"))
        )
        self.batches = self.runtime.distribute(make_batches())
        self.values = self.runtime.run(self.batches, STEPS)

    def variables(self) -> list[np.ndarray]:
        self.runtime.fetch()
        return [variable.numpy() for variable in (*self.network.model.variables, *self.optimizer.variables)]


def make_batches(size: int = 4, boxes: int = 3) -> tf.data.Dataset:
    """Batches of coarse noise with random boxes; every one is another."""
    draws = np.random.default_rng(0)
    coarse = draws.integers(0, 256, (9, size, 8, 8, 3), np.uint8)
    corners = draws.uniform(0, 32, (9, size, boxes, 2)).astype(np.float32)
    parts = {
        "image": coarse.repeat(8, axis=2).repeat(8, axis=3),
        "boxes": np.concatenate([corners, corners + draws.uniform(16, 32, corners.shape).astype(np.float32)], axis=-1),
        "labels": draws.integers(0, 3, (9, size, boxes)).astype(np.int32),
        "boxes_truncated": np.full((9, size), 1, np.int32),
    }
    return tf.data.Dataset.from_tensor_slices(parts).repeat()


@pytest.fixture(scope="module")
def by_xla() -> Run:
    return Run(devices=2)


@pytest.mark.parametrize("devices", [1, 2])
def test_xla_computes_what_tensorflow_does(devices: int, by_xla: Run) -> None:
    """On two devices, with synchronised statistics, as one replica does: both see the whole batch."""
    run = by_xla if devices == 2 else Run(devices, synchronised=False)
    by_tensorflow = Run(synchronised=devices == 2)
    assert run.values == pytest.approx(by_tensorflow.values, rel=1e-5)
    assert run.values["boxes_truncated"] == STEPS * 4 and run.values["finite_steps"] == STEPS
    assert int(run.optimizer.iterations.numpy()) == STEPS, "the curve of the learning rate needs no fetch"
    for ours, theirs in zip(run.variables(), by_tensorflow.variables(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_the_host_sets_the_rate(by_xla: Run) -> None:
    """As a roll back does. At a rate of 0 the gradient does not enter: the weights move by their momentum."""
    before, velocity = by_xla.variables()[0], by_xla.optimizer.momentums[0].numpy()
    by_xla.factor.assign(0.0)
    by_xla.runtime.run(by_xla.batches, 1)
    np.testing.assert_allclose(by_xla.variables()[0], before + 0.9 * velocity, rtol=0, atol=1e-6)


def test_the_devices_keep_the_state_until_it_is_loaded(by_xla: Run) -> None:
    kernel = by_xla.network.model.trainable_variables[0]
    found = []
    for prepare in (lambda: None, by_xla.runtime.load):
        kernel.assign(kernel.numpy() + 100)
        prepare()
        of_host = kernel.numpy().copy()
        by_xla.runtime.run(by_xla.batches, 1)
        np.testing.assert_array_equal(kernel.numpy(), of_host, err_msg="the host's variables change when fetched")
        found.append(by_xla.variables()[0])
    assert np.abs(found[0]).max() < 50 < found[1].min()


def test_a_loss_that_is_not_finite_is_found_in_its_step(by_xla: Run) -> None:
    kernel = by_xla.network.model.trainable_variables[0]
    kernel.assign(kernel.numpy() * np.nan)
    by_xla.runtime.load()
    values = by_xla.runtime.run(by_xla.batches, 2)
    assert np.isnan(values["loss"]) and values["finite_steps"] == 0


def weights(folder: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(folder / "checkpoints")))
    names = [name for name in reader.get_variable_to_dtype_map() if name.startswith(("model/", "optimizer/"))]
    return {name: reader.get_tensor(name) for name in names}


@pytest.mark.long
def test_a_run_changes_its_runtime_on_the_way(dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "trainer")

    def train(name: str, runtime: str, epochs: int) -> None:
        given = [f"--dataset={dataset}", f"--model_dir={tmp_path / name}", f"--num_epochs={epochs}"]
        assert main([*SMALL, *given, "--mode=train_and_eval", f"--runtime={runtime}", "--eval_every_epochs=1"]) == 0

    train("tf", "tensorflow", 1)
    shutil.copytree(tmp_path / "tf", tmp_path / "xla")
    train("tf", "tensorflow", 2)
    train("xla", "xla", 2)
    found = {name: weights(tmp_path / name) for name in ("tf", "xla")}
    assert found["tf"].keys() == found["xla"].keys()
    for name, value in found["tf"].items():
        np.testing.assert_allclose(found["xla"][name], value, rtol=0, atol=1e-4, err_msg=name)
    metrics = [json.loads((tmp_path / name / "eval.json").read_text()) for name in ("tf", "xla")]
    assert metrics[1]["AP"] == pytest.approx(metrics[0]["AP"], abs=1e-3)
    train("xla", "tensorflow", 3)
    assert "2 replica(s) of XLA (cpu)" in caplog.text
    assert caplog.text.count("resuming from step 6 of 9") == 1


@pytest.mark.long
@pytest.mark.parametrize("words", [[], ["synchronised"]], ids=["each its own statistics", "BatchNorm synchronised"])
def test_two_devices_of_xla_give_what_mirrored_replicas_give(dataset: Path, words: list[str]) -> None:
    script = Path(__file__).parents[1] / "two_replicas.py"
    done = subprocess.run(
        [sys.executable, str(script), str(dataset), "xla", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    mirrored, xla = json.loads(done.stdout.splitlines()[-1])
    assert xla == pytest.approx(mirrored, rel=1e-3)


def test_without_jax_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", {}.get)
    assert main([f"--dataset={dataset}", f"--model_dir={tmp_path}/model", "--mode=train", "--runtime=xla"]) == 2
    assert capsys.readouterr().err == (
        "error: --runtime=xla: needs jax, which is not installed: pip install '.[cpu,xla]'\n"
    )
    assert not (tmp_path / "model").exists()
