import numpy as np
import pytest
import tensorflow as tf

from retinanet_odm import boxes as box_ops
from retinanet_odm.evaluation import coco_metrics
from trainer.network import postprocess


def greedy(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, iou: float, threshold: float) -> list[int]:
    """Textbook non-maximum suppression: indices kept, by falling score."""
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        same = [k for k in kept if classes[k] == classes[index]]
        overlap = box_ops.iou(boxes[index : index + 1], boxes[same]) if same else np.zeros((1, 0))
        if scores[index] > threshold and not (overlap > iou).any():
            kept.append(int(index))
    return kept


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("iou", [0.3, 0.5, 0.7])
def test_suppression_equals_the_textbooks(seed: int, iou: float) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (80, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(10, 40, (80, 2))], axis=1).astype(np.float32)
    scores = np.sort(rng.uniform(0, 1, 80).astype(np.float32))[::-1].copy()
    classes = rng.integers(1, 4, 80).astype(np.int32)
    kept = greedy(boxes, scores, classes, iou, 0.2)
    found = postprocess.suppress(
        postprocess.Candidates(*(tf.constant(value[None]) for value in (boxes, scores, classes))),
        num_classes=3,
        score_threshold=0.2,
        nms_iou=iou,
        max_detections=100,
    )
    count = int(found.count[0])
    np.testing.assert_array_equal(found.scores[0, :count], scores[kept])
    np.testing.assert_array_equal(found.boxes[0, :count], boxes[kept])
    np.testing.assert_array_equal(found.classes[0, :count], classes[kept])
    assert not found.classes[0, count:].numpy().any()


def crowded(seed: int, *, classes: int = 5, side: float = 200.0) -> postprocess.Candidates:
    """Two images of 700 overlapping boxes, more than a tile of the suppression; some reach beyond the canvas."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-0.2 * side, side, (2, 700, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.05 * side, 0.4 * side, (2, 700, 2))], axis=-1)
    scores = np.tile(np.linspace(1, 0, 700), (2, 1))  # all different: the order of equal scores is undefined
    return postprocess.Candidates(
        tf.constant(boxes, tf.float32),
        tf.constant(scores, tf.float32),
        tf.constant(rng.integers(1, classes + 1, (2, 700)), tf.int32),
    )


def tied() -> postprocess.Candidates:
    """Boxes of one class whose IoU is 0.5 exactly, and a box left of and above everything."""
    boxes = [[[0, 0, 10, 10], [0, 0, 10, 5], [-30, -30, -20, -20]]]
    scores = tf.constant([[0.9, 0.8, 0.7]])
    return postprocess.Candidates(tf.constant(boxes, tf.float32), scores, tf.ones([1, 3], tf.int32))


SCENES = [
    *((f"IoU {iou}, seed {seed}", crowded(seed), 5, iou, 100) for iou in (0.3, 0.5, 0.7) for seed in range(4)),
    ("fewer places than survivors", crowded(4), 5, 0.5, 7),
    ("more places than candidates", crowded(5), 5, 0.5, 900),
    ("one class", crowded(6, classes=1), 1, 0.5, 100),
    ("many classes on a large canvas", crowded(7, classes=80, side=1024.0), 80, 0.5, 300),
    ("an IoU at the threshold does not suppress", tied(), 1, 0.5, 10),
]


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "XLA"])
@pytest.mark.parametrize(("why", "scene", "classes", "iou", "places"), SCENES, ids=[row[0] for row in SCENES])
def test_the_suppression_for_xla_is_the_other_one(
    compiled: bool, why: str, scene: postprocess.Candidates, classes: int, iou: float, places: int
) -> None:
    settings = {"num_classes": classes, "score_threshold": 0.2, "nms_iou": iou, "max_detections": places}
    expected = postprocess.suppress(scene, **settings)  # type: ignore[arg-type]
    under_xla = tf.function(lambda given: postprocess.suppress_xla(given, **settings), jit_compile=compiled)
    for name, found, value in zip(expected._fields, under_xla(scene), expected, strict=True):
        np.testing.assert_array_equal(found, value, err_msg=f"{why}: {name}")
    assert expected.count.numpy().all()


def test_candidates_are_the_best_pairs() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 700, 3)).astype(np.float32)
    anchors = np.tile(np.array([[0, 0, 10, 10]], np.float32), (700, 1)) + np.arange(700)[:, None].astype(np.float32)
    outputs = {"class_logits": tf.constant(logits), "box_shifts": tf.zeros((2, 700, 4))}
    found = postprocess.top_candidates(outputs, anchors, tf.fill([2, 2], 800.0), tf.fill([2, 2], 800))
    order = np.argsort(-logits[1].ravel())[: postprocess.MAX_CANDIDATES]
    np.testing.assert_array_equal(found.classes[1], order % 3 + 1)
    np.testing.assert_allclose(found.boxes[1], anchors[order // 3], atol=1e-3)
    np.testing.assert_allclose(found.scores[1], 1 / (1 + np.exp(-logits[1].ravel()[order])), rtol=1e-5)


def test_boxes_are_in_pixels_of_the_image() -> None:
    boxes = tf.constant([[[0.0, 0.0, 30.0, 40.0], [10.0, 10.0, 99.0, 99.0]]])
    found = postprocess.to_image_pixels(boxes, tf.constant([[30.0, 40.0]]), tf.constant([[300, 401]]))
    np.testing.assert_allclose(found[0], [[0, 0, 300, 401], [100, 100.25, 300, 401]], rtol=1e-5)


TRUTH = {
    "images": [{"id": 1, "width": 100, "height": 100}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "area": 1600, "iscrowd": 0}],
    "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
}


def result(box: list[float], category: int = 1) -> dict[str, object]:
    return {"image_id": 1, "category_id": category, "bbox": box, "score": 0.9}


SCORES = [
    ("the same box", [result([10, 10, 40, 40])], 1.0),
    ("another class", [result([10, 10, 40, 40], category=2)], 0.0),
    ("another place", [result([60, 60, 30, 30])], 0.0),
    ("nothing found", [], 0.0),
]


@pytest.mark.parametrize(("why", "results", "expected"), SCORES, ids=[row[0] for row in SCORES])
def test_coco_metrics(why: str, results: list, expected: float) -> None:
    found = coco_metrics.coco_metrics(TRUTH, results)
    assert found["AP50"] == pytest.approx(expected), why
    assert found["per_class"]["a"]["AP50"] == pytest.approx(expected), why
    assert found["per_class"]["b"]["AP50"] is None, "no ground truth, no figure"
