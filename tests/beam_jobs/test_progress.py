"""The progress line."""

import pytest

from retinanet_odm.cli import progress
from retinanet_odm.cli.progress import ProgressReporter


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_line(clock):
    counter = ProgressReporter()
    assert counter.line() == "", "nothing is known yet"
    clock[0] += 50
    counter.plan(5000)
    clock[0] += 4
    for number in range(1000):
        counter.add(rejected=number < 3)
    assert counter.line() == "1,000 of 5,000 images, 250 images/s, 3 rejected, 16 s left"


def test_what_is_kept_of_an_earlier_run_takes_no_time(clock):
    counter = ProgressReporter()
    counter.plan(1000)
    counter.skip(900)
    clock[0] += 1
    counter.add(rejected=False)
    assert counter.line() == "1 of 100 images, 1 images/s, 0 rejected, 1 min 39 s left"


def test_hours(clock):
    counter = ProgressReporter()
    counter.plan(36_001)
    clock[0] += 1
    counter.add(rejected=False)
    assert counter.line().endswith("10 h 0 min left")


def test_shown_in_a_log_file(monkeypatch, caplog):
    monkeypatch.setattr(progress, "_EVERY", 0.01)
    counter = ProgressReporter()
    with caplog.at_level("INFO"), counter.shown():
        counter.plan(2)
        counter.add(rejected=False)
        while "1 of 2 images" not in caplog.text:
            pass
