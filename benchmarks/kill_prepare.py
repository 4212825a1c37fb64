"""`prepare`, killed at random moments and resumed, must end in the same bytes as an undisturbed run.

    python -m benchmarks.kill_prepare [--images N] [--kills N] [--seed N]

Each start is killed by SIGKILL at a moment drawn from the length of an undisturbed run, and the next goes on with
--resume in the same folder; the last one is left alone. Where there is a dataset.json after a kill, the data set must
be whole. In the end the folder is held against that of the undisturbed run, file by file. Exits with 1 at a difference.
"""

import random
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measures import ends_by_itself, finish, run_kills, start
from benchmarks.prepare import write_source


def start_prepare(work: Path, output: str, *more: str) -> subprocess.Popen:
    inputs = ["--images", f"{work}/source/images/*", "--annotations", f"{work}/source/annotations/*"]
    return start(work / "log", "-m", "beam_jobs", "prepare", *inputs, "--output", f"{work}/{output}", *more)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def is_whole(found: dict[str, bytes], whole: dict[str, bytes]) -> bool:
    return all(found.get(name) == data for name, data in whole.items())


def run(work: Path, images: int, kills: int, seed: int) -> bool:
    write_source(work / "source", images, (270, 480), 72)
    began = time.monotonic()
    finish(start_prepare(work, "undisturbed"), work / "log")
    length = time.monotonic() - began
    whole = content(work / "undisturbed")
    moments = random.Random(seed)
    killed = kept = 0
    while killed < kills:
        job = start_prepare(work, "killed", "--resume")
        if not ends_by_itself(job, work / "log", moments.uniform(0, length)):
            killed += 1
            if (work / "killed" / "dataset.json").exists() and not is_whole(content(work / "killed"), whole):
                print(f"MISS  kill {killed}: there is a dataset.json, and the data set is not whole")
                return False
            kept = len(list((work / "killed").glob("*.tfrecord")))
        else:
            # It ended before its moment came: the next one begins in a folder of its own.
            (work / "killed").rename(work / f"ended-{killed}-{kept}-{time.monotonic_ns()}")
    finish(start_prepare(work, "killed", "--resume"), work / "log")
    found = content(work / "killed")
    differing = sorted(name for name in whole.keys() | found.keys() if whole.get(name) != found.get(name))
    print(f"{'MISS' if differing else 'ok  '}  {killed} kills within {length:.1f} s of {images} images, then --resume:")
    print(f"      {len(whole)} files, {len(differing)} differ {differing[:5]}; {kept} shards were there before the end")
    return not differing


if __name__ == "__main__":
    sys.exit(run_kills(__doc__, run))
