"""Compares our RetinaNet with KerasHub's: the time of a training step, and the quality after equal training time.

    python -m benchmarks.keras_hub step [--env DIR] [--backbone resnet50|tiny] [--size 320] [--batch 4]
    python -m benchmarks.keras_hub quality BCCD [--env DIR] [--minutes 15] [--rate 1e-3]

Installs KerasHub with its TensorFlow, by pip, in a separate environment (--env keeps it for the next time), in which
both sides run. step: the same backbone, image size, batch, classes, 256 channels, 4 convolutions in each head, float32,
in processes that run in turns. quality: both train from random weights on the same split for the same time, start-up
included, on images of the same canvas, mirrored both ways: ours by its command line, KerasHub by fit with the
smallest network of the tiny preset's widths that it supports. The same code evaluates both. Exits with 1 if a target is
missed.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.equal_time import train_for
from benchmarks.measures import Result, in_turns, make_environment, median_ratio, print_results, python
from benchmarks.training import prepared

PINS = ("keras-hub==0.32.0", "tensorflow==2.21.0")
# Ours needs these too; their versions are those of requirements.lock.
OURS = ("absl-py", "jinja2", "keras", "lxml", "numpy", "packaging", "pillow", "protobuf", "pycocotools", "tensorboard")
STEP = 0.85  # time of our step relative to theirs
AP50 = 0.80
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3"}
PROBE_STEPS = (20, 100)  # between which our speed is measured


def install(env: Path) -> str:
    """Return the Python of an environment with KerasHub and our dependencies; our code is read from the checkout."""
    return make_environment(env, ("--constraint", "requirements.lock", *PINS, *OURS))


def last_line(*command: str, interpreter: str) -> dict[str, Any]:
    return json.loads(python(*command, interpreter=interpreter, **QUIET).splitlines()[-1])


def of_step(interpreter: str, flags: argparse.Namespace) -> Iterator[Result]:
    """Measure without norms in the heads, as in KerasHub, and with our default."""
    look = (f"--backbone={flags.backbone}", f"--size={flags.size}", f"--batch={flags.batch}", f"--count={flags.count}")

    def median_step(side: str, norm: str = "none") -> float:
        command = ("-m", "benchmarks.keras_hub_step", side, *look, f"--head_norm={norm}")
        return statistics.median(last_line(*command, interpreter=interpreter)["seconds"])

    plain, ours, theirs = in_turns(
        flags.rounds,
        lambda: median_step("ours"),
        lambda: median_step("ours", "batch"),
        lambda: median_step("theirs"),
    )
    about = f"{flags.backbone}, {flags.size} px, batch {flags.batch}"
    ratio = median_ratio(plain, theirs)
    yield Result(
        title=f"time of a step against KerasHub's, {about} (<= {STEP})", value=f"{ratio:.2f} x", good=ratio <= STEP
    )
    with_norm = f"{median_ratio(ours, theirs):.2f} x"
    yield Result(title="  with BatchNorm in pyramid and heads, our default", value=with_norm)
    times = ", ".join(f"{statistics.median(column) * 1000:.0f}" for column in (plain, ours, theirs))
    yield Result(title="  ms: ours, ours with BatchNorm, theirs", value=times)


def train_theirs(dataset: Path, interpreter: str, minutes: float, rate: float) -> dict[str, Any]:
    start = time.time()
    command = ("-m", "benchmarks.keras_hub_train", str(dataset), f"--until={start + 60 * minutes}", f"--rate={rate}")
    found = last_line(*command, interpreter=interpreter)
    return {**found, "seconds": found["ended"] - start}


def of_quality(interpreter: str, flags: argparse.Namespace, work: Path) -> Iterator[Result]:
    dataset = prepared(work, flags.data)
    theirs = train_theirs(dataset, interpreter, flags.minutes, flags.rate)
    ours = train_for(dataset, work, "--preset=tiny", minutes=flags.minutes, steps=PROBE_STEPS, interpreter=interpreter)
    for name in ("AP50", "AP"):
        value = f"{ours[name]:.3f} against {theirs[name]:.3f}"
        yield Result(
            title=f"{name} after {flags.minutes:g} min of training each, ours against KerasHub's (higher)",
            value=value,
            good=ours[name] > theirs[name],
        )
    yield Result(title=f"AP50 (>= {AP50})", value=f"{ours['AP50']:.3f}", good=ours["AP50"] >= AP50)
    used = ", ".join(f"{side['seconds'] / 60:.1f}" for side in (ours, theirs))
    yield Result(title="  minutes used, ours and theirs", value=used)
    yield Result(title="  epochs", value=f"{ours['epochs']}, {theirs['epochs']:.1f}")
    value = f"{theirs['parameters'] / 1e6:.2f}; {flags.rate}"
    yield Result(title="  theirs: millions of parameters; peak of the rate", value=value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    step, quality = commands.add_parser("step"), commands.add_parser("quality")
    for command in (step, quality):
        command.add_argument("--env", type=Path, help="environment to keep; default: a temporary one")
    step.add_argument("--backbone", choices=("resnet50", "tiny"), default="resnet50")
    step.add_argument("--size", type=int, default=320, help="pixels of both sides")
    step.add_argument("--batch", type=int, default=4)
    step.add_argument("--rounds", type=int, default=3, help="processes of each")
    step.add_argument("--count", type=int, default=8, help="steps measured in a process")
    quality.add_argument("data", type=Path, help="folder that holds images/ and annotations/, such as BCCD")
    quality.add_argument("--minutes", type=float, default=15)
    quality.add_argument("--rate", type=float, default=1e-3, help="KerasHub's peak learning rate")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        interpreter = install(flags.env or Path(work) / "env")
        if flags.command == "step":
            return 0 if print_results(of_step(interpreter, flags)) else 1
        return 0 if print_results(of_quality(interpreter, flags, Path(work))) else 1


if __name__ == "__main__":
    sys.exit(main())
