"""Against keras-hub's RetinaNet, on the same TensorFlow: the time of a training step, and what is learnt in equal time.

    python -m benchmarks.keras_hub step [--env DIR] [--rounds N]
    python -m benchmarks.keras_hub quality --data FOLDER [--env DIR] [--minutes 15]

keras-hub 0.32.0 needs tensorflow-text, which brings a TensorFlow of its own: both sides run in an environment made for
this comparison (--env keeps it for the next time). Exits with 1 when a target is missed.

step: ResNet-50 v1.5, pyramid and heads of 256 channels, four convolutions a head, no norm in them, 320 x 320 pixels,
float32, AdamW; once more with our own default, per-level BatchNorm. Theirs runs as Model.fit does by default.

quality: FOLDER holds images/ and annotations/ (Pascal VOC), as BCCD. Both learn from random weights from the very same
batches (ours: letterboxed, flipped, scaled) with the same anchors, AdamW, warm-up and cosine over the time given, and
are judged by the same code on the same photographs. The backbones are small ResNets of basic blocks; theirs cannot have
pyramid and heads of other than 256 channels.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measures import Result, in_turns, median_ratio, print_results, python

PINS = (
    *("keras-hub==0.32.0", "tensorflow==2.21.0", "keras==3.15.1", "absl-py", "lxml", "pillow", "pycocotools==2.0.11"),
    *("tensorboard==2.21.0", "packaging"),
)
STEP = 0.85  # our time against theirs
AP50 = 0.80
STEPS, WARM_UP = 6, 2  # of a round
SIZE, BATCH, CLASSES, BOXES = 320, 4, 3, 20


def environment(folder: Path) -> str:
    """The Python of the environment, which is made where it is missing."""
    interpreter = folder / "bin" / "python"
    if not interpreter.exists():
        print(f"installing {PINS[0]} in {folder}", flush=True)
        venv.create(folder, with_pip=True)
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *PINS], check=True)
    return str(interpreter)


def of_step(interpreter: str, rounds: int) -> Iterator[Result]:
    def milliseconds(side: str, *flags: str) -> float:
        return float(python("-m", "benchmarks.keras_hub_sides", side, *flags, interpreter=interpreter).split()[-1])

    ours, default, theirs = in_turns(
        rounds,
        lambda: milliseconds("our_step", "none"),
        lambda: milliseconds("our_step", "batch"),
        lambda: milliseconds("their_step"),
    )
    ratio = median_ratio(ours, theirs)
    title = f"time of a step, the same network, against keras-hub's (<= {STEP})"
    yield Result(title=title, value=f"{ratio:.2f} x", good=ratio <= STEP)
    yield Result(title="  with our BatchNorm in pyramid and heads", value=f"{median_ratio(default, theirs):.2f} x")
    medians = (statistics.median(column) for column in (ours, default, theirs))
    yield Result(title="  ms: ours, with BatchNorm, theirs", value=", ".join(f"{median:.0f}" for median in medians))


def of_quality(interpreter: str, data: Path, work: Path, minutes: float) -> Iterator[Result]:
    source = ("--images", f"{data}/images/*", "--annotations", f"{data}/annotations/*.xml")
    python("-m", "beam_jobs", "prepare", *source, "--output", f"{work}/dataset", "--splits", "train=0.8,val=0.2")
    found = {}
    for side in ("our", "their"):
        asked = (f"{side}_quality", f"{work}/dataset", str(minutes), f"{work}/{side}")
        printed = python("-m", "benchmarks.keras_hub_sides", *asked, interpreter=interpreter)
        found[side] = json.loads(printed.splitlines()[-1])
    for name in ("AP50", "AP"):
        pair = [found[side][name] or 0.0 for side in ("our", "their")]
        good = pair[0] > pair[1] and (name != "AP50" or pair[0] >= AP50)
        wanted = f"ours higher{f', >= {AP50}' if name == 'AP50' else ''}"
        title = f"{name} after {minutes:g} minutes of training, ours and theirs ({wanted})"
        yield Result(title=title, value=", ".join(f"{value:.3f}" for value in pair), good=good)
    for name in ("steps", "minutes", "parameters"):
        yield Result(title=f"  {name}", value=", ".join(f"{found[side][name]:g}" for side in ("our", "their")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("step", "quality"))
    parser.add_argument("--env", type=Path, help="folder of the environment to make or use; default: a temporary one")
    parser.add_argument("--rounds", type=int, default=3, help="of each of those that are compared")
    parser.add_argument("--data", type=Path, help="folder of images/ and annotations/")
    parser.add_argument("--minutes", type=float, default=15, help="of training, each side")
    flags = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        interpreter = environment(flags.env or work / "env")
        results: Any = of_step(interpreter, flags.rounds)
        if flags.what == "quality":
            if not flags.data:
                parser.error("quality needs --data")
            results = of_quality(interpreter, flags.data.resolve(), work, flags.minutes)
        return 0 if print_results(results) else 1


if __name__ == "__main__":
    sys.exit(main())
