"""Fixtures of the scoring tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.inference.fake_model import write_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake model's export folder. Tests do not change it."""
    folder = tmp_path_factory.mktemp("model") / "export"
    write_model(folder)
    return folder


@pytest.fixture
def fail(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs main, expects exit status 2 and returns the one line that it printed on standard error."""
    from inference.main import main

    def run(*argv: object) -> str:
        assert main([str(word) for word in argv]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    return run
