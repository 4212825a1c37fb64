"""The commands of docs/tpu.md do what the page says: each is run, dry."""

import re
import shlex
from pathlib import Path

import pytest

from trainer import submit

PAGE = (Path(__file__).parents[3] / "docs/tpu.md").read_text()
COMMANDS = [
    line.strip() for line in re.findall(r"^ *python -m trainer\.submit .*$", PAGE.replace("\\\n", ""), re.MULTILINE)
]


def test_the_page_has_commands() -> None:
    assert {shlex.split(line)[3] for line in COMMANDS} == {"run", "status", "logs", "stop"}


@pytest.mark.parametrize("line", COMMANDS)
def test_commands(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit.signal, "signal", lambda number, action: None)  # noqa: ARG005 - not in the tests' process
    words = shlex.split(line)[3:]
    assert submit.main([words[0], "--dry_run", *words[1:]]) == 0
