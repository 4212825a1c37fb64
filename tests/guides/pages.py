"""Parses the guides: commands with the output that is promised, flags, quoted messages, links and anchors."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
# Kinds of fences without commands. A fence without a kind holds shell commands.
PRINTED = "text"  # output of a program: of the command above it, if there is one
FIGURE = "figure"  # a drawing of characters
OTHERS = "py"  # Python for packages that are not installed here
DATA = {PRINTED, FIGURE, OTHERS, "json", "csv", "pbtxt", "python", "xml"}
_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FLAG = re.compile(r"(?<![\w/-])--([A-Za-z][\w-]*)")

_OTHERS = re.compile(r"(gcloud|docker|pip|uv|grep)\b")


@dataclass(frozen=True, kw_only=True)
class Fence:
    """A fenced block: page, first line (from 1), kind and text."""

    page: str
    line: int
    kind: str
    body: str


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command of a page, joined to one line, and the output that the fence of text below it promises."""

    page: str
    line: int
    text: str
    prints: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def fences(page: str) -> Iterator[Fence]:
    text = read(page)
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        body = re.sub(rf"^{found['indent']}", "", found["body"], flags=re.MULTILINE)
        yield Fence(page=page, line=line, kind=found["kind"], body=body)


def commands() -> list[Command]:
    """Returns the commands of all pages."""
    return [command for page in PAGES for command in _commands(page)]


def _commands(page: str) -> Iterator[Command]:
    blocks = list(fences(page))
    for block, following in zip_longest(blocks, blocks[1:]):
        if block.kind:
            continue
        near = following is not None and following.kind == PRINTED and _end(block) + 2 >= following.line
        lines = [(number, _uncommented(line)) for number, line in _joined(block)]
        lines = [(number, line) for number, line in lines if line]
        for number, line in lines:
            is_last = number == lines[-1][0]
            prints = tuple(following.body.splitlines()) if near and is_last and following else ()
            yield Command(page=page, line=number, text=line, prints=prints)


def _end(block: Fence) -> int:
    return block.line + block.body.count("\n") + 1


def _joined(block: Fence) -> Iterator[tuple[int, str]]:
    """Yields numbered lines; a backslash at the end joins a line with the next one."""
    held, begun = "", 0
    for number, line in enumerate(block.body.splitlines(), start=block.line + 1):
        begun = begun if held else number
        held = f"{held} {line.strip()}".strip()
        if not held.endswith("\\"):
            yield begun, held
            held = ""
        else:
            held = held.removesuffix("\\").rstrip()


def _uncommented(line: str) -> str:
    return re.sub(r"(^|\s+)#\s.*$", "", line)


def prose(page: str) -> str:
    """Returns the page without its fences."""
    return _FENCE.sub("", read(page))


def named_flags(page: str) -> set[str]:
    """Returns the flags in the prose of a page, without dashes; skips commands of other programs."""
    ours = [span for span in _spans(prose(page)) if not _OTHERS.match(span)]
    return {name for span in ours for name in _FLAG.findall(span)}


def _spans(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def quotes(page: str) -> list[str]:
    """Returns the messages that a page quotes: code spans in the first column of its tables."""
    first = re.findall(r"^\|((?:[^|\n`]|`[^`\n]*`)*)\|", prose(page), re.MULTILINE)
    return [span for cell in first for span in _spans(cell)]


def links(page: str) -> list[str]:
    """Returns the targets of links within the repository."""
    return [target for target in _LINK.findall(prose(page)) if not re.match(r"[a-z]+:", target)]


def paths(page: str) -> set[str]:
    """Returns the files and folders of the repository in the prose of a page. Names in capitals are placeholders."""
    tops = "|".join(path.name for path in ROOT.iterdir() if path.is_dir())
    spans = _spans(prose(page))
    return {span for span in spans if re.fullmatch(rf"({tops})/[\w./-]*", span) and not re.search("[A-Z]{3}", span)}


def anchors(page: str) -> set[str]:
    """Returns the anchors that GitHub makes from the headings of a page."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(page), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()) for heading in headings)
    return {word.replace(" ", "-") for word in words}
