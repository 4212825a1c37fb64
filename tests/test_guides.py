"""Checks the guides: their commands work and print what is promised, and the flags, messages and links exist.

Begin with tests/guides/rules.py, which states how each command is tried. tests/guides/sandbox.py makes the folder in
which they run.
"""

import re
from pathlib import Path

import pytest

from tests.guides import pages
from tests.guides.flags import FOREIGN, known_flags
from tests.guides.messages import is_printed
from tests.guides.pages import PAGES, ROOT, Command, Fence
from tests.guides.rules import DRY_RUN, LISTED, RULES, RUN, rule_of
from tests.guides.sandbox import Sandbox, make_sandbox
from trainer import legacy_flags

COMMANDS = pages.commands()
PYTHON = [fence for page in PAGES for fence in pages.fences(page) if fence.kind == "python"]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return make_sandbox(tmp_path_factory.mktemp("guides"))


def _id(item: Command | Fence) -> str:
    return f"{item.page}:{item.line}"


@pytest.mark.parametrize("command", COMMANDS, ids=_id)
def test_commands(command: Command, sandbox: Sandbox) -> None:
    rule = rule_of(command.text)
    assert rule, f"no rule covers: {command.text}"
    _follow(command, sandbox)
    printed = rule.trial(sandbox, command.text)
    if rule.kind == DRY_RUN and "--dry_run" not in command.text:  # the promised lines are those of the real run
        assert [line for line in command.prints if not is_printed(line, ROOT)] == []
    else:
        assert rule.kind == LISTED or missing_line(command.prints, printed) is None, printed


def _follow(command: Command, sandbox: Sandbox) -> None:
    """Runs the commands above a command on its page, as a reader does. The sandbox runs each of them once."""
    above = [other for other in COMMANDS if other.page == command.page and other.line < command.line]
    for other, rule in ((other, rule_of(other.text)) for other in above):
        if rule and rule.kind == RUN:
            rule.trial(sandbox, other.text)


def test_every_rule_covers_a_command() -> None:
    used = {id(rule_of(command.text)) for command in COMMANDS}
    assert [rule.begins for rule in RULES if id(rule) not in used] == []


@pytest.mark.parametrize("fence", PYTHON, ids=_id)
def test_pieces_of_python(fence: Fence, sandbox: Sandbox) -> None:
    shard = next(sandbox.folder.glob("DATASET/train-00000-*")).name
    assert sandbox.execute(re.sub(r"train-00000-of-\d+\.tfrecord", shard, fence.body))


def test_lines_that_follow_no_command_are_those_of_the_source() -> None:
    """For example those that a step in the cloud prints later."""
    tried = {line for command in COMMANDS for line in command.prints}
    fences = [fence for page in PAGES for fence in pages.fences(page) if fence.kind == pages.PRINTED]
    lines = {line for fence in fences for line in fence.body.splitlines()} - tried
    assert [line for line in sorted(lines) if not is_printed(line, ROOT)] == []


def test_every_fence_is_of_a_known_kind() -> None:
    """A fence of another kind would not be checked."""
    kinds = {fence.kind for page in PAGES for fence in pages.fences(page)}
    assert kinds <= {"", *pages.DATA}
    marks = {page: pages.read(page).count("```") - 2 * len(list(pages.fences(page))) for page in PAGES}
    assert [page for page, left in marks.items() if left] == []


@pytest.mark.parametrize("page", PAGES)
def test_flags_in_the_text_exist(page: str) -> None:
    assert sorted(pages.named_flags(page) - known_flags() - set(FOREIGN)) == []


@pytest.mark.parametrize("page", PAGES)
def test_links_have_targets(page: str) -> None:
    assert [link for link in pages.links(page) if not _has_target(page, link)] == []


def _has_target(page: str, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (ROOT / page).parent / name if name else ROOT / page
    if not (target.exists() and anchor):
        return target.exists()
    return anchor in pages.anchors(str(Path(target).resolve().relative_to(ROOT)))


@pytest.mark.parametrize("page", [*PAGES, "ARCHITECTURE.md"])
def test_files_in_the_text_exist(page: str) -> None:
    assert [path for path in sorted(pages.paths(page)) if not (ROOT / path).exists()] == []


def test_every_old_flag_is_explained() -> None:
    page = pages.read("docs/migrating.md")
    assert [name for name in legacy_flags.FLAGS if f"`--{name}`" not in page] == []


@pytest.mark.parametrize("page", ["docs/troubleshooting.md"])
def test_quoted_messages_are_those_of_the_source(page: str) -> None:
    quotes = pages.quotes(page)
    assert len(quotes) > 30
    assert [quote for quote in quotes if not is_printed(quote, ROOT)] == []


def missing_line(prints: tuple[str, ...], printed: str) -> str | None:
    """Returns the first promised line that is not printed in its order. A number matches any number, … any text."""
    lines = iter(printed.splitlines())
    for line in prints:
        pattern = re.compile(_pattern(line))
        if line.strip() != "…" and not any(pattern.fullmatch(other.strip()) for other in lines):
            return line
    return None


def _pattern(line: str) -> str:
    parts = re.split(r"(…|\d[\d.,:]*)", line.strip())
    return "".join(re.escape(part) if place % 2 == 0 else _ANY[part == "…"] for place, part in enumerate(parts))


_ANY = {True: ".*", False: r"-?\d[\d.,:]*"}


PROMISES = [
    (("a 1", "b"), "a 2\nnoise\nb\n", None, "other numbers, other lines between"),
    (("a 1,234.5 x",), "a 7 x", None, "a number of another form"),
    (("a … z",), "a b c z", None, "an ellipsis"),
    (("b", "a"), "a\nb", "a", "in another order"),
    (("a 1",), "a b", "a 1", "a word is not a number"),
    (("a.c",), "abc", "a.c", "a full stop is literal"),
]


@pytest.mark.parametrize(("prints", "printed", "missing", "reason"), PROMISES)
def test_promised_lines(prints: tuple[str, ...], printed: str, missing: str | None, reason: str) -> None:
    assert missing_line(prints, printed) == missing, reason


QUOTES = [
    ("error: --dataset: expected a prepared data set, found no DATASET/dataset.json", True, "of an f-string"),
    ("--model_dir: no checkpoint in MODEL: train first", True, "without the word before it"),
    ("--model_dir: no checkpoints in MODEL: train first", False, "a letter differs"),
    ("something: else that no program prints", False, "no pattern matches everything"),
]


@pytest.mark.parametrize(("quote", "expected", "reason"), QUOTES)
def test_quotes(quote: str, expected: bool, reason: str) -> None:
    assert is_printed(quote, ROOT) == expected, reason
