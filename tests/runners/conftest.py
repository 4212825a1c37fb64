"""Starts each runner once per session; --runners chooses among them."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.inference.fake_model import write_model
from tests.runners import inputs
from tests.runners.kills import VICTIMS
from tests.runners.runners import RUNNERS
from tests.runners.services import REPOSITORY, Flags, MissingError

_TIMEOUT = 900  # seconds for one command, on a busy machine
_MISSING = pytest.StashKey[dict[str, MissingError]]()
Run = Callable[..., subprocess.CompletedProcess[str]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--runners", default="", help=f"runners that must run, of {' '.join(RUNNERS)}; default: all that are available"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    names = metafunc.config.getoption("runners", default="").split() or list(RUNNERS)
    if "runner" in metafunc.fixturenames:
        metafunc.parametrize("runner", names, indirect=True, scope="session")
    if "cluster" in metafunc.fixturenames:
        metafunc.parametrize("cluster", [name for name in names if name in VICTIMS], indirect=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name, missing in config.stash.get(_MISSING, {}).items():
        terminalreporter.write_line(f"{name} did not run: {missing}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fails the command if every runner is missing: then nothing was compared."""
    if exitstatus == pytest.ExitCode.OK and _MISSING in session.config.stash:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if not reporter.stats.get("passed"):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def runner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flags]:
    """Yields the flags that choose a runner, which is stopped after the last of its tests."""
    name = request.param
    if name not in RUNNERS:
        pytest.fail(f"--runners: expected some of {' '.join(RUNNERS)}, found {name}", pytrace=False)
    with contextlib.ExitStack() as stack:
        try:
            flags = stack.enter_context(RUNNERS[name](tmp_path_factory.mktemp(name)))
        except MissingError as missing:
            _skip_or_fail(request.config, name, missing)
        yield flags


def _skip_or_fail(config: pytest.Config, name: str, missing: MissingError) -> NoReturn:
    if name in config.getoption("runners", default="").split():
        raise pytest.fail.Exception(f"{name} did not run: {missing}", pytrace=False) from None
    config.stash.setdefault(_MISSING, {})[name] = missing
    pytest.skip(str(missing))


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of inputs.write_images. Tests do not change it."""
    return inputs.write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real SavedModel."""
    folder = tmp_path_factory.mktemp("model") / "export"
    write_model(folder)
    return folder


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs a command of a program like a user, in a process of its own."""

    def run_command(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *map(str, words)]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=_TIMEOUT, check=False)

    return run_command


@pytest.fixture
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Flags]]:
    """Yields the name of a cluster and its flags. It is a new one for each test, because processes of it are killed."""
    with contextlib.ExitStack() as stack:
        try:
            flags = stack.enter_context(RUNNERS[request.param](tmp_path))
        except MissingError as missing:
            _skip_or_fail(request.config, request.param, missing)
        yield request.param, flags
