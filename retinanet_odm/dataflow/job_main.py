"""`run_main` for programs that start Beam jobs: errors of runners and of Google in one line, Beam's log filtered."""

import logging
from collections.abc import Callable, Sequence

from retinanet_odm.beam import runners
from retinanet_odm.cli.program import Ending, explain_request, run_main
from retinanet_odm.dataflow import errors


def run_job_main(body: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None) -> int:
    """Runs a program that may start a Beam job; returns its exit status (see retinanet_odm.cli.program)."""
    # Beam warns whenever it starts or stops the process of a runner.
    logging.getLogger("apache_beam.utils.subprocess_server").setLevel(logging.ERROR)
    errors.show_job_progress()
    return run_main(body, argv, explain=explain_job, log_filter=is_for_user)


def explain_job(error: BaseException) -> Ending | None:
    """Explains the exception that a Beam job ended with; returns None for a bug."""
    if isinstance(error, errors.google_error_classes()):
        return Ending(status=errors.exit_status(error), line=f"error: {errors.describe_google_error(error)}")
    ending = explain_request(runners.find_cause(error))
    if ending and ending.status == 130:
        return Ending(status=130, line=errors.describe_running_job() or ending.line)
    return ending


def is_for_user(record: logging.LogRecord) -> bool:
    """Returns False for Prism's own log, and for stack traces of errors that `explain_job` reports in one line."""
    if record.name == "PrismRunner" and record.levelno < logging.WARNING:
        return False  # Beam logs all of it, whatever the level
    error = (record.exc_info or (None, None))[1]
    if error is not None and explain_request(error):
        return False
    return not runners.mentions_request_error(f"{record.getMessage()}\n{error}")
