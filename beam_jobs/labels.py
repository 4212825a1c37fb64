"""The `labels` command: writes a label map of all labels in annotation files, or appends new labels to an old map.

It runs without Beam: files are read one by one, and only the counts of their labels are kept.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from beam_jobs.named_files import read_labels
from beam_jobs.options import check_min_score
from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.labels.aliases import parse_aliases
from retinanet_odm.labels.checks import check_labels
from retinanet_odm.labels.label_map import LabelMap, extend_labels, format_label_map
from retinanet_odm.labels.spelling import normalise_label
from retinanet_odm.sources.inputs import check_input, folders_as_patterns
from retinanet_odm.sources.listing import (
    AnnotationFile,
    input_patterns,
    match_annotations,
    read_annotation,
)
from retinanet_odm.storage import files
from retinanet_odm.storage.file_names import is_same_path, parent_folder
from retinanet_odm.wording import plural

_logger = logging.getLogger(__name__)

_FLAG = "--annotations"
_EXIT_INCOMPLETE = 1  # exit status: labels may be missing
_MAX_FAULTS = 5  # incomplete files that are logged


@dataclass(frozen=True, kw_only=True)
class FileLabels:
    """The labels in annotation files.

    Attributes:
      boxes: by label, as the files write it.
      faults: what is wrong, by the file that cannot be read completely: labels may be missing.
    """

    boxes: Mapping[str, int]
    faults: Mapping[str, str]


def make_label_file(
    *,
    annotations: Sequence[str],
    output: str,
    labels: str | None = None,
    label_aliases: str | None = None,
    ignored: Collection[str] = (),
    min_score: float | None = None,
) -> int:
    """Write a label map and log its classes; return the exit status: 0, or 1 if labels may be missing.

    Args:
      annotations: patterns of annotation files.
      output: the label map to write: a new file, or that of `labels`, which is then extended.
      labels: a label map whose ids, names and text are kept.
      label_aliases: CSV file with the columns alias,name.
      ignored: labels that mark areas, and so are no classes.
      min_score: predictions are accepted from this score on; None accepts none.

    Raises:
      UsageError: a file cannot be read or has another form, the output exists, or no object has a label.
    """
    check_min_score(min_score)
    annotations = folders_as_patterns(annotations)
    check_input(annotations, flag=_FLAG)
    check_label_file(output, labels)
    # Everything is checked and counted before the first byte is written.
    known = read_labels(labels) if labels else None
    aliases = _read_aliases(label_aliases) if label_aliases else {}
    found = count_labels(annotations, min_score, ignored)
    boxes = rename_labels(found.boxes, aliases)
    listed = set(known.name_by_id.values()) if known else set()
    added = new_names(boxes, listed)
    if known is None and not added:
        raise UsageError(f"{_FLAG}: expected an object with a label, found none{_first_fault(found.faults)}")
    # Ids of known classes never change: models and data sets that were made with the old map stay valid.
    extended = extend_labels(known, added)
    # Items are appended to the text of the old map, so that its comments and further fields survive.
    # Without this condition, a run that finds nothing new would still replace the user's file.
    if added or not is_same_file(output, labels):
        text = files.read_text(labels, flag="--labels") if labels else ""
        files.write_text(output, append_items(text, extended, added))
    advice = check_labels(found.boxes, extended, aliases=aliases, settled=listed)
    for line in (
        *class_lines(extended, boxes, added),
        # Not by severity: the file is written, and only labels that may be missing make this run fail.
        *(f"label warning: {problem.detail}; {problem.suggestion}" for problem in advice),
        *fault_lines(found.faults),
        f"label map: {output}",
    ):
        _logger.info("%s", line)
    return _EXIT_INCOMPLETE if found.faults else 0


def check_label_file(output: str, labels: str | None) -> None:
    """Raise UsageError if the label map would replace a file other than that of --labels, or cannot be written."""
    if not output:
        raise UsageError("--output: expected a file, found an empty name")
    if files.exists(output) and not is_same_file(output, labels):
        raise UsageError(f"--output: {output} exists already; only the file of --labels can be extended in its place")
    # Also a check: it writes and deletes a probe, so a folder that is not writable ends the program here.
    files.make_folder(parent_folder(output))


def is_same_file(output: str, labels: str | None) -> bool:
    """Return whether the output is the file of --labels, however the two paths are written."""
    return labels is not None and is_same_path(output, labels)


def _read_aliases(path: str) -> dict[str, str]:
    # The target of an alias need not be known: a new one becomes a class.
    return parse_aliases(files.read_text(path, flag="--label_aliases"), None, source=path)


def count_labels(patterns: Sequence[str], min_score: float | None = None, ignored: Collection[str] = ()) -> FileLabels:
    """Read every file that a pattern matches, once, and count the labels of its boxes without those that are ignored.

    Predictions are accepted from min_score on; None accepts none.
    """
    boxes: Counter[str] = Counter()
    faults: dict[str, str] = {}
    for file in _distinct(patterns):
        for row in read_annotation(file, min_score=min_score, ignored=ignored):
            boxes.update(_labels(row))
            for fault in _faults(row):
                # The first fault of a file is enough: the exit status and the message name files.
                faults.setdefault(file.uri, fault)
    return FileLabels(boxes=boxes, faults=faults)


def _distinct(patterns: Sequence[str]) -> Iterator[AnnotationFile]:
    found: set[bytes] = set()
    for source in input_patterns(patterns, (), flag=_FLAG):
        # Unlike in the job, no group is needed: one process sees all patterns one after the other.
        for uri, file in match_annotations(source):
            if uri not in found:
                found.add(uri)
                yield file


def _labels(row: AnnotationFile | DataError) -> Iterator[str]:
    if isinstance(row, AnnotationFile) and row.annotation:
        yield from (item.label for item in row.annotation.objects if not item.ignore)


def _faults(row: AnnotationFile | DataError) -> Iterator[str]:
    """Yield why labels may be missing: the file, its end or one of its objects cannot be read."""
    if isinstance(row, DataError) or row.annotation is None:
        yield row.detail
    else:
        yield from (item.detail for item in row.annotation.unreadable)


def rename_labels(boxes: Mapping[str, int], aliases: Mapping[str, str]) -> Counter[str]:
    """Add up boxes by the name that each label counts as.

    Example:
      >>> rename_labels({"crab": 2, "CRAB": 1}, {"CRAB": "crab"})
      Counter({'crab': 3})
    """
    renamed: Counter[str] = Counter()
    for label, count in boxes.items():
        renamed[aliases.get(label, label)] += count
    return renamed


def new_names(boxes: Mapping[str, int], known: Collection[str]) -> list[str]:
    """Choose the names to add: the most frequent of several spellings, and no other spelling of a known name.

    Example:
      >>> new_names({"sea urchin": 3, "Sea_Urchin": 1, "CRAB": 2}, known=["crab"])
      ['sea urchin']
    """
    taken = set(map(normalise_label, known))
    added = []
    # By falling frequency, so that of several spellings the one that annotators used most becomes the class.
    for name in sorted(boxes.keys() - set(known), key=lambda name: (-boxes[name], name)):
        if normalise_label(name) not in taken:
            taken.add(normalise_label(name))
            added.append(name)
    return added


def append_items(text: str, labels: LabelMap, added: Collection[str]) -> str:
    """Append an item for each added name to the text of a label map; `labels` holds their ids."""
    if not added:
        return text
    # Not the whole map formatted again: the user's comments and order would be lost.
    items = LabelMap(tuple(item for item in labels.items if item[1] in added))
    gap = "\n" if text and not text.endswith("\n") else ""
    return f"{text}{gap}{format_label_map(items)}"


def class_lines(labels: LabelMap, boxes: Mapping[str, int], added: Collection[str]) -> list[str]:
    """Return a line for each class, in the order of the ids."""
    count = len(labels.items)
    lines = [f"{count} {plural('class', count)}: {count - len(added)} known, {len(added)} new"]
    for label_id, name in sorted(labels.items):
        shown = name if name.isprintable() else repr(name)
        lines.append(f"{label_id:>6}  {shown}: {'new' if name in added else 'known'}, boxes: {boxes.get(name, 0)}")
    return lines


def _first_fault(faults: Mapping[str, str]) -> str:
    first = next(iter(faults.values()), "")
    return f" ({len(faults)} not read completely; the first: {first})" if faults else ""


def fault_lines(faults: Mapping[str, str]) -> list[str]:
    """Return how many files cannot be read completely, and what is wrong with the first of them.

    Example:
      >>> fault_lines({"a.xml": "a.xml: no element found"})
      ['1 file not read completely, labels may be missing:', '  a.xml: no element found']
    """
    if not faults:
        return []
    count = f"{len(faults)} {'file' if len(faults) == 1 else 'files'} not read completely, labels may be missing:"
    more = [f"  and {len(faults) - _MAX_FAULTS} more"] if len(faults) > _MAX_FAULTS else []
    return [count, *(f"  {fault}" for fault in list(faults.values())[:_MAX_FAULTS]), *more]
