"""Programs as processes: their statuses, and requests to stop."""

import signal
from pathlib import Path

import pytest

from retinanet_odm.workflow.processes import INTERRUPTED, start_program

_SAVES = """
import os, signal, sys, time
def save(number, frame):
    open(sys.argv[1], "w").write("saved")
    sys.exit(0)
signal.signal({own}, save)
os.kill(os.getppid(), {sent})
time.sleep(20)
"""


@pytest.mark.parametrize(
    ("code", "status"),
    [
        pytest.param("", 0, id="success"),
        pytest.param("raise SystemExit(2)", 2, id="a bad request"),
        pytest.param("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, id="as of a kernel without memory"),
    ],
)
def test_statuses(code: str, status: int) -> None:
    assert start_program(["-c", code]) == status


def test_a_request_to_stop_reaches_the_program(tmp_path: Path) -> None:
    """It saves what it has, and its success is none of the run."""
    handler = signal.getsignal(signal.SIGTERM)
    code = _SAVES.format(own="signal.SIGTERM", sent="signal.SIGTERM")
    assert start_program(["-c", code, str(tmp_path / "saved")]) == INTERRUPTED
    assert (tmp_path / "saved").read_text() == "saved"
    assert signal.getsignal(signal.SIGTERM) is handler


def test_ctrl_c_waits_for_the_program() -> None:
    code = "import os, signal, time; os.kill(os.getppid(), signal.SIGINT); time.sleep(0.5); raise SystemExit(130)"
    assert start_program(["-c", code]) == INTERRUPTED
