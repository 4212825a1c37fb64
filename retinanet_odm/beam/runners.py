"""Beam's runners: checks that the chosen one is available, finds the error of a worker, fixes local worker processes.

Begin with `find_cause`, which turns Beam's exceptions back into ours.
"""

import functools
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retinanet_odm import errors
from retinanet_odm.errors import UsageError

_PROGRAM_OPTIONS = ("prism_location", "flink_job_server_jar", "spark_job_server_jar")
_EMBEDDED = "embed"  # a job service within this process
_CONNECT_TIMEOUT = 5.0  # seconds

# Beam appends the step to the error that the step raised, but not to those that led to it.
_RAISED = re.compile(rf"^{re.escape(errors.__name__)}\.(\w+): (.*) \[while running '", re.MULTILINE)
_NO_DOWNLOAD = "Unable to fetch remote"  # of Prism, or the job server of Flink or Spark


def check_runner(chosen: Mapping[str, Any]) -> None:
    """Raises UsageError if the runner that Beam's options choose is not available; Beam would wait for minutes.

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
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT).close()
    except (OSError, ValueError) as error:
        raise UsageError(f"--job_endpoint: no job service answers at {endpoint}: {error}") from error


def find_cause(error: BaseException) -> BaseException:
    """Returns the error that a step raised. Beam raises others in its place, or a RuntimeError that quotes it."""
    # A step in this process: Beam raises another error, which names the step and has this attribute.
    while getattr(error, "_tagged_with_step", False) and error.__context__:
        error = error.__context__
    return find_request_error(error) or error


def find_request_error(error: BaseException) -> UsageError | None:
    """Returns the bad request that a RuntimeError of Beam quotes, or None if it quotes something else.

    A worker has raised it, or the runner cannot be downloaded.

    Example:
      >>> find_request_error(RuntimeError("retinanet_odm.errors.UsageError: no file [while running 'Read']"))
      UsageError('no file')
    """
    if not isinstance(error, RuntimeError):
        return None
    text = str(error)
    if text.startswith(_NO_DOWNLOAD):
        return UsageError(text)
    name, message = next(reversed(_RAISED.findall(text)), ("", ""))
    kind = _class_of(name)
    return kind(message) if kind else None


def mentions_request_error(text: str) -> bool:
    """Returns whether a text, such as a line of a worker's log, contains the stack trace of a bad request."""
    return any(_class_of(name) for name in re.findall(rf"{re.escape(errors.__name__)}\.(\w+): ", text))


def _class_of(name: str) -> type[UsageError] | None:
    found = getattr(errors, name, None)
    return found if isinstance(found, type) and issubclass(found, UsageError) else None


@functools.cache
def patch_worker_shutdown() -> None:
    """Makes local worker processes end even if they connect after the job has failed.

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
