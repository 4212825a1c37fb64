"""How a program that starts Beam jobs ends: errors of steps, of workers and of runners in one line."""

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import apache_beam as beam
import grpc
import pytest

from retinanet_odm.beam.options import beam_options
from retinanet_odm.cli.program import set_up_logging
from retinanet_odm.dataflow.job_main import find_request_error, is_for_user, run_job_main
from retinanet_odm.errors import ContractError, TooManyRejectsError, UsageError

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
        with beam.Pipeline(options=beam_options([])) as pipeline:
            _ = pipeline | beam.Create([1]) | beam.Map(fail)

    assert run_job_main(run, []) == status, reason
    assert capfd.readouterr().err == text, reason


def test_a_runner_that_cannot_be_downloaded_is_one_line(capsys):
    def run(_argv) -> None:
        raise RuntimeError("Unable to fetch remote prism binary at https://x/prism.zip: no network")

    assert run_job_main(run, []) == 2
    assert capsys.readouterr().err == "error: Unable to fetch remote prism binary at https://x/prism.zip: no network\n"


def test_an_engine_that_fails_is_one_line(capsys):
    def run(_argv) -> None:
        raise RuntimeError("Pipeline a-1 failed in state FAILED: java.io.IOException: no buffers\n\tat org.x.Y")

    assert run_job_main(run, []) == 1
    assert capsys.readouterr().err == "error: Pipeline a-1 failed in state FAILED: java.io.IOException: no buffers\n"


def test_a_bug_in_a_step_keeps_its_stack_trace():
    def run(_argv) -> None:
        raise RuntimeError(
            "Pipeline a-1 failed in state FAILED: java.x: Traceback (most recent call last):\n  KeyError"
        )

    with pytest.raises(RuntimeError):
        run_job_main(run, [])


class _LostError(grpc.RpcError):
    """What gRPC raises in every thread that reads from a server, with its methods."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "Socket closed"


def test_a_runner_that_dies_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)  # restored afterwards

    def fail() -> None:
        raise _LostError

    def run(_argv) -> None:
        reader = threading.Thread(target=fail)
        reader.start()
        reader.join()
        fail()

    assert run_job_main(run, []) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the runner or its job server has gone") and line.endswith(": Socket closed")


def test_a_worker_process_ends_the_job_with_one_line(capfd, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as without pytest

    def fail(_element: int) -> None:
        raise TooManyRejectsError("too many")

    def run(_argv) -> None:
        flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
        with beam.Pipeline(options=beam_options(flags)) as pipeline:
            _ = pipeline | beam.Create([1]) | beam.Map(fail)

    assert run_job_main(run, []) == 1
    printed = capfd.readouterr().err
    assert printed.endswith("\nerror: too many\n")
    assert "Worker: severity: ERROR" not in printed, "Beam's own log of the error"


LATE = """
import os, time
worker = os.environ.get("WORKER_ID", "_1").rpartition("_")[2]
if int(worker) % 2 == 0:
    time.sleep(8)
"""
FAILING = """
import sys
import apache_beam as beam
from retinanet_odm.dataflow.job_main import run_job_main
from retinanet_odm.beam.options import beam_options
from retinanet_odm.errors import UsageError

def fail(element):
    raise UsageError("no")

def run(_):
    flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    with beam.Pipeline(options=beam_options(flags)) as pipeline:
        _ = pipeline | beam.Create([1]) | beam.Map(fail)

sys.exit(run_job_main(run, []))
"""


def test_a_job_that_fails_before_a_worker_has_started_ends(tmp_path):
    """Beam's own close leaves it waiting for that worker, and the worker for it."""
    (tmp_path / "sitecustomize.py").write_text(LATE)
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])])
    command = [sys.executable, "-c", FAILING]
    job = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (job.returncode, job.stderr.splitlines()[-1]) == (2, "error: no")


def test_only_errors_of_prism_are_shown(capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as without pytest
    set_up_logging(is_for_user)
    prism = logging.getLogger("PrismRunner")
    prism.setLevel(logging.INFO)
    prism.info("Serving JobManagement")
    prism.error("unimplemented features")
    assert capsys.readouterr().err == "unimplemented features\n"


# --- What a worker has raised ---

TRACE = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\n'
LOST = "no file"
CAUSE = "\n\nDuring handling of the above exception, another exception occurred:\n\n"


def _raised(name: str, text: str) -> str:
    return f"{TRACE}{name}: {text} [while running 'Make label map']"


WORDS = [
    (_raised("retinanet_odm.errors.UsageError", LOST), UsageError, "the last line of a worker's stack trace"),
    (_raised("retinanet_odm.errors.ContractError", LOST), ContractError, "a kind of it"),
    (_raised("retinanet_odm.errors.TooManyRejectsError", LOST), TooManyRejectsError, "a kind with a status of its own"),
    (
        f"{TRACE}retinanet_odm.errors.UsageError: before{CAUSE}{_raised('retinanet_odm.errors.UsageError', LOST)}",
        UsageError,
        "Beam quotes the same error twice, at last with the step",
    ),
    (
        f"java.lang.RuntimeException: Error received from SDK harness for instruction 5: "
        f"{_raised('retinanet_odm.errors.UsageError', LOST)}\n\n\tat org.apache.beam.runners.X.run(X.java:1)",
        UsageError,
        "Flink adds its own stack trace",
    ),
    (_raised("retinanet_odm.errors.DataError", LOST), None, "a bad record must not get so far: a bug"),
    (_raised("KeyError", "'x'"), None, "a bug"),
    (
        f"{TRACE}retinanet_odm.errors.UsageError: before{CAUSE}{_raised('KeyError', 'x')}",
        None,
        "a bug while a bad request was handled",
    ),
    ("", None, "no message"),
]


@pytest.mark.parametrize(("words", "kind", "reason"), WORDS)
def test_errors_of_a_worker(words, kind, reason):
    found = find_request_error(RuntimeError(words))
    assert type(found) is (kind or type(None)), reason
    assert found is None or str(found) == LOST, reason


def test_only_a_runtime_error_has_an_error_inside():
    assert find_request_error(ValueError(WORDS[0][0])) is None
