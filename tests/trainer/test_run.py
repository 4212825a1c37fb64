"""The trainer from the command line: train, stop, resume, evaluate, export, serve."""

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from retinanet_odm import exported_model
from retinanet_odm.dataset.examples import encode_example
from retinanet_odm.exported_model import ModelManifest
from tests.trainer.conftest import make_example, write_dataset
from trainer import evaluate
from trainer.data import preprocess, records
from trainer.loop import train
from trainer.main import main
from trainer.network import build, postprocess
from trainer.presets import make_config
from trainer.weights import checkpoints

SETTINGS = ["--preset=tiny", "--image_size=128", "--pyramid_channels=32", "--head_depth=1", "--train_batch_size=6"]
SETTINGS += ["--reference_images=0"]  # it takes seconds, and tests/trainer/export has its own tests
# Most of a short run builds its graph, nearly half of that the updates of AdamW.
QUICK = [*SETTINGS, "--optimizer=sgd", "--learning_rate=0.001"]


@pytest.fixture(scope="module")
def model_dir(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trains for 48 epochs, enough to detect rectangles."""
    folder = tmp_path_factory.mktemp("model")
    argv = [*SETTINGS, f"--dataset={dataset}", f"--model_dir={folder}", "--num_epochs=48", "--eval_split=train"]
    assert main(argv) == 0
    return folder


def test_it_learns(model_dir: Path) -> None:
    assert json.loads((model_dir / "eval.json").read_text())["AP50"] >= 0.9


@pytest.mark.long
def test_five_images_are_overfitted(tmp_path: Path) -> None:
    """A network that cannot overfit has a defect in labels, targets, losses or decoding."""
    write_dataset(tmp_path, splits={"train": [1, 2, 4, 5, 8]}, shards=1)
    argv = [*SETTINGS, f"--dataset={tmp_path}", f"--model_dir={tmp_path}/model", "--eval_split=train"]
    still = ["--scale_min=1", "--scale_max=1", "--nohorizontal_flip"]
    assert main([*argv, *still, "--train_batch_size=5", "--num_epochs=120", "--eval_every_epochs=0"]) == 0
    assert json.loads((tmp_path / "model" / "eval.json").read_text())["AP50"] >= 0.95


def test_the_manifest_describes_the_model(model_dir: Path) -> None:
    path = model_dir / "export" / ModelManifest.FILE
    manifest = ModelManifest.from_json(path.read_text(), source=str(path))
    assert manifest.image_size == (96, 128)
    evaluation = json.loads((model_dir / "eval.json").read_text())
    assert manifest.thresholds == evaluation["thresholds"] and set(manifest.thresholds) == {"bright", "dark"}
    assert {**manifest.metrics, "details": evaluation["details"]} == evaluation
    assert set(manifest.files) == {
        str(file.relative_to(path.parent)) for file in path.parent.rglob("*") if file.is_file() and file != path
    }


def test_the_export_agrees_with_the_network(model_dir: Path, dataset: Path) -> None:
    """SavedModel against in-process prediction, for a batch of mixed sizes with a broken image in the middle."""
    examples = [make_example(8), make_example(11, size=(60, 200)), make_example(14, size=(130, 90))]
    encoded = [examples[0].encoded, b"broken", examples[1].encoded, examples[2].encoded]
    serve = tf.saved_model.load(str(model_dir / "export")).signatures[exported_model.SERVING]
    served = {name: value.numpy() for name, value in serve(image_bytes=tf.constant(encoded)).items()}
    assert served[exported_model.STATUS].tolist() == [0, 1, 0, 0]
    assert served[exported_model.COUNT][1] == 0
    assert served[exported_model.IMAGE_SIZE].tolist() == [[96, 128], [0, 0], [60, 200], [130, 90]]

    config = make_config("tiny", {"image_size": "128", "pyramid_channels": 32, "head_depth": 1})
    net = build.build_network(config, records.read_dataset_manifest(str(dataset)))
    checkpoints.Checkpoints(str(model_dir), net).restore()
    for row, example in zip((0, 2, 3), examples, strict=True):
        image, placement = preprocess.letterbox(preprocess.decode_image_bytes(example.encoded, net.canvas), net.canvas)
        outputs = net.model(preprocess.normalise(image[None]), training=False)
        size = tf.constant([[example.height, example.width]])
        found = postprocess.suppress(
            postprocess.top_candidates(outputs, net.anchors, placement.size[None], size),
            num_classes=net.num_classes,
            score_threshold=config.evaluation.score_threshold,
            nms_iou=config.evaluation.nms_iou,
            max_detections=config.evaluation.max_detections,
        )
        boxes = postprocess.to_image_pixels(found.boxes, placement.size[None], size)
        count = int(found.count[0])
        assert served[exported_model.COUNT][row] == count > 0
        np.testing.assert_allclose(served[exported_model.BOXES][row, :count], boxes[0, :count], atol=0.5)
        np.testing.assert_allclose(served[exported_model.SCORES][row, :count], found.scores[0, :count], atol=1e-3)
        np.testing.assert_array_equal(served[exported_model.CLASSES][row, :count], found.classes[0, :count])


def weights_after(dataset: Path, folder: Path, epochs: int, *, stop_after: int | None = None) -> list[np.ndarray]:
    """Trains on one CPU; with stop_after, in two runs, the first of which stops at that step."""
    given = {"image_size": "128", "pyramid_channels": 16, "head_depth": 1, "train_batch_size": 4, "optimizer": "sgd"}
    config = make_config(
        "tiny", {**given, "num_epochs": epochs, "dataset": str(dataset), "model_dir": str(folder), "steps_per_loop": 2}
    )
    manifest = records.read_dataset_manifest(str(dataset))
    strategy = tf.distribute.OneDeviceStrategy("/CPU:0")
    if stop_after is not None:
        with strategy.scope():
            net = build.build_network(config, manifest)

        def stop(self: checkpoints.Checkpoints, step: int, run_state: dict[str, Any] | None = None) -> None:
            save(self, step, run_state)
            if step == stop_after:
                raise KeyboardInterrupt

        save = checkpoints.Checkpoints.save
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(checkpoints.Checkpoints, "save", stop)
            patch.setattr(checkpoints.Checkpoints, "is_due", True)
            train.TrainingRun(config, manifest, net, strategy).run()
    with strategy.scope():
        net = build.build_network(config, manifest)
    train.TrainingRun(config, manifest, net, strategy).run()
    return [weight.numpy() for weight in net.model.weights]


def test_a_stopped_run_ends_as_an_undisturbed_one(dataset: Path, tmp_path: Path) -> None:
    whole = weights_after(dataset, tmp_path / "whole", 2)
    resumed = weights_after(dataset, tmp_path / "resumed", 2, stop_after=6)
    for expected, found in zip(whole, resumed, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


LAST_STEP = 16
DISTURBED = [*SETTINGS, "--mode=train_and_eval", "--steps_per_loop=1", f"--num_epochs={LAST_STEP * 6 // 24}"]


def metrics_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "eval.json").read_text())


@pytest.fixture(scope="module")
def undisturbed(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    run_process([*DISTURBED, f"--dataset={dataset}", f"--model_dir={folder}"])
    return metrics_of(folder)


def run_process(argv: list[str]) -> None:
    """Runs the trainer as the killed runs were: without Grappler, as in this process, sums are rounded otherwise."""
    subprocess.run([sys.executable, "-m", "trainer", *argv], check=True, capture_output=True)


ENDS = [
    ("as before a spot machine is reclaimed: saved, exit status 0", signal.SIGTERM, 0, "--checkpoint_minutes=60"),
    (
        "as by the kernel when memory is exhausted: checkpoints are complete",
        signal.SIGKILL,
        -9,
        "--checkpoint_minutes=1e-9",
    ),
]


@pytest.mark.long
@pytest.mark.parametrize(("why", "number", "status", "saving"), ENDS, ids=["SIGTERM", "SIGKILL"])
def test_a_killed_run_ends_with_the_metrics_of_an_undisturbed_one(
    dataset: Path, tmp_path: Path, undisturbed: dict[str, Any], why: str, number: int, status: int, saving: str
) -> None:
    argv = [*DISTURBED, f"--dataset={dataset}", f"--model_dir={tmp_path}", saving]
    with subprocess.Popen([sys.executable, "-m", "trainer", *argv], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("step 5/"):
                process.send_signal(number)
                break
        rest = process.stderr.read()
        assert process.wait(timeout=60) == status, rest
    saved = int(tf.train.latest_checkpoint(str(tmp_path / "checkpoints")).rpartition("-")[2])
    assert 0 < saved < LAST_STEP, why
    assert (f"stopped by SIGTERM at step {saved} of {LAST_STEP}" in rest) == (number == signal.SIGTERM)
    run_process(argv)
    assert metrics_of(tmp_path) == undisturbed


def test_a_finished_run_is_not_trained_again(model_dir: Path, dataset: Path) -> None:
    before = (model_dir / "eval.json").read_text()
    argv = [*SETTINGS, f"--dataset={dataset}", f"--model_dir={model_dir}", "--num_epochs=48", "--eval_split=train"]
    export = exported_files(model_dir)
    assert main([*argv, "--mode=train_and_eval"]) == 0
    assert json.loads((model_dir / "eval.json").read_text()) == json.loads(before)
    assert exported_files(model_dir) == export, "not exported again: rows of an archive are of this export"


def exported_files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of every file of an export."""
    found = [path for path in (folder / "export").rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


def test_the_test_split_stays_a_test(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    write_dataset(tmp_path, splits={"train": list(range(1, 13)), "val": [13, 14, 16], "test": [17, 19, 20, 22]})
    model = tmp_path / "MODEL"
    argv = [*QUICK, f"--dataset={tmp_path}", f"--model_dir={model}", "--num_epochs=1"]
    assert main([*argv, "--mode=train_and_eval"]) == 0
    (line,) = [text for text in caplog.messages if text.startswith("split test (4 images) took no part")]
    command = line.partition("model: python -m trainer ")[2]
    assert command.split() == [*argv, "--mode=eval", "--eval_split=test"], "complete, with the flags of the training"
    before = {name: (model / name).read_bytes() for name in ("eval.json", "eval.html")}
    export = exported_files(model)
    assert main(command.split()) == 0
    assert {name: (model / name).read_bytes() for name in before} == before
    assert exported_files(model) == export
    found, chosen = (json.loads((model / name).read_text()) for name in ("eval-test.json", "eval.json"))
    assert (found["split"], found["images"], found["step"]) == ("test", 4, chosen["step"])
    assert found["thresholds"] == {name: max(0.05, value) for name, value in chosen["thresholds"].items()}
    assert found["thresholds_from"] == "eval.json" and "thresholds_from" not in chosen
    assert "thresholds were chosen on these images" not in (model / "eval-test.html").read_text()
    assert "thresholds were chosen on these images" in (model / "eval.html").read_text()
    # Nothing is chosen on it, nor exported.
    for mode in ("train_and_eval", "train", "export"):
        assert main([*argv, f"--mode={mode}", "--eval_split=test"]) == 2, mode
        assert "nothing is chosen on the test split" in capsys.readouterr().err
    (model / "eval.json").write_text(json.dumps(found))
    assert main([*argv, "--mode=eval", "--eval_split=test"]) == 0
    assert f"{model}/eval.json has no thresholds of step" in caplog.text
    assert main([*argv, "--mode=export"]) == 0
    assert exported_files(model) == export


@pytest.mark.long
@pytest.mark.parametrize("words", [[], ["synchronised"]], ids=["equal images", "other images, BatchNorm synchronised"])
def test_two_replicas_give_what_one_gives(dataset: Path, words: list[str]) -> None:
    """In a process of its own, because logical devices must be set up before TensorFlow starts."""
    script = Path(__file__).with_name("two_replicas.py")
    done = subprocess.run(
        [sys.executable, str(script), str(dataset), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = json.loads(done.stdout.splitlines()[-1])
    assert two == pytest.approx(one, rel=1e-3)


def test_evaluation_does_not_depend_on_the_batch(model_dir: Path, dataset: Path) -> None:
    manifest = records.read_dataset_manifest(str(dataset))
    found = []
    for batch_size in (3, 8):
        config = make_config(
            "tiny",
            {
                "image_size": "128",
                "pyramid_channels": 32,
                "head_depth": 1,
                "eval_batch_size": batch_size,
                "dataset": str(dataset),
            },
        )
        net = build.build_network(config, manifest)
        checkpoints.Checkpoints(str(model_dir), net).restore()
        found.append(
            evaluate.make_evaluator(config, manifest, net, tf.distribute.OneDeviceStrategy("/CPU:0")).full().metrics
        )
    assert found[0] == found[1]


def test_evaluation_goes_by_the_data_sets_own_groups(model_dir: Path, dataset: Path) -> None:
    given = {"image_size": "128", "pyramid_channels": 32, "head_depth": 1, "dataset": str(dataset)}
    config, manifest = make_config("tiny", given), records.read_dataset_manifest(str(dataset))
    net = build.build_network(config, manifest)
    checkpoints.Checkpoints(str(model_dir), net).restore()
    grouped = dataclasses.replace(manifest, options={"split_group": "^[0-9]+"})
    evaluator = evaluate.make_evaluator(config, grouped, net, tf.distribute.OneDeviceStrategy("/CPU:0"))
    found = evaluator.full().metrics["intervals"]
    assert [(entry["over"], entry["units"]) for entry in found] == [("images", 7), ("split groups (^[0-9]+)", 7)]


def test_help_answers_without_tensorflow() -> None:
    code = "import sys; from trainer.main import main; main(['--help']); sys.exit('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "--train_batch_size" in done.stdout


@pytest.mark.long
def test_the_tpu_recipe_runs(dataset: Path, tmp_path: Path) -> None:
    """ResNet-50, bfloat16, SGD: the preset's own code paths, on small images and without a TPU."""
    argv = ["--preset=retinanet_r50", "--mode=train", f"--dataset={dataset}", f"--model_dir={tmp_path}"]
    small = ["--image_size=64x64", "--train_batch_size=4", "--num_epochs=1", "--learning_rate=0.001"]
    assert main([*argv, *small]) == 0
    assert tf.train.latest_checkpoint(str(tmp_path / "checkpoints")).endswith("-6")
    keras.config.set_dtype_policy("float32")


def test_boxes_beyond_max_instances_are_counted_and_reported(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    argv = [*QUICK, "--mode=train", f"--dataset={dataset}", f"--model_dir={tmp_path}", "--num_epochs=1"]
    fixed = ["--scale_min=1", "--scale_max=1", "--steps_per_loop=100"]
    assert main([*argv, *fixed, "--max_instances=1"]) == 0
    warnings = [record.getMessage() for record in caplog.records if "--max_instances=1" in record.getMessage()]
    crowded = sum(source_id % 3 == 2 for source_id in range(1, 25))  # images with two boxes
    assert warnings and warnings[0].startswith(f"warning: dropped {crowded} boxes beyond --max_instances=1")


@pytest.mark.parametrize(
    "recipe", [*(pytest.param(name, marks=pytest.mark.long) for name in ("legacy", "retinanet")), "modern"]
)
def test_recipes_run(dataset: Path, tmp_path: Path, recipe: str) -> None:
    argv = [*SETTINGS, f"--recipe={recipe}", "--mode=train", f"--dataset={dataset}", f"--model_dir={tmp_path}"]
    assert main([*argv, "--num_epochs=1", "--train_batch_size=12"]) == 0
    assert tf.train.latest_checkpoint(str(tmp_path / "checkpoints")).endswith("-2")


def test_an_export_folder_with_foreign_files_is_unchanged(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "thesis.txt").write_text("mine")
    assert main([f"--dataset={dataset}", f"--model_dir={tmp_path}"]) == 2
    assert "thesis.txt" in capsys.readouterr().err
    assert (tmp_path / "export" / "thesis.txt").read_text() == "mine"


def bad_input(dataset: Path, tmp_path: Path) -> list[tuple[str, list[str], str]]:
    binary = tmp_path / "binary"
    binary.mkdir()
    (binary / "dataset.json").write_bytes(b"\xff\xfe\x00")
    garbled = tmp_path / "garbled"
    garbled.mkdir()
    (garbled / "dataset.json").write_text("{")
    there = f"--dataset={dataset}"
    here = f"--model_dir={tmp_path / 'new'}"
    return [
        ("a data set is needed", [here], "--dataset: required"),
        ("a folder that is not there", [f"--dataset={tmp_path}/none", here], "dataset.json"),
        ("a manifest that is not JSON", [f"--dataset={garbled}", here], "not JSON"),
        (
            "a split that is not there",
            [there, here, "--mode=eval", "--eval_split=tset"],
            "split 'tset' has no examples",
        ),
        ("a misspelt flag", [there, here, "--num_epoch=3"], "num_epoch"),
        ("nothing to export yet", [there, here, "--mode=export"], "no checkpoint"),
        (
            "a file where a folder should be",
            [there, f"--model_dir={garbled}/dataset.json"],
            "cannot write to the folder",
        ),
        ("no TPU on this machine", [there, here, "--use_tpu"], "no TPU at 'local'"),
    ]


def test_bad_input_is_one_line(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for why, argv, message in bad_input(dataset, tmp_path):
        assert main(argv) == 2, why
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1 and message in errors[0], (why, errors)
    assert not (tmp_path / "new" / "export").exists()


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_an_image_that_cannot_be_decoded_is_one_line(
    tmp_path: Path, model_dir: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    """From another program: `prepare` verifies images."""
    write_dataset(tmp_path, splits={"train": [1, 2, 4, 5, 8, 7]}, shards=1)
    (shard,) = tmp_path.glob("train-*")
    example = dataclasses.replace(make_example(99), encoded=make_example(99).encoded[:-30])
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for record in [*map(make_example, [1, 2, 4, 5, 8]), example]:
            writer.write(encode_example(record))
    folder = model_dir if mode == "eval" else tmp_path / "model"
    flags = [f"--dataset={tmp_path}", f"--model_dir={folder}", f"--mode={mode}", "--eval_split=train"]
    assert main([*SETTINGS, *flags]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "source id 99, record 6 of " in errors[0]


OTHER_NETWORKS = [
    ("other layers would not fit", ["--pyramid_channels=64"], "pyramid_channels is 32 there, 64 now"),
    ("another canvas would fit, and give wrong boxes", ["--image_size=160"], "canvas is [96, 128] there"),
    ("so would other anchors", ["--anchor_scale=4"], "anchor_scale is 3.0 there, 4.0 now"),
]


@pytest.mark.parametrize(("why", "argv", "message"), OTHER_NETWORKS, ids=[row[0] for row in OTHER_NETWORKS])
def test_checkpoints_of_another_network_are_refused(
    model_dir: Path, dataset: Path, capsys: pytest.CaptureFixture[str], why: str, argv: list[str], message: str
) -> None:
    assert main([*SETTINGS, *argv, f"--dataset={dataset}", f"--model_dir={model_dir}", "--mode=export"]) == 2, why
    assert message in capsys.readouterr().err


def test_exporting_again_keeps_the_evaluation(model_dir: Path, dataset: Path) -> None:
    before = (model_dir / "export" / ModelManifest.FILE).read_text()
    assert main([*SETTINGS, f"--dataset={dataset}", f"--model_dir={model_dir}", "--mode=export"]) == 0
    after = (model_dir / "export" / ModelManifest.FILE).read_text()
    assert json.loads(after)["metrics"] == json.loads(before)["metrics"] != {}
