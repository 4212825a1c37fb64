"""Drawn boxes: on the image, in the class's colour, inside its borders, whatever the name."""

import io

import numpy as np
import pytest
from PIL import Image, ImageColor

from retinanet_odm.imaging.drawing import PALETTE, DrawnBox, colour_of, draw_boxes, draw_crop, to_ascii


def _has_colour(image: Image.Image, label_id: int) -> bool:
    return bool((np.asarray(image) == ImageColor.getrgb(colour_of(label_id))).all(axis=2).any())


@pytest.mark.parametrize(
    ("box", "label"),
    [
        pytest.param((40, 50, 80, 120), "Peniagone sp. A", id="an ordinary box"),
        pytest.param((0, 0, 20, 20), "x", id="in the corner: the tag goes inside"),
        pytest.param((100, 190, 120, 200), "a name much longer than the image is wide, which it is", id="no room"),
        pytest.param((-30.5, -20.2, 150.7, 260.9), "x", id="larger than the image"),
        pytest.param((60.2, 60.2, 60.9, 60.9), "x", id="smaller than a pixel"),
        pytest.param((40, 50, 80, 120), "海参", id="letters that Pillow's font lacks"),
        pytest.param((40, 50, 80, 120), "", id="no name"),
    ],
)
def test_draws(box: tuple[float, float, float, float], label: str) -> None:
    image = Image.new("RGB", (200, 120))
    drawn = draw_boxes(image, [DrawnBox(box=box, label=label, label_id=2, score=0.5)])
    assert drawn.size == image.size
    assert _has_colour(drawn, 2)
    assert image.getextrema() == ((0, 0),) * 3, "the image that came in is not drawn on"


def test_what_is_inside_the_box_stays_visible() -> None:
    image = Image.new("RGB", (200, 120))
    drawn = np.asarray(draw_boxes(image, [DrawnBox(box=(50, 50, 90, 120), label="x", label_id=1)]))
    assert not drawn[50:90, 50:120].any()
    assert drawn[48:92, 48:122].any()


def test_grey_and_transparent_images_become_rgb() -> None:
    for mode in ("L", "RGBA", "P"):
        assert draw_boxes(Image.new(mode, (64, 48)), []).mode == "RGB"


def test_colours_differ_and_repeat() -> None:
    assert len({colour_of(label_id) for label_id in range(1, len(PALETTE) + 1)}) == len(PALETTE)
    assert colour_of(1) == colour_of(1 + len(PALETTE))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Peniagone sp. A", "Peniagone sp. A", id="plain"),
        pytest.param("größer – café", "grosser - cafe", id="accents fall away"),
        pytest.param("海参 sp. A", "? sp. A", id="one ? for a run of signs"),
        pytest.param("海参", "class 3", id="nothing left"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    assert to_ascii(text, otherwise="class 3") == expected


def test_scores_are_shown_with_two_digits() -> None:
    assert DrawnBox(box=(0, 0, 1, 1), label="x", label_id=1, score=0.876).caption == "x 0.88"
    assert DrawnBox(box=(0, 0, 1, 1), label="x", label_id=1).caption == "x"


def test_a_crop_shows_the_box_and_what_is_around_it() -> None:
    image = Image.new("RGB", (400, 300), "black")
    image.paste("white", (200, 100, 240, 120))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    inside = DrawnBox(box=(100, 200, 120, 240), label="crab", label_id=2)
    outside = DrawnBox(box=(0, 0, 20, 20), label="far", label_id=1)
    around = (100.0, 200.0, 120.0, 240.0)
    data = draw_crop(buffer.getvalue(), [inside, outside], around=around, side=300)
    with Image.open(io.BytesIO(data)) as shown:
        # 24 pixels on each side: 89 × 69 pixels, enlarged.
        assert shown.size == (300, round(300 * 69 / 89))
        assert min(shown.getpixel((150, 116))) > 200, "the middle of the box"
    assert data == draw_crop(buffer.getvalue(), [inside], around=around, side=300), "what is outside is not drawn"
