"""Kills `prepare` at random moments and resumes it: it must end with the same bytes as an undisturbed run.

    python -m benchmarks.kill_prepare [--images N] [--kills N] [--seed N]

Each start is killed by SIGKILL at a random moment within the length of an undisturbed run, and the next one continues
with --resume in the same folder; the last one is not killed. If there is a dataset.json after a kill, the data set must
be complete. In the end the folder is compared with that of the undisturbed run, file by file. Exits with 1 if a file
differs.
"""

import random
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measures import finish, kill_at_random, run_kills, start
from benchmarks.prepare_sources import write_source


def start_prepare(work: Path, output: str, *more: str) -> subprocess.Popen:
    """Start prepare on the source of the work folder."""
    inputs = ["--images", f"{work}/source/images/*", "--annotations", f"{work}/source/annotations/*"]
    return start(work / "log", "-m", "beam_jobs", "prepare", *inputs, "--output", f"{work}/{output}", *more)


def content(folder: Path) -> dict[str, bytes]:
    """Read every file below a folder, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(work: Path, images: int, kills: int, seed: int) -> bool:
    """Run the benchmark in a folder; return whether no file differs."""
    write_source(work / "source", images, (270, 480), 72)
    began = time.monotonic()
    finish(start_prepare(work, "undisturbed"), work / "log")
    length = time.monotonic() - began
    expected = content(work / "undisturbed")
    kept = 0
    for killed, was_killed in kill_at_random(
        lambda _: start_prepare(work, "killed", "--resume"),
        work / "log",
        kills=kills,
        length=length,
        moments=random.Random(seed),
    ):
        if was_killed:
            if (work / "killed" / "dataset.json").exists() and not expected.items() <= content(work / "killed").items():
                print(f"MISS  kill {killed}: there is a dataset.json, but the data set is incomplete")
                return False
            kept = len(list((work / "killed").glob("*.tfrecord")))
        else:
            # It ended before it was killed: the next run starts in a new folder.
            (work / "killed").rename(work / f"ended-{killed}-{kept}-{time.monotonic_ns()}")
    finish(start_prepare(work, "killed", "--resume"), work / "log")
    found = content(work / "killed")
    differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    print(f"{'MISS' if differing else 'ok  '}  {killed} kills within {length:.1f} s of {images} images, then --resume:")
    print(f"      {len(expected)} files, {len(differing)} differ {differing[:5]}; {kept} shards before the last start")
    return not differing


if __name__ == "__main__":
    sys.exit(run_kills(__doc__, run))
