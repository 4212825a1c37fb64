import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from retinanet_odm.cli.installation import Check
from retinanet_odm.dataset.examples import encode_example
from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.labels.label_map import LabelMap
from tests.trainer.conftest import LABELS, make_example
from trainer import doctor
from trainer.config import TrainConfig
from trainer.main import main

CHECKS = [
    ("a clock that is right", doctor.check_clock(1000.0, 1001.5), True),
    ("a clock an hour late", doctor.check_clock(3600.0, 0.0), False),
    ("a clock an hour early", doctor.check_clock(0.0, 3600.0), False),
    ("a probe that answers", doctor.attempt("devices", lambda: "1 CPU", "fix"), True),
]


@pytest.mark.parametrize(("why", "check", "passed"), CHECKS, ids=[row[0] for row in CHECKS])
def test_small_checks(why: str, check: Check, passed: bool) -> None:
    assert check.passed == passed, why
    assert check.line().startswith("pass  " if passed else "FAIL  ") and "\n" not in check.line()


def test_a_gpu_that_is_not_detected_is_reported() -> None:
    for seen, has_card in ((0, False), (1, True)):
        doctor.check_gpu_seen(seen, has_card=has_card)
    check = doctor.attempt("devices", lambda: str(doctor.check_gpu_seen(0, has_card=True)), "install [gpu]")
    assert check.line() == "FAIL  devices: this machine has an NVIDIA card, but TensorFlow sees no GPU: install [gpu]"


def relabelled() -> LabelMap:
    return LabelMap.from_names(["bright", "other"])


RECORDS = [
    ("no record of ours", b"\xff", LABELS, "not readable"),
    (
        "a label map of other names",
        encode_example(make_example(5)),
        relabelled(),
        "the label map has no 'dark' with id",
    ),
]


@pytest.mark.parametrize(("why", "record", "labels", "message"), RECORDS, ids=[row[0] for row in RECORDS])
def test_bad_records(why: str, record: bytes, labels: LabelMap, message: str) -> None:
    with pytest.raises(ContractError) as caught:
        doctor.check_record(record, labels, source="train-0")
    assert message in str(caught.value), why


def first_shard(folder: Path) -> Path:
    return min(folder.glob("train-*"))


DAMAGED = [
    ("a shard that was not copied", lambda folder: first_shard(folder).unlink(), "which does not exist"),
    ("a shard of no bytes", lambda folder: first_shard(folder).write_bytes(b""), "is empty"),
    ("a shard of less than a record's head", lambda folder: first_shard(folder).write_bytes(b"\0" * 9), "no record"),
    (
        "a shard that was cut in its first record",
        lambda folder: first_shard(folder).write_bytes(first_shard(folder).read_bytes()[:99]),
        "damaged",
    ),
    ("no manifest", lambda folder: (folder / "dataset.json").unlink(), "expected a prepared data set"),
]


@pytest.mark.parametrize(("why", "damage", "message"), DAMAGED, ids=[row[0] for row in DAMAGED])
def test_a_damaged_data_set(
    dataset: Path, tmp_path: Path, why: str, damage: Callable[[Path], None], message: str
) -> None:
    folder = shutil.copytree(dataset, tmp_path / "dataset")
    assert doctor.check_dataset(str(folder)).endswith("images: train 24, val 7; 2 classes")
    damage(folder)
    with pytest.raises(UsageError) as caught:
        doctor.check_dataset(str(folder))
    assert message in str(caught.value), why


def test_a_folder_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    changed = doctor.try_folder(str(tmp_path))
    assert abs(changed - (tmp_path / "mine").stat().st_mtime) < 60
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_healthy_machine(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--mode=doctor", f"--dataset={dataset}", f"--model_dir={tmp_path}/model"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("pass  ") for line in lines)
    names = [line.split(":")[0].removeprefix("pass  ") for line in lines]
    assert {
        "Python",
        "one TensorFlow",
        "keras",
        "devices",
        "data set",
        "training",
        "model_dir",
        "clock",
        "disk of model_dir",
    } <= set(names)


def test_a_batch_that_does_not_fit(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("trainer.memory.free_memory", lambda: 1000)
    assert main(["--mode=doctor", f"--dataset={dataset}", "--image_size=64x64"]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    assert line.startswith("FAIL  training: a step of")
    assert line.endswith(": see docs/training.md, Choosing --image_size")


def test_all_failures_are_reported_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--mode=doctor", f"--dataset={tmp_path}", f"--model_dir={tmp_path}/file", "--use_tpu"]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    assert [line.split(":")[0] for line in failed] == ["FAIL  devices", "FAIL  data set", "FAIL  model_dir"]


def test_without_folders_only_the_machine_is_checked() -> None:
    names = {check.name for check in doctor.run_checks(TrainConfig.from_settings({"mode": "doctor"}))}
    assert "devices" in names and not names & {"data set", "model_dir", "clock"}
