"""Compares the data set job with a plain loop, and measures how its time and memory grow.

    python -m benchmarks.prepare [--images N] [--scale N]

Makes images of about 110 KB with Pascal VOC files, then compares `beam_jobs prepare` with a serial loop (Pillow,
tf.train.Example, TFRecordWriter), both as complete processes, and `prepare --verify=header` with cp and fsync; then
runs `prepare` on few and on many tiny images. Prints ratios of one run on this machine; exits with 1 if a target is
missed.
"""

import argparse
import io
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measures import Result, print_results
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.voc import format_voc

# Targets.
SPEED = 1.7  # prepare relative to the loop
MEMORY = 1.3  # peak, many images relative to few
COPY = 0.4  # prepare --verify=header relative to cp and fsync
LINEAR = 1.25  # time per image, ten times as many images relative to few
HELP_SECONDS = 1.0
CVAT_SECONDS, CVAT_MB = 40, 300

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
MAKE_CVAT = """
import sys
from benchmarks.prepare import annotation
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


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Wall time in seconds and peak resident memory in MB of one process."""

    seconds: float
    megabytes: float


def cost(*command: str) -> Cost:
    """Run a command of this Python and measure it."""
    return cost_of(sys.executable, *command)


def cost_of(*command: str) -> Cost:
    """Run a command and measure it."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    output = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {command[:4]}\n{output.decode()[-2000:]}")
    return Cost(seconds=time.monotonic() - start, megabytes=usage.ru_maxrss / 1024)


def noisy_images(size: tuple[int, int], quality: int, count: int = 16) -> list[bytes]:
    """Make the JPEG bytes of a few noisy images of a size (height, width)."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (size[0] // 6, size[1] // 6, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((size[1], size[0]), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=quality)
        images.append(buffer.getvalue())
    return images


def annotation(number: int, size: tuple[int, int], boxes: int) -> ImageAnnotation:
    """Make the annotation of image number NNNNNN.jpg."""
    items = tuple(ObjectAnnotation(label=f"class {row % 3}", box=(1.0 + row, 2, 20 + row, 30)) for row in range(boxes))
    return ImageAnnotation(filename=f"{number:06d}.jpg", width=size[1], height=size[0], objects=items, source="")


def write_source(folder: Path, count: int, size: tuple[int, int], quality: int) -> float:
    """Write images/ and annotations/; return the mean size of an image in KB."""
    images = noisy_images(size, quality)
    for name in ("images", "annotations"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        (folder / "images" / f"{number:06d}.jpg").write_bytes(images[number % len(images)])
        (folder / "annotations" / f"{number:06d}.xml").write_bytes(format_voc(annotation(number, size, 2)))
    return sum(map(len, images)) / len(images) / 1000


def prepare(source: Path, *more: str) -> Cost:
    """Run prepare on a source."""
    flags = ["--images", f"{source}/images/*", "--annotations", f"{source}/annotations/*", "--output", f"{source}/out"]
    return cost("-m", "beam_jobs", "prepare", *flags, *more)


def first_line_of_help() -> float:
    """Return the seconds until `python -m beam_jobs --help` prints."""
    start = time.monotonic()
    with subprocess.Popen([sys.executable, "-m", "beam_jobs", "--help"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return time.monotonic() - start


def best_of(*measures: Callable[[], Cost]) -> list[Cost]:
    """Return the fastest of three runs of each, in turns, so that a busy machine slows all of them."""
    rounds = [[measure() for measure in measures] for _ in range(3)]
    return [min(costs, key=lambda found: found.seconds) for costs in zip(*rounds, strict=True)]


def compare_speed(work: Path, images: int) -> Iterator[Result]:
    """Compare prepare with a serial loop, and without decoding with cp and fsync, on images of about 110 KB."""
    kilobytes = write_source(work / "source", images, (540, 960), 72)
    images_folder, copy = work / "source" / "images", work / "copy"
    loop, ours, header, copied = best_of(
        lambda: cost("-c", SERIAL_LOOP, str(images_folder), str(work / "loop.tfrecord")),
        lambda: prepare(work / "source"),
        lambda: prepare(work / "source", "--verify=header"),
        lambda: cost_of(
            "sh", "-c", f"rm -rf {copy}; cp -r {images_folder} {copy} && find {copy} -type f -exec sync {{}} +"
        ),
    )
    title = f"prepare relative to the loop, {images} images of {kilobytes:.0f} KB (>= {SPEED})"
    speed = loop.seconds / ours.seconds
    yield Result(title=title, value=f"{speed:.2f} x", good=speed >= SPEED)
    yield Result(title="  seconds, prepare and loop", value=f"{ours.seconds:.1f}, {loop.seconds:.1f}")
    speed = copied.seconds / header.seconds
    yield Result(
        title=f"prepare --verify=header relative to cp, fsync (>= {COPY})",
        value=f"{speed:.2f} x",
        good=speed >= COPY,
    )
    yield Result(title="  seconds, prepare and cp", value=f"{header.seconds:.1f}, {copied.seconds:.1f}")


def measure_growth(work: Path, scale: int) -> Iterator[Result]:
    """Measure memory and time per image for tiny images, from `scale` to a hundred times as many."""
    costs: dict[int, Cost] = {}
    for times in (1, 2, 10, 20, 100):
        count = times * scale
        write_source(work / str(count), count, (48, 64), 60)
        costs[times] = prepare(work / str(count))
        shutil.rmtree(work / str(count))
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


def main() -> int:
    """Run everything; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000, help="number of images of about 110 KB")
    parser.add_argument(
        "--scale", type=int, default=1000, help="number of tiny images; up to 100 times as many are made"
    )
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        parts = (
            measure_help(),
            measure_cvat(Path(work)),
            compare_speed(Path(work), flags.images),
            measure_growth(Path(work), flags.scale),
        )
        return 0 if print_results(itertools.chain.from_iterable(parts)) else 1


if __name__ == "__main__":
    sys.exit(main())
