"""How a program starts and ends: one line for a bad request, exit statuses, quiet libraries.

Exit statuses of all programs:

| status | meaning |
|---|---|
| 0 | done; for the trainer also: stopped by SIGTERM, to be continued |
| 1 | the work failed or found something: a failed Dataflow job, refused data, a failed check |
| 2 | a bad request, or one that cannot be carried out: nothing was done |
| 130 | interrupted (Ctrl-C) |

Any other exception is a programming error and keeps its stack trace.
"""

import atexit
import gc
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from retinanet_odm.errors import UsageError

# The loggers of this repository's packages; progress is logged at INFO.
_LOGGERS = ("beam_jobs", "inference", "trainer", "retinanet_odm")
# Beam and TensorFlow make about a million objects that stay, which the garbage collector would scan again and again.
_GC_THRESHOLD = 50_000


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a program ends after an exception that is understood: its exit status and the line on standard error."""

    status: int
    line: str


Explain = Callable[[BaseException], Ending | None]


def explain_request(error: BaseException) -> Ending | None:
    """Explains what every program may raise: a bad request, and Ctrl-C. None for anything else."""
    if isinstance(error, UsageError):
        return Ending(status=error.status, line=f"error: {error}")
    if isinstance(error, KeyboardInterrupt):
        return Ending(status=130, line="interrupted")
    return None


def run_main(
    body: Callable[[Sequence[str]], int | None],
    argv: Sequence[str] | None,
    *,
    explain: Explain = explain_request,
    log_filter: Callable[[logging.LogRecord], bool] | None = None,
) -> int:
    """Runs a program and returns its exit status.

    Args:
      body: takes the command line; returns the exit status, None for 0.
      argv: the command line without the program's name; None for that of the process.
      explain: says how an exception ends the program. What it returns None for is raised.
      log_filter: says which log records are shown; None for all.
    """
    tune_gc()
    set_up_logging(log_filter)
    try:
        return body(sys.argv[1:] if argv is None else argv) or 0
    except (Exception, KeyboardInterrupt) as error:
        ending = explain(error)
        if ending is None:
            raise
    print(ending.line, file=sys.stderr)  # noqa: T201 - the one line for the user
    return ending.status


def set_up_logging(log_filter: Callable[[logging.LogRecord], bool] | None = None) -> None:
    """Shows the programs' own progress on standard error, and of all libraries only warnings."""
    handler = logging.StreamHandler(sys.stderr)
    if log_filter:
        handler.addFilter(log_filter)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, handlers=[handler])
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)


def tune_gc() -> None:
    """Collects cyclic garbage less often, and not at all at exit: it takes seconds there and frees nothing."""
    gc.set_threshold(_GC_THRESHOLD)
    atexit.register(gc.freeze)
