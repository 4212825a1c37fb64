"""Compares the speed of `score` with a minimal loop over the same model, and measures its time and memory.

    python -m benchmarks.score [--parts loop workers zip memory again corrupt] [--count 1000] [--scale 10000]

Makes images of about 118 KB, and the export of an untrained network of --preset=tiny on the canvas of that preset.
Every measurement is one of a process, the loading of the model included:

  loop     score against a loop that reads, calls the model with its best batch size, and writes the output
  workers  score with two processes against that loop, and the number of models in memory
  zip      a zip archive against the same files
  memory   peak memory with --count and with --scale images; needs 118 KB of disk per image
  again    a second run on a finished output
  corrupt  images of which every tenth is truncated against intact ones

Compared measurements run in turns; ratios are medians over the rounds. Exits with status 1 if a target is missed.
"""

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import made_up
from benchmarks.measures import Result, in_turns, median_ratio, print_results, python
from benchmarks.prepare_sources import Cost, cost, noisy_images
from tests.runners.kills import find_processes

LOOP = 0.90  # images per second relative to the loop
WORKERS = 1.0  # the same with two processes
COPIES = 1  # models in memory, with two processes
ZIP = 0.95  # images per second relative to files
MEMORY = 1.1  # peak, many relative to few
AGAIN = 0.05  # time relative to the first run
CORRUPT = 0.8  # images per second relative to intact ones
EVERY = 10  # one image of this number is truncated
SIZE, QUALITY = (540, 960), 72
BATCHES = (1, 2, 4, 8, 16, 32)
# An untrained network returns the maximum number of detections; with this threshold of its own, few, as a trained one.
ALL_DETECTIONS, FEW_DETECTIONS = "0.05", "0.45"
TWO = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")

MAKE_MODEL = """
import sys
from trainer.data.records import read_dataset_manifest
from trainer.export.saved_model import export_model
from trainer.network.build import build_network
from trainer.presets import make_config
dataset, folder, own = sys.argv[1:]
config = make_config("tiny", {"dataset": dataset, "model_dir": folder, "score_threshold": float(own)})
manifest = read_dataset_manifest(dataset)
export_model(config, manifest, build_network(config, manifest), metrics={}, step=0)
"""
# As in a tutorial. For each batch size it prints the images a second, without the first call.
BARE_LOOP = """
import json, pathlib, sys, time
import tensorflow as tf
images, model, output, *sizes = sys.argv[1:]
loaded = tf.saved_model.load(model)
serve = loaded.signatures["serving_default"]
paths = sorted(pathlib.Path(images).iterdir())
for size in map(int, sizes):
    with open(output, "w") as file:
        for first in range(0, len(paths), size):
            some = paths[first:first + size]
            answer = serve(image_bytes=tf.constant([path.read_bytes() for path in some]))
            values = {name: value.numpy() for name, value in answer.items()}
            for row, path in enumerate(some):
                count = int(values["num_detections"][row])
                found = {name: value[row][:count].tolist() for name, value in values.items() if "detection_" in name}
                print(json.dumps({"image": path.name, **found}), file=file)
            if not first:
                start = time.perf_counter()
    print(size, (len(paths) - size) / (time.perf_counter() - start))
"""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The setting of the measurements.

    Attributes:
      work: folder for everything.
      model: the export.
      count, scale: number of images of a run, and of the large one.
      rounds: number of runs of everything that is compared.
    """

    work: Path
    model: Path
    count: int
    scale: int
    rounds: int

    def images(self, count: int | None = None, *, broken: bool = False) -> Path:
        """Return a folder of images, made once; no two files are equal."""
        folder = self.work / f"images-{count or self.count}{'-broken' if broken else ''}"
        if not folder.exists():
            folder.mkdir()
            encoded = noisy_images(SIZE, QUALITY)
            for number in range(count or self.count):
                data = encoded[number % len(encoded)] + number.to_bytes(4, "big")  # behind the end of the JPEG data
                truncated = broken and number % EVERY == 0
                (folder / f"{number:06d}.jpg").write_bytes(data[: len(data) // 2] if truncated else data)
        return folder

    def score(self, images: Path, *flags: str, keep: bool = False) -> Cost:
        """Run the program; into a new output folder, unless the last one is kept."""
        output = self.work / f"out-{images.name}"
        if not keep:
            shutil.rmtree(output, ignore_errors=True)
        where = ("--images", str(images), "--model", str(self.model), "--output", str(output))
        return cost("-m", "inference", "score", *where, *flags)

    def summary(self, images: Path) -> dict:
        return json.loads((self.work / f"out-{images.name}" / "summary.json").read_text())


def make_model(work: Path) -> Path:
    """Export an untrained network for images of SIZE, and beside it one that returns few detections."""
    dataset = made_up.make(work / "dataset", train=made_up.SHARDS, size=f"{SIZE[0]}x{SIZE[1]}")
    for own in (ALL_DETECTIONS, FEW_DETECTIONS):
        python("-c", MAKE_MODEL, str(dataset), str(work / own), own)
    return work / ALL_DETECTIONS / "export"


def loop(bench: Bench, *sizes: int, images: Path) -> str:
    return python("-c", BARE_LOOP, str(images), str(bench.model), str(bench.work / "loop.jsonl"), *map(str, sizes))


def best_batch(bench: Bench) -> tuple[int, str]:
    """Return the batch size with which the loop is fastest, and all measured speeds."""
    printed = loop(bench, *BATCHES, images=bench.images(max(bench.count // 4, 2 * BATCHES[-1])))
    speeds = {int(size): float(speed) for size, speed in (line.split() for line in printed.splitlines())}
    return max(speeds, key=speeds.__getitem__), ", ".join(f"{size}: {speed:.1f}" for size, speed in speeds.items())


def timed(work: Callable[[], object]) -> Callable[[], float]:
    def measure() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return measure


def of_speed(bench: Bench, title: str, target: float, *flags: str) -> Iterator[Result]:
    """Compare score, with these flags, with the loop at its best batch size."""
    size, speeds = best_batch(bench)
    images = bench.images()
    ours, bare = in_turns(
        bench.rounds, lambda: bench.score(images, *flags).seconds, timed(lambda: loop(bench, size, images=images))
    )
    ratio = median_ratio(bare, ours)
    yield Result(title=f"{title}, {bench.count} images (>= {target})", value=f"{ratio:.2f} x", good=ratio >= target)
    yield Result(title="  seconds, score and loop", value=", ".join(f"{min(times):.1f}" for times in (ours, bare)))
    yield Result(title="  images/s of the loop by batch size, without the start", value=speeds)


def of_loop(bench: Bench) -> Iterator[Result]:
    return of_speed(bench, "score against a bare loop", LOOP)


def of_workers(bench: Bench) -> Iterator[Result]:
    yield from of_speed(bench, "score with 2 processes against a bare loop", WORKERS, *TWO)
    copies = most_models(lambda: bench.score(bench.images(), *TWO))
    title = f"models in memory, with 2 processes (<= {COPIES})"
    yield Result(title=title, value=str(copies), good=copies <= COPIES)


def most_models(work: Callable[[], object]) -> int:
    """Return the maximum number of child processes with TensorFlow during the work: each has a model."""
    thread = threading.Thread(target=work)
    thread.start()
    most = 0
    while thread.is_alive():
        most = max(most, sum(map(holds_tensorflow, find_processes())))
        time.sleep(0.5)
    return most


def holds_tensorflow(pid: int) -> bool:
    try:
        return "libtensorflow_cc" in Path(f"/proc/{pid}/maps").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return False


def of_zip(bench: Bench) -> Iterator[Result]:
    images, archive = bench.images(), bench.work / "images.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in images.iterdir():
            target.write(path, path.name)
    zipped, loose = in_turns(bench.rounds, lambda: bench.score(archive).seconds, lambda: bench.score(images).seconds)
    ratio = median_ratio(loose, zipped)
    yield Result(title=f"a zip archive against files (>= {ZIP})", value=f"{ratio:.2f} x", good=ratio >= ZIP)


def of_memory(bench: Bench) -> Iterator[Result]:
    for own in (ALL_DETECTIONS, FEW_DETECTIONS):
        model = replace(bench, model=bench.work / own / "export")
        few, many = (model.score(bench.images(count)).megabytes for count in (bench.count, bench.scale))
        ratio = many / few
        found = sum(bench.summary(bench.images(bench.scale))["detections"].values()) / bench.scale
        title = f"peak memory, {bench.scale} images against {bench.count}, {found:.1f} detections each (<= {MEMORY})"
        yield Result(title=title, value=f"{ratio:.2f} x", good=ratio <= MEMORY)
        yield Result(title="  MB", value=f"{few:.0f}, {many:.0f}")


def of_again(bench: Bench) -> Iterator[Result]:
    images = bench.images()
    first = bench.score(images).seconds
    again = bench.score(images, keep=True).seconds
    ratio = again / first
    title = f"a second run with nothing new against the first (<= {AGAIN})"
    yield Result(title=title, value=f"{ratio:.2f} x", good=ratio <= AGAIN)
    yield Result(title="  seconds", value=f"{first:.1f}, {again:.1f}")


def of_corrupt(bench: Bench) -> Iterator[Result]:
    intact, broken = bench.images(), bench.images(broken=True)
    good, bad = in_turns(bench.rounds, lambda: bench.score(intact).seconds, lambda: bench.score(broken).seconds)
    ratio = median_ratio(good, bad)
    title = f"images/s, one of {EVERY} truncated, against intact ones (>= {CORRUPT})"
    yield Result(title=title, value=f"{ratio:.2f} x", good=ratio >= CORRUPT)
    ok, expected = bench.summary(broken)["ok"], bench.count - -(-bench.count // EVERY)
    yield Result(title="  good images scored", value=f"{ok} of {expected}", good=ok == expected)


PARTS: dict[str, Callable[[Bench], Iterator[Result]]] = {
    "loop": of_loop,
    "workers": of_workers,
    "zip": of_zip,
    "memory": of_memory,
    "again": of_again,
    "corrupt": of_corrupt,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--count", type=int, default=1000, help="number of images of a run")
    parser.add_argument("--scale", type=int, default=10_000, help="number of images of the large run")
    parser.add_argument("--rounds", type=int, default=5, help="number of runs of everything that is compared")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        bench = Bench(work=work, model=make_model(work), count=flags.count, scale=flags.scale, rounds=flags.rounds)
        good = [print_results(PARTS[name](bench)) for name in flags.parts]  # every part is measured
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
