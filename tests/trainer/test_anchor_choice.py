"""--anchors=auto: what is chosen for which boxes, and that a run keeps what was chosen for it."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from retinanet_odm.exported_model import ModelManifest
from trainer import anchor_tuning
from trainer.anchor_tuning import BoxesOnCanvas
from trainer.config import TrainConfig
from trainer.main import main
from trainer.presets import make_config

CANVAS = (320, 320)


def drawn(height: tuple[float, float], width: tuple[float, float], count: int = 300) -> BoxesOnCanvas:
    """Boxes anywhere on the canvas, of sides drawn from these ranges in pixels."""
    rng = np.random.default_rng(3)
    halves = np.stack([rng.uniform(*height, count), rng.uniform(*width, count)], axis=1) / 2
    centres = rng.uniform(halves, np.array(CANVAS) - halves)
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    return BoxesOnCanvas(boxes=boxes, labels=np.ones(count, int), canvas=CANVAS, images=count, is_complete=True)


def recall(config: TrainConfig, found: BoxesOnCanvas) -> float:
    return float((anchor_tuning.best_overlaps(found.boxes, CANVAS, anchor_tuning.anchor_shapes(config)) >= 0.5).mean())


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
    none = BoxesOnCanvas(boxes=np.zeros((0, 4)), labels=np.zeros(0, int), canvas=CANVAS, images=3, is_complete=True)
    assert anchor_tuning.fit_anchors(config, none) == config


def test_a_run_keeps_its_anchors(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained, trained further, evaluated and exported on command lines that differ only in the mode."""
    small = ["--image_size=128", "--pyramid_channels=8", "--head_depth=1", "--num_epochs=1", "--train_batch_size=12"]
    argv = [*small, "--anchors=auto", f"--dataset={dataset}", f"--model_dir={tmp_path}"]
    caplog.set_level(logging.INFO)
    assert main([*argv, "--mode=train"]) == 0
    chosen = json.loads((tmp_path / "checkpoints" / "network.json").read_text())
    said = f"--anchor_scale={chosen['anchor_scale']} --num_scales={chosen['num_scales']}"
    assert f"fitted to the training split: {said} --aspect_ratios={chosen['aspect_ratios']}" in caplog.text
    assert chosen["anchor_scale"] != 3.0, "the preset's would have told nothing"

    monkeypatch.setattr(anchor_tuning, "fit_anchors", lambda *_: pytest.fail("fitted again"))
    assert main([*argv, "--mode=train", "--num_epochs=2"]) == 0
    assert f"of the checkpoints in --model_dir: {said}" in caplog.text
    monkeypatch.setattr(anchor_tuning, "read_boxes", lambda *_: pytest.fail("read again"))
    assert main([*argv, "--mode=eval", "--num_epochs=2"]) == 0
    assert main([*argv, "--mode=export", "--num_epochs=2"]) == 0
    path = tmp_path / "export" / ModelManifest.FILE
    anchors = ModelManifest.from_json(path.read_text(), source=str(path)).anchors
    assert (anchors["anchor_scale"], anchors["num_scales"]) == (chosen["anchor_scale"], chosen["num_scales"])
    assert anchors["aspect_ratios"] == [float(part) for part in chosen["aspect_ratios"].split(",")]
