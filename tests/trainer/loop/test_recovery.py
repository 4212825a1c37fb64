"""Runs that diverge go back to a checkpoint; averages of the weights."""

import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from retinanet_odm.errors import UsageError
from trainer import finish
from trainer.config import TrainConfig
from trainer.data import records
from trainer.data.augmentation import Augmentation
from trainer.loop import schedule, train
from trainer.loop.recovery import DivergenceMonitor
from trainer.main import main
from trainer.network import build
from trainer.presets import make_config

SMALL = ["--preset=tiny", "--image_size=64x64", "--pyramid_channels=16", "--head_depth=1", "--train_batch_size=8"]

LOSSES = [
    ("a falling loss", [2.0, 1.0, 0.5, 0.4], [False] * 4),
    ("a start as high as it may be", [1e6, 2.0], [False] * 2),
    ("not a number", [2.0, math.nan], [False, True]),
    ("infinity, at once", [math.inf], [True]),
    ("ten times the usual and more", [2.0, 2.0, 21.0], [False, False, True]),
    ("a bad batch is not ten times as bad", [2.0, 2.0, 15.0], [False] * 3),
    ("small losses may multiply", [0.001, 0.5], [False] * 2),
    ("a divergence does not become the usual", [1.0, 50.0, 50.0], [False, True, True]),
]


@pytest.mark.parametrize(("why", "losses", "expected"), LOSSES, ids=[row[0] for row in LOSSES])
def test_what_is_a_divergence(why: str, losses: list[float], expected: list[bool]) -> None:
    monitor = DivergenceMonitor(max_rollbacks=3)
    assert [monitor.has_diverged(loss) for loss in losses] == expected, why


def test_a_run_is_given_up_after_so_many_returns() -> None:
    monitor = DivergenceMonitor(max_rollbacks=1)
    monitor.record_rollback(loss=math.nan, first=1, last=2, source_ids=[7, 3], rate=0.5)
    with pytest.raises(UsageError, match=r"steps 1 to 2; source ids of the batch: 3, 7; given up after 1 returns"):
        monitor.record_rollback(loss=math.nan, first=1, last=2, source_ids=[7, 3], rate=0.25)


def test_the_ids_of_a_batch_are_those_that_were_trained_on(dataset: Path) -> None:
    """Images are identified by their boxes: those of a batch and of the named records are equal."""
    split = records.find_split(str(dataset), records.read_dataset_manifest(str(dataset)), "train")
    batches = records.training_batches(
        split, canvas=(96, 128), batch_size=5, max_instances=2, augmentation=Augmentation(), seed=3, first_step=0
    )
    for step, batch in enumerate(batches.take(7)):  # past the end of an epoch
        ids = records.batch_source_ids(split, batch_size=5, seed=3, step=step)
        assert [source_id % 3 for source_id in ids] == (batch["labels"].numpy() > 0).sum(axis=1).tolist()


def test_a_run_that_never_recovers_ends_in_one_line(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    hopeless = [
        "--optimizer=sgd",
        "--learning_rate=1e30",
        "--warmup_steps=0",
        "--max_rollbacks=2",
        "--steps_per_loop=2",
    ]
    argv = [*SMALL, *hopeless, f"--dataset={dataset}", f"--model_dir={tmp_path}", "--num_epochs=4", "--mode=train"]
    assert main(argv) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "diverged" in error and "given up after 2 returns" in error
    warnings = [record.getMessage() for record in caplog.records if record.getMessage().startswith("warning: training")]
    assert [line.partition("with ")[2] for line in warnings] == [
        "0.5 of the learning rate (return 1 of 2)",
        "0.25 of the learning rate (return 2 of 2)",
    ]
    saved = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(tmp_path / "checkpoints")))
    values = (saved.get_tensor(name) for name in saved.get_variable_to_dtype_map() if "VARIABLE_VALUE" in name)
    assert all(np.isfinite(value).all() for value in values), "no checkpoint holds what diverged"


@pytest.mark.long
def test_a_run_recovers_at_a_lower_rate(dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "trainer")
    fast = ["--optimizer=sgd", "--learning_rate=1e5", "--warmup_steps=0", "--max_rollbacks=60", "--steps_per_loop=2"]
    argv = [*SMALL, *fast, f"--dataset={dataset}", f"--model_dir={tmp_path}", "--num_epochs=2", "--mode=train"]
    assert main(argv) == 0
    assert any("warning: training diverged" in record.getMessage() for record in caplog.records)
    assert tf.train.latest_checkpoint(str(tmp_path / "checkpoints")).endswith("-6")


def test_averages_are_the_textbook_s() -> None:
    variable = keras.Variable(np.array([1.0], np.float32))
    rates = schedule.ScaledSchedule(keras.optimizers.schedules.ExponentialDecay(0.1, 1000, 1.0))
    optimizer = schedule.make_optimizer("sgd", schedule=rates, weight_decay=0.0, ema_decay=0.5)
    optimizer.build([variable])
    seen = []
    for gradient in (1.0, -2.0, 0.5):
        optimizer.apply([tf.constant([gradient])], [variable])
        seen.append(float(variable.numpy()[0]))
    average = seen[0]  # it starts with the values of the first step
    for value in seen[1:]:
        average = 0.5 * average + 0.5 * value
    optimizer.finalize_variable_values([variable])
    assert float(variable.numpy()[0]) == pytest.approx(average, rel=1e-6)


def averaged(dataset: Path, folder: Path) -> TrainConfig:
    given = {"image_size": "64x64", "pyramid_channels": 16, "head_depth": 1, "train_batch_size": 8, "num_epochs": 1}
    return make_config("tiny", {**given, "ema_decay": 0.9, "dataset": str(dataset), "model_dir": str(folder)})


def test_evaluation_and_export_have_the_averages(dataset: Path, tmp_path: Path) -> None:
    config = averaged(dataset, tmp_path)
    manifest = records.read_dataset_manifest(str(dataset))
    strategy = tf.distribute.OneDeviceStrategy("/CPU:0")
    with strategy.scope():
        trained, restored, plain = (build.build_network(config, manifest) for _ in range(3))
    training = train.TrainingRun(config, manifest, trained, strategy)
    training.run()
    assert training.step == 3
    assert finish.restore_weights(config, restored, strategy) == 3
    train.Checkpoints(config.run.model_dir, plain).restore()
    for ours, theirs in zip(trained.model.weights, restored.model.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)
    kernel = "class_predict/kernel"
    before, after = ({w.path: w.numpy() for w in net.model.weights}[kernel] for net in (plain, restored))
    assert np.abs(before - after).max() > 1e-5
