"""Reads annotation files of any supported format; the format is detected from the content, never from the name.

Begin with `read_annotations`. A new format needs a member of `AnnotationFormat`, a rule in `detect_format` and a line
in `_read`.
"""

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

HEAD_BYTES = 1 << 16  # enough for the <meta> of most CVAT files

# One of COCO's lists, in any order; MegaDetector's results also have "images", but predictions are no annotations.
_COCO_KEY = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
_MEGADETECTOR_KEY = re.compile(rb'"(detection_categories|detections)"\s*:')
# Byte order marks, and the first bytes of files that are passed by mistake.
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
    """The formats that can be read; the value is the name for messages."""

    VOC = "Pascal VOC XML"
    CVAT_IMAGES = "CVAT for images 1.1"
    CVAT_VIDEO = "CVAT for video 1.1"
    COCO = "COCO JSON"


def detect_format(head: bytes) -> AnnotationFormat:
    """Detects the format of an annotation file from its first bytes.

    Args:
      head: HEAD_BYTES of the file, or all of it if it is shorter. If the <meta> of a CVAT file is longer than that, the
        task's <mode> decides between images and video; read_cvat reads both and does not depend on this.

    Raises:
      AnnotationError: the format is not supported; the message names what was found.

    Example:
      >>> detect_format(b"<annotation><filename>a.jpg</filename>")
      <AnnotationFormat.VOC: 'Pascal VOC XML'>
    """
    if not head.strip():
        raise AnnotationError("annotation_empty", "expected an annotation file, found no content")
    body = head.removeprefix(_UTF8_MARK).lstrip()
    if body.startswith(b"{") and _COCO_KEY.search(body) and not _MEGADETECTOR_KEY.search(body):
        return AnnotationFormat.COCO
    if body.startswith(b"<") or head.startswith(_UTF16_MARKS):
        return _detect_xml(head)
    raise _unknown(_describe(body))


def _detect_xml(head: bytes) -> AnnotationFormat:
    # The first <image> or <track> decides; the <mode> in <meta> only if the head ends before.
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
    raise _unknown(f"XML with the root element <{root}>" if root else "the beginning of XML, but no element")


def _xml_events(head: bytes) -> Iterator[tuple[str, etree._Element]]:
    """Yields the start and end of each element, as far as the head is well-formed."""
    parser: Any = etree.XMLPullParser(  # lxml-stubs declare its events wrongly
        events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    # The head may end anywhere. The reader of the format reports what is wrong before that.
    with contextlib.suppress(etree.XMLSyntaxError):
        parser.feed(head)
    with contextlib.suppress(etree.XMLSyntaxError):
        yield from parser.read_events()


def _describe(body: bytes) -> str:
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
    formats = ", ".join(supported.value for supported in AnnotationFormat)
    return AnnotationError("annotation_kind_unknown", f"expected one of {formats}; found {seen}")


def read_annotations(file: BinaryIO, *, source: str, voc_origin: int = 0) -> Iterator[ImageAnnotation]:
    """Yields the annotation of every image in a file of any supported format; CVAT for images is streamed.

    Args:
      file: opened for reading bytes; need not be seekable, so a zip member or a download works too.
      source: the file's name, for messages; for Pascal VOC its stem replaces a missing <filename>.
      voc_origin: see parse_voc.

    Raises:
      AnnotationError: the file cannot be read. It is raised where the fault is found: images before it may have been
        yielded. A fault of one image among several is listed in its ImageAnnotation.unreadable instead.
    """
    _, annotations = open_annotations(file, source=source, voc_origin=voc_origin)
    yield from annotations


def open_annotations(
    file: BinaryIO, *, source: str, voc_origin: int = 0
) -> tuple[AnnotationFormat, Iterator[ImageAnnotation]]:
    """Returns the format of a file, and its annotations as an iterator; arguments as in read_annotations.

    Raises:
      AnnotationError: the format is not supported. Other faults are raised by the iterator.
    """
    rewound = _RewoundFile(file)
    try:
        found = detect_format(rewound.head)
    except AnnotationError as error:
        raise AnnotationError(error.reason, f"{source}: {error.detail}") from error
    return found, _read(rewound, found, source, voc_origin)


def _read(file: "_RewoundFile", found: AnnotationFormat, source: str, voc_origin: int) -> Iterator[ImageAnnotation]:
    if found is AnnotationFormat.VOC:
        yield parse_voc(file.read(), source=source, origin=voc_origin)
    elif found is AnnotationFormat.COCO:
        yield from parse_coco(file.read(), source=source)
    else:
        yield from read_cvat(cast(BinaryIO, file), source=source)


class _RewoundFile:
    """Reads a file from its beginning again after its head was read, without seeking."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.head = _read_head(file)
        self._rest_of_head = self.head

    def read(self, size: int = -1) -> bytes:
        """Returns up to size bytes, b"" only at the end; all of them by default."""
        if size is None or size < 0:
            data, self._rest_of_head = self._rest_of_head, b""
            return data + self._file.read()
        if not self._rest_of_head:
            return self._file.read(size)
        data, self._rest_of_head = self._rest_of_head[:size], self._rest_of_head[size:]
        return data


def _read_head(file: BinaryIO) -> bytes:
    """Reads HEAD_BYTES of a file, which may return fewer at a time."""
    head = b""
    while len(head) < HEAD_BYTES and (chunk := file.read(HEAD_BYTES - len(head))):
        head += chunk
    return head
