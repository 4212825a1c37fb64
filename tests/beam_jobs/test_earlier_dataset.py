"""A data set is replaced by itself, grown or with other flags, and by another one only with --replace."""

import shutil
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
    (_lose_one, (), "1 images that are not among those of this request (first: StaM_6701", "an image is gone"),
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
