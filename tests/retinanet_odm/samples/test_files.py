"""The files of the sample: deterministic, complete, and what the quickstart promises."""

import io
import zipfile
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retinanet_odm.annotations.voc import parse_voc
from retinanet_odm.dataset.frame_names import BY_NAME
from retinanet_odm.dataset.leakage import MAX_NEAR_DISTANCE
from retinanet_odm.errors import ImageError, UsageError
from retinanet_odm.imaging.images import difference_hash, normalise_image
from retinanet_odm.labels.taxa import parse_taxa
from retinanet_odm.samples.files import SAMPLE_LABELS, SAMPLE_MARKER, make_sample_image, sample_files

_ARCHIVE = {"first_deployment": 10, "deployments": 3}


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
    names = [make_sample_image(index).name for index in (0, 10, 1, 11)]
    assert names[0] == "StaM_6701_NF_tripod_20161110_14_24_12.JPG"
    assert names[1] == "StaM_6701_NF_tripod_20161110_15_24_12.JPG"
    assert names[2].startswith("StaM_6702_NF_tripod_2017")
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


def test_every_class_has_a_taxon(files: dict[str, bytes]) -> None:
    parse_taxa(files["taxa.csv"].decode(), source="taxa.csv").check_classes(SAMPLE_LABELS, source="taxa.csv")


def test_the_archive_holds_one_corrupt_image_and_truth_for_the_others(files: dict[str, bytes]) -> None:
    members = _members(files)
    assert all(name.startswith("new_deployments/StaM_") for name in members)
    *good, corrupt = members
    for name in good:
        normalise_image(members[name], name=name)
    with pytest.raises(ImageError):
        normalise_image(members[corrupt], name=corrupt)
    truths = {Path(name).stem for name in files if name.startswith("archive_truth/")}
    assert truths == {Path(name).stem for name in good}


def test_the_truth_of_the_archive_is_what_was_drawn(files: dict[str, bytes]) -> None:
    drawn = {image.name: image for image in (make_sample_image(index, seed=1, **_ARCHIVE) for index in range(3))}
    for name, data in list(_members(files).items())[:-1]:
        image = drawn[Path(name).name]
        truth = parse_voc(files[f"archive_truth/{image.stem}.xml"], source=name)
        assert data == image.data
        assert [item.label for item in truth.objects] == [item.label for item in image.annotation.objects]
        boxes = [item.box for item in truth.objects], [item.box for item in image.annotation.objects]
        assert np.allclose(*boxes, atol=0.01)


def test_no_deployment_of_the_archive_is_labelled() -> None:
    files = dict(sample_files(images=30, archive_images=9))
    labelled = {BY_NAME.deployment_of(Path(name).name) for name in files if name.startswith("images/")}
    unseen = {BY_NAME.deployment_of(Path(name).name) for name in _members(files)}
    assert (len(labelled), len(unseen)) == (10, 3)
    assert not labelled & unseen


def _members(files: dict[str, bytes]) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(files["archive.zip"])) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("seed", range(3))
def test_no_two_deployments_have_near_duplicates(seed: int) -> None:
    """Two frames of each deployment, which are all compared with those of the others, as across splits."""
    frames = [(index % 13, make_sample_image(index, seed=seed, deployments=13)) for index in range(26)]
    hashes = [(deployment, difference_hash(Image.open(io.BytesIO(image.data)))) for deployment, image in frames]
    distances = [
        (one ^ other).bit_count() for (first, one), (second, other) in combinations(hashes, 2) if first != second
    ]
    assert min(distances) > MAX_NEAR_DISTANCE + 3  # not by a hair


def test_frames_of_one_deployment_differ() -> None:
    """The ground is the same, the animals are not."""
    first, second = (make_sample_image(index, seed=1) for index in (0, 10))
    assert first.annotation.objects != second.annotation.objects
    assert first.data != second.data


@pytest.mark.parametrize("wrong", [{"images": 0}, {"archive_images": -1}, {"seed": -1}], ids=str)
def test_impossible_numbers_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        next(sample_files(**wrong))
