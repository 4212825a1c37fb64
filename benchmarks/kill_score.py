"""Kills `score` at random moments and runs it again: it must end with the same rows as an undisturbed run.

    python -m benchmarks.kill_score [--images N] [--kills N] [--seed N]

Each run is killed by SIGKILL, with its child processes, at a random moment within the duration of an undisturbed
run. The next run continues in the same folder, and the last one is not killed. Half of the images are files, half are
members of a zip archive; runs alternate between one process and two. If there is a summary.json after a kill, the
output must be complete. At the end the files are compared with those of the undisturbed run, which is run once more
with nothing new. Exits with status 1 if they differ, or if the run with nothing new took more than 5 % of the time of
the first one.
"""

import random
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from benchmarks.measures import Result, finish, kill_at_random, print_results, run_kills, start
from inference.rows.output_folder import JOURNAL_FILE
from retinanet_odm.storage.local import LOCK_FILE
from tests.inference.fake_model import BLUE, RED, make_image, write_model

NOTHING_NEW = 0.05  # of the time of the undisturbed run
BY_PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")


def write_images(folder: Path, count: int) -> None:
    """Write images of 800 x 600 pixels, every second one to x.zip; every tenth is truncated."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        for number in range(count):
            boxes = {RED: (number % 700, 10, 790, 300), BLUE: (5, 400, 50 + number % 600, 590)}
            data = make_image(800, 600, boxes, "JPEG", quality=100, subsampling=0)
            data = data if number % 10 else data[:1000]
            if number % 2:
                archive.writestr(f"{number:05}.jpg", data)
            else:
                (folder / f"{number:05}.jpg").write_bytes(data)


def start_score(work: Path, output: str, *more: str) -> subprocess.Popen:
    words = ["--images", f"{work}/images/*", "--model", f"{work}/model", "--output", f"{work}/{output}"]
    return start(work / "log", "-m", "inference", "score", *words, *more)


def timed(work: Path, output: str) -> float:
    began = time.monotonic()
    finish(start_score(work, output), work / "log")
    return time.monotonic() - began


def rows(folder: Path) -> dict[str, bytes]:
    """Return every file but the summary, which names the folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "summary.json"}


def is_complete(output: Path, expected: dict[str, bytes]) -> bool:
    found = rows(output)
    for name in (LOCK_FILE, JOURNAL_FILE):  # left if the run was killed after its summary
        found.pop(name, None)
    return found == expected


def kill_often(work: Path, kills: int, length: float, moments: random.Random) -> tuple[int, int]:
    """Return the number of runs that ended before they were killed, and of kills after which there were rows."""
    expected = rows(work / "undisturbed")
    output = work / "killed"
    ended = saved = 0
    for killed, was_killed in kill_at_random(
        lambda before: start_score(work, "killed", *(BY_PROCESSES if before % 2 else ())),
        work / "log",
        kills=kills,
        length=length,
        moments=moments,
    ):
        if was_killed:
            saved += any(output.glob("p*-*.jsonl"))
            if (output / "summary.json").exists() and not is_complete(output, expected):
                raise SystemExit(f"MISS  kill {killed}: there is a summary.json, but the output is incomplete")
        else:
            # It ended before it was killed: the next one begins in a new folder.
            ended += 1
            output.rename(work / f"ended-{ended}")
    return ended, saved


def run(work: Path, images: int, kills: int, seed: int) -> bool:
    write_images(work / "images", images)
    write_model(work / "model")
    length = timed(work, "undisturbed")
    again = timed(work, "undisturbed")
    ended, saved = kill_often(work, kills, length, random.Random(seed))
    timed(work, "killed")
    expected, found = rows(work / "undisturbed"), rows(work / "killed")
    others = [rows(work / f"ended-{number + 1}") for number in range(ended)]
    same = expected == found and all(expected == other for other in others)
    title = f"{kills} kills within {length:.0f} s of {images} images: the rows of an undisturbed run"
    return print_results(
        [
            Result(title=title, value=f"{'same' if same else 'different'}; {saved} kills left rows", good=same),
            Result(
                title="nothing new, against the first run (at most 5 %)",
                value=f"{again / length:.1%} ({again:.1f} s)",
                good=again <= NOTHING_NEW * length,
            ),
        ]
    )


if __name__ == "__main__":
    sys.exit(run_kills(__doc__, run))
