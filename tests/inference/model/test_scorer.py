"""A bad image fails alone, a lack of memory is remembered, a broken model ends the run, tiles are merged."""

import dataclasses
import io
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from inference.model.options import ModelOptions
from inference.model.outcome import Failure, ModelOutput
from inference.model.scorer import CallError, MemoryShortError, Scorer
from inference.model.tiling import RgbPixels, Tiling
from retinanet_odm.boxes import as_boxes
from retinanet_odm.errors import UsageError
from retinanet_odm.imaging.images import EncodedImage
from tests.inference.fake_model import RED, encoded, make_image


class Fake:
    """A model that fails on images of some widths, by an error or for lack of memory."""

    def __init__(self, *, failing: set[int], short: set[int]) -> None:
        self._failing, self._short = failing, short

    def score(self, images: Sequence[EncodedImage]) -> list[ModelOutput]:
        widths = {image.width for image in images}
        if widths & self._failing:
            raise CallError("InternalError: no")
        if widths & self._short:
            raise MemoryShortError("ResourceExhaustedError: no")
        none = np.float32([])
        return [
            ModelOutput(status=0, height=1, width=image.width, boxes=as_boxes([]), scores=none, classes=np.int32([]))
            for image in images
        ]


SETTINGS = {"name": "m", "options": ModelOptions(batch_size=4), "nms_iou": 0.5}


def images_of(*widths: int) -> list[EncodedImage]:
    return [encoded(make_image(1, 1), width) for width in widths]


def test_failures_by_reason_and_what_the_calls_took() -> None:
    scorer = Scorer(Fake(failing={2}, short={3}), **SETTINGS)
    answers, calls = scorer.score(images_of(1, 2, 3, 4))
    assert [answer.width if isinstance(answer, ModelOutput) else answer.reason for answer in answers] == [
        1,
        "model_failed",
        "model_memory_short",
        4,
    ]
    assert "InternalError: no" in str(answers[1])
    assert (calls.sizes, calls.failed, calls.split, len(calls.milliseconds)) == ([1, 1], 5, 3, 2)


class Blind:
    """A model that refuses every image, by an error or by a status."""

    def __init__(self, *, by_error: bool) -> None:
        self._by_error = by_error

    def score(self, images: Sequence[EncodedImage]) -> list[ModelOutput]:
        if self._by_error:
            raise CallError("InvalidArgumentError: no")
        return [dataclasses.replace(_answer(1, 1, []), status=1) for _ in images]


@pytest.mark.parametrize(
    ("by_error", "reason", "why"),
    [
        (True, "model_failed", "the model gives an error with this image alone: InvalidArgumentError: no"),
        (False, "model_refused_image", "the model gave status 1"),
    ],
)
def test_what_the_model_refuses(by_error: bool, reason: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scorer, "_check_model", lambda _: None)
    (answer,), _ = Scorer(Blind(by_error=by_error), **SETTINGS).score([encoded(make_image(64, 64))])
    assert (answer.reason, answer.why) == (reason, why)


def test_images_that_fail_are_no_evidence_of_a_broken_model() -> None:
    answers, _ = Scorer(
        Fake(failing={2}, short=set()), name="m", options=ModelOptions(batch_size=4), nms_iou=0.5
    ).score(images_of(2, 2))
    assert all(isinstance(answer, Failure) for answer in answers)


@pytest.mark.parametrize("short", [False, True])
def test_a_model_that_fails_on_a_grey_image_too_ends_the_run(short: bool) -> None:
    everything = set(range(100))
    fake = Fake(failing=set(), short=everything) if short else Fake(failing=everything, short=set())
    with pytest.raises(UsageError, match=r"--model: m fails on every image, and on a plain grey"):
        Scorer(fake, **SETTINGS).score(images_of(1, 2))


class Nearsighted:
    """A model that finds nothing in images, and bright areas in tiles, unless it fails there."""

    def __init__(self, *, fails: bool = False) -> None:
        self._fails = fails

    def score(self, images: Sequence[EncodedImage]) -> list[ModelOutput]:
        return [dataclasses.replace(_answer(image.height, image.width, []), novelty=0.5) for image in images]

    def decode(self, image: EncodedImage) -> RgbPixels:
        with Image.open(io.BytesIO(image.data)) as opened:
            return np.asarray(opened.convert("RGB"))

    def score_pixels(self, pixels: RgbPixels) -> list[ModelOutput]:
        assert pixels.shape[1:] == (100, 100, 3)
        if self._fails:
            raise MemoryShortError("ResourceExhaustedError: no")
        return [self._find(tile) for tile in pixels]

    def _find(self, tile: RgbPixels) -> ModelOutput:
        rows, columns = np.nonzero(tile[..., 0] > 200)
        box = [(rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)] if len(rows) else []
        return _answer(100, 100, box)


def _answer(height: int, width: int, box: list) -> ModelOutput:
    scores = np.full(len(box), 0.5, np.float32)
    classes = np.ones(len(box), np.int32)
    return ModelOutput(status=0, height=height, width=width, boxes=as_boxes(box), scores=scores, classes=classes)


TILED = {**SETTINGS, "options": ModelOptions(batch_size=4, tiling=Tiling(side=100))}


@pytest.mark.parametrize("left", range(0, 271, 15))
def test_tiles_find_a_small_object_once_wherever_the_seams_are(left: int) -> None:
    box = (left, 40, left + 30, 70)
    image = encoded(make_image(300, 180, {RED: box}), 300, 180)
    (answer,), calls = Scorer(Nearsighted(), **TILED).score([image])
    assert isinstance(answer, ModelOutput)
    assert answer.boxes.tolist() == [[40, left, 70, left + 30]]
    assert (answer.height, answer.width) == (180, 300)
    assert answer.novelty == 0.5, "of the complete image"
    assert calls.sizes == [1, 4, 4], "the image, and eight tiles"


def test_an_image_fails_if_a_tile_does_and_a_small_one_has_no_tiles() -> None:
    large, small = (encoded(make_image(side, side), side, side) for side in (101, 100))
    (first, second), _ = Scorer(Nearsighted(fails=True), **TILED).score([large, small])
    assert isinstance(first, Failure)
    assert first.reason == "model_memory_short"
    assert isinstance(second, ModelOutput)


class Edgy(Nearsighted):
    """A model whose detections in images and tiles all end as lines at their borders, but for one."""

    def score(self, images: Sequence[EncodedImage]) -> list[ModelOutput]:
        return [_answer(image.height, image.width, [(0, 0, 9, 9), (0, 5, 0, 9)]) for image in images]

    def _find(self, _: RgbPixels) -> ModelOutput:
        return _answer(100, 100, [(20, 100, 80, 100), (100, 20, 100, 80)])


@pytest.mark.parametrize(("side", "dropped"), [(100, 1), (101, 1 + 4 * 2)], ids=["an image", "an image and 4 tiles"])
def test_boxes_without_extent_are_no_detections(side: int, dropped: int) -> None:
    ((found,), _) = Scorer(Edgy(), **TILED).score([encoded(make_image(side, side), side, side)])
    assert isinstance(found, ModelOutput)
    assert (found.boxes.tolist(), found.without_extent) == ([[0, 0, 9, 9]], dropped)
