"""run_main for the programs that start Beam jobs: errors of runners and of Google in one line, Beam's log filtered."""

import logging
from collections.abc import Callable, Sequence

from retinanet_odm.beam import runners
from retinanet_odm.cli.program import Ending, explain_request, run_main
from retinanet_odm.dataflow import errors


def run_job_main(body: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None) -> int:
    """Runs a program that may start a Beam job; returns its exit status (see retinanet_odm.cli.program)."""
    # Beam warns whenever it starts or stops a runner's process.
    logging.getLogger("apache_beam.utils.subprocess_server").setLevel(logging.ERROR)
    errors.show_progress()
    return run_main(body, argv, explain=explain_job, log_filter=is_shown)


def explain_job(error: BaseException) -> Ending | None:
    """Explains an exception that a Beam job ended with; None for a programming error."""
    if isinstance(error, errors.fault_classes()):
        return Ending(status=errors.exit_status(error), line=f"error: {errors.describe_fault(error)}")
    ending = explain_request(runners.find_cause(error))
    if ending and ending.status == 130:
        return Ending(status=130, line=f"{ending.line}{errors.still_running()}")
    return ending


def is_shown(record: logging.LogRecord) -> bool:
    """Whether a log record is for the user: not Prism's log of itself, nor a stack trace of what explain_job says."""
    if record.name == "PrismRunner" and record.levelno < logging.WARNING:
        return False  # Beam lets all of it through, whatever the level
    error = (record.exc_info or (None, None))[1]
    if error is not None and explain_request(error):
        return False
    return not runners.mentions_request_error(f"{record.getMessage()}\n{error}")
