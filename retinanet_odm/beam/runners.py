"""Beam's runners: whether the chosen one is there, which error its workers raised, and a fix for local workers."""

import functools
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retinanet_odm import errors
from retinanet_odm.errors import UsageError

_PROGRAMS = ("prism_location", "flink_job_server_jar", "spark_job_server_jar")
_EMBEDDED = "embed"  # a job service within this process
_SECONDS = 5.0

# Beam adds the step to the error that a step raised, and to none that was on the way to it.
_RAISED = re.compile(rf"^{re.escape(errors.__name__)}\.(\w+): (.*) \[while running '", re.MULTILINE)
_NO_DOWNLOAD = "Unable to fetch remote"  # Prism, or the job server of Flink or Spark


def check_runner(chosen: Mapping[str, Any]) -> None:
    """Raises UsageError when the engine that Beam's options choose is not there; Beam waits for minutes itself.

    Args:
      chosen: Beam's options by name.
    """
    for name in _PROGRAMS:
        place = chosen[name]
        if place and "://" not in place and not Path(place).is_file():
            raise UsageError(f"--{name}: expected a file or an address, found no file {place}")
    endpoint = chosen["job_endpoint"]
    if not endpoint and str(chosen["runner"]).lower() == "portablerunner":
        raise UsageError("--runner=PortableRunner: expected --job_endpoint=HOST:PORT too")
    if endpoint and endpoint != _EMBEDDED:
        _check_listens(endpoint)


def _check_listens(endpoint: str) -> None:
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS).close()
    except (OSError, ValueError) as error:
        raise UsageError(f"--job_endpoint: no job service answers at {endpoint}: {error}") from error


def find_cause(error: BaseException) -> BaseException:
    """Finds the error that a step raised: Beam raises others in its place, or only tells of it in a RuntimeError."""
    # Within this process Beam raises another error, which names the step and bears this mark.
    while getattr(error, "_tagged_with_step", False) and error.__context__:
        error = error.__context__
    return find_request_error(error) or error


def find_request_error(error: BaseException) -> UsageError | None:
    """The bad request that an engine tells of by a RuntimeError: a worker raised it, or there is no such engine.

    None where it tells of something else.
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
    """Whether a text, such as a line of a worker's log, has the stack trace of a bad request."""
    return any(_class_of(name) for name in re.findall(rf"{re.escape(errors.__name__)}\.(\w+): ", text))


def _class_of(name: str) -> type[UsageError] | None:
    found = getattr(errors, name, None)
    return found if isinstance(found, type) and issubclass(found, UsageError) else None


@functools.cache
def patch_worker_shutdown() -> None:
    """Makes local worker processes that connect after the job has failed end too.

    Beam 2.77 tells only those that have connected that the job is over (ControlConnection.close in
    apache_beam/runners/portability/fn_api_runner/worker_handlers.py); a later one would wait for ever, and the job for
    it. Here the shutdown message is queued as well; connected workers never read the duplicate.
    """
    from apache_beam.runners.portability.fn_api_runner import worker_handlers

    close = worker_handlers.ControlConnection.close

    def close_for_all(connection: worker_handlers.ControlConnection) -> None:
        connection.push(worker_handlers.BeamFnControlServicer._DONE_MARKER)
        close(connection)

    worker_handlers.ControlConnection.close = close_for_all
