import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from trainer import augment, preprocess

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


def view(seed: int, **settings: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture of one white rectangle on black, seen at random; its box must follow it."""
    image = np.zeros((64, 96, 3), np.uint8)
    image[16:48, 24:72] = 255
    result = augment.random_view(
        tf.constant(image),
        tf.constant([[16 / 64, 24 / 96, 48 / 64, 72 / 96]]),
        tf.constant([1]),
        CANVAS,
        augment.Augmentation(**settings),  # type: ignore[arg-type]
        tf.constant([3, seed], tf.int64),
    )
    return tuple(value.numpy() for value in result)  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(12))
def test_boxes_follow_the_pixels(seed: int) -> None:
    image, boxes, labels = view(seed, scale_min=0.5, scale_max=1.6, horizontal_flip=True, vertical_flip=True)
    rows, columns = np.nonzero((image > 190).all(axis=-1))  # brighter than the padding
    drawn = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(boxes[0], drawn, atol=1.6)
    assert labels.tolist() == [1]


def test_the_same_seed_gives_the_same_view() -> None:
    first, second = (view(5, scale_min=0.5, scale_max=1.5)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_boxes_that_are_mostly_cut_off_are_left_out() -> None:
    boxes = tf.constant([[0.0, 0.0, 0.1, 0.1], [0.4, 0.4, 0.6, 0.6]])  # a corner and the middle
    seen = set()
    for seed in range(30):
        _, kept, labels = augment.random_view(
            tf.zeros([64, 96, 3], tf.uint8),
            boxes,
            tf.constant([1, 2]),
            CANVAS,
            augment.Augmentation(scale_min=2.0, scale_max=2.0),
            tf.constant([0, seed], tf.int64),
        )
        assert (kept.numpy() >= 0).all() and (kept.numpy() <= [64, 96, 64, 96]).all()
        seen.add(tuple(labels.numpy()))
    assert (2,) in seen, "at zoom 2 the corner must leave the canvas sometimes"
