import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from trainer import preprocess

CANVAS = (64, 96)


def png(height: int, width: int, value: int = 200) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


PLACED = [
    ("wider than the canvas: the width decides", (100, 200), (48, 96)),
    ("taller: the height decides", (128, 64), (64, 32)),
    ("smaller pictures are enlarged", (16, 24), (64, 96)),
    ("one pixel high is still a picture", (1, 400), (1, 96)),
]


@pytest.mark.parametrize(("why", "size", "placed"), PLACED, ids=[row[0] for row in PLACED])
def test_letterbox_fits_the_whole_picture(why: str, size: tuple[int, int], placed: tuple[int, int]) -> None:
    canvas, placement = preprocess.letterbox(tf.fill([*size, 3], tf.constant(200, tf.uint8)), CANVAS)
    assert tuple(placement.size.numpy()) == placed, why
    pixels = canvas.numpy()
    assert (pixels[: placed[0], : placed[1]] == 200).all()
    assert (pixels[placed[0] :] == [124, 116, 104]).all() and (pixels[:, placed[1] :] == [124, 116, 104]).all()


@pytest.mark.parametrize("size", [(64, 96), (300, 401), (41, 30), (1, 7), (500, 3)])
def test_rows_then_columns_give_the_bits_of_one_resize(size: tuple[int, int]) -> None:
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    canvas, placement = preprocess.letterbox(image, CANVAS)
    height, width = (int(side) for side in placement.size)
    whole = tf.round(tf.image.resize(image, (height, width), antialias=True))
    np.testing.assert_array_equal(canvas[:height, :width], whole)


def test_padding_is_about_zero_once_normalised() -> None:
    canvas, _ = preprocess.letterbox(tf.zeros([8, 96, 3], tf.uint8), CANVAS)
    assert np.abs(preprocess.normalise(canvas[None]))[0, 20:].max() < 0.02


def test_a_batch_mixes_sizes_and_survives_broken_bytes() -> None:
    encoded = tf.constant([png(30, 40), b"no picture", png(100, 20), png(30, 40)[:60], b""])
    batch = tf.function(lambda data: preprocess.load_batch(data, CANVAS, preprocess.decode))(encoded)
    assert batch.decoded.numpy().tolist() == [True, False, True, False, False]
    assert batch.sizes.numpy().tolist() == [[30, 40], [0, 0], [100, 20], [0, 0], [0, 0]]
    assert batch.images.shape == (5, *CANVAS, 3)


def test_an_empty_batch_is_one_row_that_is_not_decoded() -> None:
    batch = preprocess.load_batch(tf.constant([], tf.string), CANVAS, preprocess.decode)
    assert batch.images.shape == (1, *CANVAS, 3) and batch.decoded.numpy().tolist() == [False]


def test_a_batch_is_letterboxed_as_single_images_are() -> None:
    data = png(50, 70)
    single, _ = preprocess.letterbox(preprocess.decode(tf.constant(data)), CANVAS)
    batch = preprocess.load_batch(tf.constant([data]), CANVAS, preprocess.decode)
    np.testing.assert_array_equal(batch.images[0], single)
