"""Says why a path that a person has typed may match nothing. Begin with `check_matches`."""

import re
from collections.abc import Sequence
from pathlib import Path

from retinanet_odm.errors import UsageError
from retinanet_odm.storage import files
from retinanet_odm.storage.file_kinds import count_suffixes, describe_suffixes
from retinanet_odm.storage.file_names import escape_glob, literal_prefix, root_of
from retinanet_odm.systems import path_in_wsl, shell_word

_MAX_PIECES = 6  # of a path that the shell has split at its spaces
_MAX_LISTED = 10_000  # files of a folder whose suffixes a message counts: a bucket may have millions


def check_matches(patterns: Sequence[str], *, flag: str) -> None:
    """Raise UsageError if a pattern matches no file, so that a mistyped path ends a job before it starts."""
    for pattern in patterns:
        if not _matches(pattern):
            why = explain_no_match(pattern, patterns)
            raise UsageError(f"{flag}: expected at least one file, found none that matches {pattern}{why}")


def explain_no_match(pattern: str, values: Sequence[str]) -> str:
    """Return a hint to append to the message about a pattern that matches nothing; "" if there is none.

    Args:
      pattern: One of the values.
      values: All values of its flag: the shell splits a path at its spaces into several.
    """
    if joined := _rejoin(values, pattern):
        return f"; did you mean {shell_word(joined)}? A path with spaces needs quotes"
    if unusual := describe_unusual_path(pattern):
        return unusual
    folder = root_of(pattern)
    if folder and not (Path(folder).is_dir() or files.is_folder(folder)):
        return f" (there is no folder {folder})"
    if literal_prefix(pattern) == pattern:
        return ""
    # For example *.JPG where the files end in .jpg.
    kinds = count_suffixes(files.iter_matches(files.join(escape_glob(folder), "*"), limit=_MAX_LISTED))
    return f", but {describe_suffixes(kinds)}" if kinds else ""


def _matches(pattern: str) -> bool:
    return any(True for _ in files.iter_matches(pattern, limit=1))


def _rejoin(values: Sequence[str], first: str) -> str:
    """Return the path that begins with a value and goes on in the next ones, if there is such a path; else ""."""
    begin = values.index(first)
    joins = (" ".join(values[begin : begin + count]) for count in range(2, min(_MAX_PIECES, len(values) - begin) + 1))
    return next((path for path in joins if files.exists(path) or files.is_folder(path) or _matches(path)), "")


# --- What a path shows that was written for another shell or system ---


def describe_unusual_path(pattern: str) -> str:
    """Return what is unusual about a path that matches nothing, as the end of a message; "" if nothing is.

    Example:
      >>> describe_unusual_path("a.jpg,b.jpg")
      '; several paths are separated by spaces, not by commas'
    """
    if path := path_in_wsl(pattern):
        return f"; in WSL, the Linux of Windows, this is {path}"
    return next((text for unusual, text in _UNUSUAL if unusual.search(pattern)), "")


_UNUSUAL = (
    (re.compile(r"\Ags:/?[^/]"), "; a path in a bucket begins with gs://"),
    (re.compile(r"\A~"), "; within quotes, ~ is not replaced by your home folder: write its path"),
    (re.compile(r"\$\w|\$\{"), "; within single quotes, the shell does not replace $: write the path"),
    (re.compile(r","), "; several paths are separated by spaces, not by commas"),
    (re.compile(r"\["), "; in a pattern, [ ] matches one of the characters in it: write [[] for a bracket in a name"),
    # Never on Windows, where `with_slashes` has replaced them.
    (re.compile(r"\\"), "; folders are separated by /, not by \\"),
)
