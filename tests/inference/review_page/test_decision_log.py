import subprocess
import sys
from pathlib import Path

import pytest

from inference.review_page.decision_log import DecisionLog, StaleDecisionError
from inference.review_page.decisions import Decision
from retinanet_odm.errors import ContractError, UsageError


def _decision(image: str = "a.jpg", *, done: bool = True) -> Decision:
    return Decision(image=image, row=None, action="done", done=done, objects=(), time="2026-01-02T03:04:05Z")


def test_decisions_are_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "review.jsonl"
    with DecisionLog(str(path)) as log:
        assert log.append(_decision(), after=0) == 1
        assert log.append(_decision(done=False), after=1) == 2
        assert log.append(_decision("b.jpg"), after=0) == 1
    with DecisionLog(str(path)) as log:
        assert {name: state.done for name, state in log.states.items()} == {"a.jpg": False, "b.jpg": True}
        assert log.versions["a.jpg"] == 2
    assert path.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("cut", [1, 30])
def test_a_line_that_was_cut_is_dropped_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture, cut: int) -> None:
    path, line = tmp_path / "review.jsonl", _decision().to_line()
    path.write_bytes(line + _decision("b.jpg").to_line()[: -1 - cut])
    with caplog.at_level("INFO"), DecisionLog(str(path)) as log:
        assert list(log.states) == ["a.jpg"]
        assert "the last line was cut after" in caplog.text
        log.append(_decision("c.jpg"), after=0)
    assert path.read_bytes() == line + _decision("c.jpg").to_line()


def test_a_line_that_lacks_its_break_is_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "review.jsonl"
    path.write_bytes(_decision().to_line()[:-1])
    with DecisionLog(str(path)) as log:
        log.append(_decision("b.jpg"), after=0)
    assert path.read_bytes() == _decision().to_line() + _decision("b.jpg").to_line() and not caplog.text


def test_a_file_of_another_program_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "review.jsonl"
    path.write_text("a,b\n1,2")
    with pytest.raises(ContractError, match="line 1: expected a decision"):
        DecisionLog(str(path))
    assert path.read_text() == "a,b\n1,2"
    with pytest.raises(UsageError, match="--decisions: cannot write"):
        DecisionLog(str(tmp_path))


def test_a_decision_about_what_another_window_has_changed_is_refused(tmp_path: Path) -> None:
    with DecisionLog(str(tmp_path / "review.jsonl")) as log:
        log.append(_decision(), after=0)
        with pytest.raises(StaleDecisionError):
            log.append(_decision(done=False), after=0)
        assert log.states["a.jpg"].done


class _FullDisk:
    """A file on a disk that has room for a few more bytes."""

    def __init__(self, file, room: int) -> None:
        self._file, self._room = file, room

    def write(self, data: bytes) -> int:
        return self._file.write(data[: self._room])

    def __getattr__(self, name: str):
        return getattr(self._file, name)


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "review.jsonl"
    with DecisionLog(str(path)) as log:
        log.append(_decision(), after=0)
        real = log._file
        log._file = _FullDisk(real, 10)
        with pytest.raises(OSError, match="only 10 of"):
            log.append(_decision("b.jpg"), after=0)
        assert "b.jpg" not in log.states
        log._file = real
        log.append(_decision("b.jpg"), after=0)
    assert path.read_bytes() == _decision().to_line() + _decision("b.jpg").to_line()


_WRITER = """
import sys
from inference.review_page.decision_log import DecisionLog
from tests.inference.review_page.test_decision_log import _decision
with DecisionLog(sys.argv[1]) as log:
    for number in range(10**9):
        log.append(_decision(f"{number}.jpg"), after=0)
        print(number, flush=True)
"""


def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "review.jsonl"
    process = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    seen = [process.stdout.readline() for _ in range(20)]
    process.kill()  # SIGKILL: nothing in the process can run any more
    seen += process.stdout.readlines()
    process.wait()
    with DecisionLog(str(path)) as log:
        assert set(log.states) >= {f"{line.strip()}.jpg" for line in seen if line.endswith("\n")}
        assert len(log.states) >= 20
