"""Reads annotation files of any supported format, which `detection` recognises by their content.

Begin with `read_annotations`. A new format needs a reader in `_READERS`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, cast

from retinanet_odm.annotations.class_names import ClassNames
from retinanet_odm.annotations.coco import parse_coco
from retinanet_odm.annotations.cvat import read_cvat
from retinanet_odm.annotations.detection import HEAD_BYTES, AnnotationFormat, detect_format
from retinanet_odm.annotations.label_studio import parse_label_studio
from retinanet_odm.annotations.labelme import parse_labelme
from retinanet_odm.annotations.megadetector import parse_megadetector
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.annotations.via import parse_via
from retinanet_odm.annotations.via_csv import parse_via_csv
from retinanet_odm.annotations.viame import parse_viame
from retinanet_odm.annotations.voc import parse_voc
from retinanet_odm.annotations.yolo import parse_yolo
from retinanet_odm.errors import AnnotationError


@dataclass(frozen=True, kw_only=True)
class ReadingRules:
    """What decides how files are read, beside their content.

    Attributes:
      voc_origin: see parse_voc.
      min_score: minimum score of predictions that are accepted as annotations; None accepts none.
      class_names: returns the names of YOLO's classes; called only for its files.
    """

    voc_origin: int = 0
    min_score: float | None = None
    class_names: Callable[[], ClassNames] = ClassNames


def read_annotations(file: BinaryIO, *, source: str, rules: ReadingRules = ReadingRules()) -> Iterator[ImageAnnotation]:
    """Yield the annotation of every image in a file of any supported format; CVAT for images is streamed.

    Args:
      file: opened for reading bytes; need not be seekable, so a zip member or a download works too.
      source: the file's name, for messages; for Pascal VOC its stem replaces a missing <filename>.
      rules: how to read it.

    Raises:
      AnnotationError: the file cannot be read. It is raised where the fault is found: images before it may have been
        yielded. A fault of one image among several is listed in its ImageAnnotation.unreadable instead.
    """
    _, annotations = open_annotations(file, source=source, rules=rules)
    yield from annotations


def open_annotations(
    file: BinaryIO, *, source: str, rules: ReadingRules = ReadingRules()
) -> tuple[AnnotationFormat, Iterator[ImageAnnotation]]:
    """Return the format of a file, and its annotations as an iterator; arguments as in read_annotations.

    Raises:
      AnnotationError: the format is not supported. Other faults are raised by the iterator.
    """
    # The head is read once for the format, and given to the reader again: a stream cannot be rewound.
    rewound = _RewoundFile(file)
    try:
        # The only format that is known by the name of the file: an empty text has no content to know it by.
        is_empty_text = source.lower().endswith(".txt") and not rewound.head.strip()
        found = AnnotationFormat.YOLO if is_empty_text else detect_format(rewound.head)
    except AnnotationError as error:
        raise AnnotationError(error.reason, f"{source}: {error.detail}", error.line) from error
    return found, _READERS[found](rewound, source, rules)


class _RewoundFile:
    """Reads a file from its beginning again after its head was read, without seeking."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.head = _read_head(file)
        self._rest_of_head = self.head

    def read(self, size: int = -1) -> bytes:
        """Return up to size bytes, b"" only at the end; all of them by default."""
        if size is None or size < 0:
            data, self._rest_of_head = self._rest_of_head, b""
            return data + self._file.read()
        # At most the rest of the head, even if more is asked for: callers take fewer bytes as a part, and b"" as the
        # end.
        if not self._rest_of_head:
            return self._file.read(size)
        data, self._rest_of_head = self._rest_of_head[:size], self._rest_of_head[size:]
        return data


def _read_head(file: BinaryIO) -> bytes:
    """Read HEAD_BYTES of a file, which may return fewer at a time."""
    head = b""
    while len(head) < HEAD_BYTES and (chunk := file.read(HEAD_BYTES - len(head))):
        head += chunk
    return head


def _read_voc(file: _RewoundFile, source: str, rules: ReadingRules) -> Iterator[ImageAnnotation]:
    yield parse_voc(file.read(), source=source, origin=rules.voc_origin)


def _read_cvat(file: _RewoundFile, source: str, _rules: ReadingRules) -> Iterator[ImageAnnotation]:
    return read_cvat(cast(BinaryIO, file), source=source)


def _read_coco(file: _RewoundFile, source: str, _rules: ReadingRules) -> Iterator[ImageAnnotation]:
    yield from parse_coco(file.read(), source=source)


def _read_labelme(file: _RewoundFile, source: str, _rules: ReadingRules) -> Iterator[ImageAnnotation]:
    yield parse_labelme(file.read(), source=source)


def _read_via(file: _RewoundFile, source: str, _rules: ReadingRules) -> Iterator[ImageAnnotation]:
    yield from parse_via(file.read(), source=source)


def _read_via_csv(file: _RewoundFile, source: str, _rules: ReadingRules) -> Iterator[ImageAnnotation]:
    yield from parse_via_csv(file.read(), source=source)


def _read_label_studio(file: _RewoundFile, source: str, rules: ReadingRules) -> Iterator[ImageAnnotation]:
    yield from parse_label_studio(file.read(), source=source, min_score=rules.min_score)


def _read_yolo(file: _RewoundFile, source: str, rules: ReadingRules) -> Iterator[ImageAnnotation]:
    data = file.read()
    names = rules.class_names() if data.strip() else ClassNames()
    yield parse_yolo(data, source=source, names=names, min_score=rules.min_score)


def _read_megadetector(file: _RewoundFile, source: str, rules: ReadingRules) -> Iterator[ImageAnnotation]:
    yield from parse_megadetector(file.read(), source=source, min_score=rules.min_score)


def _read_viame(file: _RewoundFile, source: str, rules: ReadingRules) -> Iterator[ImageAnnotation]:
    yield from parse_viame(file.read(), source=source, min_score=rules.min_score)


# CVAT's two formats have one reader: what comes in the file decides.
_READERS: Mapping[AnnotationFormat, Callable[[_RewoundFile, str, ReadingRules], Iterator[ImageAnnotation]]] = {
    AnnotationFormat.VOC: _read_voc,
    AnnotationFormat.CVAT_IMAGES: _read_cvat,
    AnnotationFormat.CVAT_VIDEO: _read_cvat,
    AnnotationFormat.COCO: _read_coco,
    AnnotationFormat.LABELME: _read_labelme,
    AnnotationFormat.LABEL_STUDIO: _read_label_studio,
    AnnotationFormat.MEGADETECTOR: _read_megadetector,
    AnnotationFormat.VIA: _read_via,
    AnnotationFormat.VIA_CSV: _read_via_csv,
    AnnotationFormat.VIAME: _read_viame,
    AnnotationFormat.YOLO: _read_yolo,
}
