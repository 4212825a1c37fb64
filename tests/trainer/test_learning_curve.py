"""The points of a learning curve: their images, their settings, and what a second run leaves alone."""

import json
from pathlib import Path

import pytest
import tensorflow as tf

from retinanet_odm.dataset.examples import decode_example
from trainer.config import TrainConfig
from trainer.data import records
from trainer.learning_curve import run_learning_curve
from trainer.main import main
from trainer.presets import make_config


class Trainer:
    """Writes what a run of the trainer leaves behind, without a network; AP is the share of the 24 images."""

    def __init__(self) -> None:
        self.runs: list[TrainConfig] = []
        self.images: dict[str, set[str]] = {}

    def __call__(self, config: TrainConfig) -> None:
        self.runs.append(config)
        folder = Path(config.run.model_dir)
        manifest = records.read_dataset_manifest(config.data.dataset)
        if config.run.mode == "train":
            split = records.find_split(config.data.dataset, manifest, "train")
            found = tf.data.TFRecordDataset(split.paths).as_numpy_iterator()
            self.images[folder.name] = {decode_example(record).filename for record in found}
            (folder / "checkpoints").mkdir(exist_ok=True)
            identity = {"dataset_fingerprint": manifest.fingerprint}
            (folder / "checkpoints" / "network.json").write_text(json.dumps(identity))
            return
        ap = len(self.images[folder.name]) / 24
        (folder / "eval.json").write_text(json.dumps({"step": 9, "AP": ap, "AP50": ap, "intervals": []}))


def settings(dataset: Path, model_dir: Path, **given: object) -> TrainConfig:
    chosen = {"mode": "learning_curve", "curve_images": "4,8,50", "num_epochs": 3, "reference_images": 0, **given}
    return make_config("tiny", {"dataset": str(dataset), "model_dir": str(model_dir), **chosen})


def test_points_are_nested_and_trained_for_equal_steps(dataset: Path, tmp_path: Path) -> None:
    trainer = Trainer()
    run_learning_curve(settings(dataset, tmp_path), None, train=trainer)
    four, eight, whole = (trainer.images[f"images-{count}"] for count in (4, 8, 24))
    assert four < eight < whole and (len(four), len(eight), len(whole)) == (4, 8, 24)
    training, evaluation = trainer.runs[::2], trainer.runs[1::2]
    # 24 images, 3 epochs, batches of 8: 9 steps.
    assert [run.schedule.num_epochs for run in training] == [18, 9, 3]
    assert {run.run.mode for run in training} == {"train"}
    assert {(run.run.mode, run.evaluation.weights, run.data.dataset) for run in evaluation} == {
        ("eval", "last", str(dataset))
    }
    curve = json.loads((tmp_path / "learning_curve.json").read_text())
    assert [point["images"] for point in curve["points"]] == [4, 8, 24] and curve["missing"] == []
    assert [point["AP"] for point in curve["points"]] == pytest.approx([4 / 24, 8 / 24, 1])
    assert curve["points"][-1]["boxes"] == 24 and curve["outlook"]["doubling"] is None
    assert "cannot be said" in (tmp_path / "learning_curve.html").read_text()

    assert "tile" not in curve

    again = Trainer()
    run_learning_curve(settings(dataset, tmp_path), None, train=again)
    assert again.runs == [], "finished points are left as they are"
    (tmp_path / "learning_curve" / "images-8" / "point.json").unlink()
    run_learning_curve(settings(dataset, tmp_path), None, train=again)
    assert [Path(run.run.model_dir).name for run in again.runs] == ["images-8", "images-8"]
    assert json.loads((tmp_path / "learning_curve.json").read_text()) == curve


def test_a_curve_on_tiles_says_so(dataset: Path, tmp_path: Path) -> None:
    config = settings(dataset, tmp_path, tile=64, tile_overlap=0.3, curve_images="4")
    run_learning_curve(config, None, train=Trainer())
    assert json.loads((tmp_path / "learning_curve.json").read_text())["tile"] == {"side": 64, "overlap": 0.3}
    assert "on the tiles of 64 px of" in (tmp_path / "learning_curve.html").read_text()


REFUSED = [
    ("nothing is chosen on the test split", ["--eval_split=test"], "--eval_split=test: expected --mode=eval"),
    ("several machines", ["--worker_hosts=a:1,b:1"], "remove --worker_hosts"),
]


@pytest.mark.parametrize(("why", "flags", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_it_refuses(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], why: str, flags: list[str], message: str
) -> None:
    argv = ["--mode=learning_curve", f"--dataset={dataset}", f"--model_dir={tmp_path / 'model'}", *flags]
    assert main(argv) == 2
    assert message in capsys.readouterr().err, why


def test_a_training_on_other_images_is_not_continued(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = tmp_path / "learning_curve" / "images-4" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "network.json").write_text(json.dumps({"dataset_fingerprint": "0123456789abcdef"}))
    argv = ["--mode=learning_curve", f"--dataset={dataset}", f"--model_dir={tmp_path}", "--curve_images=4"]
    assert main(argv) == 2
    assert "images-4 holds a training on other images (fingerprint 0123456789ab" in capsys.readouterr().err
