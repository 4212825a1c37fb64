"""Strict command lines: argparse without abbreviations, whose errors are UsageErrors."""

import argparse
from typing import Any, NoReturn

from retinanet_odm.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError, and that rejects abbreviated flags."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raises UsageError, where argparse would print the usage and exit."""
        raise UsageError(f"{self.prog}: {message}")


def program_flags(flags: argparse.Namespace) -> list[str]:
    """Returns the names of all flags of the parsed command, with their dashes."""
    return [f"--{name}" for name in vars(flags) if name != "command"]


def check_not_empty(flags: argparse.Namespace) -> None:
    """Raises UsageError for a flag with an empty value, which often comes from an unset shell variable."""
    for name, value in vars(flags).items():
        if value == "" or (isinstance(value, list) and "" in value):
            raise UsageError(f"--{name}: expected a value, found an empty one")
