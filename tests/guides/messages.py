"""Collects the texts that the programs can print, as patterns to compare with the quotes in the guides."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_PROGRAMS = ("beam_jobs", "inference", "retinanet_odm", "scripts", "trainer")
_PLACEHOLDER = re.compile(r"%[-+ 0-9.,]*[a-z]")
_MARK = "\0"
_PYTHON_IN_SHELL = re.compile(r"<<'PY'\n(.*?)^PY$", re.MULTILINE | re.DOTALL)
_MIN_LETTERS = 10  # a pattern with fewer letters of its own would match anything


@cache
def patterns(root: Path) -> tuple[re.Pattern[str], ...]:
    """Returns a pattern for each text in the source, in which a placeholder matches any text."""
    sources = [path.read_text(encoding="utf-8") for name in _PROGRAMS for path in (root / name).rglob("*.py")]
    scripts = [path.read_text(encoding="utf-8") for path in (root / "scripts").glob("*.sh")]
    sources += [code for script in scripts for code in _PYTHON_IN_SHELL.findall(script)]
    texts = {text for source in sources for text in _texts(ast.parse(source))}
    return tuple(re.compile(text) for text in sorted(texts))


def is_printed(quote: str, root: Path) -> bool:
    """Returns whether the source can print a line that is quoted as users see it."""
    lines = {quote, re.sub(r"^(error|warning|note): ", "", quote)}
    return any(pattern.fullmatch(line) for pattern in patterns(root) for line in lines)


def _texts(tree: ast.AST) -> Iterator[str]:
    """Yields the lines of the strings in a module as patterns."""
    for node in ast.walk(tree):
        for line in _text(node).splitlines():
            if len(re.findall(r"[a-z]", line)) >= _MIN_LETTERS:
                yield ".*".join(re.escape(part) for part in line.split(_MARK))


def _text(node: ast.AST) -> str:
    """Returns the text of a string, with a mark for each placeholder."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _PLACEHOLDER.sub(_MARK, node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or _MARK for part in node.values)
    return ""
