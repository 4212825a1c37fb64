"""The recall of anchors that is logged before training, and the anchors of --anchors=auto, which a run keeps."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinanet_odm.dataset.anchor_coverage import gap_remedy
from retinanet_odm.dataset.problems import from_anchor_coverage
from retinanet_odm.dataset.statistics import BoxStatistics, ImageBoxes
from retinanet_odm.exported_model import ModelManifest
from trainer import anchor_tuning
from trainer.anchor_tuning import ClassRecall
from trainer.config import TrainConfig
from trainer.data import records
from trainer.data.training_boxes import TrainingBoxes
from trainer.main import main
from trainer.presets import make_config

CANVAS = (320, 320)


def on_canvas(boxes: np.ndarray) -> TrainingBoxes:
    """Boxes of class 1, [N, 4] in pixels of images that fill the canvas."""
    count = len(boxes)
    relative, sizes = boxes / np.tile(CANVAS, 2), np.tile(CANVAS, (count, 1))
    return TrainingBoxes(boxes=relative, sizes=sizes, labels=np.ones(count, int), images=1, is_complete=True)


def boxes_of(*shapes: tuple[float, float]) -> TrainingBoxes:
    """Boxes of these (height, width) about one centre of the level of stride 8."""
    halves = np.array(shapes).reshape(-1, 2) / 2
    return on_canvas(np.concatenate([164 - halves, 164 + halves], axis=1))


ROWS = [
    ("the smallest anchor itself", (32, 32), 4, (5, 1, 1)),
    ("far below the smallest anchor", (6, 6), 4, (2, 1, 0)),
    ("a smaller scale reaches it", (6, 6), 0.75, (2, 1, 1)),
    ("too thin for ratios of 0.5 to 2", (10, 100), 4, (4, 1, 0)),
    ("below two pixels is one octave", (0.5, 0.5), 4, (0, 1, 0)),
]


@pytest.mark.parametrize(("why", "shape", "scale", "octave"), ROWS, ids=[row[0] for row in ROWS])
def test_reach_of_one_box(why: str, shape: tuple[float, float], scale: float, octave: tuple[int, int, int]) -> None:
    found = boxes_of(shape)
    config = make_config("tiny", {"anchor_scale": scale})
    whole, eel = anchor_tuning.measure_recall(config, found, {1: "eel", 2: "crab"})
    assert (whole.name, eel.name, whole.octaves, eel.octaves) == ("all classes", "eel", (octave,), (octave,)), why


def test_a_line_has_recall_by_size() -> None:
    reach = ClassRecall(name="eel", boxes=4, reached=3, octaves=((0, 1, 0), (4, 3, 3)))
    assert reach.line() == " 75.0 % of 4 boxes  eel  (0-2 px: 0.0 % of 1, 16-32 px: 100.0 % of 3)"


def test_no_box_is_no_row() -> None:
    found = boxes_of()
    assert anchor_tuning.measure_recall(make_config("tiny", {}), found, {1: "eel"}) == ()


ANNOUNCED = [
    ("boxes of 20 to 40 pixels suit the preset", {"image_size": "128"}, 0),
    ("anchors of 160 pixels suit none: one class, and what helps", {"image_size": "128", "anchor_scale": 20.0}, 2),
]


@pytest.mark.parametrize(("why", "given", "warnings"), ANNOUNCED, ids=[row[0] for row in ANNOUNCED])
def test_classes_with_low_recall_are_warned_about(
    dataset: Path, caplog: pytest.LogCaptureFixture, why: str, given: dict[str, object], warnings: int
) -> None:
    caplog.set_level(logging.INFO)
    config = make_config("tiny", {"dataset": str(dataset), **given})
    manifest = records.read_dataset_manifest(str(dataset))
    anchor_tuning.log_anchor_recall(config, manifest, anchor_tuning.read_boxes(config, manifest))
    lines = [record.getMessage() for record in caplog.records]
    assert sum(record.levelno == logging.WARNING for record in caplog.records) == warnings, (why, lines)
    assert sum(" boxes  " in line for line in lines) == 3


@st.composite
def _images(draw: st.DrawFn) -> list[ImageBoxes]:
    """Images of several sizes with enough small boxes of one class for a share to count."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = []
    for number in range(draw(st.integers(1, 4))):
        low = rng.uniform(0, 0.9, [10, 2])
        boxes = np.concatenate([low, low + rng.uniform(0.005, 0.1, [10, 2])], axis=1)
        images.append(ImageBoxes(f"{number}.jpg", *rng.integers(50, 3000, 2).tolist(), boxes, ["eel"] * 10))
    return images


@settings(max_examples=30, deadline=None)
@given(_images())
def test_prepare_and_the_trainer_find_the_same_gaps(images: list[ImageBoxes]) -> None:
    training = TrainingBoxes(
        boxes=np.concatenate([np.asarray(image.boxes) for image in images]),
        sizes=np.repeat([(image.height, image.width) for image in images], 10, axis=0),
        labels=np.ones(10 * len(images), int),
        images=len(images),
        is_complete=True,
    )
    gaps = anchor_tuning.find_gaps(make_config("tiny", {}), training, {1: "eel"})
    problems = list(from_anchor_coverage(BoxStatistics.from_images(images)))
    assert [gap.describe() for gap in gaps] == [problem.detail for problem in problems]
    assert all(problem.suggestion == gap_remedy(gaps) for problem in problems)


def drawn(height: tuple[float, float], width: tuple[float, float], count: int = 300) -> TrainingBoxes:
    """Boxes anywhere on the canvas, of sides drawn from these ranges in pixels."""
    rng = np.random.default_rng(3)
    halves = np.stack([rng.uniform(*height, count), rng.uniform(*width, count)], axis=1) / 2
    centres = rng.uniform(halves, np.array(CANVAS) - halves)
    return on_canvas(np.concatenate([centres - halves, centres + halves], axis=1))


def recall(config: TrainConfig, found: TrainingBoxes) -> float:
    return anchor_tuning.measure_recall(config, found, {})[0].recall


# why, ranges of height and width, recall before (at most), recall after (at least)
FITTED = [
    ("long thin boxes", (12, 24), (90, 180), 0.5, 0.95),
    ("upright thin boxes", (90, 180), (12, 24), 0.5, 0.95),
    # A stride of 8 pixels leaves up to 4 in each direction to the nearest anchor: not all of them can be reached.
    ("boxes below the smallest anchor", (14, 18), (14, 18), 0.5, 0.9),
    ("boxes that the given anchors suit stay suited", (30, 100), (30, 100), 1.0, 1.0),
]


@pytest.mark.parametrize(("why", "height", "width", "before", "after"), FITTED, ids=[row[0] for row in FITTED])
def test_fitted_anchors_reach_more(
    why: str, height: tuple[float, float], width: tuple[float, float], before: float, after: float
) -> None:
    config, found = make_config("tiny", {"anchors": "auto"}), drawn(height, width)
    fitted = anchor_tuning.fit_anchors(config, found)
    assert recall(config, found) <= before, why
    assert recall(fitted, found) >= after, why
    assert fitted.network.num_scales * len(fitted.network.aspect_ratio_values()) <= (9 if after >= 0.95 else 12), why
    assert anchor_tuning.fit_anchors(config, found) == fitted, "equal boxes, equal anchors"
    kept = {name: getattr(config.network, name) for name in ("anchor_scale", "num_scales", "aspect_ratios")}
    assert fitted.replace(**kept) == config, "nothing else is changed"


def test_more_anchors_only_where_they_are_needed() -> None:
    config = make_config("tiny", {"num_scales": 1, "aspect_ratios": "1"})
    fitted = anchor_tuning.fit_anchors(config, drawn((10, 200), (10, 200)))
    assert 1 < fitted.network.num_scales * len(fitted.network.aspect_ratio_values()) <= 12
    squares = anchor_tuning.fit_anchors(config, drawn((30, 32), (30, 32)))
    assert squares.network.num_scales * len(squares.network.aspect_ratio_values()) == 1


def test_without_boxes_the_given_ones_hold() -> None:
    config = make_config("tiny", {"anchors": "auto"})
    assert anchor_tuning.fit_anchors(config, boxes_of()) == config


def test_a_run_keeps_its_anchors(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained, started again, evaluated and exported on command lines that differ only in the mode."""
    small = ["--image_size=128", "--pyramid_channels=8", "--head_depth=1", "--num_epochs=1", "--train_batch_size=12"]
    argv = [
        *small,
        "--optimizer=sgd",
        "--anchors=auto",
        "--reference_images=0",
        f"--dataset={dataset}",
        f"--model_dir={tmp_path}",
    ]
    caplog.set_level(logging.INFO)
    assert main([*argv, "--mode=train"]) == 0
    chosen = json.loads((tmp_path / "checkpoints" / "network.json").read_text())
    said = f"--anchor_scale={chosen['anchor_scale']} --num_scales={chosen['num_scales']}"
    assert f"fitted to the training split: {said} --aspect_ratios={chosen['aspect_ratios']}" in caplog.text
    assert chosen["anchor_scale"] != 3.0, "the default of the preset would prove nothing"

    monkeypatch.setattr(anchor_tuning, "fit_anchors", lambda *_: pytest.fail("fitted again"))
    assert main([*argv, "--mode=train"]) == 0
    assert f"of the checkpoints in --model_dir: {said}" in caplog.text
    monkeypatch.setattr(anchor_tuning, "read_boxes", lambda *_: pytest.fail("read again"))
    assert main([*argv, "--mode=eval"]) == 0
    assert main([*argv, "--mode=export"]) == 0
    path = tmp_path / "export" / ModelManifest.FILE
    anchors = ModelManifest.from_json(path.read_text(), source=str(path)).anchors
    assert (anchors["anchor_scale"], anchors["num_scales"]) == (chosen["anchor_scale"], chosen["num_scales"])
    assert anchors["aspect_ratios"] == [float(part) for part in chosen["aspect_ratios"].split(",")]
