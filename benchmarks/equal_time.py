"""Trains from the command line for a given time, for comparisons at equal time. Begin with `train_for`."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.measures import python
from benchmarks.training import trainer_lines

SAFETY = 0.97  # share of the time for steps; the rest is for what is not measured before: checkpoints, ends of epochs
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3"}
BATCH = 8  # of the presets tiny and small


def train_for(
    dataset: Path, work: Path, preset: str, *, minutes: float, steps: tuple[int, int], interpreter: str = sys.executable
) -> dict[str, Any]:
    """Train for as many epochs as fit into the time, start-up included; then evaluate, which is not counted.

    Args:
      dataset: The data set.
      work: Folder of the runs.
      preset: The flag --preset=… of tiny or small.
      minutes: The time.
      steps: Two steps between which the speed is measured; see `probe`.
      interpreter: The Python that runs the trainer.

    Returns:
      AP, AP50, epochs, and the seconds that were used.
    """
    start_up, speed = probe(dataset, work / "probe", preset, steps=steps, interpreter=interpreter)
    examples = json.loads((dataset / "dataset.json").read_text())["splits"]["train"]["examples"]
    epochs = max(int((60 * minutes * SAFETY - start_up) * speed * BATCH / examples), 1)
    flags = (preset, "--vertical_flip", f"--dataset={dataset}", f"--model_dir={work}/model")
    begin = time.perf_counter()
    python("-m", "trainer", "--mode=train", *flags, f"--num_epochs={epochs}", interpreter=interpreter, **QUIET)
    seconds = time.perf_counter() - begin
    python("-m", "trainer", "--mode=eval", *flags, interpreter=interpreter, **QUIET)
    found = json.loads((work / "model" / "eval.json").read_text())
    return {"AP50": found["AP50"], "AP": found["AP"], "epochs": epochs, "seconds": seconds}


def probe(
    dataset: Path, model_dir: Path, preset: str, *, steps: tuple[int, int], interpreter: str = sys.executable
) -> tuple[float, float]:
    """Return the seconds that the startup takes in addition to its steps at full speed, and the steps per second.

    The speed is taken between two steps, multiples of the first: steps before the first build the graph.
    """
    first, last = steps
    flags = (preset, "--vertical_flip", f"--steps_per_loop={first}")
    begin = reached = time.perf_counter()
    for _, line in trainer_lines(dataset, model_dir, *flags, interpreter=interpreter):
        if line.startswith(f"step {first}/"):
            reached = time.perf_counter()
        if line.startswith(f"step {last}/"):
            speed = (last - first) / (time.perf_counter() - reached)
            return reached - begin - first / speed, speed
    raise AssertionError("trainer_lines ends only by an exception")
