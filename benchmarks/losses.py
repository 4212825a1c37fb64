"""Prints the losses of a small run at a fixed seed with all digits, to check that a refactoring keeps them.

    python -m benchmarks.losses [--steps N] [--against REV] [-- FLAG ...]

Runs `python -m trainer` on a small synthetic data set and reads the losses of every step from its TensorBoard file.
FLAGs, such as --scale_max=1, are passed on.
With --against REV it does the same in a temporary git worktree of that revision, on the same data set, and reports
whether all digits are equal. If they are not, it prints how far they are apart and exits with 1: after a change of
computation, the first step should differ by rounding only, and the mean of the last steps hardly.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.made_up import make
from benchmarks.measures import HERE, python

BATCH = 4
SETTINGS = (
    *("--preset=tiny", "--mode=train", "--image_size=128", "--pyramid_channels=32", "--head_depth=1", "--seed=0"),
    *("--vertical_flip", "--steps_per_loop=1", "--num_epochs=1", f"--train_batch_size={BATCH}"),
)
VALUES = ("loss", "class_loss", "box_loss", "gradient_norm")
# The order of sums must not depend on which thread ends first.
ORDERED = {"TF_DETERMINISTIC_OPS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}

Losses = list[dict[str, float]]


def train(tree: Path, dataset: Path, model_dir: Path, flags: Sequence[str]) -> Losses:
    """Run the trainer of a checkout; return the losses of each step."""
    folders = (f"--dataset={dataset}", f"--model_dir={model_dir}")
    python("-m", "trainer", *SETTINGS, *flags, *folders, tree=tree, **ORDERED)
    return read_losses(model_dir / "tensorboard")


def read_losses(folder: Path) -> Losses:
    """Return the losses by step from TensorBoard's file: float32, as the step computed them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    columns = {name: [float(make_ndarray(event.tensor_proto)) for event in events.Tensors(name)] for name in VALUES}
    return [dict(zip(VALUES, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def step_seconds(folder: Path) -> float:
    """Return the median time of a step, its batch included, by TensorBoard's file."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    times = [event.wall_time for event in events.Tensors(VALUES[0])]
    return statistics.median(after - before for before, after in itertools.pairwise(times))


@contextmanager
def worktree(revision: str) -> Iterator[Path]:
    """Check out a revision for the duration of the block."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git = ("git", "-C", str(HERE), "worktree")
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), revision], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def show(title: str, losses: Losses) -> None:
    print(title)
    for step, values in enumerate(losses, start=1):
        print(f"  step {step}", *(f"{name} {value.hex()}" for name, value in values.items()), flush=True)


def run(work: Path, steps: int, against: str | None, flags: Sequence[str]) -> bool:
    dataset = make(work / "dataset", train=BATCH * steps, boxes=3)
    losses = train(HERE, dataset, work / "here", flags)
    show("this tree:", losses)
    if against is None:
        return True
    with worktree(against) as tree:
        before = train(tree, dataset, work / "before", flags)
    show(f"{against}:", before)
    is_same = losses == before and len(losses) == steps
    print(f"{'ok  ' if is_same else 'MISS'}  losses of {steps} steps bit-identical to {against}: {is_same}")
    if not is_same and len(losses) == len(before) == steps:
        differences = [abs(now["loss"] / then["loss"] - 1) for now, then in zip(losses, before, strict=True)]
        print(f"      relative difference of the loss: first step {differences[0]:.1e}, largest {max(differences):.1e}")
        ends = [statistics.mean(values["loss"] for values in side[-steps // 3 :]) for side in (losses, before)]
        print(f"      mean loss of the last third: {ends[0]:.4f} here, {ends[1]:.4f} at {against}")
        here, there = (step_seconds(work / side / "tensorboard") for side in ("here", "before"))
        print(f"      median time of a step with one thread: {here:.3f} s here, {there:.3f} s at {against}")
    return is_same


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--against", metavar="REV", help="the git revision to hold this tree against")
    parser.add_argument("flags", nargs="*", metavar="FLAG", help="more flags of the trainer, behind --")
    flags = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryDirectory() as work:
        return 0 if run(Path(work), flags.steps, flags.against, flags.flags) else 1


if __name__ == "__main__":
    sys.exit(main())
