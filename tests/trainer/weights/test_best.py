"""Evaluations on the way: when, which weights are kept, and what TensorBoard shows of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from retinanet_odm.errors import ContractError
from tests.trainer.conftest import LABELS, make_example
from trainer.data import contact_sheets, records
from trainer.loop import train
from trainer.main import main
from trainer.network import build
from trainer.presets import make_config
from trainer.weights.checkpoints import Best

SMALL = {"image_size": "64x64", "pyramid_channels": 16, "head_depth": 1}
FLAGS = [f"--{name}={value}" for name, value in SMALL.items()]

STEPS = [
    ("after every so many epochs, and the last", {"num_epochs": 5, "eval_every_epochs": 2}, 15, {6, 12, 15}),
    (
        "an epoch that ends within a batch: after it",
        {"num_epochs": 2, "eval_every_epochs": 1, "train_batch_size": 7},
        6,
        {4, 6},
    ),
    ("the last alone", {"num_epochs": 5, "eval_every_epochs": 0}, 15, {15}),
    ("the last is not another one", {"num_epochs": 4, "eval_every_epochs": 2}, 12, {6, 12}),
]


@pytest.mark.parametrize(("why", "given", "total", "expected"), STEPS, ids=[row[0] for row in STEPS])
def test_when_it_is_evaluated(why: str, given: dict[str, Any], total: int, expected: set[int]) -> None:
    split = records.RecordSplit(paths=(), examples=24)
    assert train.evaluation_steps(make_config("tiny", given), split, total) == expected, why


def net_of(dataset: Path, seed: int = 0, **given: Any) -> build.Network:
    config = make_config("tiny", {**SMALL, "seed": seed, **given})
    return build.build_network(config, records.read_dataset_manifest(str(dataset)))


def first_kernel(net: build.Network) -> np.ndarray:
    return net.model.trainable_variables[0].numpy()


OFFERS = [
    ("a better one takes the place", [(0.2, "val"), (0.3, "val")], 1),
    ("a worse one does not", [(0.3, "val"), (0.2, "val")], 0),
    ("of equal ones the later, which has seen more", [(0.3, "val"), (0.3, "val")], 1),
    ("no object that could be found is as bad as none found", [(0.1, "val"), (None, "val")], 0),
    ("another split is no measure", [(0.9, "val"), (0.1, "test")], 1),
]


@pytest.mark.parametrize(("why", "offers", "expected"), OFFERS, ids=[row[0] for row in OFFERS])
def test_the_best_weights_are_kept(
    dataset: Path, tmp_path: Path, why: str, offers: list[tuple[float | None, str]], expected: int
) -> None:
    nets = [net_of(dataset, seed) for seed in range(len(offers))]
    for step, (net, (ap, split)) in enumerate(zip(nets, offers, strict=True), start=1):
        best, metrics = Best(str(tmp_path), net, split=split), {"AP": ap, "AP50": ap}
        if best.is_beaten_by(metrics):
            best.save(step, metrics)
    found = net_of(dataset, seed=9)
    assert Best(str(tmp_path), found, split="val").restore() == expected + 1, why
    np.testing.assert_array_equal(first_kernel(found), first_kernel(nets[expected]))


def test_best_weights_of_another_network_are_refused(dataset: Path, tmp_path: Path) -> None:
    Best(str(tmp_path), net_of(dataset), split="val").save(1, {"AP": 0.5, "AP50": 0.5})
    with pytest.raises(ContractError, match=r"anchor_scale is 3.0 there, 4.0 now"):
        Best(str(tmp_path), net_of(dataset, anchor_scale=4.0), split="val").restore()
    assert Best(str(tmp_path / "none"), net_of(dataset), split="val").restore() == 0


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


def test_tensorboard_shows_curves_and_pictures(model_dir: Path) -> None:
    events = EventAccumulator(str(model_dir / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    tags = events.Tags()["tensors"]
    assert {"loss", "learning_rate", "evaluation/AP50", "training images", "detections"} <= set(tags)
    assert [event.step for event in events.Tensors("evaluation/AP50")] == [3, 6, 9]
    assert [event.step for event in events.Tensors("detections")] == [3, 6, 9]
    assert [event.step for event in events.Tensors("training images")] == [0, 3, 6, 9]


def test_training_sheet_draws_the_boxes_but_no_padding() -> None:
    image = np.zeros((1, 60, 80, 3), np.uint8)
    boxes = np.array([[[20, 20, 50, 60], [0, 0, 0, 0]]], np.float32)
    sheet = contact_sheets.training_sheet({"image": image, "boxes": boxes, "labels": np.array([[1, 0]])}, LABELS)
    assert sheet.shape == (1, 60, 80, 3)
    assert sheet[0, 50, 21:59].any(axis=-1).all(), "the line below the box"
    assert not sheet[0, 56:].any() and not sheet[0, 25:45, 25:55].any()


def test_detection_sheet_shows_what_a_person_would_look_at() -> None:
    examples = [make_example(8), make_example(11, size=(60, 200)), make_example(14), make_example(17)]
    entry = {"image_id": 8, "category_id": 1, "bbox": [30.0, 40.0, 50.0, 30.0]}
    plain, faint, sure = (
        contact_sheets.detection_sheet(examples, results, LABELS)
        for results in ([], [{**entry, "score": 0.1}], [{**entry, "score": 0.9}])
    )
    assert plain.shape == (1, 2 * 96, 3 * 200, 3), "rows of three, cells of the largest"
    np.testing.assert_array_equal(faint, plain)
    assert (sure != plain).any(axis=-1)[0].sum() > 100
