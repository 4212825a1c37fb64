"""Command lines of tensorflow/tpu's retinanet_main.py: their meaning here, notes, and rejected flags."""

import contextlib
import io
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import UsageError
from tests.guides import pages
from tests.trainer.conftest import LABELS, write_dataset
from trainer import legacy_flags
from trainer.config import TrainConfig, setting_fields
from trainer.flags import TrainRequest, parse_request
from trainer.main import main
from trainer.presets import PRESETS, RECIPES

# retinanet_main.py's flags, those too that are TrainConfig's.
THEIRS = """
tpu gcp_project tpu_zone eval_master use_tpu use_xla model_dir resnet_checkpoint hparams config_file num_cores
use_spatial_partition num_cores_per_replica input_partition_dims train_batch_size eval_batch_size eval_samples
num_steps_per_eval iterations_per_loop training_file_pattern validation_file_pattern val_json_file
num_examples_per_epoch num_epochs mode eval_after_training start_profiler_server profiler_port_number
distribution_strategy num_gpus worker_hosts task_index all_reduce_alg dataset_private_threadpool_size
dataset_max_intra_op_parallelism auto_mixed_precision min_eval_interval eval_timeout add_warmup_requests model_name
inference_batch_size
"""

# scripts/retina_train.sh of the original repository; its README asks users to change the pattern to their data.
README = [
    "--tpu=my-tpu",
    "--train_batch_size=32",
    "--training_file_pattern=gs://bucket/data/train-*",
    "--resnet_checkpoint=gs://cloud-tpu-artifacts/resnet/resnet-nhwc-2018-10-14/model.ckpt-112602",
    "--model_dir=gs://bucket/retinanet-model",
    "--hparams=image_size=640",
    "--num_examples_per_epoch=50",
    "--num_epochs=1",
]


def request(*argv: str) -> TrainRequest:
    return parse_request(argv, read_text=lambda path: Path(path).read_text())


def manifest(folder: Path) -> DatasetManifest:
    return write_dataset(folder, splits={"train": [1, 2, 3, 4], "val": [5, 6]})


def prepared_line(folder: Path) -> list[str]:
    """Returns the flags for retinanet_main.py that the Python of docs/migrating.md prints for a data set."""
    (fence,) = [fence for fence in pages.fences("docs/migrating.md") if fence.kind == "python"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(fence.body.replace('"DATASET"', repr(str(folder))), {})  # noqa: S102 - the guide's own code
    return shlex.split(printed.getvalue())


def test_every_old_flag_is_known() -> None:
    own = {spec.name for spec in setting_fields()}
    assert set(THEIRS.split()) - own == legacy_flags.FLAGS.keys()


def test_every_flag_without_effect_is_reported() -> None:
    done = {"hparams", "config_file", "training_file_pattern", "validation_file_pattern"}
    done |= {"iterations_per_loop", "num_examples_per_epoch", "eval_after_training"}
    for name in legacy_flags.FLAGS.keys() - done:
        value = "false" if legacy_flags.FLAGS[name] is bool else ""
        assert any(f"--{name} has no effect: " in notice for notice in request(f"--{name}={value}").notices), name


def test_the_old_readme_s_command() -> None:
    found = request(*README)
    assert found.config == TrainConfig.from_settings(
        {
            **PRESETS["retinanet_r50"],
            **RECIPES["legacy"],
            "dataset": "gs://bucket/data",
            "model_dir": "gs://bucket/retinanet-model",
            "resnet_checkpoint": "gs://cloud-tpu-artifacts/resnet/resnet-nhwc-2018-10-14/model.ckpt-112602",
            "use_tpu": True,
            "tpu": "my-tpu",
            "train_batch_size": 32,
            "num_epochs": 1,
            "learning_rate": 0.04,
            "warmup_steps": 2,
            "lr_drops": "8,11",  # beyond the one epoch
        }
    )
    assert found.expectations == legacy_flags.DatasetExpectations(
        num_examples=50, patterns={"training_file_pattern": ("train", "train-*")}
    )
    assert all("\n" not in notice for notice in found.notices)


def test_the_flags_for_the_old_trainer_are_understood_and_agree(tmp_path: Path) -> None:
    dataset = manifest(tmp_path)
    found = request(*prepared_line(tmp_path))
    evaluation = found.config.evaluation
    assert (found.config.data.dataset, evaluation.eval_split, evaluation.eval_batch_size) == (str(tmp_path), "val", 2)
    assert found.config.data.num_classes == LABELS.num_classes
    legacy_flags.check_expectations(found.expectations, dataset)


MEANINGS = [
    ("the preset that is given holds", ["--hparams=gamma=2", "--preset=tiny"], {"backbone": "tiny", "focal_gamma": 2}),
    ("a setting of ours overrides an hparam", ["--hparams=gamma=2", "--focal_gamma=3"], {"focal_gamma": 3.0}),
    (
        "a rate is meant for 64 images",
        ["--hparams=learning_rate=0.16", "--train_batch_size=8"],
        {"learning_rate": 0.02},
    ),
    ("a rate of ours is what it is", ["--num_cores=8", "--learning_rate=0.1"], {"learning_rate": 0.1}),
    (
        "a warm-up is given in epochs",
        ["--hparams=lr_warmup_epoch=2", "--num_examples_per_epoch=640"],
        {"warmup_steps": 20},
    ),
    ("so are the drops", ["--hparams=first_lr_drop_epoch=4", "--num_epochs=20"], {"lr_drops": "0.2,0.55"}),
    (
        "a recipe that is given holds, and the large network",
        ["--hparams=gamma=2", "--recipe=modern"],
        {"backbone": "resnet50", "box_loss": "giou", "lr_schedule": "cosine"},
    ),
    ("evaluation after training is a mode", ["--mode=train", "--eval_after_training"], {"mode": "train_and_eval"}),
    ("its loop is ours", ["--iterations_per_loop=7"], {"steps_per_loop": 7}),
    ("the pattern names the split", ["--validation_file_pattern=d/test-*.tfrecord"], {"eval_split": "test"}),
    ("a bare name lies in this folder", ["--training_file_pattern=train-*"], {"dataset": "."}),
    (
        "several hosts",
        ["--distribution_strategy=multi_worker_mirrored", "--worker_hosts=a:1,b:1", "--task_index=1"],
        {"worker_hosts": "a:1,b:1", "task_index": 1},
    ),
    ("--tpu asks for a TPU", ["--tpu=grpc://10.0.0.2:8470"], {"use_tpu": True, "backbone": "tiny"}),
    ("unless it is refused", ["--tpu=my-tpu", "--use_tpu=False"], {"use_tpu": False}),
]


@pytest.mark.parametrize(("why", "argv", "expected"), MEANINGS, ids=[row[0] for row in MEANINGS])
def test_meaning(why: str, argv: list[str], expected: dict[str, object]) -> None:
    config = request(*argv).config.to_json()
    assert {name: config[name] for name in expected} == expected, why


def test_hparams_override_the_config_file(tmp_path: Path) -> None:
    """As in the old program's code; its help differs."""
    (tmp_path / "h.json").write_text('{"gamma": 2.0, "alpha": 0.5}')
    config = request(f"--config_file={tmp_path}/h.json", "--hparams=gamma=3").config
    assert (config.loss.focal_gamma, config.loss.focal_alpha) == (3.0, 0.5)


@pytest.mark.parametrize("text", ["image_size: 640", "[1]"])
def test_a_config_file_is_a_json_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "h.json").write_text(text)
    with pytest.raises(UsageError, match=r"--config_file: .*h\.json"):
        request(f"--config_file={tmp_path}/h.json")


REFUSED = [
    ("a misspelt flag", ["--num_example_per_epoch=3"], "num_example_per_epoch"),
    ("one core, one image", ["--use_spatial_partition"], "--use_spatial_partition is not implemented"),
    ("hosts must be named", ["--distribution_strategy=multi_worker_mirrored"], "needs --worker_hosts and --task_index"),
    ("no such backbone", ["--hparams=resnet_depth=152"], "--backbone: expected one of"),
    (
        "two data sets",
        ["--dataset=a", "--training_file_pattern=b/train-*"],
        "expected one data set, found --training_file_pattern in b, --dataset in a",
    ),
]


@pytest.mark.parametrize(("why", "argv", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(why: str, argv: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        request(*argv)
    assert message in str(caught.value), why


CONTRADICTIONS = [
    ("another number of images", ["--num_examples_per_epoch=50"], "split train has 4 examples"),
    ("a part of the shards", ["--training_file_pattern=D/train-00000*"], "train-00000* does not name the files"),
    ("shards of two splits", ["--training_file_pattern=D/*.tfrecord"], "does not name the files of the split train"),
    ("a split that is not there", ["--validation_file_pattern=D/test-*"], "split 'test' has no examples"),
]


@pytest.mark.parametrize(("why", "argv", "message"), CONTRADICTIONS, ids=[row[0] for row in CONTRADICTIONS])
def test_contradictions_to_the_data_set(tmp_path: Path, why: str, argv: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        legacy_flags.check_expectations(request(*argv).expectations, manifest(tmp_path))
    assert message in str(caught.value), why


def test_the_background_is_no_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest(tmp_path)
    assert main([f"--dataset={tmp_path}", f"--model_dir={tmp_path}/model", "--hparams=num_classes=3"]) == 2
    assert "the largest id of the data set's label map is 2" in capsys.readouterr().err


def test_records_of_another_tool_get_a_suggestion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.record").write_bytes(b"")
    assert main([f"--training_file_pattern={tmp_path}/train.record", f"--model_dir={tmp_path}/model"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "where the file patterns point" in line and "python -m beam_jobs prepare" in line


def readme_line(folder: Path) -> list[str]:
    """Returns the README's command without its checkpoint."""
    return [*README, f"--training_file_pattern={folder}/train-*", "--resnet_checkpoint=", "--num_examples_per_epoch=4"]


@pytest.mark.parametrize("line", [pytest.param(readme_line, marks=pytest.mark.long), prepared_line])
def test_old_command_lines_train(tmp_path: Path, line: Callable[[Path], list[str]]) -> None:
    """The README's command, and the line that prepare prints: a step each, without a TPU, on small images."""
    manifest(tmp_path)
    small = ["--preset=tiny", "--use_tpu=False", "--mode=train", "--hparams=image_size=64,num_classes=2"]
    model = f"--model_dir={tmp_path}/model"
    assert main([*line(tmp_path), *small, model, "--train_batch_size=4", "--num_epochs=1"]) == 0
    assert tf.train.latest_checkpoint(f"{tmp_path}/model/checkpoints").endswith("-1")
