"""Outlines the beginning of a JSON file: which keys it has and where, without parsing it.

The format of a file is detected from its first bytes, which rarely are complete JSON.
"""

import json
import re
from collections.abc import Mapping

_MAX_DEPTH = 4  # of the paths; deeper keys do not tell formats apart
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')


def outline_json(head: str) -> Mapping[str, str]:
    """Return the first character of each value by its path, in file order; a path occurs once.

    Args:
      head: the text of a file, which may end anywhere.

    Example:
      >>> dict(outline_json('{"info": {"year": 2026}, "images": [{"id": 1}, {"id'))
      {'': '{', 'info': '{', 'info.year': '2', 'images': '[', 'images[]': '{', 'images[].id': '1'}
    """
    found: dict[str, str] = {}
    path: list[str] = []  # of the open objects and lists
    openings: list[str] = []
    key = ""
    pieces = [match[0] for match in _PIECE.finditer(head)]
    for piece, following in zip(pieces, [*pieces[1:], ""], strict=True):
        # A piece that closes what was never opened deletes nothing: the head is not validated here.
        if piece in "}]":
            del path[-1:], openings[-1:]
        elif piece.startswith('"') and following == ":":
            key = piece[1:-1]
        elif piece not in ":,":
            name = ""  # deeper paths are not kept, and to write those of a damaged file would take its square
            if len(openings) <= _MAX_DEPTH:
                name = _join(path[-1] if path else "", openings[-1] if openings else "", key)
                # The first value of a path counts: the elements of a list share one path.
                found.setdefault(name, piece[0])
            if piece in "{[":
                path.append(name)
                openings.append(piece)
    return found


def _join(parent: str, opening: str, key: str) -> str:
    """Return the path of a value in an object or list that was opened by { or [; "" for the value of the file."""
    if opening == "[":
        return f"{parent}[]"
    return (f"{parent}.{key}" if parent else key) if opening else ""


def is_json(head: bytes) -> bool:
    r"""Return whether the first bytes of a file are those of a JSON object or list, in any encoding of Unicode.

    Example:
      >>> is_json(b'\xef\xbb\xbf {"images": ['), is_json(b"<annotations>")
      (True, False)
    """
    return decode_json(head).lstrip().startswith(("{", "["))


def decode_json(head: bytes) -> str:
    """Decode the first bytes of a JSON file: UTF-8, UTF-16 or UTF-32, with or without a byte order mark."""
    return head.decode(json.detect_encoding(head), "replace").removeprefix("\ufeff")
