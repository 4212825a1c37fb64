"""XML from outside, read with care.

Entity declarations are refused (no annotation tool writes them), nothing outside the file is fetched, and libxml2's
limits stay on (huge_tree off): nesting of 256 elements, 10 MB in one attribute or text. The longest honest value, a
mask's rle, is far below that; the size of the whole file is not limited.
"""

import math
from collections.abc import Iterator
from typing import Any, BinaryIO

from lxml import etree

from retinanet_odm.errors import AnnotationError

_MAX_NUMBER = 1e9
_LAST_LINE = 65_534  # libxml2 keeps 16 bits of an element's line, all set from there on, and then asks the neighbours


def parse_xml(data: bytes, *, source: str) -> etree._Element:
    """The root element of a small XML file.

    Raises:
      AnnotationError: not well-formed, or it declares entities.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise _not_well_formed(error, source) from error
    _refuse_entities(root, source)
    return root


def iterate_xml(file: BinaryIO, *, root: str, tags: tuple[str, ...], source: str) -> Iterator[etree._Element]:
    """Yields the root's children of these tags, each valid only until the next is asked for.

    Memory does not grow with the file: a child is emptied and unlinked once it was used.

    Raises:
      AnnotationError: not well-formed (perhaps only after some children), another root, or it declares entities.
    """
    events = etree.iterparse(
        file,
        events=("start", "end"),
        tag=(root, *tags),
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
    )
    top = None
    try:
        for event, element in events:
            if top is None:
                top = element.getroottree().getroot()
                _check_root(top, root, source)
            if event == "end" and element.getparent() is top:
                yield element
                _release(element)
    except etree.XMLSyntaxError as error:
        raise _not_well_formed(error, source) from error
    if top is None:
        _check_root(events.root, root, source)


def _not_well_formed(error: Exception, source: str) -> AnnotationError:
    line = getattr(error, "lineno", None) or None  # 0 where there is not a single character
    return AnnotationError("xml_not_well_formed", f"{source}: not well-formed XML: {error}", line)


def _check_root(element: etree._Element, expected: str, source: str) -> None:
    _refuse_entities(element, source)
    if element.tag != expected:
        detail = f"{source}: expected the root element <{expected}>, found <{element.tag}>"
        raise AnnotationError("xml_root_unexpected", detail, line_of(element))


def _refuse_entities(root: etree._Element, source: str) -> None:
    declared: Any = root.getroottree().docinfo.internalDTD  # lxml-stubs do not know entities()
    if declared is not None and declared.entities():
        name = declared.entities()[0].name
        raise AnnotationError("xml_declares_entities", f"{source}: expected no entity declarations, found {name!r}")


def _release(element: etree._Element) -> None:
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def line_of(element: etree._Element) -> int | None:
    """The line on which an element's start tag ends, counted from 1; None beyond line 65,534 and for one not parsed."""
    line: Any = element.sourceline  # lxml-stubs do not know its type
    return line if line is not None and line <= _LAST_LINE else None


def element_position(element: etree._Element) -> str:
    """Where an element stands, for messages."""
    line = line_of(element)
    return f"after line {_LAST_LINE}" if line is None else f"line {line}"


def quoted(text: str | None) -> str:
    """A text of the file, for messages; cut, since it may be 10 MB long."""
    return repr((text or "")[:60])


def text_of(element: etree._Element, path: str) -> str:
    """The stripped text at a path; "" where the element is missing or empty."""
    return (element.findtext(path) or "").strip()


def parse_number(text: str | None, what: str, source: str, line: int | None = None) -> float:
    """A finite number below 1e9 in size.

    Raises:
      AnnotationError: anything else; what and source name it, line says where it is.
    """
    try:
        value = math.nan if "_" in (text or "") else float(text or "")  # Python alone reads 1_5 as 15
    except ValueError:
        detail = f"{source}: {what}: expected a number, found {quoted(text)}"
        raise AnnotationError("number_not_readable", detail, line) from None
    if not abs(value) < _MAX_NUMBER:  # also refuses nan
        detail = f"{source}: {what}: expected a pixel coordinate, found {quoted(text)}"
        raise AnnotationError("number_not_readable", detail, line)
    return value


def parse_index(text: str | None, what: str, source: str, line: int | None = None) -> int:
    """A whole number, 0 or more, as an index or a count is written; "12.0" passes.

    Raises:
      AnnotationError: anything else; as of number.
    """
    value = parse_number(text, what, source, line)
    if value < 0 or value != int(value):
        detail = f"{source}: {what}: expected 0, 1, 2, …; found {quoted(text)}"
        raise AnnotationError("number_not_readable", detail, line)
    return int(value)


def is_true(text: str | None) -> bool:
    """Flags are 0/1 in VOC and CVAT, true/false in CVAT's checkbox attributes; empty or missing is false."""
    return (text or "").strip() in ("1", "true", "True")
