"""Problems of a data set: the catalogue of all codes, and the lines of ``problems.jsonl``.

Begin with `CATALOGUE`: every reason of a reject, and every problem that a check finds, is a code with a severity and a
suggestion there. `make_problem` builds a `Problem` from it; the `from_…` functions convert the results of the checks.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from retinanet_odm.dataset.leakage import DuplicateGroup, Leakage
from retinanet_odm.dataset.statistics import CANVASES, MAX_BOXES_PER_IMAGE, BoxStatistics
from retinanet_odm.labels.checks import ERROR, RARE_BELOW, SUGGESTIONS, WARNING, LabelProblem

INFO = "info"
SEVERITIES = (ERROR, WARNING, INFO)  # the most severe first

# The kind of a problem that concerns one object: the image is kept without that object.
OBJECT_PROBLEM = "object"

# The minimum fraction of a class's boxes that have an anchor of IoU 0.5. Below it, anchors do not fit the boxes.
MIN_ANCHOR_RECALL = 0.9

_TRAIN = "train"

_FIX = "export the file again from the annotation tool, or correct it manually"

# What to do, by code. An image that is rejected is an error, and so is a file that cannot be read.
_ERRORS = {
    "avif_not_supported": "install Pillow 11.3 or later, or convert the images",
    "ambiguous_match": "give each annotation once, in one format, or rename the images",
    "annotation_empty": "the annotation file has no content: export it again",
    "annotation_kind_unknown": "narrow the pattern of --annotations, or export in a format that docs/dataset.md lists",
    "annotators_differ": "keep one annotation of the image, or mark one as ground truth",
    "coco_id_not_readable": f"ids must be integers or text: {_FIX}",
    "coco_id_twice": f"two entries have the same id: {_FIX}",
    "coco_unknown_category": f"the category of an object is not in the file: {_FIX}",
    "coco_unknown_image": f"the image of an annotation is not in the file: {_FIX}",
    "coordinates_are_corners": "write each bbox as [x, y, width, height]",
    "coordinates_not_relative": "write the boxes as fractions of the width and height of the image",
    "coordinates_relative": "write the boxes in pixels: multiply by the width and height of the image",
    "coco_without_name": f"an image or a category has no name: {_FIX}",
    "class_names_not_readable": "write names: [first, second, …] into data.yaml, or a name in each line of classes.txt",
    "class_without_name": "give the file with the names of the classes, such as data.yaml, by --annotations",
    "csv_not_well_formed": "the file is corrupt or truncated: export it again",
    "duplicate_image_name": "use one pattern above both folders, so that the names differ by the folder",
    "element_misplaced": f"an object, or a part of it, is not where the format has it: {_FIX}",
    "element_repeated": f"a part of the file that must be there once is repeated: {_FIX}",
    "exact_duplicate_across_splits": "keep one of the files, or both in one split by --split_group or --split_from",
    "file_changed": "the file was replaced during the job: run again, with --resume",
    "file_not_readable": "check permissions and storage, then run again",
    "flag_not_readable": f"a value must be 0 or 1: {_FIX}",
    "frame_missing_in_track": "export the video task with all frames",
    "git_lfs_pointer": "run git lfs pull where the images were cloned",
    "heif_not_supported": "pip install 'retinanet-odm[heif]', or convert the images to JPEG",
    "image_empty": "the file has 0 bytes: copy it again",
    "image_is_raw": "convert the raw image to TIFF or JPEG, at the size that was annotated",
    "image_not_annotated": "annotate the image, or leave it out: it was skipped, or only predicted",
    "image_not_decodable": "copy the file again; if it is not an image, narrow the pattern of --images",
    "image_turned": "annotate the image as it is stored: the annotation tool had turned it",
    "image_without_annotation": "add the annotation, or one without objects, or see --without_annotation",
    "image_without_name": f"an image in the file has no name: {_FIX}",
    "json_not_well_formed": "the file is corrupt or truncated: export it again",
    "label_ambiguous": "leave one attribute that names the species of a region, or name it label",
    "mask_not_readable": f"a mask cannot be decoded: {_FIX}",
    "no_labels": "annotate at least one object, or give a label map by --labels",
    "no_usable_box": "draw the boxes again, or delete them; they may belong to another image",
    "no_split_group": "change the rule of --split_group, so that it finds a group in the name of every image",
    "not_coco": "export as COCO instances, with images, annotations and categories",
    "not_in_split_list": "add a row for the image to the file of --split_from",
    "not_pascal_voc": "export as Pascal VOC, CVAT 1.1 or COCO",
    "number_not_readable": f"a coordinate is missing or not a number: {_FIX}",
    "object_without_box": "draw a box or an outline, or delete the object",
    "object_without_label": "give the object a name, or delete it",
    "points_not_readable": f"a coordinate of an outline is missing or not a number: {_FIX}",
    "predictions_not_accepted": "give --min_score to learn from predictions, or annotate the images",
    "same_label_twice": "keep one spelling, and map the other to it by --label_aliases",
    "segmented_without_objects": "export as CVAT for images or COCO, which hold outlines and masks",
    "shape_not_known": "draw the shape again as a box or a polygon",
    "structure_unexpected": f"the file is not as its tool writes it: {_FIX}",
    "size_mismatch": "give the version of the image that was annotated, or annotate this one",
    "too_many_images": "prepare the images in parts of at most 16,777,216",
    "track_without_end": "end the track on the first frame without its object, and export with all frames",
    "unknown_label": "correct the annotation, add the name to --labels, or map it by --label_aliases",
    "video_of_images": "export the task as CVAT for images 1.1",
    "video_too_long": "cut the video into shorter tasks",
    "xml_declares_entities": "annotation tools declare no entities: export it again",
    "xml_not_well_formed": "the file is corrupt or truncated: export it again",
    "xml_root_unexpected": "export as Pascal VOC, CVAT 1.1 or COCO",
    "zip_member_not_readable": "the archive is corrupt or has an unsupported form: create it again, or unpack it",
}
# Nothing is rejected, but the data may not be what the user thinks.
_WARNINGS = {
    **SUGGESTIONS,
    "annotation_without_image": "check for a misspelt or missing image, or a pattern of --images that is too narrow",
    "box_below_minimum": "nothing, if such small boxes are to be dropped; otherwise lower the minimum",
    "box_swapped": "nothing if report.html shows the boxes in the right places; else correct them",
    "box_outside_image": "correct or delete the box; it may belong to another image",
    "duplicate_within_split": "keep one of the files: the same image counts twice",
    "image_without_contrast": "look at the image: the lens was covered, the lamp failed, or the pixels were misread",
    "images_passed_over": "to use them, convert images to JPEG, PNG or TIFF, cut videos into frames, unpack archives",
    "low_anchor_recall": "train with a larger --image_size; or, for small boxes, with a smaller --anchor_scale, and for"
    " long ones with more --aspect_ratios",
    "near_duplicate_across_splits": "keep neighbouring frames in one split: prepare with --split_group",
    "paired_across_folders": "check that these annotations are of these images, and give both the same folders",
    "paired_by_filename": "nothing if these annotations are of these images; rename the files like their images",
    "shapes_ignored": "draw boxes or outlines if these objects are to be detected: without a box they are background",
    "size_scaled": "check the boxes in the images of report.html: they were scaled to the image",
    "size_turned": "check the boxes in the images of report.html: the annotated image was rotated",
    "split_without_class": "annotate more of the class, or choose other splits by --split_group or --split_from",
    "too_many_boxes": f"the legacy TPU loader stops at more than {MAX_BOXES_PER_IMAGE} boxes: cut the image into tiles,"
    " or train with this program",
    "track_end_assumed": "check whether the object is on the last frame",
    "zero_size_box": "draw the box again, or delete it; tools that round to pixels make thin boxes vanish",
}
# For information: what was asked for, or what is usual.
_NOTES = {
    "boxes_clipped": "nothing: the parts outside the image were removed",
    "files_passed_over": "nothing, if these files are neither images nor annotations",
    "images_without_objects": "nothing, if these images show none; otherwise annotate them: they are learned as empty",
    "pixels_scaled": "nothing, if the image looks right: its pixels were not 8-bit and were converted",
    "no_objects": "nothing: --negatives=drop requests it",
    "tags_ignored": "nothing: tags of images and parts of objects are not detected",
}
CATALOGUE: Mapping[str, tuple[str, str]] = {
    code: (severity, suggestion)
    for severity, entries in ((ERROR, _ERRORS), (WARNING, _WARNINGS), (INFO, _NOTES))
    for code, suggestion in entries.items()
}


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
        value=_boxes(found.count),
        detail=found.detail,
        suggestion=found.suggestion,
    )


def from_statistics(statistics: BoxStatistics) -> Iterator[Problem]:
    """Find images without or with too many boxes, and classes whose boxes no anchor fits on the default canvas."""
    if empty := statistics.boxes_per_image[0]:
        detail = f"{empty} of {statistics.images} images have no object ({empty / statistics.images:.1%})"
        yield make_problem("images_without_objects", detail, value=f"{empty / statistics.images:.1%}")
    for boxes, name in statistics.crowded:
        yield make_problem("too_many_boxes", f"{name}: {_boxes(boxes)}", image=name, value=str(boxes))
    for name, counts in sorted(statistics.classes.items()):
        recall = counts.recall(CANVASES[0])
        if counts.boxes >= RARE_BELOW and recall < MIN_ANCHOR_RECALL:  # of fewer boxes, a fraction means nothing
            # The smallest canvas on which enough boxes have an anchor, as the remedy.
            enough = next((canvas for canvas in CANVASES if counts.recall(canvas) >= MIN_ANCHOR_RECALL), None)
            remedy = f"enough from --image_size={enough} on" if enough else f"too few even at {CANVASES[-1]}"
            detail = (
                f"only {recall:.1%} of the boxes of {name!r} can be matched by an anchor at"
                f" --image_size={CANVASES[0]}; {remedy}"
            )
            yield make_problem("low_anchor_recall", detail, label=name, value=f"{recall:.1%}")


def from_splits(boxes_per_class: Mapping[str, Mapping[str, int]]) -> Iterator[Problem]:
    """Find classes without a box in some split: they are not learned, or not evaluated.

    Args:
      boxes_per_class: boxes by class name, by split. Splits without any box are ignored.
    """
    # A split without any box is empty, or holds true negatives only: it says nothing about classes.
    filled = {split: classes for split, classes in boxes_per_class.items() if any(classes.values())}
    if _TRAIN not in filled:
        return
    for name in sorted({name for classes in filled.values() for name, count in classes.items() if count}):
        # A class that is not in training is told once, for training, and not again for each split that lacks it.
        trained = bool(filled[_TRAIN].get(name))
        for split, classes in filled.items():
            if not classes.get(name) and (trained or split == _TRAIN):
                effect = "cannot be learned" if split == _TRAIN else "is not evaluated there"
                detail = f"split {split!r} has no box of {name!r}: the class {effect}"
                yield make_problem("split_without_class", detail, label=name, value=split)


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


def _boxes(count: int) -> str:
    return f"{count} box" if count == 1 else f"{count} boxes"


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
