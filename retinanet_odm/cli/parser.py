"""Strict command lines: argparse without abbreviations, whose errors are UsageErrors."""

import argparse
from typing import Any, NoReturn

from retinanet_odm.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are UsageErrors, and which never guesses at an abbreviated flag."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}")


def program_flags(flags: argparse.Namespace) -> list[str]:
    """The flags of the command that was parsed, with their dashes."""
    return [f"--{name}" for name in vars(flags) if name != "command"]


def check_not_empty(flags: argparse.Namespace) -> None:
    """Raises UsageError for a flag with an empty value, which is what a shell makes of a variable that is not set."""
    for name, value in vars(flags).items():
        if value == "" or (isinstance(value, list) and "" in value):
            raise UsageError(f"--{name}: expected a value, found an empty one")
