"""How a program starts and ends: strict flags, exit status, one line for a bad request, no collection at exit."""

import gc
import re
import subprocess
import sys
from pathlib import Path

import pytest

from retinanet_odm.cli.program import EXIT_STATUSES, Ending, Parser, check_not_empty, run_main
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


def test_the_guide_has_the_exit_statuses():
    guide = (Path(__file__).parents[3] / "docs" / "troubleshooting.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \| [^|]+ \|$", guide, re.MULTILINE)
    assert {int(status): meaning for status, meaning in rows} == EXIT_STATUSES


def test_no_program_invents_a_status():
    with pytest.raises(ValueError, match="found 3"):
        Ending(status=3, line="error: x")


def test_a_bug_is_not_hidden():
    def run(_argv) -> None:
        raise KeyError("fault")

    with pytest.raises(KeyError):
        run_main(run, [])


_TUNED = """
import atexit, gc, sys
at_start = gc.get_freeze_count()  # Python 3.12 freezes some objects itself
print(at_start)
atexit.register(lambda: print("frozen" if gc.get_freeze_count() > at_start else "not frozen"))  # after later handlers
from retinanet_odm.cli.program import tune_gc
tune_gc()
print(gc.isenabled(), gc.get_threshold()[0] > 700)
"""


def test_garbage_is_collected_rarely_and_not_at_exit() -> None:
    result = subprocess.run([sys.executable, "-c", _TUNED], capture_output=True, text=True, check=True)
    at_start, *printed = result.stdout.split("\n")
    assert printed == ["True True", "frozen", ""]
    assert gc.get_freeze_count() == int(at_start), "nothing of this process is frozen"


EMPTY = [["--labels="], ["--labels", ""], ["--images", "a", ""], ["--images="]]


@pytest.mark.parametrize("argv", EMPTY)
def test_an_empty_value_is_refused(argv):
    parser = Parser(prog="x")
    parser.add_argument("--labels")
    parser.add_argument("--images", nargs="+", default=())
    check_not_empty(parser.parse_args([]))
    with pytest.raises(UsageError, match=f"{argv[0].rstrip('=')}: expected a value"):
        check_not_empty(parser.parse_args(argv))


def test_parser_never_guesses_an_abbreviation():
    parser = Parser(prog="x")
    parser.add_argument("--images")
    assert parser.parse_known_args(["--imag=a"])[1] == ["--imag=a"]


def test_parser_error_is_a_usage_error():
    parser = Parser(prog="x")
    parser.add_argument("--images", required=True)
    with pytest.raises(UsageError, match=r"x: .*--images"):
        parser.parse_args([])
