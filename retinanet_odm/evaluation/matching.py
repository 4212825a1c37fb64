"""Ground truth and detections as arrays, and which detection matches which object, by COCO's rule.

The rule (pycocotools.cocoeval, evaluateImg): within an image, detections in order of falling score each take the free
object that they overlap most, if the IoU is large enough. A detection that overlaps only a crowd is ignored: it is
neither right nor wrong.

Begin with `ScoredSplit`, then `overlapping_pairs` and `match_detections`. Letters of shapes: I images, K classes,
N objects, D detections, P pairs of a detection and an object.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from retinanet_odm.evaluation.exhaustive_images import exhaustive_table, known_only

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """N objects, image by image.

    Attributes:
      image, label: int [N], rows of the image and of the class.
      box: float64 [N, 4], (x, y, width, height) in pixels of the image, as in COCO.
      is_crowd: bool [N], a group of objects: it need not be found, and detections on it are ignored.
    """

    image: Ints
    label: Ints
    box: Floats
    is_crowd: Bools


@dataclass(frozen=True, kw_only=True)
class DetectionArrays:
    """D detections, image by image, each in order of falling score; equal scores in the order of the results.

    Attributes:
      image, label, box: [D] and [D, 4], as in GroundTruth.
      score: float64 [D].
    """

    image: Ints
    label: Ints
    box: Floats
    score: Floats


@dataclass(frozen=True, kw_only=True)
class ScoredSplit:
    """The images of a split with their objects and detections.

    Attributes:
      image_ids, images: ids and file names of the images, in order of the ids.
      class_ids, classes: ids and names of the classes, in order of the ids.
      truth: the objects.
      detections: the detections.
      is_exhaustive: bool [I, K], whether the class counts in the image; where not, it has no objects and no detections.
    """

    image_ids: tuple[int, ...]
    images: tuple[str, ...]
    class_ids: tuple[int, ...]
    classes: tuple[str, ...]
    truth: GroundTruth
    detections: DetectionArrays
    is_exhaustive: Bools

    @classmethod
    def from_coco(cls, truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> Self:
        """Read COCO ground truth and results.

        Detections of classes that are not in the truth are dropped, and so is everything of a class in images in which
        it is not exhaustive.
        """
        truth, results = known_only(truth, results)
        images = {entry["id"]: entry for entry in sorted(truth["images"], key=lambda entry: entry["id"])}
        classes = {entry["id"]: entry for entry in sorted(truth["categories"], key=lambda entry: entry["id"])}
        image_rows = {key: row for row, key in enumerate(images)}
        class_rows = {key: row for row, key in enumerate(classes)}
        # Both sorts are stable: objects stay in the order of the file, and so do detections of equal score. COCO breaks
        # ties by that order.
        objects = sorted(truth["annotations"], key=lambda entry: image_rows[entry["image_id"]])
        known = [entry for entry in results if entry["category_id"] in class_rows]
        ordered = sorted(known, key=lambda entry: (image_rows[entry["image_id"]], -entry["score"]))
        return cls(
            image_ids=tuple(images),
            images=tuple(str(entry.get("file_name", key)) for key, entry in images.items()),
            class_ids=tuple(classes),
            classes=tuple(entry["name"] for entry in classes.values()),
            truth=GroundTruth(
                **_columns(objects, image_rows, class_rows),
                is_crowd=np.array([bool(entry.get("iscrowd")) for entry in objects], bool),
            ),
            detections=DetectionArrays(
                **_columns(ordered, image_rows, class_rows),
                score=np.array([entry["score"] for entry in ordered], float),
            ),
            is_exhaustive=exhaustive_table(list(images.values()), list(classes)),
        )


def _columns(
    entries: Sequence[Mapping[str, Any]], image_rows: Mapping[int, int], class_rows: Mapping[int, int]
) -> dict[str, Any]:
    return {
        "image": np.array([image_rows[entry["image_id"]] for entry in entries], int),
        "label": np.array([class_rows[entry["category_id"]] for entry in entries], int),
        "box": np.array([entry["bbox"] for entry in entries], float).reshape(-1, 4),
    }


class CandidatePairs(NamedTuple):
    """P pairs of a detection and an object of the same image that overlap, in the order in which COCO tries them.

    The order matters, because the first free object is taken: by detection, objects before crowds, by falling IoU; of
    equal ones the later object first.

    Attributes:
      detection, truth: int [P], rows of the detection and of the object.
      iou: float [P]; for a crowd the share of the detection that lies in it.
      is_same_class: bool [P].
    """

    detection: Ints
    truth: Ints
    iou: Floats
    is_same_class: Bools

    def where(self, mask: Bools) -> "CandidatePairs":
        """Return the pairs for which the mask is true, in the same order."""
        return CandidatePairs(self.detection[mask], self.truth[mask], self.iou[mask], self.is_same_class[mask])


def overlapping_pairs(split: ScoredSplit, *, min_iou: float) -> CandidatePairs:
    """Return all pairs with at least this IoU; a crowd is paired only with detections of its class."""
    detections, truth = split.detections, split.truth
    # Both arrays are sorted by image, so binary search finds where each image begins and ends.
    rows = np.arange(len(split.images) + 1)
    detection_edges, truth_edges = np.searchsorted(detections.image, rows), np.searchsorted(truth.image, rows)
    # An empty part, so that a split without images can be concatenated too.
    parts = [(np.zeros(0, int), np.zeros(0, int), np.zeros(0))]
    # Image by image, because an IoU matrix of all detections and objects would not fit into memory.
    for image in rows[:-1]:
        found = slice(detection_edges[image], detection_edges[image + 1])
        there = slice(truth_edges[image], truth_edges[image + 1])
        iou = _iou(detections.box[found], truth.box[there], truth.is_crowd[there])
        first, second = np.nonzero(iou >= min_iou)
        parts.append((first + found.start, second + there.start, iou[first, second]))
    detection, item, iou = (np.concatenate(column) for column in zip(*parts, strict=True))
    is_crowd, is_same = truth.is_crowd[item], detections.label[detection] == truth.label[item]
    # lexsort: the last key is the first criterion.
    order = np.lexsort((-item, -iou, is_crowd, detection))
    return CandidatePairs(detection, item, iou, is_same).where(order[(is_same | ~is_crowd)[order]])


def _iou(detections: Floats, truth: Floats, is_crowd: Bools) -> Floats:
    """Return IoU [D, N], with pycocotools' order of operations (maskApi.c, bbIou), so that ties are the same."""
    right = np.minimum(detections[:, None, :2] + detections[:, None, 2:], truth[None, :, :2] + truth[None, :, 2:])
    sides = np.maximum(right - np.maximum(detections[:, None, :2], truth[None, :, :2]), 0)
    shared = sides[..., 0] * sides[..., 1]
    area, true_area = detections[:, 2:].prod(axis=1)[:, None], truth[:, 2:].prod(axis=1)
    # COCO divides by the area of the detection if the object is a crowd.
    union = np.where(is_crowd, area, area + true_area - shared)
    ious: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ious


@dataclass(frozen=True, kw_only=True)
class DetectionMatches:
    """The results of matching D detections.

    Attributes:
      object_row: int [D], row of the object that a detection matches; -1 for none.
      is_ignored: bool [D], neither right nor wrong.
    """

    object_row: Ints
    is_ignored: Bools

    @property
    def is_hit(self) -> Bools:
        """Bool [D]: true positives."""
        return (self.object_row >= 0) & ~self.is_ignored

    @property
    def is_false(self) -> Bools:
        """Bool [D]: false positives."""
        return (self.object_row < 0) & ~self.is_ignored

    def found_objects(self, truth: GroundTruth, kept: Bools) -> Bools:
        """Return bool [N]: the objects that detections match, counting those for which kept [D] is true."""
        found = np.zeros(len(truth.label), bool)
        found[self.object_row[self.is_hit & kept]] = True
        return found


def match_detections(split: ScoredSplit, pairs: CandidatePairs, *, iou: float) -> DetectionMatches:
    """Match detections with objects by COCO's rule.

    Example:
      >>> box = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}
      >>> truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "crab"}], "annotations": [box]}
      >>> split = ScoredSplit.from_coco(truth, [{**box, "score": 0.9}, {**box, "score": 0.8}])
      >>> match_detections(split, overlapping_pairs(split, min_iou=0.5), iou=0.5).is_hit
      array([ True, False])

    Args:
      split: the detections and objects.
      pairs: the pairs to consider, in the order of overlapping_pairs. Only they separate the classes.
      iou: the minimum IoU.
    """
    # The pairs keep their order, so the loop tries objects before crowds, and the best overlap first.
    near = pairs.where(pairs.iou >= iou)
    # Plain lists: this loop is sequential, and indexing arrays element by element is slow.
    is_crowd = split.truth.is_crowd.tolist()
    object_row = [-1] * len(split.detections.label)
    is_free = [True] * len(is_crowd)
    for detection, item in zip(near.detection.tolist(), near.truth.tolist(), strict=True):
        if object_row[detection] < 0 and is_free[item]:
            object_row[detection] = item
            is_free[item] = is_crowd[item]  # any number of detections may lie on a crowd
    # The appended False is selected by -1, the row of a detection without a match.
    rows = np.array(object_row, int)
    return DetectionMatches(object_row=rows, is_ignored=(rows >= 0) & np.array([*is_crowd, False], bool)[rows])
