"""Evaluations during training: when they run, the best weights, and TensorBoard."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trainer.data import records
from trainer.loop import plan
from trainer.main import main
from trainer.presets import make_config

FLAGS = ["--image_size=64x64", "--pyramid_channels=16", "--head_depth=1", "--reference_images=0"]


STEPS = [
    ("every eval_every_epochs epochs, and after the last", {"num_epochs": 5, "eval_every_epochs": 2}, 15, {6, 12, 15}),
    (
        "an epoch ends within a batch: after this batch",
        {"num_epochs": 2, "eval_every_epochs": 1, "train_batch_size": 7},
        6,
        {4, 6},
    ),
    ("the last alone", {"num_epochs": 5, "eval_every_epochs": 0}, 15, {15}),
    ("the last epoch is evaluated once", {"num_epochs": 4, "eval_every_epochs": 2}, 12, {6, 12}),
]


@pytest.mark.parametrize(("why", "given", "total", "expected"), STEPS, ids=[row[0] for row in STEPS])
def test_when_it_is_evaluated(why: str, given: dict[str, Any], total: int, expected: set[int]) -> None:
    split = records.RecordSplit(paths=(), examples=24)
    assert plan.evaluation_steps(make_config("tiny", given), split, total) == expected, why


@pytest.fixture(scope="module")
def model_dir(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    argv = [*FLAGS, f"--dataset={dataset}", f"--model_dir={folder}", "--num_epochs=3", "--eval_every_epochs=1"]
    assert main([*argv, "--ema_decay=0.5"]) == 0
    return folder


def test_the_best_weights_are_evaluated_and_exported(model_dir: Path, dataset: Path) -> None:
    best = json.loads((model_dir / "best" / "best.json").read_text())
    evaluated = json.loads((model_dir / "eval.json").read_text())
    exported = json.loads((model_dir / "export" / "model.json").read_text())
    assert best["step"] == evaluated["step"] == exported["config"]["steps"]
    assert evaluated["AP"] == pytest.approx(best["AP"])
    argv = [*FLAGS, f"--dataset={dataset}", f"--model_dir={model_dir}", "--ema_decay=0.5", "--mode=eval"]
    assert main([*argv, "--weights=last"]) == 0
    assert json.loads((model_dir / "eval.json").read_text())["step"] == 9


LEFT = [
    ("a finished run is only evaluated and exported", {"num_epochs": 3}, False),
    ("more epochs", {"num_epochs": 4}, True),
    ("fewer epochs than were trained", {"num_epochs": 2}, False),
    ("no checkpoint", {"num_epochs": 3, "model_dir": "empty"}, True),
]


@pytest.mark.parametrize(("why", "given", "expected"), LEFT, ids=[row[0] for row in LEFT])
def test_whether_steps_are_left(
    model_dir: Path, dataset: Path, why: str, given: dict[str, Any], expected: bool
) -> None:
    config = make_config("tiny", {"dataset": str(dataset), "model_dir": str(model_dir), **given})
    assert plan.has_steps_left(config, records.read_dataset_manifest(str(dataset))) is expected, why


MEMORY = [
    ("no step is left, so none is refused", ["--num_epochs=3"], 0),
    ("a step is left", ["--num_epochs=4"], 2),
]


@pytest.mark.parametrize(("why", "flags", "status"), MEMORY, ids=[row[0] for row in MEMORY])
def test_only_steps_that_are_left_need_memory(
    model_dir: Path,
    tmp_path: Path,
    dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    why: str,
    flags: list[str],
    status: int,
) -> None:
    # A copy: a run that is started again adds to the events of TensorBoard.
    folder = shutil.copytree(model_dir, tmp_path / "model")
    monkeypatch.setattr("trainer.memory.free_memory", lambda: 1000)
    argv = [*FLAGS, f"--dataset={dataset}", f"--model_dir={folder}", "--ema_decay=0.5", "--mode=train"]
    assert main([*argv, *flags]) == status, why


def test_a_run_on_tiles_that_brings_nothing_better_ends_and_is_left_alone(
    tmp_path: Path, dataset: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    argv = [*FLAGS, f"--dataset={dataset}", f"--model_dir={tmp_path}", "--num_epochs=5", "--eval_every_epochs=1"]
    argv += ["--learning_rate=1e-9", "--optimizer=sgd", "--patience=1"]
    assert main([*argv, "--tile=64", "--mode=train_and_eval"]) == 0
    manifests = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("tiles/*/*/dataset.json")}
    tiles, held_out = (manifests[name]["splits"][name]["examples"] for name in ("train", "val"))
    last, planned = -(-2 * tiles // 8), 5 * tiles // 8
    reason = "no better AP than 0.000 in 1 evaluation (--patience=1)"
    assert f"ended at step {last} of {planned}: {reason}" in caplog.messages
    model = json.loads((tmp_path / "export" / "model.json").read_text())
    hours = model["training"].pop("hours")
    expected = {"steps": last, "planned_steps": planned, "ended_by": "patience", "reason": reason}
    assert model["training"] == expected and 0 < hours < 1
    assert model["tile"] == {"side": 64, "overlap": 0.2} and model["dataset"]["splits"]["train"]["images"] == 24
    evaluated = json.loads((tmp_path / "eval.json").read_text())
    assert (evaluated["images"], evaluated["tile"]) == (held_out, model["tile"])
    caplog.clear()
    assert main([*argv, "--tile=64", "--mode=train_and_eval"]) == 0
    assert f"this run has ended at step {last} and is not trained further: {reason}" in caplog.messages
    assert not [text for text in caplog.messages if text.startswith(("step ", "tiles of split"))]
    assert json.loads((tmp_path / "export" / "model.json").read_text())["training"] == {**expected, "hours": hours}
    assert main([*argv, "--mode=train_and_eval"]) == 2
    assert "tile is 64/0.2 there, none now" in capsys.readouterr().err


def test_tensorboard_shows_curves_and_images(model_dir: Path) -> None:
    events = EventAccumulator(str(model_dir / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    tags = events.Tags()["tensors"]
    assert {"loss", "learning_rate", "evaluation/AP50", "training images", "detections"} <= set(tags)
    assert [event.step for event in events.Tensors("evaluation/AP50")] == [3, 6, 9]
    assert [event.step for event in events.Tensors("detections")] == [3, 6, 9]
    assert [event.step for event in events.Tensors("training images")] == [0, 3, 6, 9]
