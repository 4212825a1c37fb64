"""How a Beam program starts and ends: one line for a bad request, an exit status, quiet libraries."""

import logging
import sys
from collections.abc import Callable, Sequence

from detection.errors import UsageError

_LOG_FORMAT = "%(message)s"


def run_main(run: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None) -> int:
    """Runs a program body; returns its exit status: what it returns, 2 for a bad request, 130 for Ctrl-C.

    Programming errors are not caught: their stack trace is what a developer needs.
    """
    set_up_logging()
    try:
        return run(sys.argv[1:] if argv is None else argv) or 0
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the one line for the person at the terminal
        return error.status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        return 130


def set_up_logging() -> None:
    """Our own progress at INFO on standard error; of Beam and the Google clients only warnings."""
    logging.basicConfig(format=_LOG_FORMAT, level=logging.WARNING, stream=sys.stderr)
    for name in ("beam_jobs", "inference", "beamio"):
        logging.getLogger(name).setLevel(logging.INFO)
