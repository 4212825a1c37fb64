"""Folds: who is trained on what, what a second run leaves alone, and rows that the other program reads."""

import json
from pathlib import Path

import pytest
import tensorflow as tf

from inference.results import read_rows
from retinanet_odm.dataset.examples import decode_example
from trainer.config import TrainConfig
from trainer.data import records
from trainer.folds import HELD_OUT, Detections, run_folds
from trainer.main import main
from trainer.presets import make_config


def names_of(folder: str, split: str) -> set[str]:
    found = records.find_split(folder, records.read_dataset_manifest(folder), split)
    return {decode_example(record).filename for record in tf.data.TFRecordDataset(found.paths).as_numpy_iterator()}


class Trainer:
    """Trains and detects without a network: one box in each image that it is to score, with the fold's number."""

    def __init__(self) -> None:
        self.trained: list[set[str]] = []
        self.scored: list[set[str]] = []

    def train(self, config: TrainConfig) -> None:
        assert (config.run.mode, config.schedule.num_epochs) == ("train", 3)
        self.trained.append(names_of(config.data.dataset, "train"))

    def detect(self, config: TrainConfig) -> Detections:
        assert (config.evaluation.weights, config.evaluation.eval_split) == ("last", HELD_OUT)
        names = names_of(config.data.dataset, HELD_OUT)
        self.scored.append(names)
        images = [
            {"id": number, "file_name": name, "width": 64, "height": 48} for number, name in enumerate(sorted(names), 1)
        ]
        box = {"category_id": 1, "bbox": [1.0, 2.0, 10.0, 20.0]}
        score = (int(config.run.model_dir[-1]) + 4) / 8
        return Detections(images, [{"image_id": entry["id"], "score": score, **box} for entry in images])


def settings(dataset: Path, model_dir: Path, **given: object) -> TrainConfig:
    chosen = {"mode": "folds", "num_epochs": 3, "reference_images": 0, **given}
    return make_config("tiny", {"dataset": str(dataset), "model_dir": str(model_dir), **chosen})


def test_every_image_is_scored_once_by_the_model_that_has_not_seen_it(dataset: Path, tmp_path: Path) -> None:
    trainer = Trainer()
    run_folds(settings(dataset, tmp_path), None, train=trainer.train, detect=trainer.detect)
    images = names_of(str(dataset), "train")
    assert [seen | held_out for seen, held_out in zip(trainer.trained, trainer.scored, strict=True)] == [images] * 3
    assert not any(seen & held_out for seen, held_out in zip(trainer.trained, trainer.scored, strict=True))
    assert sorted(map(len, trainer.scored)) == [7, 8, 9], "of the 24 images, some are equal and stay together"

    output = tmp_path / "folds" / "predictions"
    rows = list(read_rows(output, min_score=0))
    assert [row.image for row in rows] == sorted(images)
    fold_of = {name: number for number, names in enumerate(trainer.scored) for name in names}
    assert all(row.detections[0].score == (fold_of[row.image] + 4) / 8 for row in rows)
    assert rows[0].detections[0].box == (1.0, 2.0, 11.0, 22.0)
    assert sum(json.loads((output / "summary.json").read_text())["counted"].values()) == 24, "from the default score"

    before = {path: path.read_bytes() for path in output.iterdir()}
    again = Trainer()
    (tmp_path / "folds" / "fold-1" / "fold.json").unlink()
    run_folds(settings(dataset, tmp_path), None, train=again.train, detect=again.detect)
    assert again.scored == [trainer.scored[1]], "finished folds are left as they are"
    assert {path: path.read_bytes() for path in output.iterdir()} == before

    other = Trainer()
    run_folds(settings(dataset, tmp_path, head_depth=1), None, train=other.train, detect=other.detect)
    assert len(other.scored) == 3, "other settings are another training"


REFUSED = [
    ("one fold", ["--folds=1"], "--folds: expected 2 or more, found 1"),
    (
        "more folds than images",
        ["--folds=25"],
        "--folds=25: expected at least as many different training images, found 17",
    ),
    ("several machines", ["--worker_hosts=a:1,b:1"], "--mode=folds: trains one fold after another on one machine"),
    ("tiles", ["--tile=64"], "--mode=folds: finds objects in whole images: remove --tile"),
    ("weights that no evaluation chooses", ["--patience=2"], "found --mode=folds"),
]


@pytest.mark.parametrize(("why", "flags", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_it_refuses(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], why: str, flags: list[str], message: str
) -> None:
    model = tmp_path / "model"
    assert main(["--mode=folds", f"--dataset={dataset}", f"--model_dir={model}", *flags]) == 2
    assert message in capsys.readouterr().err, why
    assert not model.exists()


@pytest.mark.long
def test_a_network_scores_what_it_has_not_seen(dataset: Path, tmp_path: Path) -> None:
    flags = ["--preset=tiny", "--image_size=64", "--num_epochs=1", "--folds=2", "--score_threshold=0"]
    assert main(["--mode=folds", f"--dataset={dataset}", f"--model_dir={tmp_path}", *flags]) == 0
    rows = list(read_rows(tmp_path / "folds" / "predictions", min_score=0))
    assert len(rows) == 24 and all(row.detections for row in rows)
