"""The sample data: deterministic, truly boxed, and what the quickstart promises."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from retinanet_odm.annotations.voc import parse_voc
from retinanet_odm.errors import ImageError, UsageError
from retinanet_odm.imaging.images import normalise_image
from retinanet_odm.samples.files import SAMPLE_LABELS, SAMPLE_MARKER, make_sample_image, sample_files
from retinanet_odm.samples.scenes import HEIGHT, WIDTH, make_scene
from retinanet_odm.samples.sprites import SPECIES, draw_animal

_SCRIPT = Path(__file__).parents[3] / "scripts" / "make_sample.py"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return dict(sample_files(images=3, archive_images=3, seed=1))


def test_equal_arguments_give_equal_bytes(files: dict[str, bytes]) -> None:
    assert dict(sample_files(images=3, archive_images=3, seed=1)) == files


def test_a_photograph_does_not_depend_on_how_many_there_are(files: dict[str, bytes]) -> None:
    photograph = make_sample_image(1, seed=1)
    assert files[f"images/{photograph.name}"] == photograph.data


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
    assert next(iter(files)) == SAMPLE_MARKER  # first, so that a broken-off sample is known for one
    assert len(images) == 3
    for name in images:
        picture = normalise_image(files[name], name=name)
        annotation = parse_voc(files[f"annotations/{Path(name).stem}.xml"], source=name)
        assert (picture.format, picture.width, picture.height) == ("jpeg", annotation.width, annotation.height)
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


@pytest.mark.parametrize("label", SAMPLE_LABELS)
@pytest.mark.parametrize("length", [min(kind.shortest for kind in SPECIES.values()), 110.0])
def test_a_box_is_tight_about_the_drawn_pixels(label: str, length: float) -> None:
    sprite = draw_animal(np.random.default_rng(3), label, length)
    rows, columns = (np.flatnonzero(sprite.alpha.any(axis=axis)) for axis in (1, 0))
    ymin, xmin, ymax, xmax = sprite.box
    drawn = (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
    assert np.all(np.abs(np.subtract(sprite.box, drawn)) <= 0.5)  # drawn at half pixels
    # Not touching the sprite's own border: nothing was cut off while drawing.
    assert min(rows[0], columns[0]) > 0
    assert max(rows[-1], columns[-1]) < len(sprite.alpha) - 1
    assert 0.4 * length < max(ymax - ymin, xmax - xmin) < 1.4 * length


def test_boxes_lie_inside_and_say_when_they_are_cut() -> None:
    seen = [item for seed in range(12) for item in make_scene(seed)[1]]
    assert {item.label for item in seen} == set(SAMPLE_LABELS)
    for item in seen:
        ymin, xmin, ymax, xmax = item.box
        assert 0 <= ymin < ymax <= HEIGHT
        assert 0 <= xmin < xmax <= WIDTH
        if item.truncated:
            assert ymin == 0 or xmin == 0 or ymax == HEIGHT or xmax == WIDTH
    assert any(item.truncated for item in seen)


def test_animals_stand_out_from_the_ground_within_their_boxes() -> None:
    """The colours inside boxes are not those of bare ground: else nothing could be learnt."""
    for seed in range(4):
        image, objects = make_scene(seed)
        pixels = np.asarray(image, float)
        for item in objects:
            ymin, xmin, ymax, xmax = (round(edge) for edge in item.box)
            inside = pixels[ymin:ymax, xmin:xmax].std(axis=(0, 1)).max()
            assert inside > 1.3 * np.median(np.abs(np.diff(pixels, axis=1)))


@pytest.mark.parametrize("wrong", [{"images": 0}, {"archive_images": -1}, {"seed": -1}], ids=str)
def test_impossible_numbers_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        next(sample_files(**wrong))


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, str(_SCRIPT), *arguments], capture_output=True, text=True, check=False)


def test_the_script_writes_confirms_and_refuses(tmp_path: Path) -> None:
    out = tmp_path / "sample"
    small = ["--images=1", "--archive_images=0"]
    assert _run(str(out), *small).returncode == 0
    assert len(list((out / "images").iterdir())) == 1
    (photograph,) = (out / "images").iterdir()
    before, written = photograph.stat().st_mtime_ns, photograph.read_bytes()
    (out / "cvat" / "annotations.xml").write_text("spoilt")
    assert _run(str(out), *small).returncode == 0
    assert photograph.stat().st_mtime_ns == before, "a file that is right is left alone"
    assert photograph.read_bytes() == written
    assert (out / "cvat" / "annotations.xml").read_bytes().startswith(b"<?xml")
    other = _run(str(out), "--images=2")
    assert (other.returncode, other.stderr.count("\n")) == (2, 1)
    assert "another sample" in other.stderr


def test_the_script_touches_no_folder_that_is_not_a_sample(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    refused = _run(str(tmp_path))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert str(tmp_path) in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_help() -> None:
    shown = _run("--help")
    assert shown.returncode == 0
    assert "--archive_images" in shown.stdout
