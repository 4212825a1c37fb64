"""Detects the format of an annotation file from its content, never from its name.

Begin with `detect_format`. A new format needs a member of `AnnotationFormat`, and a rule: a line in `_JSON_RULES`, a
root element in `_detect_xml`, or a test in `detect_format`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any

from lxml import etree

from retinanet_odm.annotations.json_outline import decode_json, is_json, outline_json
from retinanet_odm.annotations.safe_xml import SAFE_PARSING, not_well_formed
from retinanet_odm.errors import AnnotationError

KIND_UNKNOWN = "annotation_kind_unknown"  # the reason of an AnnotationError: the file may be no annotation at all
HEAD_BYTES = 1 << 16  # enough for the <meta> of most CVAT files

# Byte order marks, and the first bytes of files that are passed by mistake.
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_OTHERS = {
    b"PK\x03\x04": "a zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF document",
    b"version https://git-lfs.github.com/spec/": "a pointer of Git LFS instead of the file; run git lfs pull",
}
_VIA_HEADER = re.compile(rb"#?filename,[^\r\n]*region_shape_attributes")
_YOLO_LINE = re.compile(rb"\s*[0-9]+([ \t]+[0-9.eE+-]+){4,}\s*([\r\n]|$)")
# A comment with the columns, or a row: id, image, frame, a box and two more numbers.
_VIAME_LINE = re.compile(rb"# *1: *Detection or Track-id|-?[0-9]+,[^,\r\n]+,[0-9]+(,[0-9.eE+-]+){6}[,\r\n]")


# How nearly all files of Pascal VOC begin: they need not be parsed twice to know it.
_VOC_START = re.compile(
    rb"""\s*(<\?xml\ version=["']1\.0["'](\ encoding=["'](utf|UTF)-8["'])?\s*\?>\s*)?<annotation[\s>]""", re.VERBOSE
)


class AnnotationFormat(Enum):
    """The formats that can be read; the value is the name for messages."""

    VOC = "Pascal VOC XML"
    CVAT_IMAGES = "CVAT for images 1.1"
    CVAT_VIDEO = "CVAT for video 1.1"
    COCO = "COCO JSON"
    LABELME = "LabelMe JSON"
    VIA = "VIA JSON"
    VIA_CSV = "VIA CSV"
    LABEL_STUDIO = "Label Studio JSON"
    YOLO = "YOLO text"
    MEGADETECTOR = "MegaDetector results"
    VIAME = "VIAME CSV"


# Of Label Studio's tasks; the data of the task, or the other annotations, may come late. The last is JSON-MIN's.
_LABEL_STUDIO_KEYS = (
    *("annotations[].result", "annotations[].completed_by", "completions", "predictions[].result", "data.image"),
    *("annotation_id", "total_annotations"),
)

# Formats whose files stand for the image of their own name: YOLO's name none, and Pascal VOC's often name a wrong one.
NAMED_BY_FILE = frozenset((AnnotationFormat.VOC, AnnotationFormat.YOLO))

# By which paths of json_outline a JSON file is recognised; the first rule that holds decides. A text names a format
# that cannot be read, for the message.
_JSON_RULES: tuple[tuple[Callable[[Mapping[str, str]], bool], AnnotationFormat | str], ...] = (
    # Before COCO: one task alone has annotations, too.
    (
        lambda paths: any(f"{root}{key}" in paths for root in ("[].", "") for key in _LABEL_STUDIO_KEYS),
        AnnotationFormat.LABEL_STUDIO,
    ),
    # Before COCO, because they also have images.
    (
        lambda paths: "detection_categories" in paths or "images[].detections" in paths,
        AnnotationFormat.MEGADETECTOR,
    ),
    (
        lambda paths: any(paths.get(key) == "[" for key in ("images", "annotations", "categories")),
        AnnotationFormat.COCO,
    ),
    # The shapes, or the image, may be longer than what the rules see.
    (
        lambda paths: (
            ("shapes" in paths and ("imagePath" in paths or "shapes[].points" in paths)) or "imageData" in paths
        ),
        AnnotationFormat.LABELME,
    ),
    (
        lambda paths: any(path.startswith("_via_") or path.endswith(".regions") for path in paths),
        AnnotationFormat.VIA,
    ),
    (lambda paths: "[].image" in paths and "[].annotations" in paths, "CreateML JSON"),
    (lambda paths: "[].image_id" in paths, "COCO results, which are predictions and not annotations"),
)


def detect_format(head: bytes) -> AnnotationFormat:
    """Detect the format of an annotation file from its first bytes.

    Args:
      head: HEAD_BYTES of the file, or all of it if it is shorter. If the <meta> of a CVAT file is longer than that, the
        task's <mode> decides between images and video; read_cvat reads both and does not depend on this.

    Raises:
      AnnotationError: the format is not supported; the message names what was found.

    Example:
      >>> detect_format(b"<annotation><filename>a.jpg</filename>")
      <AnnotationFormat.VOC: 'Pascal VOC XML'>
    """
    # The order matters: JSON may be UTF-16 or UTF-32, so it is tried before the marks of UTF-16 are taken for XML.
    if not head.strip():
        raise AnnotationError("annotation_empty", "expected an annotation file, found no content")
    if is_json(head):
        return _detect_json(decode_json(head))
    body = head.removeprefix(_UTF8_MARK).lstrip()
    if _VOC_START.match(body):
        return AnnotationFormat.VOC
    if body.startswith(b"<") or head.startswith(_UTF16_MARKS):
        return _detect_xml(head)
    if _VIA_HEADER.match(body):
        return AnnotationFormat.VIA_CSV
    if _YOLO_LINE.match(body):
        return AnnotationFormat.YOLO
    if _VIAME_LINE.match(body):
        return AnnotationFormat.VIAME
    raise _unknown(_describe(body))


def _detect_json(head: str) -> AnnotationFormat:
    paths = outline_json(head)
    # A text names a format that is known but cannot be read; None is a file of no known format.
    found = next((found for is_like, found in _JSON_RULES if is_like(paths)), None)
    if isinstance(found, AnnotationFormat):
        return found
    keys = [path for path in paths if path and not set(".[") & set(path)][:5]
    names = f"JSON with the keys {', '.join(map(repr, keys)) or '(none)'}" if paths.get("") == "{" else "a JSON list"
    raise _unknown(found or names)


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
    """Yield the start and end of each element, as far as the head is well-formed.

    Raises:
      AnnotationError: the head is not well-formed before its first element, for example in an unknown encoding.
    """
    # lxml-stubs declare the parser's events wrongly
    parser: Any = etree.XMLPullParser(events=("start", "end"), **SAFE_PARSING)
    fault: etree.XMLSyntaxError | None = None
    # The head may end anywhere. The reader of the format reports what is wrong after the first element.
    try:
        parser.feed(head)
    except etree.XMLSyntaxError as error:
        fault = error
    count = 0
    try:
        for event in parser.read_events():
            count += 1
            yield event
    except etree.XMLSyntaxError as error:
        fault = error
    if fault is not None and not count:
        raise not_well_formed(fault)


def _describe(body: bytes) -> str:
    for magic, name in _OTHERS.items():
        if body.startswith(magic):
            return name
    return f"bytes that begin with {body[:16]!r}"


def _unknown(seen: str) -> AnnotationError:
    formats = ", ".join(supported.value for supported in AnnotationFormat)
    return AnnotationError(KIND_UNKNOWN, f"expected one of {formats}; found {seen}")
