"""Counts the structure of a checkout: rooms, shared names, comments, functions, imports, files per walk.

    python -m benchmarks.structure CHECKOUT [--python PYTHON] [--no_walks]

Works for any layout. The product is every package at the top of CHECKOUT except tests, benchmarks and scripts;
generated modules (*_pb2) are excluded. Everything but the walks is read from the source; nothing is imported.

The walks (benchmarks/walks.py) are runs of prepare, train and score with PYTHON; default: CHECKOUT/.venv/bin/python.
"""

import argparse
import ast
import io
import statistics
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.walks import core, walk

NOT_PRODUCT = {"tests", "benchmarks", "scripts"}
ENTRIES = ("beam_jobs.main", "trainer.main", "inference.main")
SHORT, LONG, LONG_FILE = 20, 60, 300  # lines
WHOLE_LINE, TRAILING, PRAGMA = "whole-line", "trailing", "pragmas"  # kinds of comments
PRAGMAS = ("# noqa", "# type:", "# pragma:")
NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENCODING, tokenize.ENDMARKER),
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)


@dataclass(frozen=True, kw_only=True)
class Module:
    """A module of the product: dotted name, path in the checkout, source text and syntax tree."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def room(self) -> str:
        """The package that contains the module; of a package, itself."""
        return self.name if self.is_package else self.name.rpartition(".")[0]


def read_modules(checkout: Path) -> dict[str, Module]:
    """Read all modules of the product, by name."""
    roots = sorted(path.parent for path in checkout.glob("*/__init__.py") if path.parent.name not in NOT_PRODUCT)
    paths = (path for root in roots for path in sorted(root.rglob("*.py")) if not path.stem.endswith("_pb2"))
    modules = {}
    for path in paths:
        below = path.relative_to(checkout)
        parts = below.parent.parts if path.name == "__init__.py" else below.with_suffix("").parts
        name, text = ".".join(parts), path.read_text()
        modules[name] = Module(name=name, path=below, text=text, tree=ast.parse(text))
    return modules


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module or class body, including those inside if, try and with."""
    for statement in body:
        yield statement
        if not isinstance(statement, DEFINITIONS):
            for part in ("body", "orelse", "finalbody"):
                yield from statements(getattr(statement, part, ()))
            for handler in getattr(statement, "handlers", ()):
                yield from statements(handler.body)


def defined_names(module: Module) -> set[str]:
    """Return the public classes, functions and constants that a module defines, without imported names."""
    names = set()
    for statement in statements(module.tree.body):
        if isinstance(statement, DEFINITIONS):
            names.add(statement.name)
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        if isinstance(statement, (ast.Assign, ast.AnnAssign)):
            nodes = (node for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
            names |= {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
    return {name for name in names if not name.startswith("_")}


def shared_names(modules: Mapping[str, Module]) -> dict[str, list[str]]:
    """Return the public names that more than one module defines, with these modules."""
    owners = defaultdict(list)
    for module in modules.values():
        for name in defined_names(module):
            owners[name].append(module.name)
    return {name: owners[name] for name in sorted(owners, key=str.lower) if len(owners[name]) > 1}


def docstring_lines(tree: ast.Module) -> set[int]:
    """Return the numbers of all lines of docstrings."""
    nodes = (node for node in ast.walk(tree) if isinstance(node, (ast.Module, *DEFINITIONS)))
    found = (node.body[0] for node in nodes if ast.get_docstring(node) is not None)
    return {line for node in found for line in range(node.lineno, node.end_lineno + 1)}


def count_lines(module: Module) -> Counter[str]:
    """Count all lines, lines of code, and comments: whole-line, trailing, and pragmas of tools."""
    counts, code = Counter(), set()
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type == tokenize.COMMENT:
            kind = WHOLE_LINE if token.line.lstrip().startswith("#") else TRAILING
            counts[PRAGMA if token.string.startswith(PRAGMAS) else kind] += 1
        if token.type not in NO_CODE:
            code |= set(range(token.start[0], token.end[0] + 1))
    return counts + Counter(lines=module.text.count("\n"), code=len(code - docstring_lines(module.tree)))


def public_definitions(body: Iterable[ast.stmt], *, methods: bool) -> Iterator[ast.stmt]:
    """Yield public functions and classes, optionally with the public methods of the classes."""
    for statement in statements(body):
        if isinstance(statement, DEFINITIONS) and not statement.name.startswith("_"):
            yield statement
            if methods and isinstance(statement, ast.ClassDef):
                yield from public_definitions(statement.body, methods=True)


def documented(modules: Mapping[str, Module], *, methods: bool) -> str:
    """Format the share of public definitions that have a docstring."""
    found = [node for module in modules.values() for node in public_definitions(module.tree.body, methods=methods)]
    count = sum(ast.get_docstring(node) is not None for node in found)
    return f"{count / len(found):.1%} of {len(found)}"


def function_lengths(modules: Mapping[str, Module]) -> list[tuple[int, str]]:
    """Return the length of every function in lines, from def to its end with docstring, longest first."""
    return sorted(
        (
            (node.end_lineno - node.lineno + 1, f"{module.path}:{node.lineno} {node.name}")
            for module in modules.values()
            for node in ast.walk(module.tree)
            if isinstance(node, FUNCTIONS)
        ),
        reverse=True,
    )


def with_parents(name: str) -> Iterator[str]:
    """Yield a.b.c, a.b and a: Python runs the __init__ of every package on the way."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def imported(module: Module) -> Iterator[str]:
    """Yield names that may be modules: from all imports, lazy ones included, and from strings in an __init__.

    A package may import its modules lazily, by a table of strings and __getattr__.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.room.split(".")[: len(module.room.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif module.is_package and isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value.partition(":")[0].lstrip(".")
            yield from (name, f"{module.name}.{name}") if name.replace(".", "").isidentifier() else ()


def closure(modules: Mapping[str, Module], entry: str) -> set[str]:
    """Return all modules of the product that a module imports, directly or indirectly."""
    found, pending = set(), [entry]
    while pending:
        for name in with_parents(pending.pop()):
            if name in modules and name not in found:
                found.add(name)
                pending += imported(modules[name])
    return found


def by_root(names: Iterable[str], separator: str) -> str:
    counts = Counter(name.partition(separator)[0] for name in names)
    return ", ".join(f"{root} {count}" for root, count in sorted(counts.items()))


def show(title: str, lines: Iterable[str]) -> None:
    print(f"\n{title}", *(f"  {line}" for line in lines), sep="\n", flush=True)


def show_rooms(modules: Mapping[str, Module], lines: Mapping[str, Counter[str]]) -> None:
    rooms = defaultdict(list)
    for module in modules.values():
        rooms[module.room].append(module.name)
    roots = Counter(name.partition(".")[0] for name in modules)
    show(
        f"modules: {len(modules)}, of them {sum(module.is_package for module in modules.values())} __init__",
        [f"{root:38} {count:4}" for root, count in sorted(roots.items())],
    )
    show(
        "modules and lines of each room",
        [f"{room:38} {len(names):4} {sum(lines[name]['lines'] for name in names):7,}" for room, names in rooms.items()],
    )


def show_names(modules: Mapping[str, Module]) -> None:
    shared = shared_names(modules)
    show(
        f"public names that more than one module defines: {len(shared)}",
        [f"{name:26} {', '.join(owners)}" for name, owners in shared.items()],
    )


def show_text(modules: Mapping[str, Module], lines: Mapping[str, Counter[str]]) -> None:
    total = sum(lines.values(), Counter())
    show(
        f"comments in {total['code']:,} lines of code ({total['lines']:,} lines with docstrings and blank lines)",
        [
            f"{kind:12} {total[kind]:5}  {100 * total[kind] / total['code']:5.2f} per 100 lines of code,"
            f" {100 * total[kind] / total['lines']:5.2f} per 100 lines"
            for kind in (WHOLE_LINE, TRAILING, PRAGMA)
        ],
    )
    show(
        "public functions and classes with docstring",
        [
            f"module level     {documented(modules, methods=False)}",
            f"methods as well  {documented(modules, methods=True)}",
        ],
    )
    long = sorted(((lines[name]["lines"], str(modules[name].path)) for name in modules), reverse=True)
    show(f"files over {LONG_FILE} lines", [f"{count:4}  {path}" for count, path in long if count > LONG_FILE])


def show_functions(modules: Mapping[str, Module]) -> None:
    found = function_lengths(modules)
    lengths = [length for length, _ in found]
    short = sum(length <= SHORT for length in lengths) / len(lengths)
    show(
        f"functions: {len(lengths)}, median {statistics.median(lengths):g} lines, {short:.1%} have at most {SHORT},"
        f" {sum(length > LONG for length in lengths)} more than {LONG}; the longest",
        [f"{length:4}  {where}" for length, where in found[:10]],
    )


def show_imports(modules: Mapping[str, Module]) -> None:
    for entry in ENTRIES:
        names = closure(modules, entry)
        found = [name for name in names if not modules[name].is_package]
        show(f"imports of {entry}: {len(found)} modules and {len(names) - len(found)} __init__", [by_root(found, ".")])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, metavar="CHECKOUT")
    parser.add_argument("--python", type=Path)
    parser.add_argument("--no_walks", action="store_true", help="skip the walks: nothing is run")
    flags = parser.parse_args()
    checkout = flags.checkout.resolve()
    modules = read_modules(checkout)
    lines = {name: count_lines(module) for name, module in modules.items()}
    show_rooms(modules, lines)
    show_names(modules)
    show_text(modules, lines)
    show_functions(modules)
    show_imports(modules)
    python = flags.python or checkout / ".venv" / "bin" / "python"
    product = {module.path.as_posix() for module in modules.values()}
    for name, files in () if flags.no_walks else walk(python.absolute(), checkout, product):
        title = f"walk of {name}: {len(files)} files ({by_root(files, '/')}), of them {len(core(files))} core"
        show(title, [path if path in core(files) else f"({path})" for path in files])
    return 0


if __name__ == "__main__":
    sys.exit(main())
