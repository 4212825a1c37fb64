"""Everything that can be wrong with a data set, in one vocabulary: code, severity, place, what was seen, what to do."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from retinanet_odm.dataset.leakage import DuplicateGroup, Leakage
from retinanet_odm.dataset.statistics import CANVASES, MAX_BOXES_PER_CLASS, BoxStatistics
from retinanet_odm.labels.checks import ERROR, RARE_BELOW, SUGGESTIONS, WARNING, LabelProblem

INFO = "info"
SEVERITIES = (ERROR, WARNING, INFO)  # the worst first

# The kind of a problem of one object: without it the image is kept.
OBJECT_PROBLEM = "object"

# Below this share of boxes with an anchor of IoU 0.5, the sizes of boxes and anchors are at odds.
MIN_ANCHOR_RECALL = 0.9

_TRAIN = "train"

_FIX = "export it again from the annotation tool, or mend it by hand"

# What to do, by code. An image that is left out is an error, and so is a file that cannot be read.
_ERRORS = {
    "ambiguous_match": "give each annotation once, in one format, or rename the images",
    "annotation_empty": "the annotation file has no content: export it again",
    "annotation_kind_unknown": "narrow the pattern of --annotations, or export as Pascal VOC, CVAT 1.1 or COCO",
    "coco_id_not_readable": f"ids are whole numbers: {_FIX}",
    "coco_id_twice": f"two entries have one id: {_FIX}",
    "coco_unknown_category": f"the object's category is not in the file: {_FIX}",
    "coco_unknown_image": f"an annotation names an image that is not in the file: {_FIX}",
    "coco_without_name": f"an image or a category has no name: {_FIX}",
    "duplicate_image_name": "use one pattern above both folders, so that the names differ by them",
    "exact_duplicate_across_splits": "keep one of the files, or both in one split by --split_group or --split_from",
    "file_changed": "the file was replaced while the job ran: run again, with --resume",
    "file_not_readable": "look at permissions and storage, then run again",
    "frame_missing_in_track": "export the video's task with all frames",
    "image_empty": "the file has 0 bytes: copy it again",
    "image_not_decodable": "copy the file again; if it is no photograph, narrow the pattern of --images",
    "image_without_annotation": "add the annotation, or one without objects, or see --without_annotation",
    "image_without_name": f"an image of the file has no name: {_FIX}",
    "json_not_well_formed": "the file is broken or cut off: export it again",
    "mask_not_readable": f"a mask cannot be decoded: {_FIX}",
    "no_labels": "annotate at least one object, or give a label map by --labels",
    "no_split_group": "mend the rule of --split_group, so that it finds a group in every image's name",
    "not_coco": "export as COCO instances, with images, annotations and categories",
    "not_in_split_list": "add a row for the image to the file of --split_from",
    "not_pascal_voc": "export as Pascal VOC, CVAT 1.1 or COCO",
    "number_not_readable": f"a coordinate is missing or no number: {_FIX}",
    "object_without_box": "draw a box or an outline, or delete the object",
    "object_without_label": "give the object a name, or delete it",
    "points_not_readable": f"a coordinate of an outline is missing or no number: {_FIX}",
    "same_label_twice": "keep one spelling, and name the other in --label_aliases",
    "shape_not_known": "draw the shape again as a box or a polygon",
    "size_mismatch": "give the version of the photograph that was annotated, or annotate this one",
    "too_many_images": "prepare the images in parts of at most 16,777,216",
    "unknown_label": "correct the annotation, add the name to --labels, or name it in --label_aliases",
    "video_of_images": "export the video's task as CVAT for video 1.1",
    "video_too_long": "cut the video into shorter tasks",
    "xml_declares_entities": "annotation tools declare no entities: export it again",
    "xml_not_well_formed": "the file is broken or cut off: export it again",
    "xml_root_unexpected": "export as Pascal VOC, CVAT 1.1 or COCO",
    "zip_member_not_readable": "the archive is broken, or of a form that is not read: pack it again, or unpack it",
}
_WARNINGS = {
    **SUGGESTIONS,
    "annotation_without_image": "look for a misnamed or missing photograph, or a too narrow pattern of --images",
    "box_below_minimum": "nothing, if boxes so small are wanted out; else lower the minimum",
    "box_outside_image": "correct or delete the box; it may belong to another photograph",
    "duplicate_within_split": "keep one of the files: the same picture counts twice",
    "low_anchor_recall": "train with a larger --image_size; or, for small boxes, with a smaller --anchor_scale, and for"
    " long ones with further --aspect_ratios",
    "near_duplicate_across_splits": "keep neighbouring frames in one split: prepare with --split_group",
    "size_scaled": "look at the boxes in the pictures of report.html: they were scaled to the photograph",
    "size_turned": "look at the boxes in the pictures of report.html: the annotator saw the photograph turned",
    "split_without_class": "annotate more of the class, or choose other splits by --split_group or --split_from",
    "too_many_boxes": f"the legacy TPU loader stops at more than {MAX_BOXES_PER_CLASS} boxes: cut the photograph into tiles, or"
    " train with this program",
    "zero_size_box": "draw the box again, or delete it",
}
_NOTES = {
    "boxes_clipped": "nothing: what lay outside the photograph was cut off",
    "no_objects": "nothing: --negatives=drop asks for it",
    "shapes_ignored": "nothing, unless you want to find them: then draw boxes or outlines",
}
CATALOGUE: Mapping[str, tuple[str, str]] = {
    code: (severity, suggestion)
    for severity, entries in ((ERROR, _ERRORS), (WARNING, _WARNINGS), (INFO, _NOTES))
    for code, suggestion in entries.items()
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing to look at: a line of problems.jsonl.

    Attributes:
      code: short stable word, of the catalogue.
      severity: ERROR, WARNING or INFO.
      file: where to mend it; line: in that file, counted from 1, where it is known.
      image: the image's name; object: the label of the object. Both "" where they do not apply.
      value: what was seen.
      detail: what is wrong, in one sentence.
      suggestion: what to do.
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
    """A problem with the severity and the suggestion of the catalogue.

    Args:
      code: of the catalogue; detail and the others: see Problem.
      kind: what was left out, as in rejected.jsonl. Where it is an object, its image is kept: a warning at most.
      label: of the object.
    """
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


def from_label_problem(finding: LabelProblem) -> Problem:
    """What the label doctor found; its suggestion names the very labels."""
    return Problem(
        code=finding.code,
        severity=finding.severity,
        object=finding.label,
        value=_boxes(finding.count),
        detail=finding.detail,
        suggestion=finding.suggestion,
    )


def from_statistics(statistics: BoxStatistics) -> Iterator[Problem]:
    """Images with too many boxes, and classes whose boxes the anchors do not fit on the trainer's default canvas."""
    for boxes, name in statistics.crowded:
        yield make_problem("too_many_boxes", f"{name}: {_boxes(boxes)}", image=name, value=str(boxes))
    for name, counts in sorted(statistics.classes.items()):
        share = counts.recall(CANVASES[0])
        if counts.boxes >= RARE_BELOW and share < MIN_ANCHOR_RECALL:  # of fewer boxes, a share says nothing
            enough = next((canvas for canvas in CANVASES if counts.recall(canvas) >= MIN_ANCHOR_RECALL), None)
            cure = f"enough are from --image_size={enough} on" if enough else f"too few even at {CANVASES[-1]}"
            detail = (
                f"only {share:.1%} of the boxes of {name!r} can be matched by an anchor at --image_size={CANVASES[0]};"
                f" {cure}"
            )
            yield make_problem("low_anchor_recall", detail, label=name, value=f"{share:.1%}")


def from_splits(boxes_per_class: Mapping[str, Mapping[str, int]]) -> Iterator[Problem]:
    """Classes that a split lacks, so that they are not learned, or not judged.

    Args:
      boxes_per_class: boxes by class name, by split. A split without any box is passed over.
    """
    filled = {split: classes for split, classes in boxes_per_class.items() if any(classes.values())}
    if _TRAIN not in filled:
        return
    for name in sorted({name for classes in filled.values() for name, count in classes.items() if count}):
        trained = bool(filled[_TRAIN].get(name))
        for split, classes in filled.items():
            if not classes.get(name) and (trained or split == _TRAIN):
                effect = "cannot be learned" if split == _TRAIN else "is not judged there"
                detail = f"split {split!r} has no box of {name!r}: the class {effect}"
                yield make_problem("split_without_class", detail, label=name, value=split)


def from_leakage(leakage: Leakage) -> Iterator[Problem]:
    """Equal files, by group, and how many images of each held-out split have nearly equal ones in training."""
    for group in leakage.across.examples:
        yield _equal_files("exact_duplicate_across_splits", group)
    for group in leakage.within.examples:
        yield _equal_files("duplicate_within_split", group)
    for held in leakage.held_out:
        if held.near:
            first = "".join(f", such as {twin.name} and {twin.train_name}" for twin in held.examples[:1])
            detail = (
                f"{held.near} of the {held.images} images of split {held.split!r} nearly equal one of training{first}"
            )
            yield make_problem("near_duplicate_across_splits", detail, value=str(held.near))


def _equal_files(code: str, group: DuplicateGroup) -> Problem:
    detail = f"{group.images} equal files: {describe_duplicates(group)}"
    return make_problem(code, detail, image=group.members[0][1], value=str(group.images))


def describe_duplicates(group: DuplicateGroup) -> str:
    """Equal files by name, each with its split."""
    named = ", ".join(f"{name} ({split})" for split, name in group.members)
    more = group.images - len(group.members)
    return f"{named} and {more:,} more" if more > 0 else named


def _boxes(count: int) -> str:
    return f"{count} box" if count == 1 else f"{count} boxes"


def sort_problems(problems: Iterable[Problem]) -> list[Problem]:
    """The worst first, then by code and place, whatever the order of arrival."""
    return sorted(problems, key=_order)


def _order(problem: Problem) -> tuple[int | str, ...]:
    place = problem.image, problem.file, problem.line or 0, problem.object, problem.value
    return SEVERITIES.index(problem.severity), problem.code, *place, problem.detail, problem.suggestion


def format_problems(problems: Iterable[Problem]) -> str:
    """problems.jsonl: one JSON object a line."""
    lines = (json.dumps(dataclasses.asdict(problem), ensure_ascii=False) for problem in sort_problems(problems))
    return "".join(f"{line}\n" for line in lines)


def parse_problems(text: str) -> list[Problem]:
    """Inverse of format_problems, for a file that this program has written."""
    # Not splitlines: a file name may hold one of the many other characters that Unicode calls a line break.
    return [Problem(**json.loads(line)) for line in text.split("\n") if line]


def worst_severity(problems: Iterable[Problem]) -> str | None:
    """The severity of the worst problem; None where there is none."""
    return min((problem.severity for problem in problems), key=SEVERITIES.index, default=None)
