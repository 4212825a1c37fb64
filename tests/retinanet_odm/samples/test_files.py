"""The files of the sample: deterministic, complete, and what the quickstart promises."""

import io
import zipfile
from pathlib import Path

import pytest

from retinanet_odm.annotations.voc import parse_voc
from retinanet_odm.errors import ImageError, UsageError
from retinanet_odm.imaging.images import normalise_image
from retinanet_odm.samples.files import SAMPLE_MARKER, make_sample_image, sample_files


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return dict(sample_files(images=3, archive_images=3, seed=1))


def test_equal_arguments_give_equal_bytes(files: dict[str, bytes]) -> None:
    assert dict(sample_files(images=3, archive_images=3, seed=1)) == files


def test_an_image_does_not_depend_on_how_many_there_are(files: dict[str, bytes]) -> None:
    sample = make_sample_image(1, seed=1)
    assert files[f"images/{sample.name}"] == sample.data


def test_another_seed_is_another_sample() -> None:
    assert make_sample_image(0, seed=1).data != make_sample_image(0, seed=2).data


def test_names_follow_the_clock_and_never_repeat() -> None:
    names = [make_sample_image(index).name for index in (0, 1, 47, 48)]
    assert names[0] == "StaM_6701_NF_tripod_20161110_14_24_12.JPG"
    assert names[1] == "StaM_6701_NF_tripod_20161110_15_24_12.JPG"
    assert names[3].startswith("StaM_6702_NF_tripod_2017")
    assert names == sorted(set(names))


def test_files(files: dict[str, bytes]) -> None:
    images = [name for name in files if name.startswith("images/")]
    assert next(iter(files)) == SAMPLE_MARKER  # first, so that an interrupted sample is recognised
    assert len(images) == 3
    for name in images:
        image = normalise_image(files[name], name=name)
        annotation = parse_voc(files[f"annotations/{Path(name).stem}.xml"], source=name)
        assert (image.format, image.width, image.height) == ("jpeg", annotation.width, annotation.height)
        assert f"images/{annotation.filename}" == name
        assert annotation.filename.encode() in files["cvat/annotations.xml"]


def test_the_archive_holds_one_corrupt_image_and_truth_for_the_others(files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(io.BytesIO(files["archive.zip"])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert all(name.startswith("new_deployment/StaM_") for name in members)
    *good, corrupt = members
    for name in good:
        normalise_image(members[name], name=name)
        assert f"archive_truth/{Path(name).stem}.xml" in files
    with pytest.raises(ImageError):
        normalise_image(members[corrupt], name=corrupt)
    labelled = {Path(name).name for name in files if name.startswith("images/")}
    assert not labelled & {Path(name).name for name in members}


@pytest.mark.parametrize("wrong", [{"images": 0}, {"archive_images": -1}, {"seed": -1}], ids=str)
def test_impossible_numbers_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        next(sample_files(**wrong))
