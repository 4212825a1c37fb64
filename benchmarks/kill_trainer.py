"""Kills the trainer at random moments, fills its disk and damages its files: it must end with the same weights.

    sudo python -m benchmarks.kill_trainer [--kills N] [--seed N]

A tiny network is trained, evaluated and exported on generated images, on a CPU with deterministic operations. Every
disturbed run is started again with the same command, and at the end its last checkpoint, its exported variables and
eval.json are compared with those of an undisturbed run, bit by bit. If there is a model.json after a kill, the export
must be complete.

For each kind of write, the folder of that file lies on a small tmpfs, so the command needs the right to mount. The run
must end with status 2 and one line that names the path; then the tmpfs is enlarged, and the run continues. Exits with
status 1 if a result is not as expected.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.losses import ORDERED
from benchmarks.measures import Result, finish, kill_at_random, print_results, start

STEPS = 36
SETTINGS = (
    *("--preset=tiny", "--image_size=64", "--pyramid_channels=16", "--head_depth=1", "--train_batch_size=4"),
    *(f"--num_epochs={STEPS * 4 // 24}", "--eval_every_epochs=2", "--steps_per_loop=3", "--checkpoint_minutes=1e-9"),
)
NEWEST = f"checkpoints/ckpt-{STEPS}"
PAGE = 4096  # in which a tmpfs counts
ROOM = "100m"


@dataclass(frozen=True, kw_only=True)
class Work:
    """The folder of the benchmark, with the data set, and the undisturbed run in it."""

    folder: Path

    def start(self, model: Path) -> subprocess.Popen:
        folders = (f"--dataset={self.folder}/data", f"--model_dir={model}")
        return start(self.folder / "log", "-m", "trainer", *SETTINGS, *folders)

    def finish(self, model: Path) -> None:
        finish(self.start(model), self.folder / "log")

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def is_same(self, model: Path) -> bool:
        return outcome(model) == outcome(self.folder / "undisturbed")


def outcome(model: Path) -> dict[str, bytes]:
    """Return every variable of the last checkpoint by its name, all of the export, and eval.json."""
    last, exported = (read_tensors(model / name) for name in (NEWEST, "export/variables/variables"))
    # The export numbers its variables, in another order each time.
    return {**last, "export": b"".join(sorted(exported.values())), "eval.json": (model / "eval.json").read_bytes()}


def read_tensors(prefix: Path) -> dict[str, bytes]:
    import tensorflow as tf  # imported here, because it takes seconds

    reader = tf.train.load_checkpoint(str(prefix))
    kinds = reader.get_variable_to_dtype_map()
    return {name: reader.get_tensor(name).tobytes() for name, kind in kinds.items() if kind != tf.string}


def is_complete_or_unfinished(model: Path) -> bool:
    """Return whether there is no model.json, or every file that it lists."""
    path = model / "export" / "model.json"
    digests = json.loads(path.read_text())["files"] if path.exists() else {}
    return all(
        hashlib.sha256((path.parent / name).read_bytes()).hexdigest() == found for name, found in digests.items()
    )


# --- Kills ---


def kill_often(work: Work, kills: int, length: float, moments: random.Random) -> Iterator[Result]:
    model = work.folder / "killed"
    ended = 0
    same = complete = True
    kept = set()
    for _, was_killed in kill_at_random(
        lambda _: work.start(model), work.folder / "log", kills=kills, length=length, moments=moments
    ):
        if was_killed:
            complete &= is_complete_or_unfinished(model)
            kept |= {file.stem for file in (model / "checkpoints").glob("*.index")}
        else:
            # It ended before it was killed: the next one begins in a new folder.
            ended += 1
            same &= work.is_same(model)
            shutil.rmtree(model)
    work.finish(model)
    same &= work.is_same(model)
    title = f"{kills} kills within {length:.0f} s, {ended + 1} runs: weights and evaluation of the undisturbed run"
    yield Result(title=title, value=f"{'same' if same else 'different'}; {len(kept)} checkpoints", good=same)
    yield Result(title="no model.json beside an incomplete export", value="yes" if complete else "no", good=complete)


# --- Damaged files ---


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def garble(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(path.stat().st_size))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DATA = f"{NEWEST}.data-00000-of-00001"
DAMAGES: list[tuple[str, Callable[[Path], None], str]] = [
    ("checkpoints/checkpoint", Path.unlink, f"using ckpt-{STEPS}"),
    ("checkpoints/checkpoint", empty, f"using ckpt-{STEPS}"),
    ("checkpoints/checkpoint", zero, f"using ckpt-{STEPS}"),
    ("checkpoints/checkpoint", garble, f"using ckpt-{STEPS}"),
    ("checkpoints/network.json", zero, f"weights of step {STEPS}"),
    (f"{NEWEST}.index", cut, f"ckpt-{STEPS} is damaged"),
    (DATA, cut, f"ckpt-{STEPS} is damaged"),
    (DATA, zero, f"ckpt-{STEPS} is damaged"),
    (DATA, Path.unlink, f"ckpt-{STEPS} is damaged"),
    ("best/best.json", zero, "best.json is missing, damaged"),
]


def damage_each(work: Work) -> Iterator[Result]:
    for name, damage, message in DAMAGES:
        model = work.folder / "damaged"
        shutil.copytree(work.folder / "undisturbed", model)
        damage(model / name)
        work.finish(model)
        said, same = message in work.log, work.is_same(model)
        value = f"{'said' if said else 'NOT SAID'}, {'same' if same else 'different'}"
        yield Result(title=f"{damage.__name__} {name}", value=value, good=said and same)
        shutil.rmtree(model)


# --- Full disks ---


@contextlib.contextmanager
def small_disk(folder: Path, pages: int) -> Iterator[None]:
    """Mount a tmpfs of a size for the duration of the block."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={pages * PAGE}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", folder], check=True)


def pages_of(*paths: Path) -> int:
    """Return the pages that files take on a tmpfs."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
    return sum(-(-file.stat().st_size // PAGE) for file in files)


@dataclass(frozen=True, kw_only=True)
class FullDisk:
    """A kind of write that finds its disk full.

    Attributes:
      path: Of the file, in the folder of the run; the line of the error must contain it.
      part: The folder that lies on the small disk; "" for that of the run, whose other folders then do not.
      pages: The size of the disk.
    """

    path: str
    part: str
    pages: int


def full_disks(undisturbed: Path) -> list[FullDisk]:
    """Return a disk for each kind of write on which just this one fails, from the sizes of the undisturbed run."""
    checkpoint = pages_of(undisturbed / DATA, undisturbed / f"{NEWEST}.index")
    pages = pages_of(undisturbed / "eval.html", undisturbed / "eval.json")
    variables = pages_of(undisturbed / "export" / "variables")
    rest = pages_of(undisturbed / "export" / "model.json")
    return [
        FullDisk(path="tensorboard/", part="tensorboard", pages=6),
        FullDisk(path="checkpoints/ckpt-", part="checkpoints", pages=checkpoint // 2),
        FullDisk(path="checkpoints/ckpt-", part="checkpoints", pages=2 * checkpoint + checkpoint // 2),
        FullDisk(path="best/weights-", part="best", pages=pages_of(undisturbed / "best") // 4),
        FullDisk(path="eval.html", part="", pages=2),
        FullDisk(path="eval.json", part="", pages=pages_of(undisturbed / "eval.html")),
        FullDisk(path="export/variables/variables", part="", pages=pages + variables // 2),
        FullDisk(path="export/saved_model.pb", part="", pages=pages + variables + 6),
        FullDisk(path="export/model.json", part="", pages=pages + pages_of(undisturbed / "export") - rest),
    ]


def link_folders(model: Path, disk: Path, fault: FullDisk) -> None:
    """Make the folder of a run, in which the part lies on the small disk."""
    if fault.part:
        model.mkdir()
        (disk / fault.part).mkdir()
        (model / fault.part).symlink_to(disk / fault.part)
        return
    model.symlink_to(disk)
    for name in ("tensorboard", "checkpoints", "best"):
        (disk.parent / "elsewhere" / name).mkdir(parents=True)
        (disk / name).symlink_to(disk.parent / "elsewhere" / name)


def fails_in_one_line(work: Work, model: Path, path: str) -> str:
    """Run the trainer; return what is wrong with its end, or ""."""
    status = work.start(model).wait()
    errors = [line for line in work.log.splitlines() if line.startswith("error: ")]
    if status != 2 or "Traceback" in work.log or len(errors) != 1:
        return f"status {status}: {work.log[-300:]}"
    return "" if path in errors[0] else errors[0]


def fill_each(work: Work) -> Iterator[Result]:
    for fault in full_disks(work.folder / "undisturbed"):
        model, disk = work.folder / "model", work.folder / "disk"
        with small_disk(disk, fault.pages):
            link_folders(model, disk, fault)
            wrong = fails_in_one_line(work, model, fault.path) or (
                "" if is_complete_or_unfinished(model) else "model.json beside an incomplete export"
            )
            remount(disk, f"size={ROOM}")
            work.finish(model)
            same = work.is_same(model)
            model.unlink() if model.is_symlink() else shutil.rmtree(model)
            shutil.rmtree(work.folder / "elsewhere", ignore_errors=True)
        value = wrong or f"one line, {'same' if same else 'different'}"
        yield Result(title=f"disk full: {fault.path} ({fault.pages} pages)", value=value, good=same and not wrong)


def read_only(work: Work) -> Result:
    """Start an interrupted run on a disk that is mounted read-only."""
    disk, undisturbed = work.folder / "disk", work.folder / "undisturbed"
    with small_disk(disk, 2 * pages_of(undisturbed)):
        shutil.copytree(undisturbed, disk / "model")
        shutil.rmtree(disk / "model" / "export")
        remount(disk, "ro")
        wrong = fails_in_one_line(work, disk / "model", str(disk / "model"))
        remount(disk, "rw")
        work.finish(disk / "model")
        same = work.is_same(disk / "model")
    value = wrong or f"one line, {'same' if same else 'different'}"
    return Result(title="the folder is mounted read-only", value=value, good=same and not wrong)


def run(folder: Path, kills: int, seed: int) -> bool:
    from tests.trainer.conftest import write_dataset  # imports TensorFlow

    work = Work(folder=folder)
    (folder / "data").mkdir()
    write_dataset(folder / "data", splits={"train": list(range(1, 25)), "val": list(range(25, 32))})
    began = time.monotonic()
    work.finish(folder / "undisturbed")
    length = time.monotonic() - began
    good = print_results(fill_each(work))
    good &= print_results([read_only(work)])
    good &= print_results(kill_often(work, kills, length, random.Random(seed)))
    return print_results(damage_each(work)) and good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    os.environ.update(ORDERED, TF_CPP_MIN_LOG_LEVEL="2")
    with tempfile.TemporaryDirectory() as folder:
        return 0 if run(Path(folder), flags.kills, flags.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
