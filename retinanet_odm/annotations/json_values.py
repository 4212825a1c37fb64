"""Parses JSON annotation files and their single values. Begin with `parse_json`.

JSON allows what no annotation tool means: keys that are repeated, NaN, integers of any length, half of a surrogate
pair. Whatever could hide an object is an `AnnotationError`.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard

from retinanet_odm.annotations.values import MAX_NUMBER
from retinanet_odm.errors import AnnotationError

JsonObject = Mapping[str, Any]


class _ObjectCounter:
    """Makes the objects of a JSON file, and counts those that look like an annotated object, wherever they are."""

    def __init__(self, is_counted: Callable[[JsonObject], bool], source: str) -> None:
        self._is_counted = is_counted
        self._source = source
        self.count = 0

    def __call__(self, pairs: list[tuple[str, Any]]) -> JsonObject:
        found = dict(pairs)  # called for every object of the file, so it must be fast
        if len(found) < len(pairs):
            key = next(key for index, (key, _) in enumerate(pairs) if key in dict(pairs[:index]))
            detail = f"{self._source}: expected each key once in an object, found {shown(key)} repeatedly"
            raise AnnotationError("element_repeated", detail)
        self.count += self._is_counted(found)
        return found


def parse_json(data: bytes, source: str, is_counted: Callable[[JsonObject], bool]) -> tuple[Any, int]:
    """Parse a JSON file, and count the objects anywhere in it that look like an annotated object.

    Args:
      data: the file's bytes, in any encoding of Unicode.
      source: the file's name, for messages.
      is_counted: whether an object looks like an annotated object.

    Raises:
      AnnotationError: it is not JSON, or an object has a key twice.
    """
    counter = _ObjectCounter(is_counted, source)
    try:
        return json.loads(data, object_pairs_hook=counter), counter.count
    except (ValueError, RecursionError) as error:  # ValueError: bad syntax, bad UTF-8, a number of 5,000 digits
        line = getattr(error, "lineno", None)  # of json.JSONDecodeError
        raise AnnotationError("json_not_well_formed", f"{source}: not well-formed JSON: {error}", line) from error


def check_all_read(
    counted: int, entries: Iterable[object], is_counted: Callable[[JsonObject], bool], place: str, source: str
) -> None:
    """Raise AnnotationError if a file has more annotated objects than are read, because some are elsewhere.

    Args:
      counted: the number from parse_json.
      entries: what is read.
      is_counted: as for parse_json.
      place: where the entries are in the file, for the message.
      source: the file's name, for the message.
    """
    read = sum(isinstance(entry, dict) and is_counted(entry) for entry in entries)
    if elsewhere := counted - read:
        detail = f"{source}: expected objects only in {place}; elsewhere, the file has {elsewhere}"
        raise AnnotationError("element_misplaced", detail)


def entries_of(value: object, what: str, source: str) -> list[JsonObject]:
    """Return a list of objects.

    Raises:
      AnnotationError: the value is something else.
    """
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        seen = "a list with other values" if isinstance(value, list) else kind_of(value)
        raise AnnotationError("structure_unexpected", f"{source}: {what}: expected a list of objects, found {seen}")
    return value


def object_of(value: object, what: str, source: str) -> JsonObject:
    """Return an object.

    Raises:
      AnnotationError: the value is something else.
    """
    if not isinstance(value, dict):
        detail = f"{source}: {what}: expected an object, found {kind_of(value)}"
        raise AnnotationError("structure_unexpected", detail)
    return value


def kind_of(value: object) -> str:
    """Return what a value is in the words of JSON.

    Example:
      >>> kind_of({}), kind_of(True), kind_of(1.5)
      ('an object', 'true or false', 'a float')
    """
    # By exact type: isinstance would take true and false for numbers.
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), f"a {type(value).__name__}")


def shown(value: object) -> str:
    """Return a value for messages; shortened, since it may be 10 MB long."""
    return ascii(value)[:60]


def is_name(value: object) -> bool:
    """Return whether a value is a text that is not blank and can be encoded as UTF-8.

    JSON allows half of a surrogate pair, which cannot.

    Example:
      >>> is_name("crab"), is_name(" "), is_name(7)
      (True, False, False)
    """
    return (
        isinstance(value, str)
        and bool(value.strip())
        and not any("\ud800" <= character <= "\udfff" for character in value)
    )


def is_coordinate(value: Any) -> bool:
    """Return whether a value is a finite coordinate: json also parses NaN, Infinity and integers of any length.

    Example:
      >>> is_coordinate(1.5), is_coordinate(True), is_coordinate(float("nan"))
      (True, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_NUMBER


def is_bbox(value: object) -> TypeGuard[list[float]]:
    """Return whether a value is a list of four coordinates."""
    return isinstance(value, list) and len(value) == 4 and all(map(is_coordinate, value))


def side_of(value: Any) -> int | None:
    """Return a side in pixels; None for anything but a positive number, which tools write if they do not know it.

    Example:
      >>> side_of(640.0), side_of(0), side_of("640")
      (640, None, None)
    """
    # A fraction below 1 becomes 0, which means unknown as well.
    return int(value) or None if is_coordinate(value) and value > 0 else None


def numbers_of(entry: JsonObject, keys: tuple[str, ...], what: str, source: str) -> list[float]:
    """Return coordinates by their keys.

    Raises:
      AnnotationError: one of them is missing or not a number.
    """
    for key in keys:
        if not is_coordinate(entry.get(key)):
            detail = f"{source}: {what}: expected a number as {key!r}, found {shown(entry.get(key))}"
            raise AnnotationError("number_not_readable", detail)
    return [float(entry[key]) for key in keys]


def points_of(value: object, what: str, source: str, *, at_least: int) -> list[tuple[float, float]]:
    """Return the points of an outline [[x, y], …].

    Raises:
      AnnotationError: the value is no such list, or has fewer points.
    """
    points = value if isinstance(value, list) else []
    if len(points) < at_least or not all(map(_is_point, points)):
        detail = f"{source}: {what}: expected {at_least} or more points [x, y], found {shown(value)}"
        raise AnnotationError("points_not_readable", detail)
    return [(float(x), float(y)) for x, y in points]


def _is_point(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_coordinate, value))


def label_of(value: object, what: str, source: str) -> str:
    """Return a label without the blanks around it.

    Raises:
      AnnotationError: the value is no text, or blank.
    """
    if not is_name(value):
        raise AnnotationError("object_without_label", f"{source}: {what}: expected a label, found {shown(value)}")
    return str(value).strip()


def image_name_of(value: object, what: str, source: str) -> str:
    r"""Return the name of an image with the folders that are below a common one: without ./ and ../ at its beginning.

    Raises:
      AnnotationError: the value is no name.

    Example:
      >>> image_name_of("..\\images\\a.jpg", "imagePath", "a.json")
      'images/a.jpg'
    """
    if is_name(value):
        parts = str(value).strip().replace("\\", "/").split("/")
        while parts and parts[0] in (".", ".."):
            del parts[0]
        if parts and parts[-1]:
            return "/".join(parts)
    raise AnnotationError(
        "image_without_name", f"{source}: {what}: expected the name of an image, found {shown(value)}"
    )
