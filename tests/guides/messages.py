"""Every text that the programs can print, as patterns: what a guide quotes is held against them."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_PROGRAMS = ("beam_jobs", "inference", "retinanet_odm", "scripts", "trainer")
_HOLE = re.compile(r"%[-+ 0-9.,]*[a-z]")
_FILLED = "\0"
_LEAST = 11  # letters that a text must have of its own, or it would match anything


@cache
def patterns(root: Path) -> tuple[re.Pattern[str], ...]:
    """A pattern for each text in the source; what is filled in when it is printed matches anything."""
    files = sorted(path for program in _PROGRAMS for path in (root / program).rglob("*.py"))
    texts = {text for path in files for text in _texts(ast.parse(path.read_text(encoding="utf-8")))}
    return tuple(re.compile(text) for text in sorted(texts))


def is_printed(quote: str, root: Path) -> bool:
    """Whether a line, quoted as people see it, is one that the source can print."""
    lines = {quote, re.sub(r"^(error|warning|note): ", "", quote)}
    return any(pattern.fullmatch(line) for pattern in patterns(root) for line in lines)


def _texts(tree: ast.AST) -> Iterator[str]:
    """Lines of the strings in a module, as patterns."""
    for node in ast.walk(tree):
        for line in _text(node).splitlines():
            if len(re.findall(r"[a-z]", line)) >= _LEAST:
                yield ".*".join(re.escape(part) for part in line.split(_FILLED))


def _text(node: ast.AST) -> str:
    """A string, with a mark for whatever is filled in when it is printed."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _HOLE.sub(_FILLED, node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or _FILLED for part in node.values)
    return ""
