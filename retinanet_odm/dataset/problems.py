"""Problems of a data set: the lines of ``problems.jsonl``.

Begin with `make_problem`, which builds a `Problem` from its code: every reason of a reject, and every problem that a
check finds, is a code in `problem_codes.CATALOGUE`. The `from_…` functions convert the results of the checks.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from retinanet_odm.dataset.anchor_coverage import find_anchor_gap, gap_remedy
from retinanet_odm.dataset.leakage import DuplicateGroup, Leakage
from retinanet_odm.dataset.problem_codes import CATALOGUE, SEVERITIES
from retinanet_odm.dataset.splits import TRAIN_SPLIT
from retinanet_odm.dataset.statistics import BoxStatistics
from retinanet_odm.labels.checks import ERROR, WARNING, LabelProblem
from retinanet_odm.wording import plural

# Of the images that a held-out split was to have: it is drawn by the names of images, and misses its share by chance.
_SHARE_TOLERANCE = 0.2

# The kind of a problem that concerns one object: the image is kept without that object.
OBJECT_PROBLEM = "object"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One line of problems.jsonl; the field names are its keys.

    Attributes:
      code: a key of CATALOGUE.
      severity: ERROR, WARNING or INFO.
      file: the file to correct.
      line: the line in that file, counted from 1; None if it is not known.
      image: the image's name; "" if the problem concerns no image.
      object: the label of the object; "" if the problem concerns no object.
      value: the observed value.
      detail: the problem, in one sentence.
      suggestion: what to do about it.
    """

    code: str
    severity: str
    file: str = ""
    line: int | None = None
    image: str = ""
    object: str = ""
    value: str = ""
    detail: str
    suggestion: str


def make_problem(
    code: str,
    detail: str,
    *,
    kind: str = "",
    file: str = "",
    line: int | None = None,
    image: str = "",
    label: str = "",
    value: str = "",
) -> Problem:
    """Make a problem with the severity and the suggestion of the catalogue.

    Args:
      code: a key of CATALOGUE.
      detail: the problem, in one sentence.
      kind: what was rejected, as in rejected.jsonl. If it is an object, its image is kept: at most a warning.
      file: the file to correct.
      line: the line in that file.
      image: the image's name.
      label: the label of the object.
      value: the observed value.

    Example:
      >>> make_problem("zero_size_box", "a.jpg: 'crab' has no width", image="a.jpg").severity
      'warning'
    """
    # A KeyError here is a bug: every reason must be in the catalogue (tests/retinanet_odm/dataset/test_problems.py).
    severity, suggestion = CATALOGUE[code]
    if kind == OBJECT_PROBLEM and severity == ERROR:
        severity = WARNING
    return Problem(
        code=code,
        severity=severity,
        file=file,
        line=line,
        image=image,
        object=label,
        value=value,
        detail=detail,
        suggestion=suggestion,
    )


def from_label_problem(found: LabelProblem) -> Problem:
    """Convert a problem of the label checks; its own suggestion names the labels."""
    return Problem(
        code=found.code,
        severity=found.severity,
        object=found.label,
        value=f"{found.count} {plural('box', found.count)}",
        detail=found.detail,
        suggestion=found.suggestion,
    )


def from_statistics(statistics: BoxStatistics) -> Iterator[Problem]:
    """Find images without boxes or with too many."""
    if empty := statistics.boxes_per_image[0]:
        detail = f"{empty} of {statistics.images} images have no object ({empty / statistics.images:.1%})"
        yield make_problem("images_without_objects", detail, value=f"{empty / statistics.images:.1%}")
    for boxes, name in statistics.crowded:
        yield make_problem("too_many_boxes", f"{name}: {boxes} {plural('box', boxes)}", image=name, value=str(boxes))


def from_anchor_coverage(training: BoxStatistics) -> Iterator[Problem]:
    """Find classes whose boxes no anchor of the trainer's default preset fits.

    Args:
      training: statistics of the training split: the trainer judges the same boxes with the same anchors.
    """
    found = (find_anchor_gap(name, row.boxes, row.reached_by_canvas) for name, row in sorted(training.classes.items()))
    gaps = [gap for gap in found if gap]
    for gap in gaps:
        value = f"{gap.reached / gap.boxes:.1%}"
        problem = make_problem("low_anchor_recall", gap.describe(), label=gap.name, value=value)
        # One flag for all classes: the trainer takes it once.
        yield dataclasses.replace(problem, suggestion=gap_remedy(gaps))


def from_splits(boxes_per_class: Mapping[str, Mapping[str, int]]) -> Iterator[Problem]:
    """Find classes without a box in some split: they are not learned, or not evaluated.

    Args:
      boxes_per_class: boxes by class name, by split. Splits without any box are ignored.
    """
    # A split without any box is empty, or holds true negatives only: it says nothing about classes.
    filled = {split: classes for split, classes in boxes_per_class.items() if any(classes.values())}
    if TRAIN_SPLIT not in filled:
        return
    for name in sorted({name for classes in filled.values() for name, count in classes.items() if count}):
        # A class that is not in training is reported once, for training, and not again for each split that lacks it.
        trained = bool(filled[TRAIN_SPLIT].get(name))
        for split, classes in filled.items():
            if not classes.get(name) and (trained or split == TRAIN_SPLIT):
                effect = "cannot be learned" if split == TRAIN_SPLIT else "is not evaluated there"
                detail = f"split {split!r} has no box of {name!r}: the class {effect}"
                yield make_problem("split_without_class", detail, label=name, value=split)


def from_split_shares(examples: Mapping[str, int], fractions: Mapping[str, float]) -> Iterator[Problem]:
    """Find held-out splits whose share of the images is not what was asked for.

    Args:
      examples: images by split.
      fractions: of the splits, as asked for.
    """
    total = sum(examples.values())
    for split, fraction in fractions.items():
        found, expected = examples.get(split, 0), round(fraction * total)
        # Of fewer than one image, nothing was to be expected.
        if split != TRAIN_SPLIT and abs(found - expected) > _SHARE_TOLERANCE * expected and expected:
            detail = f"split {split!r} has {found} of {total} images, where {fraction:.0%} are {expected}"
            yield make_problem("split_share_differs", detail, label=split, value=f"{found / total:.1%}")


def from_leakage(leakage: Leakage) -> Iterator[Problem]:
    """Find groups of equal files, and held-out splits that have near duplicates in training."""
    for group in leakage.across.examples:
        yield _equal_files("exact_duplicate_across_splits", group)
    for group in leakage.within.examples:
        yield _equal_files("duplicate_within_split", group)
    for held in leakage.held_out:
        if held.near:
            example = "".join(f", such as {pair.name} and {pair.train_name}" for pair in held.examples[:1])
            detail = (
                f"{held.near} of the {held.images} images of split {held.split!r} nearly equal one in training{example}"
            )
            yield make_problem("near_duplicate_across_splits", detail, value=str(held.near))


def _equal_files(code: str, group: DuplicateGroup) -> Problem:
    detail = f"{group.images} equal files: {describe_duplicates(group)}"
    return make_problem(code, detail, image=group.members[0][1], value=str(group.images))


def describe_duplicates(group: DuplicateGroup) -> str:
    """List the names of equal files, each with its split."""
    named = ", ".join(f"{name} ({split})" for split, name in group.members)
    more = group.images - len(group.members)
    return f"{named} and {more:,} more" if more > 0 else named


def sort_problems(problems: Iterable[Problem]) -> list[Problem]:
    """Sort problems: the most severe first, then by code and position; the order of arrival does not matter."""
    return sorted(problems, key=_order)


def _order(problem: Problem) -> tuple[int | str, ...]:
    # All fields take part, so that the order is complete and the file is the same in every run.
    position = problem.image, problem.file, problem.line or 0, problem.object, problem.value
    return SEVERITIES.index(problem.severity), problem.code, *position, problem.detail, problem.suggestion


def format_problems(problems: Iterable[Problem]) -> str:
    """Format problems.jsonl: one JSON object per line."""
    lines = (json.dumps(dataclasses.asdict(problem), ensure_ascii=False) for problem in sort_problems(problems))
    return "".join(f"{line}\n" for line in lines)


def parse_problems(text: str) -> list[Problem]:
    """Parse the content of problems.jsonl that format_problems returned."""
    # Not splitlines: a file name may contain one of the many other line breaks of Unicode.
    return [Problem(**json.loads(line)) for line in text.split("\n") if line]


def worst_severity(problems: Iterable[Problem]) -> str | None:
    """Return the severity of the most severe problem; None if there is none.

    Example:
      >>> worst_severity([make_problem("no_objects", "a.jpg"), make_problem("image_empty", "b.jpg")])
      'error'
    """
    return min((problem.severity for problem in problems), key=SEVERITIES.index, default=None)
