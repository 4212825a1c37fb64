"""Each engine once a session, and the command line that chooses among them."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.engines import inputs
from tests.engines.engines import ENGINES, REPOSITORY, Flags, MissingError
from tests.inference.fake_model import write_model

_LIMIT = 900  # seconds a command may take: the machine has other work to do
_LEFT_OUT = pytest.StashKey[dict[str, MissingError]]()
Run = Callable[..., subprocess.CompletedProcess[str]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engines", default="", help=f"engines that must run, of {' '.join(ENGINES)}; none: all that can be had"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        names = metafunc.config.getoption("engines", default="").split() or list(ENGINES)
        metafunc.parametrize("engine", names, indirect=True, scope="session")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name, missing in config.stash.get(_LEFT_OUT, {}).items():
        terminalreporter.write_line(f"{name} did not run: {missing}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where every engine is missing, nothing was shown, and the command fails."""
    if exitstatus == pytest.ExitCode.OK and _LEFT_OUT in session.config.stash:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if not reporter.stats.get("passed"):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flags]:
    """The flags that choose an engine, which runs until the last of its tests is done."""
    name = request.param
    if name not in ENGINES:
        pytest.fail(f"--engines: expected some of {' '.join(ENGINES)}, found {name}", pytrace=False)
    with contextlib.ExitStack() as stack:
        try:
            flags = stack.enter_context(ENGINES[name](tmp_path_factory.mktemp(name)))
        except MissingError as missing:
            _leave_out(request.config, name, missing)
        yield flags


def _leave_out(config: pytest.Config, name: str, missing: MissingError) -> NoReturn:
    if name in config.getoption("engines", default="").split():
        raise pytest.fail.Exception(f"{name} did not run: {missing}", pytrace=False) from None
    config.stash.setdefault(_LEFT_OUT, {})[name] = missing
    pytest.skip(str(missing))


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See inputs.write_photographs. Tests do not change it."""
    return inputs.write_photographs(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real SavedModel."""
    folder = tmp_path_factory.mktemp("model") / "export"
    write_model(folder)
    return folder


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs a command of a program as a user does, in a process of its own."""

    def run_command(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *map(str, words)]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=_LIMIT, check=False)

    return run_command
