"""Docstrings of public functions begin with a verb, and their examples are true."""

import ast
import doctest
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("retinanet_odm", "beam_jobs", "trainer", "inference")
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
# Words that end like a verb in the third person.
_NOUNS = {"Always", "Annotations", "Arguments", "Bytes", "Classes", "Detections", "Images", "Pixels", "This", "Values"}


@pytest.mark.parametrize("module", [name for name, source in SOURCES.items() if ">>> " in source])
def test_examples(module: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert tried and not failed


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Yields the public functions and methods of a module, except properties, which describe values."""
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    for node in (node for body in bodies for node in body if isinstance(node, ast.FunctionDef)):
        is_property = any("property" in ast.unparse(decorator) for decorator in node.decorator_list)
        if not (is_property or node.name.startswith("_")):
            yield node


def _is_verb(word: str) -> bool:
    return (word.endswith("s") and word not in _NOUNS) or word == "See"


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    """In the descriptive style of Google's guide: "Returns", not "Return" as ruff's D401 has it."""
    found = {
        f"{module}.{function.name}": docstring
        for module, source in SOURCES.items()
        for function in _functions(ast.parse(source))
        if (docstring := ast.get_docstring(function))
    }
    first = {name: re.match(r"[A-Za-z]*", docstring)[0] for name, docstring in found.items()}
    others = {name: found[name].split("\n")[0] for name, word in first.items() if not _is_verb(word)}
    assert not others, "\n".join(["not a verb in the third person:", *(f"{name}: {others[name]}" for name in others)])
