"""Makes a folder in which the commands of the guides run unchanged, because it holds all files that they name."""

import contextlib
import importlib.util
import io
import json
import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import beam_jobs.main
import inference.main
import trainer.main
import trainer.submit
from inference.review_page.decisions import Decision
from retinanet_odm.cli.program import run_main
from retinanet_odm.dataflow import launcher
from retinanet_odm.samples.files import make_zip
from retinanet_odm.workflow.command import make_run_options, make_run_parser
from retinanet_odm.workflow.run import run_workflow
from tests.guides.pages import ROOT

Main = Callable[[Sequence[str]], int]

# A few steps on small images: the test is about the command, not the detector.
SMALL = ["--image_size=64", "--num_epochs=1", "--train_batch_size=8", "--eval_batch_size=4", "--pyramid_channels=16"]
SMALL += ["--head_depth=1", "--eval_every_epochs=0", "--reference_images=0"]
SMALL += ["--score_threshold=0.001"]  # of a detector that has learned nothing, so that something is found


def _script(name: str) -> Main:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def _run_workflow(argv: Sequence[str]) -> int:
    """Runs `retinanet-odm run`, each program of it in this process."""

    def start(words: Sequence[str]) -> int:
        main, added = PROGRAMS[" ".join(words[:2])]
        return main([*words[2:], *added])

    def body(words: Sequence[str]) -> int:
        return run_workflow(make_run_options(make_run_parser().parse_args(words[1:])), "retinanet-odm run", start)

    return run_main(body, argv)


# By the words that start a program in a command: its main function, and flags that replace those of the command.
PROGRAMS: dict[str, tuple[Main, list[str]]] = {
    "-m beam_jobs": (beam_jobs.main.main, []),
    "-m inference": (inference.main.main, []),
    "-m trainer": (trainer.main.main, SMALL),
    "-m trainer.submit": (trainer.submit.main, []),
    "retinanet-odm": (_run_workflow, []),
    "scripts/dataflow.sh": (launcher.main, []),
    "scripts/make_sample.py": (_script("make_sample"), ["--images=60", "--archive_images=4"]),
}


_REPLACES = {
    "-m inference": ("score", "convert", "repeats", "evaluate", "label_errors", "audit", "abundance"),
    "-m beam_jobs": ("prepare",),
}


@dataclass
class Sandbox:
    """The folder, and the output of the commands that ran in it."""

    folder: Path
    _done: dict[tuple[str, ...], tuple[int, str]] = field(default_factory=dict)

    def run(self, words: Sequence[str]) -> str:
        """Runs a command unless it has run before; returns what it printed. Its exit status must be 0."""
        name, argv = split_program(words)
        main, added = PROGRAMS[name]
        argv = [*(word for word in argv if _flag(word) not in map(_flag, added)), *added]
        # All guides share the folders OUT and DATASET; a reader has their own.
        if argv[0] in _REPLACES.get(name, ()) and "--replace" not in argv:
            argv.append("--replace")
        key = (name, *argv)
        if key not in self._done:
            self._done[key] = self._call(main, argv)
        status, printed = self._done[key]
        assert status == 0, printed
        return printed

    def execute(self, code: str) -> str:
        """Runs Python code; returns what it printed."""
        return self._call(lambda argv: exec(code, {"__name__": "guide"}), [])[1]  # noqa: ARG005, S102 - from our guides

    def _call(self, main: Callable[[list[str]], Any], argv: list[str]) -> tuple[Any, str]:
        printed = io.StringIO()
        with contextlib.chdir(self.folder), _own_logging(), _own_signals():  # noqa: SIM117
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                status = main(argv)
        return status, printed.getvalue()


def _flag(word: str) -> str:
    return word.partition("=")[0]


def split_program(words: Sequence[str]) -> tuple[str, list[str]]:
    """Splits a command into the name of its program in PROGRAMS and its arguments."""
    words = list(words[1:] if words[0] == "python" else words)
    length = 2 if words[0] == "-m" else 1
    return " ".join(words[:length]), words[length:]


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """Removes the log handlers meanwhile: the programs set up logging only if there are none."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def make_sandbox(folder: Path) -> Sandbox:
    """Makes the folder: a sample data set under all the names in the guides, and the output of the three programs."""
    sandbox = Sandbox(folder)
    sandbox.run(["python", "scripts/make_sample.py", "sample"])
    sample = folder / "sample"
    (folder / "DIR").symlink_to("sample")
    (folder / "TRUTH").symlink_to("sample/archive_truth")
    (folder / "IMAGE.jpg").write_bytes(min((sample / "images").iterdir()).read_bytes())
    for name in ("ARCHIVE.zip", "ELSEWHERE/ARCHIVE.zip"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((sample / "archive.zip").read_bytes())
    images = [(f"images/{path.name}", path.read_bytes()) for path in sorted((sample / "images").iterdir())]
    export = [*images, ("annotations.xml", (sample / "cvat" / "annotations.xml").read_bytes())]
    (folder / "EXPORTS").mkdir()
    (folder / "EXPORTS" / "task1.zip").write_bytes(make_zip(iter(export)))
    # As a person labels an audit of all images that could be scored.
    truth = sorted((sample / "archive_truth").iterdir())
    (folder / "LABELS.zip").write_bytes(make_zip((path.name, path.read_bytes()) for path in truth))
    for line in _FIRST:
        sandbox.run(line.split())
    # As a person reviews the first image, without any object.
    first = next((folder / "OUT").glob("predictions-*")).read_text(encoding="utf-8").splitlines()[0]
    decision = Decision(image=json.loads(first)["image"], row=None, action="done", done=True, objects=(), time="")
    (folder / "OUT" / "review.jsonl").write_bytes(decision.to_line())
    return sandbox


# The same as in the README, so that they need not run again there.
_FIRST = (
    "python -m beam_jobs prepare --images DIR/images/* --annotations DIR/annotations/*.xml --output DATASET",
    "python -m trainer --mode=train_and_eval --preset=tiny --dataset=DATASET --model_dir=MODEL",
    "python -m inference score --images ARCHIVE.zip --model MODEL/export --output OUT --formats=counts,cvat,report",
)
