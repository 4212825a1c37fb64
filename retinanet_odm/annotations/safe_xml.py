"""Parses XML from untrusted files.

Entity declarations are rejected (no annotation tool writes them), nothing outside the file is fetched, and the limits
of libxml2 stay on (huge_tree off): 256 nested elements, 10 MB in one attribute or text. The longest legitimate value,
the rle of a mask, is far below that. The size of the file as a whole is not limited.

Comments and processing instructions are removed, so that <x>1<!-- a -->2</x> is 12. Nothing else is dropped: `text_of`
and `only_child` reject an element that is repeated, and text with other elements in it.
"""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from lxml import etree

from retinanet_odm.errors import AnnotationError

# Options of every parser in this room.
SAFE_PARSING: dict[str, Any] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
}
# libxml2 stores an element's line in 16 bits; with all of them set it returns the line of a neighbouring node instead.
_MAX_LINE = 65_534


def parse_xml(data: bytes, *, source: str) -> etree._Element:
    """Return the root element of a small XML file.

    Raises:
      AnnotationError: the file is not well-formed, or declares entities.
    """
    parser = etree.XMLParser(**SAFE_PARSING)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise not_well_formed(error, source) from error
    _check_entities(root, source)
    return root


def iterate_xml(
    file: BinaryIO,
    *,
    root: str,
    tags: tuple[str, ...],
    source: str,
    nesting: str = "",
    forbidden: frozenset[str] = frozenset(),
) -> Iterator[etree._Element]:
    """Yield the root's children with these tags; each is valid only until the next one is requested.

    Memory does not grow with the file: a child is emptied and unlinked after its use.

    Args:
      file: opened for reading bytes.
      root: the tag of the root element.
      tags: of the children to yield.
      source: the file's name, for messages.
      nesting: the tag, if any, that may stand directly in an element of the same tag; the others only in the root.
      forbidden: names in lower case that no other child may have, nor anything in it: they would be lost.

    Raises:
      AnnotationError: the file is not well-formed (perhaps found only after some children), has another root, declares
        entities, or holds an element where it would be lost.
    """
    events = etree.iterparse(
        file,
        events=("start", "end"),
        tag=(root, *tags),
        **SAFE_PARSING,
    )
    top = None
    try:
        # "start" events find a misplaced element before its content is read; "end" events have the complete child.
        for event, element in events:
            if top is None:
                # Check before the first child is yielded: entities are declared above the root.
                top = element.getroottree().getroot()
                _check_root(top, root, source)
            parent = element.getparent()
            if parent is not None and parent is not top and not element.tag == parent.tag == nesting:
                raise misplaced(element, f"each <{element.tag}> directly in <{root}>", source)
            if event == "end" and parent is top:
                _check_others(element.itersiblings(preceding=True), tags, forbidden, source)
                yield element
                _release(element)
    except etree.XMLSyntaxError as error:
        raise not_well_formed(error, source) from error
    if top is None:
        _check_root(events.root, root, source)
    _check_others(events.root, tags, forbidden, source)


def _check_others(
    children: Iterable[etree._Element], tags: tuple[str, ...], forbidden: frozenset[str], source: str
) -> None:
    """Check those children of the root that are not yielded."""
    for child in children:
        if child.tag not in tags:
            check_names(child, forbidden, source)


def check_names(element: etree._Element, forbidden: frozenset[str], source: str) -> None:
    """Raise AnnotationError if an element, or one in it, has a forbidden name; names are compared in lower case."""
    for inner in element.iter("*"):
        if local_name(inner) in forbidden:
            raise misplaced(inner, "elements where the format has them", source)


def not_well_formed(error: Exception, source: str = "") -> AnnotationError:
    """Make the error about XML that cannot be parsed, with the parser's own reason; the caller may add the source."""
    line = getattr(error, "lineno", None) or None  # 0 for an empty file
    detail = f"not well-formed XML: {error}"
    return AnnotationError("xml_not_well_formed", f"{source}: {detail}" if source else detail, line)


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
    """Free an element and the siblings before it."""
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def line_of(element: etree._Element) -> int | None:
    """Return the line, from 1, on which the start tag ends; None beyond line 65,534 or if it was not parsed."""
    line: Any = element.sourceline  # lxml-stubs lack its type
    return line if line is not None and line <= _MAX_LINE else None


def element_position(element: etree._Element) -> str:
    """Return the position of an element in its file, for messages."""
    line = line_of(element)
    return f"after line {_MAX_LINE}" if line is None else f"line {line}"


def local_name(element: etree._Element) -> str:
    """Return the tag without its namespace, in lower case."""
    return str(element.tag).rpartition("}")[2].lower()


def elements_at(element: etree._Element, path: str) -> list[etree._Element]:
    """Return the elements at a path of names, as findall does, which takes several times as long."""
    found = [element]
    for name in path.split("/"):
        found = [child for parent in found for child in parent.iterchildren(name)]
    return found


def only_child(element: etree._Element, path: str, source: str) -> etree._Element | None:
    """Return the element at a path; None if there is none.

    Raises:
      AnnotationError: there are several, so that one of them would be lost.
    """
    # All of them: find would silently take the first.
    found = elements_at(element, path) if "/" in path else [*element.iterchildren(path)]
    if len(found) > 1:
        detail = f"{source}: {element_position(found[1])}: expected one <{path}> in <{element.tag}>, found {len(found)}"
        raise AnnotationError("element_repeated", detail, line_of(found[1]))
    return found[0] if found else None


def text_of(element: etree._Element, path: str, source: str) -> str:
    """Return the stripped text at a path; "" if the element is missing or empty.

    Raises:
      AnnotationError: there are several such elements, or the text is interrupted by other elements.
    """
    found = only_child(element, path, source)
    if found is None:
        return ""
    if len(found):
        inner = f"<{found[0].tag}>" if isinstance(found[0].tag, str) else "an entity"
        detail = f"{source}: {element_position(found)}: expected only text in <{found.tag}>, found {inner} in it"
        raise AnnotationError("element_misplaced", detail, line_of(found))
    return (found.text or "").strip()


def misplaced(element: etree._Element, expected: str, source: str) -> AnnotationError:
    """Make the error about an element that belongs elsewhere or has another name, so that nobody would read it."""
    parent = element.getparent()
    where = "" if parent is None else f" in <{parent.tag}>"
    detail = f"{source}: {element_position(element)}: expected {expected}, found <{element.tag}>{where}"
    return AnnotationError("element_misplaced", detail, line_of(element))
