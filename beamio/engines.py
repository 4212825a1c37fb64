"""Beam's other engines: what can be checked before they are asked, and what they say of a step that failed.

FnApiRunner runs steps in this process and raises what they raise. Prism, a portable job service, Flink and processes of
FnApiRunner's own run them elsewhere: there Beam raises RuntimeError, whose text ends with the worker's stack trace
(apache/beam#34612).
"""

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detection import errors
from detection.errors import UsageError

_PROGRAMS = ("prism_location", "flink_job_server_jar", "spark_job_server_jar")
_EMBEDDED = "embed"  # a job service within this process
_SECONDS = 5.0
# Beam adds the step to the error that a step raised, and to none that was on the way to it.
_RAISED = re.compile(rf"^{re.escape(errors.__name__)}\.(\w+): (.*) \[while running '", re.MULTILINE)
_NO_DOWNLOAD = "Unable to fetch remote"  # Prism, or the job server of Flink or Spark


def check_engine(chosen: Mapping[str, Any]) -> None:
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


def bad_request(error: BaseException) -> UsageError | None:
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


def tells_of_bad_request(text: str) -> bool:
    """Whether a text, such as a line of a worker's log, has the stack trace of a bad request."""
    return any(_class_of(name) for name in re.findall(rf"{re.escape(errors.__name__)}\.(\w+): ", text))


def _class_of(name: str) -> type[UsageError] | None:
    found = getattr(errors, name, None)
    return found if isinstance(found, type) and issubclass(found, UsageError) else None
