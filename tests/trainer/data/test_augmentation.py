from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer.data import augmentation
from trainer.data.parsing import REGION

CANVAS = (64, 96)
CENTRAL = (16, 24, 48, 72)
CORNER = (4, 50, 28, 90)  # in no way symmetric, so that a wrong rotation is detected


def view(seed: int, rectangle: tuple[int, ...] = CENTRAL, **settings: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Augments an image of a white rectangle on black at random; the box must match the rectangle."""
    image = np.zeros((*CANVAS, 3), np.uint8)
    ymin, xmin, ymax, xmax = rectangle
    image[ymin:ymax, xmin:xmax] = 255
    result = augmentation.random_view(
        tf.io.encode_png(image),
        tf.constant([rectangle], tf.float32) / [*CANVAS, *CANVAS],
        tf.constant([1]),
        CANVAS,
        augmentation.Augmentation(**settings),
        tf.constant([3, seed], tf.int64),
    )
    return tuple(value.numpy() for value in result)  # type: ignore[return-value]


FOLLOWED = [
    ("zoomed, cropped and mirrored", CENTRAL, {"scale_max": 1.6, "horizontal_flip": True, "vertical_flip": True}),
    ("turned", CORNER, {"rot90": True}),
    ("turned and all the rest", CORNER, {"rot90": True, "horizontal_flip": True, "vertical_flip": True}),
]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("why", "rectangle", "settings"), FOLLOWED, ids=[row[0] for row in FOLLOWED])
def test_boxes_follow_the_pixels(why: str, rectangle: tuple[int, ...], settings: dict[str, Any], seed: int) -> None:
    image, boxes, labels = view(seed, rectangle, scale_min=0.5, **settings)
    rows, columns = np.nonzero((image > 190).all(axis=-1))  # brighter than the padding
    drawn = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(boxes[0], drawn, atol=1.6, err_msg=why)
    assert labels.tolist() == [1]


def test_all_four_turns_come_up() -> None:
    assert len({tuple(view(seed, CORNER, rot90=True)[1][0].round()) for seed in range(30)}) == 4


def test_the_same_seed_gives_the_same_view() -> None:
    settings = {"scale_min": 0.5, "scale_max": 1.5, "rot90": True, "photometric": 1.0}
    first, second = (view(5, **settings)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("seed", range(6))
def test_other_colours_are_the_same_view(seed: int) -> None:
    """Photometric changes use random numbers of their own: neither boxes nor padding change."""
    settings = {"scale_min": 0.5, "scale_max": 1.0, "horizontal_flip": True, "vertical_flip": True, "rot90": True}
    (plain, boxes, labels), (coloured, same, also) = (view(seed, **settings, photometric=on) for on in (0.0, 1.0))
    np.testing.assert_array_equal(boxes, same)
    np.testing.assert_array_equal(labels, also)
    padding = (plain == [124, 116, 104]).all(axis=-1)
    np.testing.assert_array_equal(coloured[padding], plain[padding])
    assert (coloured != plain).any()


RECOLOURED = [
    ("no strength is no change", 0.0, 0, 0),
    ("a little strength changes a little", 0.1, 1, 30),
    ("full strength is seen at once", 1.0, 10, 255),
]


@pytest.mark.parametrize(("why", "strength", "least", "most"), RECOLOURED, ids=[row[0] for row in RECOLOURED])
def test_recolouring_goes_as_far_as_its_strength(why: str, strength: float, least: int, most: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    for seed in range(8):
        changed = augmentation.recolour(tf.constant(image), strength, tf.constant([0, seed], tf.int64)).numpy()
        off = np.abs(changed.astype(int) - image).max()
        assert changed.dtype == np.uint8 and least <= off <= most, why


def labels_at_zoom_2(seed: int, min_visible: float) -> tuple[int, ...]:
    """Returns the labels that remain: boxes in the corner (1), in the middle (2), over all (3, a quarter visible)."""
    _, boxes, labels = augmentation.random_view(
        tf.io.encode_png(tf.zeros([64, 96, 3], tf.uint8)),
        tf.constant([[0.0, 0.0, 0.1, 0.1], [0.4, 0.4, 0.6, 0.6], [0.0, 0.0, 1.0, 1.0]]),
        tf.constant([1, 2, 3]),
        CANVAS,
        augmentation.Augmentation(scale_min=2.0, scale_max=2.0, min_visible=min_visible),
        tf.constant([0, seed], tf.int64),
    )
    assert (boxes.numpy() >= 0).all() and (boxes.numpy() <= [64, 96, 64, 96]).all()
    return tuple(labels.numpy().tolist())


VISIBLE = [
    ("a quarter is enough for a fifth", 0.2, True),
    ("a quarter is not enough for three tenths", 0.3, False),
    ("0 keeps every box of which a part is visible", 0.0, True),
]


@pytest.mark.parametrize(("why", "min_visible", "quarter_kept"), VISIBLE, ids=[row[0] for row in VISIBLE])
def test_what_is_mostly_cut_off_is_neither_object_nor_background(
    why: str, min_visible: float, quarter_kept: bool
) -> None:
    seen = {labels_at_zoom_2(seed, min_visible) for seed in range(30)}
    assert all((3 in labels) is quarter_kept and (REGION in labels) >= (not quarter_kept) for labels in seen), why
    assert any(1 not in labels for labels in seen), "at zoom 2 the corner must leave the canvas sometimes"


WHOLE, HALF, TENTH, OUTSIDE = (8.0, 0, 40, 50), (-10.0, 0, 10, 50), (-90.0, 0, 10, 50), (-90.0, 0, 0, 50)
LEFT = (0.0, 0, 10, 50)  # of the half and of the tenth
CLIPPED = [
    ("a tenth of an object is no object, and comes last", [(TENTH, 2), (WHOLE, 1)], [(WHOLE, 1), (LEFT, REGION)]),
    ("half of an object is one, in its place", [(HALF, 2), (WHOLE, 1)], [(LEFT, 2), (WHOLE, 1)]),
    ("of an area every part stays one", [(TENTH, REGION), (WHOLE, 1)], [(WHOLE, 1), (LEFT, REGION)]),
    ("an area beyond the canvas is dropped", [(OUTSIDE, REGION), (WHOLE, 1)], [(WHOLE, 1)]),
    ("an object beyond the canvas is dropped", [(OUTSIDE, 2), (WHOLE, 1)], [(WHOLE, 1)]),
    ("crowds come behind all objects", [(WHOLE, REGION), (WHOLE, 3)], [(WHOLE, 3), (WHOLE, REGION)]),
]
Labelled = list[tuple[tuple[float, ...], int]]


@pytest.mark.parametrize(("why", "given", "kept"), CLIPPED, ids=[row[0] for row in CLIPPED])
def test_boxes_are_clipped(why: str, given: Labelled, kept: Labelled) -> None:
    boxes, labels = (tf.constant(column) for column in zip(*given, strict=True))
    clipped, found = augmentation._clip(boxes, labels, CANVAS, 0.3)
    pairs = zip(map(tuple, clipped.numpy().tolist()), found.numpy().tolist(), strict=True)
    assert list(pairs) == kept, why


def test_without_cropping_nothing_changes() -> None:
    """A view that shows the whole image has all boxes, in their order: its loss does not depend on min_visible."""
    boxes = tf.random.stateless_uniform([9, 2], [1, 2], 0, 30)
    boxes = tf.concat([boxes, boxes + tf.random.stateless_uniform([9, 2], [3, 4], 1, 30)], axis=1)
    for min_visible in (0.0, 0.3, 1.0):
        clipped, labels = augmentation._clip(boxes, tf.range(1, 10), CANVAS, min_visible)
        np.testing.assert_array_equal(clipped, boxes)
        np.testing.assert_array_equal(labels, range(1, 10))
