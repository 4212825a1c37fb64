"""Command lines of the Beam programs: argparse reads their own flags, Beam reads all others, strictly.

Begin with `beam_options`, which also checks that the chosen runner is available.

Our flags are no PipelineOptions subclasses, because those are global to a process: two programs that both have
``--images`` would clash.
"""

import argparse
import contextlib
import functools
import io
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retinanet_odm.cli.command_line import CommandLine
from retinanet_odm.errors import UsageError
from retinanet_odm.systems import shell_word

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


BEAM_HELP = (
    "All Apache Beam options are accepted too, for example --runner=DataflowRunner --project=… --region=…"
    " --temp_location=gs://…, or --direct_running_mode=multi_processing --direct_num_workers=0 to use one process"
    " per core. Flags that neither this program nor Beam knows are rejected."
)

# Beam's own default, DirectRunner, becomes Prism on machines that can download it. A named runner makes the job the
# same on every machine.
LOCAL_DEFAULTS = {"runner": "FnApiRunner", "direct_running_mode": "in_memory"}

# Runners that start SDK workers by way of a job server. Beam's own default stops a worker after each stage and starts
# another for the next, which takes 2 to 4 s; 10 minutes keep it for all stages of a job.
_JOB_SERVER_RUNNERS = ("portablerunner", "sparkrunner", "flinkrunner")
_JOB_SERVER_DEFAULTS = {"environment_cache_millis": "600000"}

# Beam's options whose value is a file, or an address to download it from.
_PROGRAM_OPTIONS = ("prism_location", "flink_job_server_jar", "spark_job_server_jar")
_NO_LINE = CommandLine()
_EMBEDDED = "embed"  # a job service within this process
_CONNECT_TIMEOUT = 5.0  # seconds


# --- Flags of both programs ---


def add_estimate_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that both Beam programs have."""
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="list the files, print the amount of work and its cost, and stop; reads no image and writes nothing",
    )
    parser.add_argument(
        "--vcpu_hour_price",
        type=float,
        metavar="PRICE",
        help="with --estimate: price of one virtual CPU per hour, with its memory and disk",
    )


def check_estimate_flags(flags: argparse.Namespace, *names: str) -> None:
    """Raise UsageError for a flag that is only used with --estimate."""
    for name in names:
        if getattr(flags, name) is not None and not flags.estimate:
            raise UsageError(f"--{name}: expected --estimate too")


# --- Flags of Beam ---


def beam_options(argv: Sequence[str], line: CommandLine = _NO_LINE) -> "PipelineOptions":
    """Read the flags that are not the program's own as Beam options, with defaults for what argv leaves open.

    Args:
      argv: The words that the program's parser does not know.
      line: The complete command line, for messages.

    Raises:
      UsageError: Beam does not know a flag (Beam itself only warns), a runner or a value; a word belongs to no flag; or
        the runner is not available.
    """
    # Beam takes seconds to import, and --help must not wait for it.
    from apache_beam.options.pipeline_options import PipelineOptions

    _check_words(argv, line)
    # The order matters: words first, because Beam accepts a word that belongs to no flag.
    given = _parse(argv)
    _check_known(given, PipelineOptions([]).get_all_options(), argv, line)
    # The graph consists of importable modules, so the main session need not be pickled.
    options = PipelineOptions([*argv, *_defaults(argv, given), "--no_save_main_session"])
    chosen = options.get_all_options()
    _check_runner_name(str(chosen["runner"]))
    _check_runner(chosen)
    _check_running_mode(chosen["direct_running_mode"])
    return options


def _check_words(argv: Sequence[str], line: CommandLine) -> None:
    takes_value = False
    for word in argv:
        if word.startswith("-"):
            if not word.startswith("--"):
                line.refuse(word)
            takes_value = "=" not in word
        elif not takes_value:
            line.refuse(word)
        else:
            takes_value = False


def _parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options that argv sets. For a bad value, Beam's argparse would print its whole usage and exit."""
    from apache_beam.options.pipeline_options import PipelineOptions

    # argparse prints its reason before it exits; only the reason is kept.
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            options: dict[str, Any] = PipelineOptions(list(argv)).get_all_options(
                retain_unknown_options=True, drop_default=True
            )
            return options
    except SystemExit as error:
        message = printed.getvalue().strip().rpartition("error: ")[2]
        raise UsageError(f"Beam rejects its options: {message}") from error


def _check_known(given: Mapping[str, Any], known: Mapping[str, Any], argv: Sequence[str], line: CommandLine) -> None:
    for name in given:
        if name not in known:
            raise UsageError(line.explain_flag(_as_written(name, argv), (f"--{option}" for option in known)))


def _as_written(name: str, argv: Sequence[str]) -> str:
    """Return the flag in argv for an option of Beam, which reads --max-side as max_side."""
    flags = [word.partition("=")[0] for word in argv]
    return next((flag for flag in flags if flag.replace("-", "_") == f"__{name}"), f"--{name}")


def _defaults(argv: Sequence[str], given: Mapping[str, Any]) -> list[str]:
    """Return the options that a runner gets from us where argv does not set them."""
    named = {word.partition("=")[0].removeprefix("--") for word in argv if word.startswith("--")}
    return [f"--{name}={value}" for name, value in _defaults_of(given).items() if name not in named]


def _defaults_of(given: Mapping[str, Any]) -> Mapping[str, str]:
    runner = str(given.get("runner", LOCAL_DEFAULTS["runner"]))
    if runner == LOCAL_DEFAULTS["runner"]:
        return LOCAL_DEFAULTS
    # The default mode belongs to the default runner, so another runner does not get it.
    return _JOB_SERVER_DEFAULTS if runner.rpartition(".")[2].lower() in _JOB_SERVER_RUNNERS else {}


def _check_runner_name(name: str) -> None:
    """Raise UsageError for an unknown runner; Beam itself would only check it when the graph is built."""
    from apache_beam.runners.runner import create_runner

    try:
        create_runner(name)
    except (ValueError, ImportError, AttributeError) as error:
        raise UsageError(f"--runner: {error}") from error


def _check_runner(chosen: Mapping[str, Any]) -> None:
    """Raise UsageError if the runner that Beam's options choose is not available; Beam would wait for minutes.

    Args:
      chosen: Beam's options by name.
    """
    for name in _PROGRAM_OPTIONS:
        path = chosen[name]
        if path and "://" not in path and not Path(path).is_file():
            raise UsageError(f"--{name}: expected a file or an address, found no file {path}")
    endpoint = chosen["job_endpoint"]
    if not endpoint and str(chosen["runner"]).lower() == "portablerunner":
        raise UsageError("--runner=PortableRunner: expected --job_endpoint=HOST:PORT too")
    if endpoint and endpoint != _EMBEDDED:
        _check_listens(endpoint)


def _check_listens(endpoint: str) -> None:
    # From the right: an IPv6 address in brackets contains colons.
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT).close()
    except (OSError, ValueError) as error:
        raise UsageError(f"--job_endpoint: no job service answers at {endpoint}: {error}") from error


def _check_running_mode(mode: str) -> None:
    if mode == "multi_threading":
        # Beam 2.77 mixes up the bytes of its worker threads: elements arrive as others, or not at all. See
        # benchmarks/beam_threads.py, which contains no code of ours.
        raise UsageError("--direct_running_mode=multi_threading loses data in Beam 2.77; use multi_processing")
    if mode == "multi_processing":
        _patch_worker_shutdown()
        _patch_worker_command()


@functools.cache
def _patch_worker_shutdown() -> None:
    """Make local worker processes end even if they connect after the job has failed.

    Beam 2.77 sends the shutdown message only to connected workers (ControlConnection.close in
    apache_beam/runners/portability/fn_api_runner/worker_handlers.py). A worker that connects later would wait forever,
    and the job for it. The patch also queues the message; connected workers never read the duplicate.
    """
    from apache_beam.runners.portability.fn_api_runner import worker_handlers

    close = worker_handlers.ControlConnection.close

    def close_for_all(connection: worker_handlers.ControlConnection) -> None:
        connection.push(worker_handlers.BeamFnControlServicer._DONE_MARKER)
        close(connection)

    worker_handlers.ControlConnection.close = close_for_all


@functools.cache
def _patch_worker_command() -> None:
    """Make local worker processes start if the path of Python contains a space, as under the name of a Windows user.

    Beam 2.77 hands the path to a shell as it is (FnApiRunner.run_pipeline in
    apache_beam/runners/portability/fn_api_runner/fn_runner.py).
    """
    from apache_beam.transforms.environments import SubprocessSDKEnvironment

    from_command = SubprocessSDKEnvironment.from_command_string

    def from_quoted_command(command_string: str, **options: Any) -> Any:
        return from_command(command_string.replace(sys.executable, shell_word(sys.executable), 1), **options)

    SubprocessSDKEnvironment.from_command_string = from_quoted_command
