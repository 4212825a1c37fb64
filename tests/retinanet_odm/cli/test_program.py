"""How a program ends."""

import pytest

from retinanet_odm.cli.program import run_main
from retinanet_odm.errors import ContractError, UsageError

ENDS = [
    (None, 0, "", "it ran"),
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


def test_a_fault_of_the_program_is_not_hidden():
    def run(_argv) -> None:
        raise KeyError("fault")

    with pytest.raises(KeyError):
        run_main(run, [])
