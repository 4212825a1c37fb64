"""How a Beam program starts and ends: one line for a bad request, an exit status, quiet libraries."""

import logging
import sys
from collections.abc import Callable, Sequence

from beamio import cloud_faults, engines
from detection.errors import UsageError
from detection.lean import start_lean

_LOG_FORMAT = "%(message)s"
_TOLD = (UsageError, KeyboardInterrupt)  # by one line


def run_main(run: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None) -> int:
    """Runs a program body; returns its exit status: what it returns, 2 for a bad request, 130 for Ctrl-C, 1 for a job
    that failed on Dataflow.

    Programming errors are not caught: their stack trace is what a developer needs.
    """
    start_lean()
    set_up_logging()
    try:
        return run(sys.argv[1:] if argv is None else argv) or 0
    # RuntimeError: what Beam makes of Ctrl-C within a step, and of every error on an engine with workers of its own
    except (*_TOLD, RuntimeError) as raised:
        error = _within_step(raised)
        error = engines.bad_request(error) or error
        if not isinstance(error, _TOLD):
            raise
    except cloud_faults.fault_classes() as fault:
        print(f"error: {cloud_faults.describe_fault(fault)}", file=sys.stderr)  # noqa: T201
        return cloud_faults.exit_status(fault)
    if isinstance(error, UsageError):
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the one line for the person at the terminal
        return error.status
    print(f"interrupted{cloud_faults.still_running()}", file=sys.stderr)  # noqa: T201
    return 130


def _within_step(error: BaseException) -> BaseException:
    """What was raised: Beam raises another error in its place, which names the step and bears this mark."""
    while getattr(error, "_tagged_with_step", False) and error.__context__:
        error = error.__context__
    return error


def _is_told(record: logging.LogRecord) -> bool:
    """Whether a log record is Beam's account, stack trace and all, of what run_main tells by one line."""
    error = (record.exc_info or (None, None))[1]
    return isinstance(error, _TOLD) or engines.tells_of_bad_request(f"{record.getMessage()}\n{error}")


def _is_chatter(record: logging.LogRecord) -> bool:
    """Whether a log record is Prism's account of itself; Beam lets all of it through, whatever the level."""
    return record.name == "PrismRunner" and record.levelno < logging.WARNING


def set_up_logging() -> None:
    """Our own progress at INFO on standard error; of Beam and the Google clients only warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(lambda record: not _is_told(record) and not _is_chatter(record))
    logging.basicConfig(format=_LOG_FORMAT, level=logging.WARNING, handlers=[handler])
    for name in ("beam_jobs", "inference", "beamio"):
        logging.getLogger(name).setLevel(logging.INFO)
    # Beam warns whenever it starts or stops an engine's process.
    logging.getLogger("apache_beam.utils.subprocess_server").setLevel(logging.ERROR)
    cloud_faults.show_progress()
