"""How a program starts and ends: strict flags, logging, one line for a bad request, exit statuses.

Begin with `run_main`. An exception that no program expects is a bug and keeps its stack trace.
"""

import argparse
import atexit
import gc
import io
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TextIO

from retinanet_odm.cli.command_line import CommandLine
from retinanet_odm.cli.progress import BAR
from retinanet_odm.errors import UsageError

# The loggers of this repository's packages; progress is logged at INFO.
_LOGGERS = ("beam_jobs", "inference", "trainer", "retinanet_odm")
# Beam and TensorFlow create about a million permanent objects, which each garbage collection would scan again.
_GC_THRESHOLD = 50_000

# The exit statuses of all programs; docs/troubleshooting.md has the same table, with what to do.
EXIT_STATUSES = {
    0: "success; for the trainer also: stopped by SIGTERM, can be continued",
    1: "the work failed or found something: a failed job, rejected data, a failed check; with a stack trace: a bug",
    2: "a bad request, or one that cannot be carried out",
    130: "interrupted (Ctrl-C)",
}


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an expected exception ends a program: one of EXIT_STATUSES, and the line on standard error.

    Raises:
      ValueError: The status is none of them.
    """

    status: int
    line: str

    def __post_init__(self) -> None:
        if self.status not in EXIT_STATUSES:
            raise ValueError(f"expected an exit status of {list(EXIT_STATUSES)}, found {self.status}")


Explain = Callable[[BaseException], Ending | None]


def explain_request(error: BaseException) -> Ending | None:
    """Explain the exceptions of every program, a bad request and Ctrl-C; return None for all others.

    Example:
      >>> explain_request(UsageError("--splits: expected a sum of 1"))
      Ending(status=2, line='error: --splits: expected a sum of 1')
    """
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
    """Run a program and return its exit status, one of EXIT_STATUSES.

    Args:
      body: The program. It gets the command line and returns the exit status; None stands for 0.
      argv: The command line without the program's name; None for that of the process.
      explain: Returns how an exception ends the program; exceptions for which it returns None are raised.
      log_filter: Returns whether a log record is shown; None shows all.
    """
    tune_gc()
    _print_every_name()
    set_up_logging(log_filter)
    try:
        return body(sys.argv[1:] if argv is None else argv) or 0
    except (Exception, KeyboardInterrupt) as error:
        # An expected exception ends with one line; SystemExit, such as that of --help, is not caught.
        ending = explain(error)
        if ending is None:
            raise  # a bug: its stack trace is what a developer needs
    finally:
        BAR.close()
    print(ending.line, file=sys.stderr)  # noqa: T201 - the one line for the user
    return ending.status


def _print_every_name() -> None:
    """Let standard output escape what it cannot encode, as standard error does: Windows pipes are not UTF-8."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def set_up_logging(log_filter: Callable[[logging.LogRecord], bool] | None = None) -> None:
    """Log to standard error: progress of the programs, and only warnings of all libraries."""
    # Standard error, because standard output is for results such as those of --estimate.
    handler = _HandlerAboveBar(sys.stderr)
    if log_filter:
        handler.addFilter(log_filter)
    # Libraries keep the level of the root logger; only our own loggers are lowered to INFO.
    logging.basicConfig(format="%(message)s", level=logging.WARNING, handlers=[handler])
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)


class _HandlerAboveBar(logging.StreamHandler[TextIO]):
    """Writes each record above the progress bar, if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        with BAR.above():
            super().emit(record)


def tune_gc() -> None:
    """Make garbage collections rare, and skip the one at exit, which takes seconds and frees nothing."""
    gc.set_threshold(_GC_THRESHOLD)
    # Frozen objects are skipped by the last collection.
    atexit.register(gc.freeze)


# --- Command lines ---


class Parser(argparse.ArgumentParser):
    """An argument parser that rejects abbreviated flags, and whose errors are UsageErrors."""

    def __init__(self, **kwargs: Any) -> None:
        # Descriptions hold example commands, whose line breaks must stay.
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **kwargs)

    @property
    def commands(self) -> Mapping[str, argparse.ArgumentParser]:
        """The parsers of the commands by name."""
        # argparse has no public way to list the commands of a parser or its flags.
        actions = self._subparsers._group_actions if self._subparsers else []
        return {name: parser for action in actions for name, parser in dict(action.choices or {}).items()}

    def command_line(self, words: Sequence[str], flags: argparse.Namespace) -> CommandLine:
        """Return what explains the words that a parsed command leaves over.

        Args:
          words: the complete command line.
          flags: what was parsed of it.
        """
        own = _flags_of(self.commands[flags.command])
        elsewhere: dict[str, list[str]] = {}
        for name, parser in self.commands.items():
            for flag in _flags_of(parser):
                if flag not in own:
                    elsewhere.setdefault(flag, []).append(name)
        return CommandLine(words=words, command=flags.command, flags=own, elsewhere=elsewhere)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError, where argparse would print the usage and exit."""
        raise UsageError(f"{self.prog}: {message}")


def _flags_of(parser: argparse.ArgumentParser) -> list[str]:
    return [flag for flag in parser._option_string_actions if flag.startswith("--")]


def check_not_empty(flags: argparse.Namespace) -> None:
    """Raise UsageError for a flag with an empty value, which often comes from an unset shell variable."""
    for name, value in vars(flags).items():
        if value == "" or (isinstance(value, list) and "" in value):
            raise UsageError(f"--{name}: expected a value, found an empty one")
