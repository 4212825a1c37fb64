"""Patterns of paths: ``*``, ``?`` and ``[...]`` stand for any characters of one name, ``**`` for any at all.

And the names of files that are not whole yet.
"""

import posixpath
import re
import uuid

_TEMPORARY = ".tmp-"
WILDCARD = re.compile(r"[*?\[]")
# "[" begins a set only where a "]" ends it that is not its first character.
_TOKEN = re.compile(
    r"(?P<deep>\*\*)|(?P<any>\*)|(?P<one>\?)|\[(?P<not>!?+)(?P<set>\]?+[^\]]*+)\]|(?P<char>.)", re.DOTALL
)


def to_regex(pattern: str) -> re.Pattern[str]:
    """What a pattern matches in full; as Beam understands it, but for the backslash, which is a letter like any other.

    Raises:
      re.error: a set holds a range that runs backwards.
    """
    return re.compile("".join(map(_translate, _TOKEN.finditer(pattern))) + r"\Z", re.DOTALL)


def _translate(token: re.Match[str]) -> str:
    if token["deep"]:
        return ".*"
    if token["any"]:
        return "[^/]*"
    if token["one"]:
        return "."
    if token["char"]:
        return re.escape(token["char"])
    # All but the hyphen stand for themselves, also what Python would take for an operator between sets some day.
    members = re.sub(r"[\\^\[&|~]", r"\\\g<0>", token["set"])
    return f"[{'^' if token['not'] else ''}{members}]"


def escape_glob(path: str) -> str:
    """A pattern that matches this path and no other, even where the path holds ``[``, ``*`` or ``?``."""
    # Beam makes a regular expression of it, and Python warns of one that holds "[[": so a backslash stands between.
    return WILDCARD.sub(lambda match: r"[\[]" if match[0] == "[" else f"[{match[0]}]", path)


def root_of(pattern: str) -> str:
    """The folder, without a slash at its end, above the first wildcard: names are relative to it."""
    match = WILDCARD.search(pattern)
    return posixpath.dirname(pattern[: match.start()] if match else pattern)


def temporary_name(path: str) -> str:
    """The name of a file until it is whole; another one each time."""
    return f"{path}{_TEMPORARY}{uuid.uuid4().hex[:8]}"


def final_name(name: str) -> str:
    """The name under which a file of a temporary name would have appeared; other names are returned as they are."""
    return name.partition(_TEMPORARY)[0]
