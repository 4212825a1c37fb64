"""How a program ends."""

import logging

import apache_beam as beam
import pytest

from beamio.launch import run_main
from beamio.options import beam_options
from detection.errors import ContractError, UsageError

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


IN_A_STEP = [
    (UsageError("--x: bad"), 2, "error: --x: bad\n", "Beam adds the step's name to the line"),
    (KeyboardInterrupt(), 130, "interrupted\n", "Beam makes a RuntimeError of Ctrl-C"),
]


@pytest.mark.parametrize(("error", "status", "text", "reason"), IN_A_STEP)
def test_end_within_a_step(capfd, monkeypatch, error, status, text, reason):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as without pytest: Beam logs a stack trace

    def fail(_element: int) -> None:
        raise error

    def run(_argv) -> None:
        with beam.Pipeline(options=beam_options([], [])) as pipeline:
            _ = pipeline | beam.Create([1]) | beam.Map(fail)

    assert run_main(run, []) == status, reason
    assert capfd.readouterr().err == text, reason


def test_a_fault_of_the_program_is_not_hidden():
    def run(_argv) -> None:
        raise KeyError("fault")

    with pytest.raises(KeyError):
        run_main(run, [])
