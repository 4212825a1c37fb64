"""Truth and detections of a split as arrays, and which detection found which object, by COCO's rule.

The rule (pycocotools.cocoeval, evaluateImg): within an image, detections by falling score each take the free object
that they overlap most, from an IoU on. What overlaps only a crowd is neither right nor wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

Ints = np.ndarray
Floats = np.ndarray
Bools = np.ndarray


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """N objects, image by image.

    Attributes:
      image, label: int [N], rows of the image and of the class.
      box: float64 [N, 4], (x, y, width, height) in pixels of the photograph, as COCO has them.
      is_crowd: bool [N], not one object but many: not to be found, and no mistake to find.
    """

    image: Ints
    label: Ints
    box: Floats
    is_crowd: Bools


@dataclass(frozen=True, kw_only=True)
class DetectionArrays:
    """D detections, image by image, each by falling score; equal scores in the order of the results.

    Attributes:
      image, label, box: as in Truth.
      score: float64 [D].
    """

    image: Ints
    label: Ints
    box: Floats
    score: Floats


@dataclass(frozen=True, kw_only=True)
class ScoredSplit:
    """Every image of a split with what is there and what was found.

    Attributes:
      image_ids, images: ids, rising, and file names.
      class_ids, classes: ids, rising, and names.
    """

    image_ids: tuple[int, ...]
    images: tuple[str, ...]
    class_ids: tuple[int, ...]
    classes: tuple[str, ...]
    truth: GroundTruth
    found: DetectionArrays

    @classmethod
    def from_coco(cls, truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> Self:
        """From COCO ground truth and results; detections of a class that the truth does not know are left out."""
        images = {entry["id"]: entry for entry in sorted(truth["images"], key=lambda entry: entry["id"])}
        classes = {entry["id"]: entry for entry in sorted(truth["categories"], key=lambda entry: entry["id"])}
        image_rows = {key: row for row, key in enumerate(images)}
        class_rows = {key: row for row, key in enumerate(classes)}
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
            found=DetectionArrays(
                **_columns(ordered, image_rows, class_rows),
                score=np.array([entry["score"] for entry in ordered], float),
            ),
        )


def _columns(
    entries: Sequence[Mapping[str, Any]], image_rows: Mapping[int, int], class_rows: Mapping[int, int]
) -> dict[str, np.ndarray]:
    return {
        "image": np.array([image_rows[entry["image_id"]] for entry in entries], int),
        "label": np.array([class_rows[entry["category_id"]] for entry in entries], int),
        "box": np.array([entry["bbox"] for entry in entries], float).reshape(-1, 4),
    }


class CandidatePairs(NamedTuple):
    """Detections and objects of one image that overlap, in the order in which COCO tries them.

    That order: by detection, objects before crowds, by falling IoU; of equal ones the later object first.

    Attributes:
      found, truth: int [P], rows of the detection and of the object.
      iou: float [P]; for a crowd the share of the detection that lies in it.
      is_same_class: bool [P].
    """

    found: Ints
    truth: Ints
    iou: Floats
    is_same_class: Bools

    def where(self, mask: Bools) -> "CandidatePairs":
        """Some of them, in the same order."""
        return CandidatePairs(*(values[mask] for values in self))


def overlapping_pairs(split: ScoredSplit, *, least: float) -> CandidatePairs:
    """All pairs with an IoU of at least ``least``; a crowd pairs only with detections of its class."""
    found, truth = split.found, split.truth
    rows = np.arange(len(split.images) + 1)
    found_edges, truth_edges = np.searchsorted(found.image, rows), np.searchsorted(truth.image, rows)
    parts = [(np.zeros(0, int), np.zeros(0, int), np.zeros(0))]
    for image in rows[:-1]:
        some = slice(found_edges[image], found_edges[image + 1])
        there = slice(truth_edges[image], truth_edges[image + 1])
        iou = _iou(found.box[some], truth.box[there], truth.is_crowd[there])
        first, second = np.nonzero(iou >= least)
        parts.append((first + some.start, second + there.start, iou[first, second]))
    pairs_found, pairs_truth, iou = (np.concatenate(column) for column in zip(*parts, strict=True))
    is_crowd, is_same = truth.is_crowd[pairs_truth], found.label[pairs_found] == truth.label[pairs_truth]
    order = np.lexsort((-pairs_truth, -iou, is_crowd, pairs_found))
    return CandidatePairs(pairs_found, pairs_truth, iou, is_same).where(order[(is_same | ~is_crowd)[order]])


def _iou(found: Floats, truth: Floats, is_crowd: Bools) -> Floats:
    """IoU [D, N] in the very order of pycocotools' operations (maskApi.c, bbIou), so that ties fall alike."""
    right = np.minimum(found[:, None, :2] + found[:, None, 2:], truth[None, :, :2] + truth[None, :, 2:])
    sides = np.maximum(right - np.maximum(found[:, None, :2], truth[None, :, :2]), 0)
    shared = sides[..., 0] * sides[..., 1]
    area, true_area = found[:, 2:].prod(axis=1)[:, None], truth[:, 2:].prod(axis=1)
    whole = np.where(is_crowd, area, area + true_area - shared)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


@dataclass(frozen=True, kw_only=True)
class DetectionMatches:
    """What became of D detections.

    Attributes:
      taken: int [D], row of the object that a detection found; -1 for none.
      is_ignored: bool [D], neither right nor wrong.
    """

    taken: Ints
    is_ignored: Bools

    @property
    def is_hit(self) -> Bools:
        """bool [D]: found an object."""
        return (self.taken >= 0) & ~self.is_ignored

    @property
    def is_false(self) -> Bools:
        """bool [D]: found nothing."""
        return (self.taken < 0) & ~self.is_ignored

    def found_objects(self, truth: GroundTruth, kept: Bools) -> Bools:
        """bool [N]: objects that the kept detections found."""
        found = np.zeros(len(truth.label), bool)
        found[self.taken[self.is_hit & kept]] = True
        return found


def match_detections(split: ScoredSplit, pairs: CandidatePairs, *, iou: float) -> DetectionMatches:
    """Matches by COCO's rule among these pairs; classes part only where the pairs do."""
    near = pairs.where(pairs.iou >= iou)
    is_crowd = split.truth.is_crowd.tolist()
    taken = [-1] * len(split.found.label)
    is_free = [True] * len(is_crowd)
    for detection, item in zip(near.found.tolist(), near.truth.tolist(), strict=True):
        if taken[detection] < 0 and is_free[item]:
            taken[detection] = item
            is_free[item] = is_crowd[item]
    rows = np.array(taken, int)
    return DetectionMatches(taken=rows, is_ignored=(rows >= 0) & np.array([*is_crowd, False], bool)[rows])
