"""The trainer on gs://: through TensorFlow's own code, and by way of this machine's disk."""

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import UsageError
from retinanet_odm.storage import files
from retinanet_odm.storage.file_system import StorageUnavailableError
from tests.gcs_over_tls import tensorflow_cloud
from tests.retinanet_odm.conftest import Cloud, cloud, impatient
from tests.trainer.conftest import make_example
from trainer import gcs
from trainer.main import main

__all__ = ["cloud", "impatient", "tensorflow_cloud"]  # fixtures
SETTINGS = [
    *("--preset=tiny", "--image_size=64", "--pyramid_channels=8", "--head_depth=0", "--train_batch_size=4"),
    *("--eval_every_epochs=0", "--steps_per_loop=6", "--warmup_steps=1", "--optimizer=sgd"),
    "--reference_images=0",
]


@pytest.fixture
def stored(cloud: Cloud, dataset: Path) -> list[str]:
    """The data set in the bucket; names of its shards."""
    for path in dataset.iterdir():
        cloud.put(f"set/{path.name}", path.read_bytes())
    return sorted(path.name for path in dataset.glob("*.tfrecord"))


# TensorFlow holds Python's lock while it reads a checkpoint: a server in the same process would never answer.
_RUN = """
import json, sys
from inference.main import main as score
from trainer.main import main as train
for argv in json.load(sys.stdin):
    status = (score if argv[0] == "score" else train)(argv)
    if status:
        sys.exit(status)
"""


def run(*commands: list[str], status: int = 0) -> str:
    """Runs command lines one after the other in a process of their own, and checks the exit status; returns the log."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(
        [sys.executable, "-c", _RUN],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == status, done.stderr
    return done.stderr


def test_train_resume_evaluate_export_and_score_in_a_bucket(tensorflow_cloud: Cloud, stored, tmp_path) -> None:
    bucket = tensorflow_cloud
    for number in (1, 2):
        bucket.put(f"images/{number}.png", make_example(number).encoded)
    flags = [*SETTINGS, "--dataset=gs://bucket/set", "--model_dir=gs://bucket/run"]
    scored = ["--model=gs://bucket/run/export", "--output=gs://bucket/scored"]
    said = run(
        [*flags, "--mode=train", "--num_epochs=1", f"--local_copy={tmp_path}/copy"],
        [*flags, "--mode=train_and_eval", "--num_epochs=2"],
        ["score", "--images=gs://bucket/images/*", *scored],
    )
    assert "(4 of 4 shards fetched, " in said and f"data set: {tmp_path}/copy (images: " in said
    assert fetched(bucket) == stored, "each once by the copy; TensorFlow reads by other addresses"
    assert "data set: gs://bucket/set (images: " in said and "resuming from step 6 of 12" in said
    written = bucket.read_all("run/")
    assert {"checkpoints/ckpt-12.index", "eval.html", "export/saved_model.pb", "export/model.json"} <= written.keys()
    assert json.loads(written["eval.json"])["step"] == 12
    assert json.loads(bucket.read_all("scored/")["summary.json"])["images"] == 2


@pytest.mark.usefixtures("stored")
def test_a_shard_that_vanishes_in_training_is_one_line(tensorflow_cloud: Cloud) -> None:
    def vanish(name: str) -> None:
        if name.startswith("set/train-00000") and tensorflow_cloud.generation(name) != "0":
            tensorflow_cloud.storage.delete_file("bucket", name)

    tensorflow_cloud.before_read = vanish
    flags = [*SETTINGS, "--dataset=gs://bucket/set", "--model_dir=gs://bucket/run", "--mode=train"]
    said = run(flags, status=1).splitlines()
    assert "Traceback" not in "".join(said)
    assert said[-1].startswith("error: ") and "gs://bucket/set/train-00000-of-00002.tfrecord" in said[-1]
    assert not any(name.startswith("export") for name in tensorflow_cloud.read_all("run/"))


def fetched(bucket: Cloud) -> list[str]:
    """Returns the shards read since the last call."""
    names = [name.removeprefix("set/") for name in bucket.reads() if name.endswith(".tfrecord")]
    bucket.requests.clear()
    return sorted(names)


def test_a_local_copy_fetches_what_is_not_there(cloud, stored, dataset, tmp_path) -> None:
    folder = tmp_path / "copy"
    assert gcs.copy_dataset("gs://bucket/set/", str(folder)) == str(folder)
    assert fetched(cloud) == stored
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in dataset.iterdir()
    }
    gcs.copy_dataset("gs://bucket/set", str(folder))
    assert fetched(cloud) == [], "by size and checksum"

    first, second, third, fourth = (folder / name for name in stored)
    first.write_bytes(first.read_bytes()[:-1])
    second.write_bytes(bytes(second.stat().st_size))
    third.rename(folder / f"{third.name}.part")
    fourth.rename(folder / f"{fourth.name}.part")
    (folder / f"{fourth.name}.part").write_bytes(b"half")
    gcs.copy_dataset("gs://bucket/set", str(folder))
    assert fetched(cloud) == [first.name, second.name, fourth.name], (
        "truncated, corrupt, and half of a copy that was killed"
    )
    assert {path.name for path in folder.iterdir()} == {path.name for path in dataset.iterdir()}


Usage = namedtuple("Usage", "free")
BROKEN = [
    ("gone", r"train-00000-of-00002.tfrecord: there is no such object", "it vanished between listing and reading"),
    ("changed", r"train-00000-of-00002.tfrecord: there is no such object", "another one is there, and is not taken"),
    ("corrupt", r"train-00000-of-00002.tfrecord: .*[Cc]hecksum", "corrupted in transit"),
    ("forbidden", r"train-00000-of-00002.tfrecord: no permission to read it: as the test wants", "HTTP 403"),
    ("storm", r"train-00000-of-00002.tfrecord: Timeout of .*503", "HTTP 503 for longer than all retries"),
    ("full", r"--local_copy: expected 67 MB free in .*, found 1 MB", "the disk"),
    ("unnamed", r"--dataset: the manifest names train-00000-of-00002.tfrecord, which is not in", "half uploaded"),
    ("none", r"--dataset: expected a prepared data set, found no gs://bucket/set/dataset.json", "another folder"),
]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("fault", "words", "reason"), BROKEN)
def test_a_failed_copy_leaves_nothing_that_looks_complete(
    fault, words, reason, cloud, stored, tmp_path, capsys, monkeypatch
) -> None:
    folder, broken = tmp_path / "copy", f"set/{stored[0]}"
    gcs.copy_dataset("gs://bucket/set", str(folder))  # its manifest must not survive a later copy that fails
    for name in stored[:2]:
        (folder / name).unlink()
    break_it(fault, cloud, broken, monkeypatch)
    argv = [*SETTINGS, "--dataset=gs://bucket/set", f"--local_copy={folder}", f"--model_dir={tmp_path}/model"]
    assert main(argv) == (1 if fault == "storm" else 2), reason
    line = capsys.readouterr().err.splitlines()[-1]
    with pytest.raises(AssertionError, match=f"error: .*{words}"):
        raise AssertionError(line)
    assert not (folder / stored[0]).exists()
    whole = fault in ("full", "unnamed", "none")
    assert whole or not (folder / DatasetManifest.FILE).exists()
    assert whole or (folder / stored[1]).exists(), "one of the others, which need not be fetched again"


def break_it(fault: str, bucket: Cloud, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def vanish(asked: str) -> None:
        if asked == name and bucket.generation(name) != "0":
            bucket.storage.delete_file("bucket", name)

    def change(asked: str) -> None:
        if asked == name:
            bucket.put(name, b"another")

    match fault:
        case "gone":
            bucket.before_read = vanish
        case "changed":
            bucket.before_read = change
        case "corrupt":
            bucket.spoil(name)
        case "forbidden":
            bucket.statuses[name] = [403]
        case "storm":
            bucket.statuses[name] = [503] * 99
        case "full":
            monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=1_000_000))
        case "unnamed":
            bucket.storage.delete_file("bucket", name)
        case "none":
            bucket.storage.delete_file("bucket", f"set/{DatasetManifest.FILE}")


REFUSED = [
    (["--dataset=gs://other/set", "--model_dir=M"], "--dataset: gs://other/set: there is no such", "no such bucket"),
    (["--dataset=D", "--model_dir=gs://other/m"], "--model_dir: gs://other/m: there is no such", "no such bucket"),
    (["--dataset=gs://bucket/secret", "--model_dir=M"], "--dataset: .*no permission to list it", "HTTP 403"),
    (["--dataset=gs://bucket/none", "--model_dir=M"], "--dataset: .*without valid Google credentials", "HTTP 401"),
    (["--dataset=gs://bucket/storm", "--model_dir=M"], "--dataset: .*Timeout of .*503", "HTTP 503"),
    (["--dataset=gs://Bucket", "--model_dir=M"], "--dataset: .*expected gs://BUCKET/NAME", "no bucket is named so"),
    (["--dataset=D", "--model_dir=M", "--init_from=gs://other/m"], "--init_from: gs://other/m: there is no", "weights"),
    (["--dataset=D", "--model_dir=M", "--local_copy=C"], "--local_copy: is for a --dataset on gs://", "is there"),
    (
        ["--dataset=gs://bucket/x", "--model_dir=M", "--local_copy=gs://bucket/c"],
        "--local_copy: expected a local path",
        "a copy is for this machine",
    ),
    (
        ["--dataset=D", "--model_dir=M", "--backbone=keras/ResNet50", "--backbone_weights=gs://bucket/w.h5"],
        "--backbone_weights: expected a local path",
        "Keras reads no buckets",
    ),
]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("argv", "words", "reason"), REFUSED)
def test_a_fault_of_a_bucket_is_one_line_at_once(argv, words, reason, cloud, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    cloud.statuses.update({"secret/": [403], "none/": [401], "storm/": [503] * 99})
    away = "HTTP 503" in reason or "HTTP 401" in reason  # the supervisor of a TPU VM tries again
    assert main(argv) == (1 if away else 2), reason
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("Retrying ")]
    with pytest.raises(AssertionError, match=f"error: .*{words}"):
        raise AssertionError(line)
    assert list(tmp_path.iterdir()) == []


def test_an_unavailable_storage_during_a_run_ends_with_status_1(dataset, tmp_path, monkeypatch) -> None:
    def fail(path: str, _: str) -> None:
        raise UsageError(f"cannot write {path}") from StorageUnavailableError("Timeout of 120.0s exceeded")

    monkeypatch.setattr(files, "write_text", fail)
    argv = [*SETTINGS, f"--dataset={dataset}", f"--model_dir={tmp_path}", "--mode=train", "--num_epochs=1"]
    assert main(argv) == 1, "the supervisor of a TPU VM tries again, unlike after 2"


@pytest.mark.usefixtures("cloud")
def test_the_doctor_reports_a_bucket_before_tensorflow_uses_it(capsys) -> None:
    assert main(["--mode=doctor", "--dataset=gs://other/set"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("FAIL  gs://: --dataset: gs://other/set: there is no such object or bucket: see docs")
