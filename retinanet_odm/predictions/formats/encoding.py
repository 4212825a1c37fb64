"""How an exported file leaves: as pieces of bytes, so that a million rows never stand in memory at once."""

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.csv_tables import format_row
from retinanet_odm.predictions.rows import PredictionRow

CsvCell = str | int | float | None

# XML 1.0, section 2.2: what no document may hold, however it is escaped.
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def utf8(text: str) -> bytes:
    r"""Text as UTF-8. A byte of a file name that is none, in Python a lone surrogate, becomes its escape ``\udce9``.

    In JSON that is the escape that readers take back; elsewhere it is at least legible, and the file is whole.
    """
    return text.encode("utf-8", "backslashreplace")


def legible(text: str) -> str:
    """Text that any encoder takes; see utf8."""
    return utf8(text).decode()


def xml_text(text: str) -> str:
    r"""Text that XML can hold: a character that it cannot becomes its escape, such as ``\x01``."""
    return _NOT_XML.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def csv_line(cells: Iterable[CsvCell]) -> bytes:
    """Returns one line of CSV in UTF-8; None becomes an empty cell."""
    return utf8(format_row(["" if cell is None else str(cell) for cell in cells]) + "\n")


def json_list(entries: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """A JSON array, one entry a line."""
    before = b"["
    for entry in entries:
        yield before + b"\n" + _json(entry)
        before = b","
    yield b"[]" if before == b"[" else b"\n]"


def json_object(head: Mapping[str, Any], key: str, entries: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """A JSON object: what the head holds, which is at least one key, and under one more the array of the entries."""
    yield _json(head)[:-1] + b", " + _json(key) + b": "
    yield from json_list(entries)
    yield b"}\n"


def _json(value: object) -> bytes:
    return utf8(json.dumps(value, ensure_ascii=False))


class Spool(io.RawIOBase):
    """A file to write into; what was written is taken out at the other end. For writers that want a file."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, data: Any) -> int:
        """Takes any bytes-like object whole."""
        part = bytes(data)
        self._parts.append(part)
        self._written += len(part)
        return len(part)

    def take(self) -> bytes:
        """What was written since the last call."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def as_annotation(row: PredictionRow) -> ImageAnnotation:
    """The boxes of an image that was scored, with nothing in names that XML cannot hold."""
    objects = []
    for item in row.detections:
        xmin, ymin, xmax, ymax = item.box
        objects.append(ObjectAnnotation(label=xml_text(item.label), box=(ymin, xmin, ymax, xmax)))
    return ImageAnnotation(
        filename=xml_text(row.image), width=row.width, height=row.height, objects=tuple(objects), source=row.image
    )
