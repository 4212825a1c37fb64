"""The progress line."""

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


def test_line(sleep: Callable[[float], None]) -> None:
    reporter = ProgressReporter()
    assert reporter.line() == "", "nothing is known yet"
    sleep(50)
    reporter.plan(5000)
    sleep(4)
    for number in range(1000):
        reporter.add(failed=number < 3)
    assert reporter.line() == "1,000 of 5,000 images, 250.0 images/s, 3 rejected, 16 s left"


def test_what_is_kept_of_an_earlier_run_takes_no_time(sleep: Callable[[float], None]) -> None:
    reporter = ProgressReporter()
    reporter.plan(1000)
    reporter.skip(900)
    sleep(1)
    reporter.add(failed=False)
    assert reporter.line() == "1 of 100 images, 1.0 images/s, 0 rejected, 1 min 39 s left"


def test_hours(sleep: Callable[[float], None]) -> None:
    reporter = ProgressReporter(36_001)
    sleep(1)
    reporter.add(failed=False)
    assert reporter.line().endswith("10 h 0 min left")


@pytest.mark.parametrize(("total", "processes", "whose"), [(9, 1, ""), (18, 2, " of one of 2 processes")])
def test_the_line_of_a_worker(
    total: int, processes: int, whose: str, sleep: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Three of nine images, one of them failed, in six seconds; one line in all."""
    caplog.set_level("INFO", logger="retinanet_odm")
    reporter = ProgressReporter(total, processes=processes, failures="failed")
    for failed in (False, True, False):
        sleep(2)
        reporter.add(failed=failed)
        reporter.log_when_due()
    assert caplog.messages == [f"3 of 9 images{whose}, 0.5 images/s, 1 failed, 12 s left"]


def test_shown_in_a_log_file(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(progress, "_SECONDS_IN_LOG", 0.01)
    reporter = ProgressReporter()
    with caplog.at_level("INFO"), reporter.shown():
        reporter.plan(2)
        reporter.add(failed=False)
        while "1 of 2 images" not in caplog.text:
            pass
