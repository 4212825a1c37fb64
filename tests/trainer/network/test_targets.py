import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from retinanet_odm import boxes as box_ops
from trainer.data.parsing import REGION
from trainer.network.anchors import make_anchors
from trainer.network.targets import assign_targets, common_areas, decode_boxes, encode_boxes, pairwise_iou

ANCHORS = make_anchors((64, 96), anchor_scale=3.0, num_scales=2, aspect_ratios=(0.5, 1.0, 2.0))


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 40, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(2, 40, (count, 2))], axis=1).astype(np.float32)


def share_in(anchor: np.ndarray, box: np.ndarray) -> float:
    """The share of an anchor that lies in a box."""
    sides = np.minimum(anchor[2:], box[2:]) - np.maximum(anchor[:2], box[:2])
    return float(np.prod(np.maximum(sides, 0)) / np.prod(anchor[2:] - anchor[:2]))


def brute_force(boxes: np.ndarray, labels: np.ndarray, positive_iou: float, negative_iou: float):
    """The rule of assign_targets, one anchor and one object at a time, for one image."""
    overlap = box_ops.iou(ANCHORS, boxes)
    overlap[:, labels <= 0] = 0
    want = np.zeros(len(ANCHORS), int)
    counted = np.zeros(len(ANCHORS), bool)
    matched = np.full(len(ANCHORS), -1)
    for a in range(len(ANCHORS)):
        best_of = [m for m in range(len(boxes)) if overlap[a, m] > 1e-4 and overlap[a, m] >= overlap[:, m].max()]
        m = max(best_of, key=lambda m: overlap[a, m]) if best_of else int(overlap[a].argmax())
        if best_of or overlap[a, m] >= positive_iou:
            want[a], matched[a] = labels[m], m
        is_unknown = any(share_in(ANCHORS[a], box) >= 0.5 for box in boxes[labels == REGION])
        counted[a] = bool(want[a]) or (overlap[a].max() < negative_iou and not is_unknown)
    return want, counted, matched


LABELS = [
    ("two rows of padding", [1, 2, 3, 1, 0, 0]),
    ("areas in which no object is known, among objects", [1, REGION, 3, REGION, 0, 0]),
]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("why", "given_labels"), LABELS, ids=[row[0] for row in LABELS])
def test_matching_equals_brute_force(why: str, given_labels: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, 6)
    labels = np.array(given_labels, np.int32)
    targets = assign_targets(boxes[None], labels[None], ANCHORS, positive_iou=0.5, negative_iou=0.4)
    want, counted, matched = brute_force(boxes, labels, 0.5, 0.4)
    np.testing.assert_array_equal(targets.labels[0], want, err_msg=why)
    np.testing.assert_array_equal(targets.positive[0], want > 0)
    np.testing.assert_array_equal(targets.counted[0], counted)
    np.testing.assert_array_equal(np.asarray(targets.boxes[0])[want > 0], boxes[matched[want > 0]])


def test_a_region_is_neither_an_object_nor_background() -> None:
    boxes = np.array([[[0, 0, 64, 96], [30, 30, 50, 50]]], np.float32)
    whole, object_in_it = (
        assign_targets(boxes, np.array([labels], np.int32), ANCHORS, positive_iou=0.5, negative_iou=0.4)
        for labels in ([REGION, 0], [REGION, 2])
    )
    inside = np.array([share_in(anchor, boxes[0, 0]) >= 0.5 for anchor in ANCHORS])
    np.testing.assert_array_equal(whole.counted[0], ~inside)
    assert not np.any(whole.positive) and not np.any(whole.labels)
    assert np.any(object_in_it.positive), "an object that has a box all the same is learned"
    np.testing.assert_array_equal(object_in_it.counted[0], ~inside | (np.asarray(object_in_it.positive[0]) > 0))


def test_an_image_without_objects_is_all_background() -> None:
    targets = assign_targets(
        np.zeros((1, 3, 4), np.float32), np.zeros((1, 3), np.int32), ANCHORS, positive_iou=0.5, negative_iou=0.4
    )
    assert not np.any(targets.positive) and np.all(targets.counted) and not np.any(targets.labels)


def test_a_tiny_object_still_has_an_anchor() -> None:
    boxes = np.array([[[30, 30, 33, 33]]], np.float32)
    targets = assign_targets(boxes, np.array([[2]], np.int32), ANCHORS, positive_iou=0.5, negative_iou=0.4)
    assert np.sum(targets.positive) >= 1 and np.max(targets.labels) == 2


def test_iou_agrees_with_the_vocabulary() -> None:
    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, 20), random_boxes(rng, 7)
    np.testing.assert_allclose(pairwise_iou(a, b, common_areas(a, b)), box_ops.iou(a, b), rtol=1e-5)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_decoding_undoes_encoding(seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes, anchors = random_boxes(rng, 8), random_boxes(rng, 8)
    np.testing.assert_allclose(decode_boxes(encode_boxes(boxes, anchors), anchors), boxes, atol=1e-2)


def test_decoded_sizes_are_capped() -> None:
    anchor = np.array([[0, 0, 10, 10]], np.float32)
    box = np.asarray(decode_boxes(ops.convert_to_tensor([[0.0, 0, 50, 50]]), anchor))[0]
    assert box[2] - box[0] == pytest.approx(10 * 1000 / 16, rel=1e-4)
