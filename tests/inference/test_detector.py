"""What a Python program gets is what `score` writes."""

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import inference
from inference import ImageDetector, load_detector
from inference.main import main
from retinanet_odm.errors import ContractError, DataError, UsageError
from retinanet_odm.predictions.rows import FAILED, PredictionRow
from tests.inference.fake_model import (
    BLUE,
    FAILING_WIDTH,
    RED,
    REFUSED_WIDTH,
    make_image,
    write_manifest,
    write_model,
    write_reference,
)

_EXIF = Image.Exif()
_EXIF[0x0112] = 6  # turned clockwise to be upright
_EXIF.get_ifd(0x8769)[0x9003] = "2016:11:10 14:24:12"
IMAGES = {
    "a.png": make_image(300, 200, {RED: (50, 60, 150, 120), BLUE: (200, 80, 260, 180)}),
    "b.jpg": make_image(200, 100, {RED: (8, 8, 72, 56)}, "JPEG", exif=_EXIF, quality=95),
    "c.tif": make_image(130, 90, {BLUE: (100, 10, 125, 33)}, "TIFF"),
    "d.png": make_image(20, 10),
    "e damaged.jpg": make_image(200, 100, kind="JPEG")[:-300],
    "failing.png": make_image(FAILING_WIDTH, 10),
    "refused.png": make_image(REFUSED_WIDTH, 10),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for name, data in IMAGES.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def new_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with thresholds and a reference of its training images."""
    folder = tmp_path_factory.mktemp("new") / "export"
    write_model(folder)
    write_reference(folder)
    write_manifest(folder, thresholds={"crab": 0.6, "sea pig": 0.35})
    return folder


@pytest.fixture(scope="module")
def detector(model: Path) -> ImageDetector:
    return load_detector(model)


def _comparable(row: PredictionRow) -> PredictionRow:
    """Returns a row without what differs by design: the name, the key and the deployment."""
    detail = row.detail and row.detail.replace(row.image, "")
    return dataclasses.replace(row, image="", key=None, place=None, detail=detail)


SETTINGS: list[Any] = [
    pytest.param((), {}, id="thresholds of the model"),
    pytest.param(
        ("--tile=64", "--tile_overlap=0.3", "--tile_merge=wbf", "--min_score=0.35"),
        {"tile": 64, "tile_overlap": 0.3, "tile_merge": "wbf", "min_score": 0.35},
        id="tiles, and a score",
    ),
]


@pytest.mark.parametrize(("flags", "arguments"), SETTINGS)
def test_rows_are_those_of_score(
    flags: tuple[str, ...], arguments: dict[str, Any], folder: Path, new_model: Path, tmp_path: Path
) -> None:
    words = ["score", "--images", str(folder), "--model", str(new_model), "--output", str(tmp_path / "OUT"), *flags]
    assert main(words) == 0
    expected = list(inference.read_rows(tmp_path / "OUT"))
    assert [row.image for row in expected] == sorted(IMAGES)
    assert sum(len(row.detections) for row in expected) >= 3 and expected[0].novelty is not None
    assert {row.orientation for row in expected} == {1, 6} and sum(row.status == FAILED for row in expected) == 3
    detector = load_detector(str(new_model), **arguments)
    for images in ([str(folder / name) for name in sorted(IMAGES)], [IMAGES[name] for name in sorted(IMAGES)]):
        found = detector(images)
        assert [_comparable(item.row) for item in found] == [_comparable(row) for row in expected]


def test_one_image_of_every_kind(detector: ImageDetector, folder: Path) -> None:
    path = folder / "a.png"
    expected = detector(path).detections
    assert [(item.label, item.box) for item in expected] == [("crab", (50.0, 60.0, 150.0, 120.0))]
    with Image.open(path) as opened:
        for image in (str(path), path.read_bytes(), opened, np.asarray(opened), opened.convert("RGBA")):
            assert detector(image).detections == expected, type(image)
    (in_list,) = detector((path,))
    assert in_list == detector(path) and in_list.row.image == str(path)
    assert [item.row.image for item in detector.stream(iter([IMAGES["d.png"], path]))] == ["image 1", str(path)]
    assert detector([]) == []
    grey = detector(np.zeros((30, 40), np.uint8))
    assert (grey.row.width, grey.row.height, grey.detections) == (40, 30, ())


def test_other_thresholds_of_the_same_model(detector: ImageDetector, folder: Path) -> None:
    lower = detector.with_min_score(0.3)
    assert [item.label for item in lower(folder / "a.png").detections] == ["crab", "sea pig"]
    assert [item.label for item in detector(folder / "a.png").detections] == ["crab"], "which stays as it was"
    with pytest.raises(UsageError, match="--min_score: expected a score from 0 to 1, found 2"):
        detector.with_min_score(2)


def test_a_pillow_image_is_turned_upright(detector: ImageDetector) -> None:
    with Image.open(io.BytesIO(IMAGES["b.jpg"])) as opened:
        turned = detector(opened).row
    assert (turned.width, turned.height, turned.orientation, str(turned.time)) == (100, 200, 6, "2016-11-10 14:24:12")


def test_results_as_values_and_as_images(detector: ImageDetector, folder: Path) -> None:
    result = detector(folder / "a.png")
    assert json.loads(json.dumps(result.to_dict()["detections"])) == [item.to_dict() for item in result.detections]
    assert result.detections[0].to_dict()["box"] == [50.0, 60.0, 150.0, 120.0]
    drawn = np.asarray(result.draw())
    changed = np.argwhere((drawn != np.asarray(Image.open(folder / "a.png"))).any(-1))
    assert drawn.shape == (200, 300, 3) and len(changed) > 100
    assert "EncodedImage" not in repr(result)
    wide = detector(np.zeros((100, 3000, 3), np.uint8))
    with Image.open(io.BytesIO(wide._repr_png_())) as shown:
        assert (shown.format, shown.size) == ("PNG", (1024, 34))


def test_a_failed_image(detector: ImageDetector, folder: Path) -> None:
    failed, fine = detector([b"no image", folder / "a.png"])
    assert (failed.row.status, failed.row.reason, len(fine.detections)) == (FAILED, "image_not_decodable", 1)
    assert failed._repr_png_() is None
    for call in (failed.draw, lambda: detector(b"no image")):
        with pytest.raises(DataError, match=r"^image 1: not a readable image") as caught:
            call()
        assert caught.value.reason == "image_not_decodable"


BAD_IMAGES: list[Any] = [
    (3, UsageError, "image 1: expected a path, bytes, a Pillow image or an array, found int"),
    ([[np.zeros((2, 2), np.uint8)]], UsageError, "image 1: expected a path, bytes, .* found list"),
    (np.zeros((4, 5, 3)), UsageError, r"image 1: expected an array uint8 .* found float64 \[4, 5, 3\]"),
    (np.zeros((1, 4, 5, 3), np.uint8), UsageError, r"found uint8 \[1, 4, 5, 3\]"),
    (np.zeros((0, 5, 3), np.uint8), UsageError, r"found uint8 \[0, 5, 3\]"),
    ("nowhere.jpg", DataError, "nowhere.jpg: cannot be read: .*No such file"),
    (Path("/"), DataError, "/: cannot be read"),
]


@pytest.mark.parametrize(("image", "error", "message"), BAD_IMAGES)
def test_what_is_no_image(detector: ImageDetector, image: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        detector(image)
    assert "\n" not in str(caught.value)


BAD_REQUESTS: list[Any] = [
    ({"model": "nowhere"}, ContractError, "there is no folder nowhere"),
    ({"min_score": 1.5}, UsageError, "--min_score: expected a score from 0 to 1, found 1.5"),
    ({"min_score": "high"}, UsageError, "--min_score: expected a score from 0 to 1 or 'best', found 'high'"),
    ({"min_score": "best"}, UsageError, "the model has no thresholds per class"),
    ({"tile_merge": "wbf"}, UsageError, "no effect without --tile"),
    ({"tile": 64, "tile_merge": "mean"}, UsageError, "--tile_merge: expected nms or wbf, found 'mean'"),
    ({"signature_map": "nowhere.json"}, UsageError, "--signature_map: nowhere.json: cannot be read"),
    ({"batch_size": 0}, UsageError, "--batch_size: expected 1 or more, found 0"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD_REQUESTS)
def test_what_cannot_be_loaded(model: Path, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        load_detector(**{"model": model, **arguments})
    assert isinstance(caught.value, UsageError) and "\n" not in str(caught.value)


def test_a_model_that_fails_on_every_image(tmp_path: Path, folder: Path, fail: Callable[..., str]) -> None:
    write_model(tmp_path / "export", broken=True)
    with pytest.raises(UsageError, match="fails on every image, and on a plain grey image too"):
        load_detector(tmp_path / "export")([folder / "a.png"])
    assert "fails on every image" in fail("detect", folder / "a.png", "--model", tmp_path / "export")
