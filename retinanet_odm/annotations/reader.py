"""Annotation files of any kind: recognised by their content, never by their name, and read image by image."""

import contextlib
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, BinaryIO, cast

from lxml import etree

from retinanet_odm.annotations.coco import parse_coco
from retinanet_odm.annotations.cvat import read_cvat
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.annotations.voc import parse_voc
from retinanet_odm.errors import AnnotationError

HEAD_BYTES = 1 << 16

_COCO_KEY = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
_MEGADETECTOR_KEY = re.compile(rb'"(detection_categories|detections)"\s*:')
# Byte order marks, and the first bytes of what people pass by mistake.
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_OTHERS = {
    b"PK\x03\x04": "a zip archive",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF document",
}


class AnnotationFormat(Enum):
    """The kinds of annotation files that can be read; the value is the kind's name for people."""

    VOC = "Pascal VOC XML"
    CVAT_IMAGES = "CVAT for images 1.1"
    CVAT_VIDEO = "CVAT for video 1.1"
    COCO = "COCO JSON"


def detect_format(head: bytes) -> AnnotationFormat:
    """The kind of an annotation file, by its first bytes.

    Args:
      head: HEAD_BYTES of the file, or all of it where it is shorter. Where the <meta> of a CVAT file is longer than
        that, its kind is told by the task's <mode>; both kinds are read by read_cvat, which goes by what comes.

    Raises:
      AnnotationError: none of the kinds; the message says what was seen.
    """
    if not head.strip():
        raise AnnotationError("annotation_empty", "expected an annotation file, found no content")
    body = head.removeprefix(_UTF8_MARK).lstrip()
    if body.startswith(b"{") and _COCO_KEY.search(body) and not _MEGADETECTOR_KEY.search(body):
        return AnnotationFormat.COCO
    if body.startswith(b"<") or head.startswith(_UTF16_MARKS):
        return _recognise_xml(head)
    raise _unknown(_seen(body))


def _recognise_xml(head: bytes) -> AnnotationFormat:
    root, mode = "", ""
    for event, element in _xml_events(head):
        tag = str(element.tag)
        if not root:
            root = tag
            if root != "annotations":
                break
        if event == "start" and tag in ("image", "track"):
            return AnnotationFormat.CVAT_IMAGES if tag == "image" else AnnotationFormat.CVAT_VIDEO
        if event == "end" and tag == "mode":
            mode = mode or (element.text or "").strip()
    if root == "annotations":
        return AnnotationFormat.CVAT_VIDEO if mode == "interpolation" else AnnotationFormat.CVAT_IMAGES
    if root == "annotation":
        return AnnotationFormat.VOC
    raise _unknown(f"XML with the root element <{root}>" if root else "what begins like XML but holds no element")


def _xml_events(head: bytes) -> Iterator[tuple[str, etree._Element]]:
    """The start and end of each element, as far as the head is well-formed."""
    parser: Any = etree.XMLPullParser(  # lxml-stubs have its events wrong
        events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    # The head may break off anywhere; what is wrong before that is for the reader of the kind to say.
    with contextlib.suppress(etree.XMLSyntaxError):
        parser.feed(head)
    with contextlib.suppress(etree.XMLSyntaxError):
        yield from parser.read_events()


def _seen(body: bytes) -> str:
    for magic, name in _OTHERS.items():
        if body.startswith(magic):
            return name
    if body.startswith(b"{"):
        if _MEGADETECTOR_KEY.search(body):
            return "MegaDetector results"
        keys = re.findall(rb'"([^"\\]{1,40})"\s*:', body)[:5]
        return f"JSON with the keys {', '.join(repr(key.decode('utf-8', 'replace')) for key in keys) or '(none)'}"
    if body.startswith(b"["):
        return "a JSON list (COCO results are predictions, not annotations)"
    return f"bytes that begin with {body[:16]!r}"


def _unknown(seen: str) -> AnnotationError:
    kinds = ", ".join(kind.value for kind in AnnotationFormat)
    return AnnotationError("annotation_kind_unknown", f"expected one of {kinds}; found {seen}")


def read_annotations(file: BinaryIO, *, source: str, voc_origin: int = 0) -> Iterator[ImageAnnotation]:
    """Yields the annotation of every image in a file of any kind; CVAT for images is streamed.

    Args:
      file: opened for reading bytes; needs no seek, so a zip member or a download will do.
      source: the file's name, for messages; for Pascal VOC its stem stands in for a missing <filename>.
      voc_origin: see parse_voc.

    Raises:
      AnnotationError: an error of the whole file, found while it is read: images before the fault may have been
        yielded. What is wrong with one image of many is in its ImageAnnotation.unreadable instead.
    """
    _, annotations = open_annotations(file, source=source, voc_origin=voc_origin)
    yield from annotations


def open_annotations(
    file: BinaryIO, *, source: str, voc_origin: int = 0
) -> tuple[AnnotationFormat, Iterator[ImageAnnotation]]:
    """The kind of a file, and the annotations in it as read_annotations yields them; arguments and errors are the same.

    Raises:
      AnnotationError: it is of no kind that is read; what else is wrong is found while the annotations are read.
    """
    rest = _Rewound(file)
    try:
        kind = detect_format(rest.head)
    except AnnotationError as error:
        raise AnnotationError(error.reason, f"{source}: {error.detail}") from error
    return kind, _read(rest, kind, source, voc_origin)


def _read(rest: "_Rewound", kind: AnnotationFormat, source: str, voc_origin: int) -> Iterator[ImageAnnotation]:
    if kind is AnnotationFormat.VOC:
        yield parse_voc(rest.read(), source=source, origin=voc_origin)
    elif kind is AnnotationFormat.COCO:
        yield from parse_coco(rest.read(), source=source)
    else:
        yield from read_cvat(cast(BinaryIO, rest), source=source)


class _Rewound:
    """A file whose first bytes were looked at, readable from its beginning although it cannot seek."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.head = _read_head(file)
        self._left = self.head

    def read(self, size: int = -1) -> bytes:
        """Up to size bytes, b"" only at the end; all of them by default."""
        if size is None or size < 0:
            taken, self._left = self._left, b""
            return taken + self._file.read()
        if not self._left:
            return self._file.read(size)
        taken, self._left = self._left[:size], self._left[size:]
        return taken


def _read_head(file: BinaryIO) -> bytes:
    """HEAD_BYTES of a file that may give fewer at a time."""
    head = b""
    while len(head) < HEAD_BYTES and (chunk := file.read(HEAD_BYTES - len(head))):
        head += chunk
    return head
