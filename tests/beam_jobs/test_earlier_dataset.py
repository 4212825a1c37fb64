"""A data set is replaced by itself, grown or with other flags, and by another one only with --replace."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from beam_jobs.main import main
from tests.beam_jobs.conftest import LABELS, Source, read_manifest

BOX = (4.0, 5.0, 14.5, 20.0)


def _grow(source: Source) -> None:
    source.add_image("new.JPG", shade=77)
    source.add_annotation("new", [(LABELS[0], BOX)])


def _other_images(source: Source) -> None:
    """The folder holds the images of another data set, under the same pattern."""
    for path in [*source.images.iterdir(), *source.annotations.iterdir()]:
        path.unlink()
    for number in range(6):
        source.add_image(f"raccoon{number}.JPG", shade=number)
        source.add_annotation(f"raccoon{number}", [("raccoon", BOX)])


def _lose_one(source: Source) -> None:
    min(source.images.iterdir()).unlink()


def _nothing(source: Source) -> None:
    """Leaves the input as it is."""


@pytest.fixture
def dataset(source: Source, tmp_path: Path) -> Path:
    assert main(source.fill(6).flags(tmp_path / "DATASET")) == 0
    return tmp_path / "DATASET"


ROWS = [
    (_nothing, (), "", "the same request"),
    (_nothing, ("--max_side=32",), "", "the same images with other flags"),
    (_grow, (), "", "one image more"),
    (_other_images, (), "holds a data set with 6 images that are not among those", "another data set"),
    (_other_images, ("--replace",), "", "another data set, which may replace it"),
    (_lose_one, (), "1 image that is not among those of this request (first: StaM_6701", "an image is gone"),
]


@pytest.mark.parametrize(("change", "flags", "words", "reason"), ROWS)
def test_another_data_set_is_not_replaced(
    change: Callable[[Source], None],
    flags: tuple[str, ...],
    words: str,
    reason: str,
    source: Source,
    dataset: Path,
    read_folder: Callable[[Path], dict[str, bytes]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = read_folder(dataset)
    change(source)
    assert main(source.flags(dataset, *flags)) == (2 if words else 0), reason
    assert words in capsys.readouterr().err, reason
    if words:
        assert read_folder(dataset) == before, reason


@pytest.mark.parametrize("name", ["labels.pbtxt", "id_map.csv", "val.json", "rejected.jsonl", "report.html"])
def test_a_file_that_a_person_has_changed_is_not_overwritten(
    name: str, source: Source, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = read_manifest(dataset)
    assert name in manifest.files
    text = (dataset / name).read_text() + "by hand\n"
    (dataset / name).write_text(text)
    assert main(source.flags(dataset, "--replace")) == 2
    assert f"{name} in {dataset} was changed after prepare wrote it" in capsys.readouterr().err
    assert (dataset / name).read_text() == text
    shutil.move(dataset / name, dataset.parent / name)
    assert main(source.flags(dataset)) == 0
    assert read_manifest(dataset) == manifest


def _kill_before_commit(dataset: Path) -> None:
    """What a build deletes first is gone."""
    (dataset / "dataset.json").unlink()


def _kill_first_build(dataset: Path) -> None:
    """Only shards and receipts are there yet, and not all of them."""
    for path in [*dataset.glob("*.*"), min(dataset.glob("receipts/*"))]:
        if path.suffix not in (".tfrecord", ".jsonl") or path.name in ("rejected.jsonl", "problems.jsonl"):
            path.unlink()


KILLED = [
    (_kill_before_commit, _nothing, "", "the same request again"),
    (_kill_before_commit, _grow, "", "one image more"),
    (_kill_before_commit, _other_images, "holds a data set with 6 images", "another data set, after a killed build"),
    (_kill_first_build, _nothing, "", "the same request after the first build was killed"),
]


@pytest.mark.parametrize(("kill", "change", "words", "reason"), KILLED)
def test_what_a_killed_build_left_is_not_replaced_by_another_data_set(
    kill: Callable[[Path], None],
    change: Callable[[Source], None],
    words: str,
    reason: str,
    source: Source,
    dataset: Path,
    read_folder: Callable[[Path], dict[str, bytes]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    kill(dataset)
    before = read_folder(dataset)
    change(source)
    assert main(source.flags(dataset)) == (2 if words else 0), reason
    assert words in capsys.readouterr().err, reason
    assert (read_folder(dataset) == before) == bool(words), reason


def _list_files(dataset: Path) -> None:
    manifest = json.loads((dataset / "dataset.json").read_text())
    (dataset / "dataset.json").write_text(json.dumps({**manifest, "files": ["id_map.csv"]}))


def _cut_id_map(dataset: Path) -> None:
    _kill_before_commit(dataset)
    (dataset / "id_map.csv").write_text("source_id,im")


def _unreadable_id_map(dataset: Path) -> None:
    (dataset / "id_map.csv").unlink()
    (dataset / "id_map.csv").symlink_to("/proc/self/mem")  # can be opened, but not be read from its start


def _unreadable_id_map_alone(dataset: Path) -> None:
    _kill_before_commit(dataset)
    _unreadable_id_map(dataset)


_ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no such file is there for every user")
DAMAGED = [
    pytest.param(_list_files, "dataset.json: files: expected digests by name, found a list", id="digests as a list"),
    pytest.param(_cut_id_map, "id_map.csv: ", id="an id map that is cut short, without a manifest"),
    pytest.param(_unreadable_id_map, "id_map.csv: cannot be read: ", id="an unreadable id map", marks=_ON_LINUX),
    pytest.param(_unreadable_id_map_alone, "id_map.csv: cannot be read: ", id="without a manifest", marks=_ON_LINUX),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGED)
def test_a_damaged_file_of_an_earlier_data_set_is_one_line(
    damage: Callable[[Path], None], words: str, source: Source, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(dataset)
    assert main(source.flags(dataset)) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "error" in line)
    assert line.startswith(f"error: --output: {dataset}/") and words in line
    assert line.endswith("move this file out of the folder, or choose another folder")
