"""Makes a detector from labelled images, tests it, counts objects in new images, and writes one page with the verdict.

    retinanet-odm run --images 'DIR/images/*' --annotations 'DIR/annotations/*.xml' --archive ARCHIVE.zip --output DIR

Each step is a command of its own, which is printed before it runs. The same command continues a run that was stopped,
and repeats no step that is complete.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence

from retinanet_odm.cli.command_line import CommandLine
from retinanet_odm.cli.program import Parser, check_not_empty, run_main
from retinanet_odm.errors import UsageError
from retinanet_odm.systems import with_slashes
from retinanet_odm.workflow.plan import RunOptions, shell_command

_PROGRAM = ("retinanet-odm", "run")
_DESCRIPTION = """\
From labelled images to a detector, its test, counts in new images, and one page that says what they are worth.

  retinanet-odm run --images 'DIR/images/*' --annotations 'DIR/annotations/*.xml' \\
      --archive ARCHIVE.zip --output PROJECT

PROJECT/index.html  the page: is there enough data, how good is the model, what did it count, what to do next
PROJECT/dataset     the data set, with check.html and report.html
PROJECT/model       the model, with eval.html, and eval-test.html of images that took no part in the training
PROJECT/scored      what was found in the archive: rows, counts.csv, cvat.xml, report.html
PROJECT/run.json    which steps are complete

Each step is a command of its own, which is printed before it runs. The same command continues a run that was stopped,
and repeats no step that is complete.
"""


def make_run_parser() -> Parser:
    """Make the parser of the command line."""
    parser = Parser(prog=" ".join(_PROGRAM), description=_DESCRIPTION)
    _add_places(parser)
    _add_settings(parser)
    return parser


def _add_places(parser: argparse.ArgumentParser) -> None:
    for flag, text in (
        ("--images", "labelled images, such as 'DIR/images/*', as prepare reads them"),
        ("--annotations", "their annotation files, such as 'DIR/annotations/*.xml'"),
        ("--exports", "CVAT export archives, which hold images and annotations"),
    ):
        parser.add_argument(flag, type=with_slashes, nargs="+", default=(), metavar="PATTERN", help=text)
    parser.add_argument(
        "--archive",
        type=with_slashes,
        nargs="+",
        default=(),
        metavar="PATH",
        help="images to count in: folders, archives or patterns, as score reads them; default: none",
    )
    parser.add_argument(
        "--output",
        type=with_slashes,
        required=True,
        metavar="DIR",
        help="folder of the run: a new or empty one, or that of an earlier run, which is continued",
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--split_group",
        metavar="RULE",
        help="keep images of one group in one split: deployment, deployment+day, or a regular expression, as for"
        " prepare; needed if images of one place resemble each other",
    )
    parser.add_argument(
        "--deployment", metavar="REGEX", help="regular expression that finds the deployment in the image name"
    )
    parser.add_argument("--labels", type=with_slashes, metavar="FILE", help="label map; default: all labels found")
    parser.add_argument(
        "--label_aliases", type=with_slashes, metavar="FILE", help="CSV file alias,name: other spellings of labels"
    )
    parser.add_argument("--preset", default="tiny", help="network, as for the trainer; default: %(default)s")
    parser.add_argument(
        "--num_epochs", type=int, metavar="N", help="how often the trainer sees each image; default: that of the preset"
    )
    parser.add_argument(
        "--accept_errors", action="store_true", help="go on although the check found errors, without those images"
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="permit prepare and score to replace what an earlier run with other images or settings has written",
    )
    for program, example in (("prepare", "--min_box=8x8"), ("train", "--image_size=768"), ("score", "--tile=1024")):
        parser.add_argument(
            f"--{program}_flags",
            metavar="FLAGS",
            help=f"more flags of this step, with = and in quotes, such as --{program}_flags='{example}'",
        )


def make_run_options(flags: argparse.Namespace) -> RunOptions:
    """Return the request that the flags specify.

    Raises:
      UsageError: a value is empty or cannot be read.
    """
    check_not_empty(flags)
    return RunOptions(
        images=tuple(flags.images),
        annotations=tuple(flags.annotations),
        exports=tuple(flags.exports),
        archive=tuple(flags.archive),
        output=flags.output.rstrip("/") or "/",
        labels=flags.labels,
        label_aliases=flags.label_aliases,
        split_group=flags.split_group,
        deployment=flags.deployment,
        preset=flags.preset,
        num_epochs=flags.num_epochs,
        prepare_flags=_split_words("prepare_flags", flags.prepare_flags),
        train_flags=_split_words("train_flags", flags.train_flags),
        score_flags=_split_words("score_flags", flags.score_flags),
        accept_errors=flags.accept_errors,
        replace=flags.replace,
    )


def _split_words(flag: str, text: str | None) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(with_slashes(text or "")))  # on Windows a backslash would escape the next character
    except ValueError as error:
        raise UsageError(f"--{flag}: {error}, in {text}") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; return the exit status of the step that failed, or 0."""
    return run_main(_run, argv)


def _run(argv: Sequence[str]) -> int:
    flags, rest = make_run_parser().parse_known_args(argv)
    if rest:
        own = [f"--{name}" for name in vars(flags)]
        CommandLine(words=argv, command="run", flags=own, other_names={"--epochs": "--num_epochs"}).refuse(rest[0])
    options = make_run_options(flags)
    from retinanet_odm.workflow.run import run_workflow  # --help and completion do not wait for it

    return run_workflow(options, shell_command((*_PROGRAM, *argv)))


if __name__ == "__main__":
    sys.exit(main())
