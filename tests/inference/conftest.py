"""Fixtures of the scoring tests."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.inference.earlier_run import score_words, write_archive
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


@pytest.fixture(scope="module")
def scored(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with archives, and OUT, where a.zip was scored."""
    from inference.main import main

    folder = tmp_path_factory.mktemp("scored")
    write_archive(folder / "a.zip", "1.png", "2.png")
    write_archive(folder / "b.zip", "1.png", "3.png", "4.png")
    (folder / "again").mkdir()
    write_archive(folder / "again" / "a.zip", "2.png", "1.png", "5.png")  # other images of the same names
    assert main(score_words(folder, model, folder / "OUT", "a.zip", "--formats=counts,cvat")) == 0
    return folder


@pytest.fixture
def out(scored: Path, tmp_path: Path) -> Path:
    """A copy of OUT, which a test may change."""
    return Path(shutil.copytree(scored / "OUT", tmp_path / "OUT"))
