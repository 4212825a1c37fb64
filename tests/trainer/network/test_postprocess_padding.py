"""What lies in the padding of a canvas is no detection, and takes no place of one."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trainer.data import preprocess
from trainer.network import postprocess
from trainer.network.anchors import make_anchors
from trainer.network.model import build_model

CANVAS, CLASSES = (64, 64), 2
ANCHORS = make_anchors(CANVAS, anchor_scale=3.0, num_scales=3, aspect_ratios=[0.5, 1.0, 2.0])
SUPPRESSION = {"num_classes": CLASSES, "score_threshold": 0.001, "nms_iou": 0.5}
# (height, width) from 1:8 to 8:1, smaller and larger than the canvas.
SHAPES = st.tuples(st.integers(8, 400), st.floats(-3, 3)).map(
    lambda drawn: (drawn[0], max(1, round(drawn[0] * 2 ** drawn[1])))
)


def place(size: tuple[int, int]) -> np.ndarray:
    """(height, width) of an image of this size on the canvas."""
    blank = preprocess.from_pixels(tf.zeros([*size, 3], tf.uint8))
    return preprocess.letterbox(blank, CANVAS)[1].size.numpy()


def detections(
    logits: np.ndarray, shifts: np.ndarray, size: tuple[int, int], *, places: int = 20
) -> list[postprocess.DetectionBatch]:
    """By `suppress` and by `suppress_xla`, in pixels of the image."""
    outputs = {"class_logits": tf.constant(logits[None]), "box_shifts": tf.constant(shifts[None])}
    placed, sizes = tf.constant(place(size)[None]), tf.constant([size])
    candidates = postprocess.top_candidates(outputs, ANCHORS, placed, sizes)
    assert np.isfinite(candidates.boxes).all()
    methods = (postprocess.suppress, postprocess.suppress_xla)
    found = [method(candidates, **SUPPRESSION, max_detections=places) for method in methods]
    return [item._replace(boxes=postprocess.to_image_pixels(item.boxes, placed, sizes)) for item in found]


def random_outputs(seed: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits and shifts as of a network that has learnt nothing; no two logits are equal."""
    rng = np.random.default_rng(seed)
    logits = rng.permutation(np.linspace(-6, 6, ANCHORS.shape[0] * CLASSES)).reshape(-1, CLASSES)
    return logits.astype(np.float32), rng.normal(0, spread, ANCHORS.shape).astype(np.float32)


def check_boxes(found: postprocess.DetectionBatch, size: tuple[int, int]) -> None:
    count = int(found.count[0])
    boxes = found.boxes[0, :count].numpy()
    assert (boxes >= 0).all() and (boxes[:, 2:] <= size).all(), boxes
    assert (boxes[:, 2:] - boxes[:, :2] > 0.99).all(), boxes  # of 1 pixel, but for rounding


@settings(max_examples=60, deadline=None)
@given(size=SHAPES, seed=st.integers(0, 999), spread=st.sampled_from([0.1, 1.0, 4.0]))
@example(size=(480, 60), seed=0, spread=0.1)
@example(size=(60, 480), seed=0, spread=4.0)
def test_every_box_has_extent_and_lies_in_its_image(size: tuple[int, int], seed: int, spread: float) -> None:
    found, for_xla = detections(*random_outputs(seed, spread), size)
    check_boxes(found, size)
    for name, value, other in zip(found._fields, found, for_xla, strict=True):
        np.testing.assert_array_equal(value, other, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(size=SHAPES, seed=st.integers(0, 999), bad=st.sampled_from([0.0, np.nan, np.inf, -np.inf, 1e38]))
def test_what_the_network_says_of_the_padding_changes_nothing(size: tuple[int, int], seed: int, bad: float) -> None:
    logits, shifts = random_outputs(seed, 1.0)
    centres = (ANCHORS[:, :2] + ANCHORS[:, 2:]) / 2
    outside = (centres >= place(size)).any(axis=1)
    expected = detections(logits, shifts, size)
    logits[outside], shifts[outside] = 9.0, bad
    for before, after in zip(expected, detections(logits, shifts, size), strict=True):
        for name, value, other in zip(before._fields, before, after, strict=True):
            np.testing.assert_array_equal(value, other, err_msg=name)


BAD_VALUES = [
    ("a shift is no number", "shifts", np.nan),
    ("a shift is infinite", "shifts", np.inf),
    ("a shift is minus infinite: a box without extent", "shifts", -np.inf),
    ("a shift overflows", "shifts", 1e38),
    ("a logit is no number", "logits", np.nan),
    ("a logit is minus infinite", "logits", -np.inf),
]


@pytest.mark.parametrize(("why", "where", "value"), BAD_VALUES, ids=[row[0] for row in BAD_VALUES])
def test_values_that_are_no_numbers_affect_no_other_box(why: str, where: str, value: float) -> None:
    size = (64, 48)
    logits, shifts = random_outputs(1, 0.5)
    expected = detections(np.where(np.arange(len(logits)) % 3 == 0, -9.0, logits.T).T.astype("f"), shifts, size)
    values = logits if where == "logits" else shifts
    values[::3] = value
    for before, after in zip(expected, detections(logits, shifts, size), strict=True):
        check_boxes(after, size)
        np.testing.assert_array_equal(after.boxes, before.boxes, err_msg=why)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -np.inf])
def test_a_program_of_xla_selects_the_same_candidates(value: float) -> None:
    """As on a TPU, where the trainer's evaluation selects them."""
    logits, shifts = random_outputs(2, 1.0)
    shifts[::3] = value
    outputs = {"class_logits": tf.constant(logits[None]), "box_shifts": tf.constant(shifts[None])}
    given = (outputs, ANCHORS, tf.constant([[20.0, 64.0]]), tf.constant([[100, 320]]))
    compiled = tf.function(postprocess.top_candidates, jit_compile=True)(*given)
    expected = postprocess.top_candidates(*given)
    valid = expected.scores[0].numpy() > 0  # the others are in no order
    assert valid.any() and not valid.all()
    for name, found, wanted in zip(expected._fields, compiled, expected, strict=True):
        np.testing.assert_allclose(found[0][valid], wanted[0][valid], rtol=1e-5, atol=1e-4, err_msg=name)
    assert not compiled.scores[0].numpy()[~valid].any() and np.isfinite(compiled.boxes).all()


# Boxes of one anchor at (0, 0, 40, 40), on an image of 100 × 60 pixels that covers 50 × 30 of the canvas.
EXTENTS = [
    ("inside", [0, 0, 20, 20], True),
    ("a quarter of it is left", [-10, -10, 10, 10], True),
    ("less than a quarter is left", [-10.5, -10, 9.5, 10], False),
    ("in the padding", [0, 31, 20, 60], False),
    ("one pixel of the image high", [10, 0, 10.5, 30], True),
    ("less than one pixel of the image high", [10, 0, 10.4, 30], False),
    ("less than one pixel of the image wide", [0, 3, 50, 3.4], False),
    ("larger than the image", [-10, -10, 60, 40], True),
    ("a line", [10, 10, 10, 20], False),
]


@pytest.mark.parametrize(("why", "box", "expected"), EXTENTS, ids=[row[0] for row in EXTENTS])
def test_extent(why: str, box: list[float], expected: bool) -> None:
    anchors = np.float32([[0, 0, 40, 40]])
    placed, sizes = tf.constant([[50.0, 30.0]]), tf.constant([[100, 60]])
    clipped, may_be = postprocess.clip_to_image(tf.constant([[box]], tf.float32), anchors, placed, sizes)
    assert bool(may_be[0, 0]) == expected, why
    wanted = np.clip(box, 0, [50, 30, 50, 30]) if expected else np.zeros(4)
    np.testing.assert_allclose(clipped[0, 0], wanted)


CENTRES = [
    ("in the image", [20, 10, 40, 30], True),
    ("below the image", [40, 10, 60.1, 20], False),
    ("right of the image", [10, 20, 20, 40.1], False),
]


@pytest.mark.parametrize(("why", "anchor", "expected"), CENTRES, ids=[row[0] for row in CENTRES])
def test_the_centre_of_the_anchor_decides(why: str, anchor: list[float], expected: bool) -> None:
    box = tf.constant([[[0.0, 0.0, 20.0, 20.0]]])  # a shift may lead from the padding into the image
    _, may_be = postprocess.clip_to_image(box, np.float32([anchor]), tf.constant([[50.0, 30.0]]), tf.constant([[5, 3]]))
    assert bool(may_be[0, 0]) == expected, why


@pytest.fixture(scope="module")
def network() -> Any:
    """A network with random weights that are large enough for boxes of every kind."""
    model = build_model(
        image_size=CANVAS,
        num_classes=CLASSES,
        anchors_per_cell=9,
        backbone="tiny",
        pyramid_channels=8,
        head_depth=1,
        head_norm="batch",
    )
    rng = np.random.default_rng(0)  # not Keras' global seed, which would reach other tests
    for kernel in (weight for weight in model.trainable_weights if weight.ndim > 1):
        kernel.assign(rng.normal(0, np.prod(kernel.shape[:-1]) ** -0.5, kernel.shape))
    for name, spread in (("class_predict", 0.02), ("box_predict", 0.01)):
        kernel = model.get_layer(name).kernel
        kernel.assign(rng.normal(0, spread, kernel.shape))
    return model


@pytest.mark.parametrize("size", [(480, 60), (480, 120), (480, 640), (300, 300), (640, 480), (120, 640), (60, 480)])
def test_the_number_at_the_limit_does_not_depend_on_the_fill(network: Any, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    canvas, placement = preprocess.letterbox(preprocess.from_pixels(pixels), CANVAS)
    height, width = placement.size.numpy().astype(int)
    for fill in (None, 0, 255):
        filled = canvas.numpy()
        if fill is not None:
            filled[height:], filled[:, width:] = fill, fill
        outputs = network(preprocess.normalise(filled[None]), training=False)
        logits, shifts = outputs["class_logits"][0].numpy(), outputs["box_shifts"][0].numpy()
        for found in detections(logits, shifts, size, places=5):
            assert int(found.count[0]) == 5, f"fill {fill}"
            check_boxes(found, size)
