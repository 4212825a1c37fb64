"""Parses XML from untrusted files.

Entity declarations are rejected (no annotation tool writes them), nothing outside the file is fetched, and the limits
of libxml2 stay on (huge_tree off): 256 nested elements, 10 MB in one attribute or text. The longest legitimate value,
the rle of a mask, is far below that. The size of the file as a whole is not limited.
"""

import math
from collections.abc import Iterator
from typing import Any, BinaryIO

from lxml import etree

from retinanet_odm.errors import AnnotationError

_MAX_NUMBER = 1e9
# libxml2 stores an element's line in 16 bits; with all of them set it returns the line of a neighbouring node instead.
_MAX_LINE = 65_534


def parse_xml(data: bytes, *, source: str) -> etree._Element:
    """Returns the root element of a small XML file.

    Raises:
      AnnotationError: the file is not well-formed, or declares entities.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise _not_well_formed(error, source) from error
    _check_entities(root, source)
    return root


def iterate_xml(file: BinaryIO, *, root: str, tags: tuple[str, ...], source: str) -> Iterator[etree._Element]:
    """Yields the root's children with these tags; each is valid only until the next one is requested.

    Memory does not grow with the file: a child is emptied and unlinked after its use.

    Raises:
      AnnotationError: the file is not well-formed (perhaps found only after some children), has another root, or
        declares entities.
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
                # Check before the first child is yielded: entities are declared above the root.
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
    line = getattr(error, "lineno", None) or None  # 0 for an empty file
    return AnnotationError("xml_not_well_formed", f"{source}: not well-formed XML: {error}", line)


def _check_root(element: etree._Element, expected: str, source: str) -> None:
    _check_entities(element, source)
    if element.tag != expected:
        detail = f"{source}: expected the root element <{expected}>, found <{element.tag}>"
        raise AnnotationError("xml_root_unexpected", detail, line_of(element))


def _check_entities(root: etree._Element, source: str) -> None:
    declared: Any = root.getroottree().docinfo.internalDTD  # lxml-stubs lack entities()
    if declared is not None and declared.entities():
        name = declared.entities()[0].name
        raise AnnotationError("xml_declares_entities", f"{source}: expected no entity declarations, found {name!r}")


def _release(element: etree._Element) -> None:
    """Frees an element and the siblings before it."""
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def line_of(element: etree._Element) -> int | None:
    """Returns the line, from 1, on which the start tag ends; None beyond line 65,534 or if it was not parsed."""
    line: Any = element.sourceline  # lxml-stubs lack its type
    return line if line is not None and line <= _MAX_LINE else None


def element_position(element: etree._Element) -> str:
    """Returns the position of an element in its file, for messages."""
    line = line_of(element)
    return f"after line {_MAX_LINE}" if line is None else f"line {line}"


def quoted(text: str | None) -> str:
    """Returns a text of the file in quotes, for messages; shortened, since it may be 10 MB long."""
    return repr((text or "")[:60])


def text_of(element: etree._Element, path: str) -> str:
    """Returns the stripped text at a path; "" if the element is missing or empty."""
    return (element.findtext(path) or "").strip()


def parse_number(text: str | None, what: str, source: str, line: int | None = None) -> float:
    """Parses a finite number whose absolute value is below 1e9.

    Args:
      text: as the file has it; None if it is missing.
      what: the name of the number, for messages.
      source: the file's name, for messages.
      line: its line in the file, for the error.

    Raises:
      AnnotationError: the text is no such number.
    """
    try:
        value = math.nan if "_" in (text or "") else float(text or "")  # only Python reads 1_5 as 15
    except ValueError:
        detail = f"{source}: {what}: expected a number, found {quoted(text)}"
        raise AnnotationError("number_not_readable", detail, line) from None
    if not abs(value) < _MAX_NUMBER:  # also rejects nan
        detail = f"{source}: {what}: expected a pixel coordinate, found {quoted(text)}"
        raise AnnotationError("number_not_readable", detail, line)
    return value


def parse_index(text: str | None, what: str, source: str, line: int | None = None) -> int:
    """Parses an integer of 0 or more, such as an index or a count; "12.0" is accepted. See parse_number.

    Raises:
      AnnotationError: the text is no such number.
    """
    value = parse_number(text, what, source, line)
    if value < 0 or value != int(value):
        detail = f"{source}: {what}: expected 0, 1, 2, …; found {quoted(text)}"
        raise AnnotationError("number_not_readable", detail, line)
    return int(value)


def is_true(text: str | None) -> bool:
    """Parses a flag: 0 or 1 in VOC and CVAT, true or false in CVAT's checkboxes; empty or missing is false."""
    return (text or "").strip() in ("1", "true", "True")
