"""Compares the data set job with a plain loop, and measures how its time and memory grow.

    python -m benchmarks.prepare [--parts PART …] [--images N …] [--rounds N] [--rows N] [--scale N]

Parts, all by default:
  help, cvat  the first line of --help; a CVAT file of 100,000 images
  speed       images of about 110 KB with Pascal VOC files: `prepare` and a serial loop (Pillow, tf.train.Example,
              TFRecordWriter), both as complete processes
  copy        the largest of these data sets: `prepare --verify=header`, and cp with fsync
  cores       the same data set, once on one core and once on all: in one process, and in one process per core
  growth      time and memory from few to many tiny images
  rows        memory with very many tiny images, which are hard links to a few files

Prints ratios of one run on this machine, and beside them the bound: the time of the part of the work that cannot be
avoided. Programs that are compared run in turns, and the fastest run of each counts; CPU seconds are printed too,
because they hardly depend on what else runs. Exits with 1 if a target is missed.
"""

import argparse
import functools
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measures import Result, in_turns, print_results
from benchmarks.prepare_sources import LARGE, TINY, Cost, cost, cost_of, link_source, prepare, write_source

# Targets.
SPEED = {2000: 1.4, 8000: 1.7}  # prepare relative to the loop, by the number of images
MEMORY = 1.3  # peak, many images relative to few
MILLION_MB = 1000  # peak with a million rows
COPY = 0.4  # prepare --verify=header relative to cp and fsync
CORES = 1.7  # two cores relative to one, without start-up
LINEAR = 1.25  # time per image, ten times as many images relative to few
HELP_SECONDS = 1.0
CVAT_SECONDS, CVAT_MB = 40, 300
BY_PROCESSES = "--direct_running_mode=multi_processing"

SERIAL_LOOP = """
import sys, pathlib
import tensorflow as tf
from PIL import Image
images, output = map(pathlib.Path, sys.argv[1:])
with tf.io.TFRecordWriter(str(output)) as writer:
    for number, path in enumerate(sorted(images.iterdir()), start=1):
        data = path.read_bytes()
        with Image.open(path) as image:
            image.load()
            width, height = image.size
        feature = lambda value: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        number_of = lambda value: tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        example = tf.train.Example(features=tf.train.Features(feature={
            "image/encoded": feature(data), "image/source_id": feature(str(number).encode()),
            "image/height": number_of(height), "image/width": number_of(width)}))
        writer.write(example.SerializeToString())
"""
# Every JPEG verified, on all cores; and every file read, digested once and written to one file.
DECODE = """
import os, sys, pathlib
from concurrent.futures import ThreadPoolExecutor
from retinanet_odm.imaging.jpeg import read_jpeg
def decode(path):
    return read_jpeg(path.read_bytes()).verify((960, 540), (64, 64)).shape
with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
    print(len(list(pool.map(decode, pathlib.Path(sys.argv[1]).iterdir()))))
"""
DIGEST = """
import hashlib, sys, pathlib
with open(sys.argv[2], "wb") as file:
    for path in pathlib.Path(sys.argv[1]).iterdir():
        data = path.read_bytes()
        hashlib.sha256(data).digest()
        file.write(data)
"""
MAKE_CVAT = """
import sys
from benchmarks.prepare_sources import annotation
from retinanet_odm.annotations.cvat import format_cvat
images = (annotation(number, (540, 960), 5) for number in range(100_000))
open(sys.argv[1], "wb").write(format_cvat(images, labels=["class 0"], task="t"))
"""
READ_CVAT = """
import sys
from retinanet_odm.annotations.reader import read_annotations
with open(sys.argv[1], "rb") as file:
    print(sum(len(image.objects) for image in read_annotations(file, source=sys.argv[1])))
"""


def first_line_of_help() -> float:
    """Return the seconds until `python -m beam_jobs --help` prints."""
    start = time.monotonic()
    with subprocess.Popen([sys.executable, "-m", "beam_jobs", "--help"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return time.monotonic() - start


def best_of(rounds: int, *measures: Callable[[], Cost]) -> list[Cost]:
    """Return the fastest run of each, in turns, so that a busy machine slows all of them."""
    return [min(costs, key=lambda found: found.seconds) for costs in in_turns(rounds, *measures)]


def import_alone() -> Cost:
    return cost("-c", "import beam_jobs.prepare")


def describe(**costs: Cost) -> Iterator[Result]:
    """Yield wall and CPU seconds of some programs."""
    named = ", ".join(f"{name} {found.seconds:.1f} ({found.cpu:.1f})" for name, found in costs.items())
    yield Result(title="  seconds (CPU)", value=named)


def compare_with_loop(source: Path, images: int, kilobytes: float, rounds: int) -> Iterator[Result]:
    """Compare prepare with a serial loop."""
    folder, work = str(source / "images"), source.parent
    loop, ours, imported, decoded = best_of(
        rounds,
        lambda: cost("-c", SERIAL_LOOP, folder, str(work / "loop.tfrecord")),
        lambda: prepare(source),
        import_alone,
        lambda: cost("-c", DECODE, folder),
    )
    speed, bound = loop.seconds / ours.seconds, loop.seconds / (imported.seconds + decoded.seconds)
    target = SPEED.get(images)
    yield Result(
        title=f"prepare relative to the loop, {images} images of {kilobytes:.0f} KB"
        + (f" (>= {target})" * bool(target)),
        value=f"{speed:.2f} x",
        good=not target or speed >= target,
    )
    yield Result(title="  bound: import alone, then decoding alone on all cores", value=f"{bound:.2f} x")
    yield from describe(prepare=ours, loop=loop, importing=imported, decoding=decoded)


def compare_with_copy(source: Path, images: int, rounds: int) -> Iterator[Result]:
    """Compare prepare without decoding with cp and fsync."""
    folder, copy = source / "images", source.parent / "copy"
    command = f"rm -rf {copy}; cp -r {folder} {copy} && find {copy} -type f -exec sync {{}} +"
    header, copied, imported, digested = best_of(
        rounds,
        lambda: prepare(source, "--verify=header"),
        lambda: cost_of("sh", "-c", command),
        import_alone,
        lambda: cost("-c", DIGEST, str(folder), str(source.parent / "digested")),
    )
    speed, bound = copied.seconds / header.seconds, copied.seconds / (imported.seconds + digested.seconds)
    yield Result(
        title=f"prepare --verify=header relative to cp, fsync, {images} images (>= {COPY})",
        value=f"{speed:.2f} x",
        good=speed >= COPY,
    )
    yield Result(title="  bound: import alone, then one digest and one write of every image", value=f"{bound:.2f} x")
    yield from describe(prepare=header, cp=copied, importing=imported, digesting=digested)


def compare_cores(source: Path, small: Path, rounds: int) -> Iterator[Result]:
    """Compare one core with two, without the time of start-up, which a data set of ten images takes."""
    two = set(sorted(os.sched_getaffinity(0))[:2])
    one = {min(two)}

    def processes(cores: set[int]) -> tuple[str, ...]:
        return BY_PROCESSES, f"--direct_num_workers={len(cores)}"

    kinds: dict[str, Callable[[set[int]], tuple[str, ...]]] = {
        "in one process": lambda _cores: (),
        "one process per core": processes,
    }
    for name, flags in kinds.items():
        runs = [(folder, cores) for cores in (one, two) for folder in (source, small)]
        measures = [functools.partial(prepare, folder, *flags(cores), cores=cores) for folder, cores in runs]
        slow, slow_start, fast, fast_start = best_of(rounds, *measures)
        speed = (slow.seconds - slow_start.seconds) / (fast.seconds - fast_start.seconds)
        title = f"two cores relative to one, {name}, without start-up (>= {CORES})"
        yield Result(title=title, value=f"{speed:.2f} x", good=speed >= CORES)
        yield from describe(one=slow, its_start=slow_start, two=fast, their_start=fast_start)


def measure_large(work: Path, flags: argparse.Namespace) -> Iterator[Result]:
    """Run the parts that need images of about 110 KB."""
    parts, largest = set(flags.parts), max(flags.images)
    for images in sorted(flags.images):
        source = work / str(images)
        if "speed" in parts or (images == largest and parts & {"copy", "cores"}):
            kilobytes = write_source(source, images, LARGE, 72)
        if "speed" in parts:
            yield from compare_with_loop(source, images, kilobytes, flags.rounds)
    if "copy" in parts:
        yield from compare_with_copy(source, largest, flags.rounds)
    if "cores" in parts:
        write_source(work / "small", 10, LARGE, 72)
        yield from compare_cores(source, work / "small", flags.rounds)


def measure_growth(work: Path, scale: int) -> Iterator[Result]:
    """Measure memory and time per image for tiny images, from `scale` to a hundred times as many."""
    costs: dict[int, Cost] = {}
    for times in (1, 2, 10, 20, 100):
        count = times * scale
        write_source(work / "tiny", count, TINY, 60)
        costs[times] = prepare(work / "tiny")
        shutil.rmtree(work / "tiny")
    memory = costs[20].megabytes / costs[2].megabytes
    yield Result(
        title=f"peak memory, {20 * scale} relative to {2 * scale} tiny images (<= {MEMORY})",
        value=f"{memory:.2f} x",
        good=memory <= MEMORY,
    )
    yield Result(
        title="  MB", value=", ".join(f"{times * scale}: {found.megabytes:.0f}" for times, found in costs.items())
    )
    for few, many in ((1, 10), (10, 100)):
        ratio = costs[many].seconds / costs[few].seconds * few / many
        title = f"time per image, {many * scale} relative to {few * scale} tiny images (<= {LINEAR})"
        yield Result(title=title, value=f"{ratio:.2f} x", good=ratio <= LINEAR)
    yield Result(
        title="  seconds", value=", ".join(f"{times * scale}: {found.seconds:.1f}" for times, found in costs.items())
    )


def measure_rows(work: Path, rows: int) -> Iterator[Result]:
    """Measure the memory of one process with very many images; it does not depend on their size."""
    link_source(work / "rows", rows)
    found, imported = prepare(work / "rows", "--verify=header"), import_alone()
    yield Result(
        title=f"peak memory, {rows} tiny images in one process (<= {MILLION_MB} MB)",
        value=f"{found.megabytes:.0f} MB",
        good=found.megabytes <= MILLION_MB,
    )
    yield Result(title="  bound: import alone", value=f"{imported.megabytes:.0f} MB")
    yield from describe(prepare=found)


def measure_cvat(work: Path) -> Iterator[Result]:
    """Read one CVAT file of 100,000 images."""
    cost("-c", MAKE_CVAT, str(work / "cvat.xml"))  # not here: a child's peak memory begins at its parent's
    cvat = cost("-c", READ_CVAT, str(work / "cvat.xml"))
    yield Result(
        title=f"CVAT XML, 100,000 images, 500,000 boxes (<= {CVAT_SECONDS} s, {CVAT_MB} MB)",
        value=f"{cvat.seconds:.1f} s, {cvat.megabytes:.0f} MB",
        good=cvat.seconds <= CVAT_SECONDS and cvat.megabytes <= CVAT_MB,
    )


def measure_help() -> Iterator[Result]:
    """Take the best of three starts."""
    seconds = min(first_line_of_help() for _ in range(3))
    yield Result(
        title=f"first line of python -m beam_jobs --help (<= {HELP_SECONDS} s)",
        value=f"{seconds:.2f} s",
        good=seconds <= HELP_SECONDS,
    )


PARTS = ("help", "cvat", "speed", "copy", "cores", "growth", "rows")


def main() -> int:
    """Run the parts; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--images", nargs="+", type=int, default=[2000, 8000], help="images of about 110 KB")
    parser.add_argument("--rounds", type=int, default=3, help="of the programs that are compared")
    parser.add_argument("--scale", type=int, default=1000, help="tiny images; up to 100 times as many are made")
    parser.add_argument("--rows", type=int, default=1_000_000, help="tiny images of the part rows")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        parts = {
            "help": measure_help(),
            "cvat": measure_cvat(work),
            "growth": measure_growth(work, flags.scale),
            "rows": measure_rows(work, flags.rows),
        }
        chosen = [results for part, results in parts.items() if part in flags.parts]
        return 0 if print_results(itertools.chain(measure_large(work, flags), *chosen)) else 1


if __name__ == "__main__":
    sys.exit(main())
