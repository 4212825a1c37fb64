"""How a program ends: exit status, one line for a bad request, and no garbage collection at exit."""

import gc
import subprocess
import sys

import pytest

from retinanet_odm.cli.program import run_main
from retinanet_odm.errors import ContractError, UsageError

ENDS = [
    (None, 0, "", "success"),
    (UsageError("--x: bad"), 2, "error: --x: bad\n", "a bad request is one line"),
    (ContractError("y: bad"), 2, "error: y: bad\n", "a bad artifact too"),
    (KeyboardInterrupt(), 130, "interrupted\n", "Ctrl-C"),
]


@pytest.mark.parametrize(("error", "status", "text", "reason"), ENDS)
def test_end(capsys, error, status, text, reason):
    def run(argv) -> None:
        assert argv == ["a"]
        if error:
            raise error

    assert run_main(run, ["a"]) == status, reason
    assert capsys.readouterr().err == text, reason


def test_a_bug_is_not_hidden():
    def run(_argv) -> None:
        raise KeyError("fault")

    with pytest.raises(KeyError):
        run_main(run, [])


_TUNED = """
import atexit, gc, sys
atexit.register(lambda: print("frozen" if gc.get_freeze_count() else "not frozen"))  # runs after later handlers
from retinanet_odm.cli.program import tune_gc
tune_gc()
print(gc.isenabled(), gc.get_threshold()[0] > 700)
"""


def test_garbage_is_collected_rarely_and_not_at_exit() -> None:
    result = subprocess.run([sys.executable, "-c", _TUNED], capture_output=True, text=True, check=True)
    assert result.stdout.split("\n") == ["True True", "frozen", ""]
    assert gc.get_freeze_count() == 0, "nothing of this process is frozen"
