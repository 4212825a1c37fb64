import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from trainer.data import preprocess

CANVAS = (64, 96)


def png(height: int, width: int, value: int = 200) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


PLACED = [
    ("wider than the canvas: the width decides", (100, 200), (48, 96)),
    ("taller: the height decides", (128, 64), (64, 32)),
    ("smaller images are enlarged", (16, 24), (64, 96)),
    ("one pixel high is still an image", (1, 400), (1, 96)),
]


@pytest.mark.parametrize(("why", "size", "placed"), PLACED, ids=[row[0] for row in PLACED])
def test_letterbox_fits_the_complete_image(why: str, size: tuple[int, int], placed: tuple[int, int]) -> None:
    canvas, placement = preprocess.letterbox(
        preprocess.from_pixels(tf.fill([*size, 3], tf.constant(200, tf.uint8))), CANVAS
    )
    assert tuple(placement.size.numpy()) == placed, why
    pixels = canvas.numpy()
    assert (pixels[: placed[0], : placed[1]] == 200).all()
    assert (pixels[placed[0] :] == [124, 116, 104]).all() and (pixels[:, placed[1] :] == [124, 116, 104]).all()


FOUND = [
    ("an image of another colour", 200, [(48, 96), (64, 32), (64, 96), (1, 96)]),
    ("an image of the padding's colour cannot be told from it", (124, 116, 104), [(0, 0)] * 4),
]


@pytest.mark.parametrize(("why", "colour", "expected"), FOUND, ids=[row[0] for row in FOUND])
def test_the_padding_tells_where_an_image_ends(why: str, colour: object, expected: list[tuple[int, int]]) -> None:
    images = [np.broadcast_to(np.uint8(colour), (*size, 3)) for _, size, _ in PLACED]
    canvases = [preprocess.letterbox(preprocess.from_pixels(tf.constant(image)), CANVAS)[0] for image in images]
    assert [tuple(found) for found in preprocess.find_placed(tf.stack(canvases)).numpy()] == expected, why


@pytest.mark.parametrize("size", [(64, 96), (300, 401), (41, 30), (1, 7), (500, 3)])
def test_rows_then_columns_give_the_bits_of_one_resize(size: tuple[int, int]) -> None:
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    canvas, placement = preprocess.letterbox(preprocess.from_pixels(image), CANVAS)
    height, width = (int(side) for side in placement.size)
    whole = tf.round(tf.image.resize(image, (height, width), antialias=True))
    np.testing.assert_array_equal(canvas[:height, :width], whole)


@pytest.mark.parametrize("zoom", [1.0, 1.7])
def test_what_is_cut_off_is_not_resized_for_nothing(zoom: float) -> None:
    """The part of a zoomed view that the canvas shows is that part of the whole view, up to the rounding of a value."""
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8))
    canvas, placement = preprocess.letterbox(preprocess.from_pixels(image), CANVAS, zoom=zoom, offset=(0.5, 0.9))
    height, width = (int(side) for side in placement.size)
    top, left = (int(edge) for edge in placement.origin)
    whole = tf.image.resize(image, (height, width), antialias=True)[top : top + CANVAS[0], left : left + CANVAS[1]]
    np.testing.assert_allclose(canvas[: whole.shape[0], : whole.shape[1]], whole, atol=0.51)


def waves(height: int, width: int) -> np.ndarray:
    """Soft colours with structure at every place, as a JPEG keeps them."""
    y, x = np.mgrid[:height, :width][..., None] / 30
    return (127 + 90 * np.sin(np.concatenate([y + x, y - 0.5 * x, 0.3 * x], axis=2))).astype(np.uint8)


REDUCED = [
    ("less than half as large: all pixels are read", (100, 150), 1.0, 1),
    ("exactly half", (128, 192), 1.0, 2),
    ("a side that is no multiple of 2", (129, 241), 1.0, 2),
    ("a quarter, sides that are no multiple of 4", (263, 399), 1.0, 4),
    ("an eighth is the most", (1285, 1930), 1.0, 8),
    ("a larger view needs more pixels", (263, 399), 1.5, 2),
    ("a smaller view needs fewer", (128, 192), 0.5, 4),
    ("the side that lies within does not count", (100, 800), 1.0, 8),
]


@pytest.mark.parametrize(("why", "size", "zoom", "reduction"), REDUCED, ids=[row[0] for row in REDUCED])
def test_a_reduced_jpeg_gives_the_view_of_a_full_one(
    why: str, size: tuple[int, int], zoom: float, reduction: int
) -> None:
    encoded = tf.io.encode_jpeg(waves(*size), quality=100)
    reduced = preprocess.decode_image_bytes(encoded, CANVAS, zoom)
    assert reduced.pixels.shape == (-(-size[0] // reduction), -(-size[1] // reduction), 3), why
    assert tuple(reduced.size.numpy()) == size and float(reduced.reduction) == reduction
    whole = preprocess.from_pixels(tf.io.decode_jpeg(encoded, channels=3))
    views = [preprocess.letterbox(image, CANVAS, zoom=zoom, offset=(1.0, 1.0)) for image in (reduced, whole)]
    for mine, other in zip(views[0][1], views[1][1], strict=True):
        np.testing.assert_array_equal(mine, other)
    # A shift by a quarter of a canvas pixel would show: these waves have steps of up to 24 a pixel at that scale.
    height, width = (int(min(side, room)) for side, room in zip(views[0][1].size, CANVAS, strict=True))
    difference = np.abs(np.subtract(*(view[0].numpy()[:height, :width].astype(int) for view in views)))
    assert difference.mean() < 1.5 and np.percentile(difference, 99) <= 6


def test_padding_is_about_zero_once_normalised() -> None:
    canvas, _ = preprocess.letterbox(preprocess.from_pixels(tf.zeros([8, 96, 3], tf.uint8)), CANVAS)
    assert np.abs(preprocess.normalise(canvas[None]))[0, 20:].max() < 0.02


def test_a_batch_mixes_sizes_and_survives_broken_bytes() -> None:
    encoded = tf.constant([png(30, 40), b"no image", png(100, 20), png(30, 40)[:60], b""])
    batch = tf.function(lambda data: preprocess.load_batch(data, CANVAS, preprocess.decode_image_bytes))(encoded)
    assert batch.decoded.numpy().tolist() == [True, False, True, False, False]
    assert batch.sizes.numpy().tolist() == [[30, 40], [0, 0], [100, 20], [0, 0], [0, 0]]
    assert batch.images.shape == (5, *CANVAS, 3)


def test_an_empty_batch_is_one_row_that_is_not_decoded() -> None:
    batch = preprocess.load_batch(tf.constant([], tf.string), CANVAS, preprocess.decode_image_bytes)
    assert batch.images.shape == (1, *CANVAS, 3) and batch.decoded.numpy().tolist() == [False]


def test_a_batch_is_letterboxed_as_single_images_are() -> None:
    data = png(50, 70)
    single, _ = preprocess.letterbox(preprocess.decode_image_bytes(data, CANVAS), CANVAS)
    batch = preprocess.load_batch(tf.constant([data]), CANVAS, preprocess.decode_image_bytes)
    np.testing.assert_array_equal(batch.images[0], single)
