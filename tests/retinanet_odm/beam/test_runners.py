"""Other runners of Beam: checked before a job, and their errors for a bad request that a worker found."""

import socket

import pytest

from retinanet_odm.beam.options import beam_options
from retinanet_odm.beam.runners import find_request_error
from retinanet_odm.errors import ContractError, TooManyRejectsError, UsageError

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
def test_words_of_a_worker(words, kind, reason):
    found = find_request_error(RuntimeError(words))
    assert type(found) is (kind or type(None)), reason
    assert found is None or str(found) == LOST, reason


def test_only_a_runtime_error_holds_words():
    assert find_request_error(ValueError(WORDS[0][0])) is None


MISSING = [
    (["--runner=PrismRunner", "--prism_location=/nowhere/prism"], "--prism_location: expected a file", "no such file"),
    (["--runner=FlinkRunner", "--flink_job_server_jar=/none.jar"], "--flink_job_server_jar: expected", "no such jar"),
    (["--runner=PortableRunner"], "expected --job_endpoint=HOST:PORT", "no job service is named"),
    (["--runner=PortableRunner", "--job_endpoint=9"], "no job service answers at 9", "no address"),
    (["--runner=PortableRunner", "--job_endpoint=localhost:x"], "answers at localhost:x", "no port"),
]


@pytest.mark.parametrize(("argv", "words", "reason"), MISSING)
def test_a_missing_runner_is_reported_at_once(argv, words, reason):
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
