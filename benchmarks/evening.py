"""A first evening: walks the README and two guides as they are written, on a made-up project of 200 images.

    python -m benchmarks.evening [--work DIR] [--pages README.md docs/local.md docs/cvat.md] [--epochs N]

The commands are those of the pages, each page in a folder of its own, in which the names that it uses stand for the
project (benchmarks/one_animal.py): `DIR` and `sample` its folder, `EXPORTS` its CVAT exports, `ARCHIVE.zip` new images.
Commands that tests/guides/rules.py does not run (set-up, the cloud) are left out, and so are the one that makes the
sample and those that need Docker. Prints for each command its time, how many lines it printed, how many of them are
warnings, and its exit status; then, for each page, the counts on the new images against their truth. Exits with 1 if a
command failed, or if a count is more than a tenth off.

As written, most trainings take 60 epochs, an hour in all on two cores; --epochs overrules them.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measures import HERE, Result, print_results
from benchmarks.one_animal import write_project
from tests.guides import pages
from tests.guides.rules import RUN, rule_of

WALKED = ("README.md", "docs/local.md", "docs/cvat.md")
COUNT_ERROR = 0.1  # of the true count
_WARNING = re.compile(r"^\s*(?i:warning|error)\b|^W\d{4}\b|\bWARNING\b")
_LEFT_OUT = re.compile(r"docker |.*scripts/make_sample\.py")
_NAMED = re.compile(r"sample/images/StaM_\w+\.JPG")  # an image of the sample, for which one of the project stands


@dataclass(frozen=True, kw_only=True)
class Step:
    """A command that ran: where it is written, what it printed, its exit status and its wall time."""

    place: str
    text: str
    printed: tuple[str, ...]
    status: int
    seconds: float

    @property
    def warnings(self) -> int:
        return sum(1 for line in self.printed if _WARNING.search(line))


def commands_of(page: str, epochs: int | None) -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each command of a page that a reader runs on one machine."""
    for command in pages.commands():
        rule = rule_of(command.text)
        if command.page != page or rule is None or rule.kind != RUN or _LEFT_OUT.match(command.text):
            continue
        text = command.text
        if epochs and re.match(r"python -m trainer .*--dataset|retinanet-odm run ", text):
            text = f"{re.sub(r' --num_epochs=[0-9]+', '', text)} --num_epochs={epochs}"
        yield f"{page}:{command.line}", text


def make_folder(folder: Path, project: Path) -> None:
    """Make a folder in which the names of the pages stand for the project."""
    folder.mkdir(parents=True)
    names = {"DIR": "", "sample": "", "EXPORTS": "exports", "ARCHIVE.zip": "archive.zip", "TRUTH": "archive_truth"}
    for name, part in names.items():
        (folder / name).symlink_to(project / part)


def walk(page: str, folder: Path, project: Path, epochs: int | None) -> Iterator[Step]:
    """Run the commands of a page one after the other, as a reader does; one that fails does not stop the walk."""
    make_folder(folder, project)
    first = min((project / "images").iterdir()).name
    for place, text in commands_of(page, epochs):
        line = _NAMED.sub(f"sample/images/{first}", text)
        begun = time.monotonic()
        done = run(line, folder)
        yield Step(
            place=place,
            text=line,
            printed=tuple(filter(str.strip, done.stdout.splitlines())),
            status=done.returncode,
            seconds=time.monotonic() - begun,
        )


def run(line: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command line in bash with this checkout's programs; its two outputs are one."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def describe(step: Step) -> Result:
    """Return the row of a step."""
    shown = step.text.removeprefix("python -m ")
    value = f"{step.seconds:5.0f} s  {len(step.printed):3} lines  {step.warnings:2} warnings  exit {step.status}"
    return Result(title=f"{step.place}  {shown}"[:78], value=value, good=step.status == 0)


def count_errors(page: str, folder: Path) -> Iterator[Result]:
    """Yield how the counts of the page's last scored archive compare with the truth, for each class."""
    done = run("python -m inference evaluate OUT --annotations 'TRUTH/*.xml' --replace", folder)
    if done.returncode:
        yield Result(title=f"{page}: counts against truth", value=done.stdout.strip()[-200:], good=False)
        return
    yield from compare_counts(page, json.loads((folder / "OUT" / "evaluation.json").read_text()))


def compare_counts(page: str, metrics: Mapping[str, Any]) -> Iterator[Result]:
    """Yield the counts of each class; where there is none, none must be found."""
    for name, count in metrics["details"]["counts"].items():
        found, true = count["found"], count["true"]
        error = f"  {found / true - 1:+.1%}" if true else ""
        yield Result(
            title=f"{page}: {name}, found / true (within {COUNT_ERROR:.0%})",
            value=f"{found} / {true}{error}  AP50 {metrics['AP50']:.3f}",
            good=abs(found - true) <= COUNT_ERROR * true,
        )


def evening(work: Path, walked: Sequence[str], epochs: int | None) -> Iterator[Result]:
    """Yield the rows of all pages: steps, their sums, and counts."""
    project = work / "project"
    write_project(project)
    for page in walked:
        folder = work / Path(page).stem
        steps = []
        # What was printed remains, to be read through, also after a walk that was stopped.
        printed = work / f"{Path(page).stem}.txt"
        for step in walk(page, folder, project, epochs):
            steps.append(step)
            printed.write_text("\n\n".join("\n".join([f"$ {step.text}", *step.printed]) for step in steps))
            yield describe(step)
        lines, warnings = sum(len(step.printed) for step in steps), sum(step.warnings for step in steps)
        yield Result(title=f"{page}: {len(steps)} steps", value=f"{lines} lines, {warnings} warnings: {printed}")
        yield from count_errors(page, folder)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evening", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="new folder for all files; default: a temporary one")
    parser.add_argument("--pages", nargs="+", default=WALKED, choices=pages.PAGES, metavar="PAGE")
    parser.add_argument("--epochs", type=int, help="of every training; default: as the pages say")
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp(prefix="evening-"))
    return 0 if print_results(evening(work.resolve(), arguments.pages, arguments.epochs)) else 1


if __name__ == "__main__":
    sys.exit(main())
