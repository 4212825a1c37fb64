"""Shared by the benchmarks: rows of a table, commands, ratios of times measured in turns."""

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Measured = TypeVar("Measured")

HERE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Result:
    """A measured value and whether it meets its target; a value without a target is good."""

    title: str
    value: str
    good: bool = True


def print_results(results: Iterable[Result]) -> bool:
    """Print each result when it is available; return whether all are good."""
    good = True
    for result in results:
        print(f"{'ok  ' if result.good else 'MISS'}  {result.title:78}  {result.value}", flush=True)
        good &= result.good
    return good


def python(*command: str, interpreter: str = sys.executable, tree: Path = HERE, **environment: str) -> str:
    """Run Python in a checkout of this project and return its output; exits if it fails."""
    return run(interpreter, *command, tree=tree, PYTHONPATH=str(tree), **environment)


def run(*command: str, tree: Path = HERE, **environment: str) -> str:
    """Run a program in a checkout of this project and return its output; exits if it fails."""
    done = subprocess.run(
        command, cwd=tree, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(command)[:500]}\n{done.stderr[-3000:]}")
    return done.stdout


def make_environment(env: Path, *installs: tuple[str, ...]) -> str:
    """Make an environment unless it is there, run pip install in it with each list of words, and return its Python."""
    interpreter = env.resolve() / "bin" / "python"  # commands run in the checkout
    if not interpreter.exists():
        venv.create(env, with_pip=True)
    for words in installs:
        python("-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words, interpreter=str(interpreter))
    return str(interpreter)


def in_turns(count: int, *measures: Callable[[], Measured]) -> list[list[Measured]]:
    """Call the measures in turns, count times each (A B A B), so that load on the machine affects all of them."""
    rounds = [[measure() for measure in measures] for _ in range(count)]
    return [list(column) for column in zip(*rounds, strict=True)]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median_ratio(a: list[float], b: list[float]) -> float:
    """Return the median of a / b over the rounds of in_turns; each ratio compares neighbours in time."""
    return statistics.median(x / y for x, y in zip(a, b, strict=True))


def start(log: Path, *command: str) -> subprocess.Popen:
    """Start a Python program of this checkout in a separate process group; its output goes to the log."""
    with log.open("wb") as file:
        return subprocess.Popen([sys.executable, *command], cwd=HERE, stdout=file, stderr=file, start_new_session=True)


def finish(job: subprocess.Popen, log: Path, seconds: float | None = None) -> None:
    """Wait for a started program; exits if it fails.

    Raises:
      TimeoutExpired: it runs for longer than that.
    """
    if job.wait(seconds):
        raise SystemExit(f"MISS  failed: {job.args}\n{log.read_text()}")


def ends_by_itself(job: subprocess.Popen, log: Path, seconds: float) -> bool:
    """Wait like finish for a time, then kill the program and its children."""
    try:
        finish(job, log, seconds)
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
        return False
    return True


def kill_at_random(
    start_job: Callable[[int], subprocess.Popen], log: Path, *, kills: int, length: float, moments: random.Random
) -> Iterator[tuple[int, bool]]:
    """Start and kill a program until the number of kills is reached, each time within its undisturbed length.

    Args:
      start_job: starts it, given the number of kills before.
      log: its output.
      kills: how many.
      length: of an undisturbed run, in seconds.
      moments: of the kills.

    Yields:
      The number of kills so far, and whether this run was killed; otherwise it ended by itself.
    """
    killed = 0
    while killed < kills:
        was_killed = not ends_by_itself(start_job(killed), log, moments.uniform(0, length))
        killed += was_killed
        yield killed, was_killed


def run_kills(about: str, run: Callable[[Path, int, int, int], bool]) -> int:
    """Call run(work folder, images, kills, seed) as the command line asks; return 0 if it returns True, else 1."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        return 0 if run(Path(work), flags.images, flags.kills, flags.seed) else 1
