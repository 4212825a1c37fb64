"""The progress line."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from retinanet_odm.cli import progress
from retinanet_odm.cli.progress import ProgressReporter


@pytest.fixture
def sleep(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock of the module on."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


def _line(reporter: ProgressReporter) -> str:
    return reporter.state()[-1]


def test_line(sleep: Callable[[float], None]) -> None:
    reporter = ProgressReporter()
    assert _line(reporter) == "", "nothing is known yet"
    sleep(50)
    reporter.plan(5000)
    sleep(4)
    for number in range(1000):
        reporter.add(failed=number < 3)
    assert _line(reporter) == "1,000 of 5,000 images, 250.0 images/s, 3 rejected, 16 s left"


def test_what_is_kept_of_an_earlier_run_takes_no_time(sleep: Callable[[float], None]) -> None:
    reporter = ProgressReporter()
    reporter.plan(1000)
    reporter.skip(900)
    sleep(1)
    reporter.add(failed=False)
    assert _line(reporter) == "1 of 100 images, 1.0 images/s, 0 rejected"


def test_hours(sleep: Callable[[float], None]) -> None:
    reporter = ProgressReporter()
    reporter.plan(3_601)
    sleep(10)
    reporter.add(failed=False)
    assert _line(reporter).endswith("10 h 0 min left")


# why, seconds, images of 100 that are done, whether the time left is told
_TOLD = [
    ("few images in a moment", 1, 4, False),
    ("a twentieth of the images", 1, 5, True),
    ("ten seconds", 10, 1, True),
]


@pytest.mark.parametrize(("why", "seconds", "done", "is_told"), _TOLD, ids=[row[0] for row in _TOLD])
def test_time_left_is_told_when_it_means_something(
    sleep: Callable[[float], None], why: str, seconds: float, done: int, is_told: bool
) -> None:
    reporter = ProgressReporter()
    reporter.plan(100)
    sleep(seconds)
    for _ in range(done):
        reporter.add(failed=False)
    assert _line(reporter).endswith(" left") == is_told, why


def test_workers_report_to_the_process_that_shows_the_progress(
    sleep: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three images of a worker, one of them failed, and one of the launcher; the worker also plans."""
    launcher = ProgressReporter()
    monkeypatch.setattr(progress, "_SECONDS_ON_SCREEN", 0.01)
    with launcher.shown(failures="failed"):
        monkeypatch.setattr(progress.os, "getpid", lambda: 1)
        worker = ProgressReporter()  # as in a process that inherits the environment
        monkeypatch.setattr(progress.os, "getpid", lambda: 2)
        other = ProgressReporter()
        assert _line(launcher) == "", "nothing is planned"
        worker.plan(10)
        for failed in (False, True, False):
            worker.add(failed=failed)
        other.skip(2)
        other.add(failed=False)
        launcher.add(failed=False)
        sleep(3)
        while not _line(launcher).startswith("5 of 8 images"):
            pass
        assert "1 failed" in _line(launcher)
    assert _line(ProgressReporter()) == "" and progress._FOLDER_VARIABLE not in progress.os.environ


def test_a_report_is_never_found_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    """The counts of a worker that reports all the time never go back, as they would with a file that is empty."""
    monkeypatch.setattr(progress, "_SECONDS_ON_SCREEN", 0.0005)
    launcher = ProgressReporter()
    with launcher.shown():
        worker = ProgressReporter()
        worker.plan(10)
        while launcher.state()[1] != 10:
            pass
        assert {launcher.state()[1] for _ in range(2000)} == {10}


def test_shown_in_a_log_file(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(progress, "_SECONDS_IN_LOG", 0.01)
    reporter = ProgressReporter()
    with caplog.at_level("INFO"), reporter.shown():
        reporter.plan(2)
        reporter.add(failed=False)
        while "1 of 2 images" not in caplog.text:
            pass


# Draws, logs and imports a library while the bar is there.
_RUN = """
import logging, os, sys
from retinanet_odm.cli.native_log import import_quietly
from retinanet_odm.cli.program import run_main
from retinanet_odm.cli.progress import BAR
from retinanet_odm.errors import UsageError
def load():
    assert BAR.draw(2, 4, "while the import holds standard error")
    os.write(2, b"I0000 00:00:17 noise\\n")
    logging.getLogger("trainer").info("logged meanwhile")
def body(argv):
    drawn = BAR.draw(1, 4, "first")
    logging.getLogger("trainer").info("a line of the log")
    import_quietly(load) if drawn else None
    BAR.draw(4, 4, "last " + "long " * 99)
    raise UsageError(str(drawn))
sys.exit(run_main(body, []))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_lines_stay_whole_beside_the_bar() -> None:
    """What a terminal shows in the end: the lines of the log, and no remains of the bar."""
    import pty

    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    run = subprocess.Popen([sys.executable, "-c", _RUN], stderr=slave, env=environment, text=True)
    os.close(slave)
    written = b""
    with contextlib.suppress(OSError):  # Linux reports the end of a terminal so
        while part := os.read(master, 1 << 16):
            written += part
    os.close(master)
    assert run.wait() == 2
    text = written.decode()
    assert " 25% |" in text and "100% |" in text and "while the import" not in text
    assert _screen(text) == ["a line of the log", "logged meanwhile", "error: True"]


def _screen(text: str) -> list[str]:
    """Returns the lines that a terminal shows: what follows a carriage return overwrites the line."""
    lines = []
    for line in text.replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return [line for line in lines if line]


def test_elsewhere_there_is_no_bar() -> None:
    done = subprocess.run([sys.executable, "-c", _RUN], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "a line of the log\nerror: False\n")
