"""A label map of all names in annotation files, or an old one with the new names after it.

No Beam job: files are read one by one, and nothing but the counts of their labels is kept.
"""

import logging
import posixpath
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from beam_jobs.input_files import read_labels
from beam_jobs.rows import Reject
from beam_jobs.transforms import read_annotation_or_reject
from retinanet_odm.errors import UsageError
from retinanet_odm.labels.aliases import parse_aliases
from retinanet_odm.labels.checks import check_labels, normalise_label
from retinanet_odm.labels.label_map import LabelMap, extend_labels, format_label_map
from retinanet_odm.sources.listing import AnnotationFile, check_input, input_patterns, match_annotations
from retinanet_odm.storage import files

_logger = logging.getLogger(__name__)

_FLAG = "--annotations"
_SHOWN = 5  # files that cannot be read


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What annotation files hold.

    Attributes:
      boxes: by label, as the files write it.
      faults: what is wrong, by the file that cannot be read, or not whole: labels may be missing.
    """

    boxes: Mapping[str, int]
    faults: Mapping[str, str]


def make_label_file(
    *, annotations: Sequence[str], output: str, labels: str | None = None, label_aliases: str | None = None
) -> int:
    """Writes a label map and logs its classes; returns the exit status: 0, or 1 where labels may be missing.

    Args:
      annotations: patterns of annotation files.
      output: the label map to write: a new file, or that of labels, which then is extended.
      labels: a label map whose ids, names and text stay as they are.
      label_aliases: CSV with the columns alias,name.

    Raises:
      UsageError: a file cannot be read or is not of its form, the output exists, or no object has a label.
    """
    check_input(annotations, flag=_FLAG)
    check_label_file(output, labels)
    known = read_labels(labels) if labels else None
    text = files.read_text(labels, flag="--labels") if labels else ""
    aliases = _read_aliases(label_aliases) if label_aliases else {}
    seen = count_labels(annotations)
    boxes = rename(seen.boxes, aliases)
    added = new_names(boxes, known.name_by_id.values() if known else ())
    if known is None and not added:
        raise UsageError(f"{_FLAG}: expected an object with a label, found none{_first_fault(seen.faults)}")
    extended = extend_labels(known, added)
    if added or not is_same_file(output, labels):
        files.write_text(output, append_items(text, extended, added))
    findings = check_labels(seen.boxes, extended, aliases=aliases)
    advice = [f"label {found.severity}: {found.detail}; {found.suggestion}" for found in findings]
    for line in (*class_lines(extended, boxes, added), *advice, *fault_lines(seen.faults), f"label map: {output}"):
        _logger.info("%s", line)
    return 1 if seen.faults else 0


def check_label_file(output: str, labels: str | None) -> None:
    """Raises UsageError when the label map would replace a file other than that of --labels, or cannot be written."""
    if not output:
        raise UsageError("--output: expected a file, found an empty name")
    if files.exists(output) and not is_same_file(output, labels):
        raise UsageError(f"--output: {output} exists already; only the file of --labels can be extended in its place")
    files.make_folder(posixpath.dirname(output) or ".")


def is_same_file(output: str, labels: str | None) -> bool:
    """Whether the file of --labels is to be extended in its place, however the two are written."""
    return bool(labels) and Path(output).resolve() == Path(labels or "").resolve()


def _read_aliases(path: str) -> dict[str, str]:
    # The names that aliases lead to need not be known: a new one becomes a class.
    return parse_aliases(files.read_text(path, flag="--label_aliases"), None, source=path)


def count_labels(patterns: Sequence[str]) -> Seen:
    """Reads every file that a pattern matches, once."""
    boxes: Counter[str] = Counter()
    faults: dict[str, str] = {}
    for file in _distinct(patterns):
        for row in read_annotation_or_reject(file):
            boxes.update(_labels(row))
            for fault in _faults(row):
                faults.setdefault(file.uri, fault)
    return Seen(boxes=boxes, faults=faults)


def _distinct(patterns: Sequence[str]) -> Iterator[AnnotationFile]:
    found: set[bytes] = set()
    for source in input_patterns(patterns, (), flag=_FLAG):
        for uri, file in match_annotations(source):
            if uri not in found:
                found.add(uri)
                yield file


def _labels(row: AnnotationFile | Reject) -> Iterator[str]:
    if isinstance(row, AnnotationFile) and row.annotation:
        yield from (item.label for item in row.annotation.objects)


def _faults(row: AnnotationFile | Reject) -> Iterator[str]:
    """Why labels may be missing: the file cannot be read, or not to its end, or an object of it cannot."""
    if isinstance(row, Reject) or row.annotation is None:
        yield row.detail
    else:
        yield from (item.detail for item in row.annotation.unreadable)


def rename(boxes: Mapping[str, int], aliases: Mapping[str, str]) -> Counter[str]:
    """Boxes by the name that a label counts under."""
    renamed: Counter[str] = Counter()
    for label, count in boxes.items():
        renamed[aliases.get(label, label)] += count
    return renamed


def new_names(boxes: Mapping[str, int], known: Collection[str]) -> list[str]:
    """The names to add: of several spellings of one the most frequent, and none that is a known one spelt otherwise."""
    taken = set(map(normalise_label, known))
    added = []
    for name in sorted(boxes.keys() - set(known), key=lambda name: (-boxes[name], name)):
        if normalise_label(name) not in taken:
            taken.add(normalise_label(name))
            added.append(name)
    return added


def append_items(text: str, labels: LabelMap, added: Collection[str]) -> str:
    """The text of a label map, and after it an item for each name that was added; labels holds their ids."""
    if not added:
        return text
    items = LabelMap(tuple(item for item in labels.items if item[1] in added))
    gap = "\n" if text and not text.endswith("\n") else ""
    return f"{text}{gap}{format_label_map(items)}"


def class_lines(labels: LabelMap, boxes: Mapping[str, int], added: Collection[str]) -> list[str]:
    """A line for each class, in the order of the ids."""
    lines = [f"{len(labels.items)} classes: {len(labels.items) - len(added)} known, {len(added)} new"]
    for label_id, name in sorted(labels.items):
        shown = name if name.isprintable() else repr(name)
        lines.append(f"{label_id:>6}  {shown}: {'new' if name in added else 'known'}, boxes: {boxes.get(name, 0)}")
    return lines


def _first_fault(faults: Mapping[str, str]) -> str:
    first = next(iter(faults.values()), "")
    return f" ({len(faults)} not read whole; the first: {first})" if faults else ""


def fault_lines(faults: Mapping[str, str]) -> list[str]:
    """How many files cannot be read whole, and what is wrong with the first of them."""
    if not faults:
        return []
    count = f"{len(faults)} {'file' if len(faults) == 1 else 'files'} not read whole, labels may be missing:"
    more = [f"  and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
    return [count, *(f"  {fault}" for fault in list(faults.values())[:_SHOWN]), *more]
