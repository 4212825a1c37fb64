# PYTHON_ARGCOMPLETE_OK
"""The command `retinanet-odm`: one name for all programs. What follows the subcommand goes to the program unchanged.

Programs are imported by name when they are called: this room is below them, and --help must not wait for them.
"""

import argparse
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from retinanet_odm import __version__
from retinanet_odm.cli.program import Parser, run_main
from retinanet_odm.errors import UsageError

_DESCRIPTION = """\
From labelled images to a detector and scored image archives, in one command or step by step:

  retinanet-odm run --images 'DIR/images/*' --annotations 'DIR/annotations/*.xml' --archive ARCHIVE.zip --output PROJECT

  retinanet-odm data prepare --images 'DIR/images/*' --annotations 'DIR/annotations/*.xml' --output DATASET
  retinanet-odm train --mode=train_and_eval --dataset=DATASET --model_dir=MODEL
  retinanet-odm score score --images ARCHIVE.zip --model MODEL/export --output OUT
"""
_EPILOG = """\
retinanet-odm COMMAND --help shows the flags of a command. Completion in bash and zsh:
eval "$(register-python-argcomplete retinanet-odm)"
"""
_COMPLETION = "_ARGCOMPLETE"  # set by the shell's function when it asks for completions


@dataclass(frozen=True, kw_only=True)
class Subcommand:
    """A program behind a subcommand.

    Attributes:
      module: the module of its main function.
      parser: module and name of the function that makes its parser, for completion.
      help: what it does.
      flags: flags that the subcommand stands for.
    """

    module: str
    parser: tuple[str, str]
    help: str
    flags: tuple[str, ...] = ()


_TRAINER_PARSER = ("trainer.flags", "make_completion_parser")
SUBCOMMANDS = {
    "run": Subcommand(
        module="retinanet_odm.workflow.command",
        parser=("retinanet_odm.workflow.command", "make_run_parser"),
        help="all of it: check, data set, detector, test, counts, and one page with the verdict",
    ),
    "data": Subcommand(
        module="beam_jobs.main",
        parser=("beam_jobs.flags", "make_prepare_parser"),
        help="data sets from labelled images (python -m beam_jobs)",
    ),
    "train": Subcommand(
        module="trainer.main", parser=_TRAINER_PARSER, help="train, evaluate and export a detector (python -m trainer)"
    ),
    "score": Subcommand(
        module="inference.main",
        parser=("inference.options", "make_score_parser"),
        help="detect objects in images and archives (python -m inference)",
    ),
    "tpu": Subcommand(
        module="trainer.submit",
        parser=("trainer.tpu.options", "make_submit_parser"),
        help="train on a TPU VM that is created for the run (python -m trainer.submit)",
    ),
    "sample": Subcommand(
        module="retinanet_odm.samples.command",
        parser=("retinanet_odm.samples.command", "make_sample_parser"),
        help="synthetic images to try it all (python -m retinanet_odm.samples)",
    ),
    "doctor": Subcommand(
        module="trainer.main",
        parser=_TRAINER_PARSER,
        help="check this machine and its packages; with --dataset and --model_dir also these",
        flags=("--mode=doctor",),
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; return the exit status of its program (see retinanet_odm.cli.program)."""
    words = sys.argv[1:] if argv is None else list(argv)
    if _COMPLETION in os.environ:
        _complete()
    if words and words[0] in SUBCOMMANDS:
        return _run_program(words[0], words[1:])
    return run_main(_show_help, words)


def _run_program(command: str, words: Sequence[str]) -> int:
    program = SUBCOMMANDS[command]
    if command == "doctor" and importlib.util.find_spec("absl") is None:
        # Without the packages of the trainer, its own doctor cannot even read its flags.
        return run_main(_check_installation, words)
    try:
        module = importlib.import_module(program.module)
    except ModuleNotFoundError as error:
        return run_main(partial(_refuse, command, error), words)
    status: int = module.main([*program.flags, *words])
    return status


def _check_installation(_words: Sequence[str]) -> int:
    from retinanet_odm.cli.installation import installation_checks, print_checks

    return print_checks(installation_checks())


def _refuse(command: str, error: ModuleNotFoundError, _words: Sequence[str]) -> NoReturn:
    raise UsageError(f"{command}: no package {error.name}; retinanet-odm doctor shows what is missing") from error


def _show_help(words: Sequence[str]) -> None:
    # Without a word, the help says more than an error about it.
    make_console_parser().parse_args(words or ["--help"])


def make_console_parser(with_flags_of: str = "") -> Parser:
    """Make the parser of the subcommands.

    Args:
      with_flags_of: the subcommand whose program's own parser is included, for completion. It is imported.
    """

    def make_parser(*, prog: str, **kwargs: Any) -> argparse.ArgumentParser:
        command = prog.rpartition(" ")[2]
        if command != with_flags_of:
            return Parser(prog=prog, **kwargs)
        module, name = SUBCOMMANDS[command].parser
        parser: argparse.ArgumentParser = getattr(importlib.import_module(module), name)()
        return parser

    parser = Parser(prog="retinanet-odm", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"retinanet-odm {__version__}")
    # argparse only calls the class, so a function will do.
    made_by: Any = make_parser
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=made_by)
    for command, program in SUBCOMMANDS.items():
        commands.add_parser(command, help=program.help)
    return parser


def _complete() -> None:
    """Answer the shell's request for completions, and exit."""
    import argcomplete

    # The line that is typed: retinanet-odm SUBCOMMAND …
    words = os.environ.get("COMP_LINE", "").split()
    command = words[1] if len(words) > 1 else ""
    argcomplete.autocomplete(make_console_parser(with_flags_of=command))


if __name__ == "__main__":
    sys.exit(main())
