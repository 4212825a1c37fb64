"""Parses single values of annotation files: numbers, counts and flags, as text or as JSON has them.

A value that cannot be read is an `AnnotationError` that quotes it. Nothing is guessed: a wrong coordinate would move a
box, and a wrong flag would add or remove one.
"""

import math

from retinanet_odm.errors import AnnotationError

MAX_NUMBER = 1e9  # no coordinate in pixels is larger

# As Pascal VOC, CVAT's checkboxes, and tools that export spreadsheets write them.
_TRUE = frozenset(("1", "1.0", "true", "yes", "y", "t", "on"))
_FALSE = frozenset(("0", "0.0", "false", "no", "n", "f", "off"))


def quoted(text: str | None) -> str:
    """Return a text of the file in quotes, for messages; shortened, since it may be 10 MB long."""
    return repr((text or "")[:60])


def parse_number(text: str | None, what: str, source: str, line: int | None = None) -> float:
    """Parse a finite number whose absolute value is below 1e9.

    Args:
      text: as the file has it; None if it is missing.
      what: the name of the number, for messages.
      source: the file's name, for messages.
      line: its line in the file, for the error.

    Raises:
      AnnotationError: the text is no such number.

    Example:
      >>> parse_number("12.5", "xmin", "a.xml")
      12.5
    """
    try:
        value = math.nan if "_" in (text or "") else float(text or "")  # only Python reads 1_5 as 15
    except ValueError:
        detail = f"{source}: {what}: expected a number, found {quoted(text)}"
        raise AnnotationError("number_not_readable", detail, line) from None
    if not abs(value) < MAX_NUMBER:  # also rejects nan
        detail = f"{source}: {what}: expected a pixel coordinate, found {quoted(text)}"
        raise AnnotationError("number_not_readable", detail, line)
    return value


def parse_index(text: str | None, what: str, source: str, line: int | None = None) -> int:
    """Parse an integer of 0 or more, such as an index or a count; "12.0" is accepted. See parse_number.

    Raises:
      AnnotationError: the text is no such number.

    Example:
      >>> parse_index("12.0", "width", "a.xml")
      12
    """
    value = parse_number(text, what, source, line)
    if value < 0 or value != int(value):
        detail = f"{source}: {what}: expected 0, 1, 2, …; found {quoted(text)}"
        raise AnnotationError("number_not_readable", detail, line)
    return int(value)


def is_true(value: object) -> bool:
    """Return whether a flag is set; a word that is no flag, such as Pascal VOC's Unspecified, is false.

    Example:
      >>> is_true("YES"), is_true(1), is_true(" false "), is_true(None)
      (True, True, False, False)
    """
    return _as_word(value) in _TRUE


def parse_flag(value: object, what: str, source: str, line: int | None = None) -> bool:
    """Parse a flag on which it depends whether a box is there: 0 or 1, true or false, yes or no.

    Args:
      value: as the file has it; None is false: the file does not have the flag.
      what: the name of the flag, for messages.
      source: the file's name, for messages.
      line: its line in the file, for the error.

    Raises:
      AnnotationError: the value is no flag.

    Example:
      >>> parse_flag("yes", "outside", "a.xml"), parse_flag(None, "outside", "a.xml")
      (True, False)
    """
    word = _as_word(value)
    if value is not None and word not in _TRUE | _FALSE:
        raise AnnotationError("flag_not_readable", f"{source}: {what}: expected 0 or 1, found {quoted(word)}", line)
    return word in _TRUE


def _as_word(value: object) -> str:
    """Return a text, number or truth value of a file as a word in lower case; "" for None."""
    return "" if value is None else str(value).strip().lower()
