"""Other engines of Beam: checked before a job, and their words for a bad request that a worker found."""

import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import apache_beam as beam
import pytest

from beamio.engines import bad_request
from beamio.launch import run_main, set_up_logging
from beamio.options import beam_options
from detection.errors import ContractError, TooManyRejectsError, UsageError

TRACE = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\n'
LOST = "no file"
CAUSE = "\n\nDuring handling of the above exception, another exception occurred:\n\n"


def _raised(name: str, text: str) -> str:
    return f"{TRACE}{name}: {text} [while running 'Make label map']"


WORDS = [
    (_raised("detection.errors.UsageError", LOST), UsageError, "the last line of a worker's stack trace"),
    (_raised("detection.errors.ContractError", LOST), ContractError, "a kind of it"),
    (_raised("detection.errors.TooManyRejectsError", LOST), TooManyRejectsError, "a kind with a status of its own"),
    (
        f"{TRACE}detection.errors.UsageError: before{CAUSE}{_raised('detection.errors.UsageError', LOST)}",
        UsageError,
        "Beam tells of the same error twice, at last with the step",
    ),
    (
        f"java.lang.RuntimeException: Error received from SDK harness for instruction 5: "
        f"{_raised('detection.errors.UsageError', LOST)}\n\n\tat org.apache.beam.runners.X.run(X.java:1)",
        UsageError,
        "Flink adds its own stack trace",
    ),
    (_raised("detection.errors.DataError", LOST), None, "a bad record must not get so far: a fault of the program"),
    (_raised("KeyError", "'x'"), None, "a fault of the program"),
    (
        f"{TRACE}detection.errors.UsageError: before{CAUSE}{_raised('KeyError', 'x')}",
        None,
        "a fault of the program while a bad request was told",
    ),
    ("", None, "no words at all"),
]


@pytest.mark.parametrize(("words", "kind", "reason"), WORDS)
def test_words_of_a_worker(words, kind, reason):
    found = bad_request(RuntimeError(words))
    assert type(found) is (kind or type(None)), reason
    assert found is None or str(found) == LOST, reason


def test_only_a_runtime_error_holds_words():
    assert bad_request(ValueError(WORDS[0][0])) is None


def test_an_engine_that_cannot_be_downloaded_is_one_line(capsys):
    def run(_argv) -> None:
        raise RuntimeError("Unable to fetch remote prism binary at https://x/prism.zip: no network")

    assert run_main(run, []) == 2
    assert capsys.readouterr().err == "error: Unable to fetch remote prism binary at https://x/prism.zip: no network\n"


def test_a_worker_process_ends_the_job_with_one_line(capfd, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as without pytest

    def fail(_element: int) -> None:
        raise TooManyRejectsError("too many")

    def run(_argv) -> None:
        flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
        with beam.Pipeline(options=beam_options(flags, [])) as pipeline:
            _ = pipeline | beam.Create([1]) | beam.Map(fail)

    assert run_main(run, []) == 1
    said = capfd.readouterr().err
    assert said.endswith("\nerror: too many\n")
    assert "Worker: severity: ERROR" not in said, "Beam's account of the same"


LATE = """
import os, time
worker = os.environ.get("WORKER_ID", "_1").rpartition("_")[2]
if int(worker) % 2 == 0:
    time.sleep(8)
"""
FAILING = """
import sys
import apache_beam as beam
from beamio.launch import run_main
from beamio.options import beam_options
from detection.errors import UsageError

def fail(element):
    raise UsageError("no")

def run(_):
    flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    with beam.Pipeline(options=beam_options(flags, [])) as pipeline:
        _ = pipeline | beam.Create([1]) | beam.Map(fail)

sys.exit(run_main(run, []))
"""


def test_a_job_that_fails_before_a_worker_has_started_ends(tmp_path):
    """Beam's own close leaves it waiting for that worker, and the worker for it."""
    (tmp_path / "sitecustomize.py").write_text(LATE)
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    command = [sys.executable, "-c", FAILING]
    job = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (job.returncode, job.stderr.splitlines()[-1]) == (2, "error: no")


def test_prism_speaks_of_faults_alone(capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as without pytest
    set_up_logging()
    prism = logging.getLogger("PrismRunner")
    prism.setLevel(logging.INFO)
    prism.info("Serving JobManagement")
    prism.error("unimplemented features")
    assert capsys.readouterr().err == "unimplemented features\n"


MISSING = [
    (["--runner=PrismRunner", "--prism_location=/nowhere/prism"], "--prism_location: expected a file", "no such file"),
    (["--runner=FlinkRunner", "--flink_job_server_jar=/none.jar"], "--flink_job_server_jar: expected", "no such jar"),
    (["--runner=PortableRunner"], "expected --job_endpoint=HOST:PORT", "an engine is not named"),
    (["--runner=PortableRunner", "--job_endpoint=9"], "no job service answers at 9", "no address"),
    (["--runner=PortableRunner", "--job_endpoint=localhost:x"], "answers at localhost:x", "no port"),
]


@pytest.mark.parametrize(("argv", "words", "reason"), MISSING)
def test_a_missing_engine_is_told_at_once(argv, words, reason):
    with pytest.raises(UsageError) as caught:
        beam_options(argv, [])
    assert words in str(caught.value), reason


def test_a_job_service_must_listen():
    with socket.create_server(("localhost", 0)) as server:
        argv = ["--runner=PortableRunner", f"--job_endpoint=localhost:{server.getsockname()[1]}"]
        beam_options(argv, [])
    with pytest.raises(UsageError, match="Connection refused"):
        beam_options(argv, [])


def test_an_address_of_a_program_is_left_to_beam():
    beam_options(["--runner=PrismRunner", "--prism_location=https://x/prism.zip"], [])
