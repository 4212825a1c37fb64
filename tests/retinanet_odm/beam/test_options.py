"""Flags that are not the program's own belong to Beam, or are rejected."""

import socket
import sys

import pytest
from apache_beam.options.pipeline_options import DirectOptions, PortableOptions, SetupOptions, StandardOptions
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from retinanet_odm.beam.options import beam_options
from retinanet_odm.cli.command_line import CommandLine
from retinanet_odm.errors import UsageError

OWN = CommandLine(flags=("--images", "--labels", "--max_side"))


def test_local_defaults():
    options = beam_options([], OWN)
    assert options.view_as(StandardOptions).runner == "FnApiRunner"
    assert options.view_as(DirectOptions).direct_running_mode == "in_memory"
    assert options.view_as(SetupOptions).save_main_session is False


def test_a_given_option_stands():
    options = beam_options(["--direct_running_mode", "multi_processing"], OWN)
    assert options.view_as(DirectOptions).direct_running_mode == "multi_processing"


def test_worker_processes_of_a_python_whose_path_has_a_space(monkeypatch):
    """Beam gives the command to a shell, and leaves the path unquoted."""
    beam_options(["--direct_running_mode=multi_processing"], OWN)
    monkeypatch.setattr(sys, "executable", "/home/Ada Lovelace/python")
    environment = SubprocessSDKEnvironment.from_command_string(command_string=f"{sys.executable} -m a.b")
    assert environment.command_string == "'/home/Ada Lovelace/python' -m a.b"


def test_another_runner_gets_no_local_default():
    options = beam_options(["--runner=DataflowRunner", "--project=p"], OWN)
    assert options.view_as(StandardOptions).runner == "DataflowRunner"
    assert options.view_as(DirectOptions).direct_running_mode == "in_memory"


CACHE_MILLIS = [
    (["--runner=FlinkRunner"], "600000", "it starts workers by way of a job server"),
    (["--runner=apache_beam.runners.portability.spark_runner.SparkRunner"], "600000", "by the name of its class"),
    (["--runner=SparkRunner", "--environment_cache_millis=0"], "0", "given"),
    (["--runner=DataflowRunner", "--project=p"], 0, "Dataflow has workers of its own; Beam's default stays"),
    ([], 0, "in this process"),
]


@pytest.mark.parametrize(("argv", "millis", "reason"), CACHE_MILLIS)
def test_a_job_server_keeps_its_workers_for_all_stages(argv, millis, reason):
    assert beam_options(argv, OWN).view_as(PortableOptions).environment_cache_millis == millis, reason


REFUSED = [
    (["--lables=x"], "did you mean --labels", "near one of our own"),
    (["--runer=DirectRunner"], "did you mean --runner", "near one of Beam's"),
    (["--max-side=3"], "unknown flag --max-side; did you mean --max_side?", "dashes for underscores"),
    (["--xyzzy"], "--xyzzy", "near none"),
    (["stray"], "'stray'", "a word without a flag"),
    (["--runner=DirectRunner", "stray"], "'stray'", "a word after a flag that has its value"),
    (["-r", "x"], "-r", "one dash"),
    (["--runner=FooRunner"], "--runner: Unexpected pipeline runner: FooRunner", "no runner of Beam"),
    (["--runner=nowhere.Runner"], "--runner: No module named", "no class that can be imported"),
    (["--direct_running_mode=multi_threading"], "loses data", "a mode in which Beam corrupts elements"),
    (["--direct_num_workers=two"], "--direct_num_workers: invalid int", "a value that Beam cannot read"),
]


@pytest.mark.parametrize(("argv", "words", "reason"), REFUSED)
def test_refused(argv, words, reason):
    with pytest.raises(UsageError) as caught:
        beam_options(argv, OWN)
    assert words in str(caught.value), reason
    assert "\n" not in str(caught.value)


# --- Runners ---

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
        beam_options(argv)
    assert words in str(caught.value), reason


def test_a_job_service_must_listen():
    with socket.create_server(("localhost", 0)) as server:
        argv = ["--runner=PortableRunner", f"--job_endpoint=localhost:{server.getsockname()[1]}"]
        beam_options(argv)
    with pytest.raises(UsageError, match="Connection refused"):
        beam_options(argv)


def test_an_address_of_a_program_is_left_to_beam():
    beam_options(["--runner=PrismRunner", "--prism_location=https://x/prism.zip"])
