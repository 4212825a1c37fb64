"""What the programs that measure share: rows of a table, commands, ratios of times taken in turns."""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Measured = TypeVar("Measured")

HERE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Result:
    """One measured value and whether it meets its target; a value without a target is good."""

    title: str
    value: str
    good: bool = True


def print_results(results: Iterable[Result]) -> bool:
    """Prints each as it comes; whether all are good."""
    good = True
    for result in results:
        print(f"{'ok  ' if result.good else 'MISS'}  {result.title:78}  {result.value}", flush=True)
        good &= result.good
    return good


def python(*command: str, interpreter: str = sys.executable, tree: Path = HERE, **environment: str) -> str:
    """What a command of a Python prints, run in a tree of this project; ends this program where it fails."""
    done = subprocess.run(
        [interpreter, *command],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"failed: {interpreter} {' '.join(command)[:500]}\n{done.stderr[-3000:]}")
    return done.stdout


def in_turns(count: int, *measures: Callable[[], Measured]) -> list[list[Measured]]:
    """What each of the measures gives, count times, A B A B, so that a busy spell falls on all of them."""
    rounds = [[measure() for measure in measures] for _ in range(count)]
    return [list(column) for column in zip(*rounds, strict=True)]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median_ratio(a: list[float], b: list[float]) -> float:
    """The median of a / b over the rounds of in_turns: neighbours in time are compared."""
    return statistics.median(x / y for x, y in zip(a, b, strict=True))


def start(log: Path, *command: str) -> subprocess.Popen:
    """A Python program of this tree in a process group of its own; what it says goes into the log."""
    with log.open("wb") as file:
        return subprocess.Popen([sys.executable, *command], cwd=HERE, stdout=file, stderr=file, start_new_session=True)


def finish(job: subprocess.Popen, log: Path, seconds: float | None = None) -> None:
    """Waits for a started program; ends this one where it fails.

    Raises:
      TimeoutExpired: it goes on for longer than that.
    """
    if job.wait(seconds):
        raise SystemExit(f"MISS  failed: {job.args}\n{log.read_text()}")


def ends_by_itself(job: subprocess.Popen, log: Path, seconds: float) -> bool:
    """Waits so long, as finish, and then kills the program and what it started."""
    try:
        finish(job, log, seconds)
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
        return False
    return True


def run_kills(about: str, run: Callable[[Path, int, int, int], bool]) -> int:
    """The program around a run of (work folder, images, kills, seed), which says whether all was well; its status."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        return 0 if run(Path(work), flags.images, flags.kills, flags.seed) else 1
