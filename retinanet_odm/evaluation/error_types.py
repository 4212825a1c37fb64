"""What goes wrong: kinds of false and missing detections, what mending each would bring, and who is taken for whom.

In the manner of TIDE (Bolya et al. 2020, arXiv:2008.08115), with its bounds of IoU. There a detection may be of two
kinds, and the order of the tests decides; here the object that it overlaps most decides.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from retinanet_odm.evaluation.average_precision import average_precisions, mean_of_known, rank_classes
from retinanet_odm.evaluation.matching import (
    Bools,
    CandidatePairs,
    DetectionMatches,
    Floats,
    GroundTruth,
    Ints,
    ScoredSplit,
    match_detections,
)

HIT_IOU = 0.5  # TIDE section 2.2, t_f: from here on a detection has found the object
NEAR_IOU = 0.1  # t_b: below, it is about something else


class ErrorKind(IntEnum):
    """Why a detection is false."""

    NONE = 0  # it is right, or does not count
    LOCALISATION = 1  # the right class, the box too far off
    CLASSIFICATION = 2  # on an object, of another class
    BOTH = 3  # near an object of another class
    DUPLICATE = 4  # on an object that a higher score has found
    BACKGROUND = 5  # near nothing


@dataclass(frozen=True, kw_only=True)
class ErrorTypes:
    """Kinds of the false detections, and the objects that they are about.

    Attributes:
      kind: int [D], a Kind.
      nearest: int [D], the object that a detection overlaps most, -1 for none from NEAR_IOU on.
    """

    kind: Ints
    nearest: Ints

    def spotted(self, kept: Bools, truth: GroundTruth) -> Bools:
        """bool [N]: objects that a kept detection is about, but with a wrong box or a wrong class."""
        is_about = np.isin(self.kind, (ErrorKind.LOCALISATION, ErrorKind.CLASSIFICATION)) & kept
        spotted = np.zeros(len(truth.label), bool)
        spotted[self.nearest[is_about]] = True
        return spotted


def find_error_types(split: ScoredSplit, pairs: CandidatePairs, matches: DetectionMatches) -> ErrorTypes:
    """The kind of every false detection.

    Args:
      pairs: of an IoU of NEAR_IOU or more, of all classes.
      matches: within classes, at HIT_IOU.
    """
    nearest, overlap = _nearest(split, pairs)
    label = np.append(split.truth.label, -1)[nearest]
    is_same, is_on = label == split.found.label, overlap >= HIT_IOU
    kind = np.select(
        [~matches.is_false, nearest < 0, is_on & is_same, is_on, is_same],
        [ErrorKind.NONE, ErrorKind.BACKGROUND, ErrorKind.DUPLICATE, ErrorKind.CLASSIFICATION, ErrorKind.LOCALISATION],
        ErrorKind.BOTH,
    )
    return ErrorTypes(kind=kind, nearest=nearest)


def _nearest(split: ScoredSplit, pairs: CandidatePairs) -> tuple[Ints, Floats]:
    """The object [D] that each detection overlaps most, -1 for none, and the IoU [D]."""
    objects = pairs.where(~split.truth.is_crowd[pairs.truth])
    found, first = np.unique(objects.found, return_index=True)  # pairs of a detection are in falling order
    nearest, overlap = np.full(len(split.found.label), -1), np.zeros(len(split.found.label))
    nearest[found], overlap[found] = objects.truth[first], objects.iou[first]
    return nearest, overlap


def average_precision_50(split: ScoredSplit, matches: DetectionMatches) -> float | None:
    """AP50 over classes, with the objects that are no crowd; None without any."""
    sizes = {"images": len(split.images), "classes": len(split.classes)}
    rankings = rank_classes(split.truth, split.found, [matches], **sizes)
    return mean_of_known(average_precisions(rankings, np.ones(len(split.images))))


def fixed_average_precision(
    split: ScoredSplit, matches: DetectionMatches, mistakes: ErrorTypes, kind: ErrorKind
) -> float | None:
    """AP50 if no detection had this fault: a wrong box or class is put right, the others vanish."""
    faulty = mistakes.kind == kind
    taken, label = matches.taken.copy(), split.found.label.copy()
    if kind in (ErrorKind.LOCALISATION, ErrorKind.CLASSIFICATION):
        right = _first_at_free_objects(matches, mistakes, faulty)
        taken[right] = mistakes.nearest[right]
        label[right] = split.truth.label[taken[right]]
        faulty[right] = False
    mended = DetectionMatches(taken=taken, is_ignored=matches.is_ignored | faulty)
    return average_precision_50(replace(split, found=replace(split.found, label=label)), mended)


def _first_at_free_objects(matches: DetectionMatches, mistakes: ErrorTypes, faulty: Bools) -> Ints:
    """Rows of the highest-scored faulty detection at each object that none has found."""
    is_free = ~np.isin(mistakes.nearest, matches.taken[matches.is_hit])
    rows = np.flatnonzero(faulty & is_free)
    _, first = np.unique(mistakes.nearest[rows], return_index=True)  # an image's detections are by falling score
    return rows[first]


def precision_without_missed(split: ScoredSplit, matches: DetectionMatches, missed: Bools) -> float | None:
    """AP50 if the missed objects were not there."""
    uncounted = replace(split.truth, is_crowd=split.truth.is_crowd | missed)
    return average_precision_50(replace(split, truth=uncounted), matches)


def confusion_matrix(split: ScoredSplit, pairs: CandidatePairs, kept: Bools) -> Ints:
    """Counts [K + 1, K + 1] by true (row) and found (column) class; the last of each is "nothing".

    Detections take objects of any class. The row of a class adds up to its objects; the last row holds what was found
    where nothing is.
    """
    matches = match_detections(split, pairs.where(kept[pairs.found]), iou=HIT_IOU)
    nothing = len(split.classes)
    hits, false = matches.is_hit, matches.is_false & kept
    missed = split.truth.label[~split.truth.is_crowd & ~matches.found_objects(split.truth, kept)]
    true = [split.truth.label[matches.taken[hits]], np.full(np.count_nonzero(false), nothing), missed]
    found = [split.found.label[hits], split.found.label[false], np.full(len(missed), nothing)]
    matrix = np.zeros((nothing + 1, nothing + 1), int)
    np.add.at(matrix, (np.concatenate(true), np.concatenate(found)), 1)
    return matrix
