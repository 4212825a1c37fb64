"""How exported files are encoded: as pieces of bytes, so that a million rows are never in memory at once.

The text helpers come first, then lines and documents (CSV, JSON), then `Spool` for writers that need a file object, and
last what several formats state: boxes as fractions, minimum scores in comments, the annotation of a row.
"""

import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.csv_tables import format_row
from retinanet_odm.predictions.rows import Detection, PredictionRow, ScoringRun, utf8

CsvCell = str | int | float | None

# XML 1.0, section 2.2: characters that no document may contain, not even escaped.
# Beside them, a backslash that would be read as the beginning of an escape: two texts never become one.
_NOT_XML = re.compile(
    r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    r"|\\(?=x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})"
)
_NOT_IN_LINES = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_UTF8 = re.compile(r"[\ud800-\udfff]|\\(?=x5c|ud[89a-f][0-9a-f]{2})")


def legible(text: str) -> str:
    r"""Return text that can be encoded as UTF-8; what cannot becomes an escape, such as ``\udce9`` (see `utf8`).

    Example:
      >>> print(legible("\udce9.jpg"), legible(r"\udce9.jpg"))
      \udce9.jpg \x5cudce9.jpg
    """
    return _NOT_UTF8.sub(_escape, text)


def xml_text(text: str) -> str:
    r"""Return text that XML can contain; other characters become escapes such as ``\x01``.

    Example:
      >>> print(xml_text("a\x01b"))
      a\x01b
    """
    return _NOT_XML.sub(_escape, text)


def one_line(text: str) -> str:
    r"""Return text for one line of a table on a screen; control characters and line breaks become escapes.

    Example:
      >>> print(one_line("a\nb"))
      a\x0ab
    """
    return _NOT_IN_LINES.sub(_escape, legible(text))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def csv_line(cells: Iterable[CsvCell]) -> bytes:
    r"""Return one line of CSV in UTF-8; None becomes an empty cell.

    Example:
      >>> csv_line(["a.jpg", None, 0.5])
      b'a.jpg,,0.5\n'
    """
    return (format_row(["" if cell is None else legible(str(cell)) for cell in cells]) + "\n").encode()


def json_list(entries: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    r"""Yield a JSON array with one entry per line.

    Example:
      >>> b"".join(json_list([{"id": 1}, {"id": 2}]))
      b'[\n{"id": 1},\n{"id": 2}\n]'
    """
    # JSON allows no comma after the last entry, and which one is the last is not known yet.
    before = b"["
    for entry in entries:
        yield before + b"\n" + _json(entry)
        before = b","
    yield b"[]" if before == b"[" else b"\n]"


def json_object(head: Mapping[str, Any], key: str, entries: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Yield a JSON object: the keys of head, at least one, and then a key that holds an array of entries."""
    # The head without its closing brace, then the key: the entries follow as they come.
    yield _json(head)[:-1] + b", " + _json(key) + b": "
    yield from json_list(entries)
    yield b"}\n"


def json_members(head: Mapping[str, Any], key: str, entries: Iterable[tuple[str, Any]]) -> Iterator[bytes]:
    """Yield a JSON object: the keys of head, at least one, and then a key that holds an object of these entries."""
    yield _json(head)[:-1] + b", " + _json(key) + b": "
    before = b"{\n"
    for name, value in entries:
        yield before + _json(name) + b": " + _json(value)
        before = b",\n"
    yield b"{}}\n" if before == b"{\n" else b"\n}}\n"


def _json(value: object) -> bytes:
    return utf8(json.dumps(value, ensure_ascii=False))


class Spool(io.RawIOBase):
    """A file object for writers that need one; `take` empties it, so that memory stays bounded."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the number of bytes written so far, including those taken."""
        return self._written

    def write(self, data: Any) -> int:
        """Append all of a bytes-like object."""
        # A copy: a writer may reuse its buffer after the call.
        part = bytes(data)
        self._parts.append(part)
        self._written += len(part)
        return len(part)

    def take(self) -> bytes:
        """Return and remove what was written since the last call."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def box_fractions(item: Detection, row: PredictionRow) -> tuple[float, float, float, float]:
    """Return (xmin, ymin, xmax, ymax) as fractions of the image's width and height, 0 to 1.

    A model may return boxes that extend beyond the image: they are cut at its borders, as the formats require.

    Example:
      >>> crab = Detection(label="crab", label_id=1, score=0.5, box=(-4, 0, 20, 15))
      >>> box_fractions(crab, PredictionRow(image="a.jpg", width=40, height=30))
      (0.0, 0.0, 0.5, 0.5)
    """
    sides = (row.width or 1, row.height or 1) * 2
    xmin, ymin, xmax, ymax = (min(max(edge / side, 0.0), 1.0) for edge, side in zip(item.box, sides, strict=True))
    return xmin, ymin, xmax, ymax


def whole_box(item: Detection, row: PredictionRow) -> tuple[int, int, int, int]:
    """Return (x, y, width, height) of the whole pixels that a box touches, cut at the image's borders; at least one.

    Example:
      >>> crab = Detection(label="crab", label_id=1, score=0.5, box=(1.2, 2, 3.5, 31))
      >>> whole_box(crab, PredictionRow(image="a.jpg", width=40, height=30))
      (1, 2, 3, 28)
    """
    xmin, ymin, xmax, ymax = item.box
    (x, width), (y, height) = _whole_edge(xmin, xmax, row.width or 1), _whole_edge(ymin, ymax, row.height or 1)
    return x, y, width, height


def _whole_edge(low: float, high: float, side: int) -> tuple[int, int]:
    start = min(max(math.floor(low), 0), side - 1)
    return start, max(min(math.ceil(high), side) - start, 1)


def min_score_comments(run: ScoringRun) -> list[str]:
    """Return the minimum score of each class as comments, for formats of lines that begin with # there."""
    return [f"# scores from {score:g}: {label!r}" for label, score in run.min_scores_by_name.items()]


def row_to_annotation(row: PredictionRow) -> ImageAnnotation:
    """Return the detections of an image as its annotation, with names that XML can contain."""
    objects = (ObjectAnnotation(label=xml_text(item.label), box=item.corners) for item in row.detections)
    return ImageAnnotation(
        filename=xml_text(row.image), width=row.width, height=row.height, objects=tuple(objects), source=row.image
    )
