"""The data set job against a plain loop, and how its time and memory grow.

    python benchmarks/prepare.py [--images N] [--many N]

Makes photographs of about 110 KB with Pascal VOC files, then runs `beam_jobs prepare` and a serial loop (Pillow,
tf.train.Example, TFRecordWriter) on them, both as whole processes, and `prepare` on few and many tiny images. Prints
ratios of one run on this machine; exits with 1 when a target is missed.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from detection.annotations import ImageAnnotation, ObjectAnnotation
from detection.voc import format_voc

SPEED = 1.7  # prepare against the loop
MEMORY = 1.3  # peak, many against few
LINEAR = 1.25  # time an image, many against few
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
from detection.cvat import format_cvat
images = (annotation(number, (540, 960), 5) for number in range(100_000))
open(sys.argv[1], "wb").write(format_cvat(images, labels=["class 0"], task="t"))
"""
READ_CVAT = """
import sys
from detection.annotation_files import read_annotations
with open(sys.argv[1], "rb") as file:
    print(sum(len(image.objects) for image in read_annotations(file, source=sys.argv[1])))
"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Wall time in seconds and peak resident memory in MB of one process."""

    seconds: float
    megabytes: float


def cost(*command: str) -> Cost:
    """Runs a command of this Python and measures it."""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {command[:4]}\n{said.decode()[-2000:]}")
    return Cost(seconds=time.monotonic() - start, megabytes=usage.ru_maxrss / 1024)


def photographs(size: tuple[int, int], quality: int, count: int = 16) -> list[bytes]:
    """JPEG bytes of a few noisy pictures (height, width)."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (size[0] // 6, size[1] // 6, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((size[1], size[0]), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=quality)
        pictures.append(buffer.getvalue())
    return pictures


def annotation(number: int, size: tuple[int, int], boxes: int) -> ImageAnnotation:
    items = tuple(ObjectAnnotation(label=f"class {row % 3}", box=(1.0 + row, 2, 20 + row, 30)) for row in range(boxes))
    return ImageAnnotation(filename=f"{number:06d}.jpg", width=size[1], height=size[0], objects=items, source="")


def write_source(folder: Path, count: int, size: tuple[int, int], quality: int) -> float:
    """Writes images/ and annotations/; returns the mean size of an image in KB."""
    pictures = photographs(size, quality)
    for name in ("images", "annotations"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        (folder / "images" / f"{number:06d}.jpg").write_bytes(pictures[number % len(pictures)])
        (folder / "annotations" / f"{number:06d}.xml").write_bytes(format_voc(annotation(number, size, 2)))
    return sum(map(len, pictures)) / len(pictures) / 1000


def prepare(source: Path) -> Cost:
    flags = ["--images", f"{source}/images/*", "--annotations", f"{source}/annotations/*", "--output", f"{source}/out"]
    return cost("-m", "beam_jobs", "prepare", *flags)


def run(work: Path, images: int, many: int) -> bool:
    kilobytes = write_source(work / "photographs", images, (540, 960), 72)
    ours = prepare(work / "photographs")
    loop = cost("-c", SERIAL_LOOP, str(work / "photographs" / "images"), str(work / "loop.tfrecord"))
    for name, count in (("few", many // 10), ("many", many)):
        write_source(work / name, count, (48, 64), 60)
    few, lots = prepare(work / "few"), prepare(work / "many")
    cost("-c", MAKE_CVAT, str(work / "cvat.xml"))  # not here: a child's peak memory begins at its parent's
    cvat = cost("-c", READ_CVAT, str(work / "cvat.xml"))
    speed = loop.seconds / ours.seconds
    memory = lots.megabytes / few.megabytes
    linear = (lots.seconds / many) / (few.seconds / (many // 10))
    rows = [
        (
            f"prepare against the loop, {images} images of {kilobytes:.0f} KB (>= {SPEED})",
            f"{speed:.2f} x",
            speed >= SPEED,
        ),
        ("  seconds, prepare and loop", f"{ours.seconds:.1f}, {loop.seconds:.1f}", True),
        (f"peak memory, {many} against {many // 10} tiny images (<= {MEMORY})", f"{memory:.2f} x", memory <= MEMORY),
        ("  MB", f"{lots.megabytes:.0f}, {few.megabytes:.0f}", True),
        (f"time an image, {many} against {many // 10} (<= {LINEAR})", f"{linear:.2f} x", linear <= LINEAR),
        ("  seconds", f"{lots.seconds:.1f}, {few.seconds:.1f}", True),
        (
            f"CVAT XML, 100,000 images, 500,000 boxes (<= {CVAT_SECONDS} s, {CVAT_MB} MB)",
            f"{cvat.seconds:.1f} s, {cvat.megabytes:.0f} MB",
            cvat.seconds <= CVAT_SECONDS and cvat.megabytes <= CVAT_MB,
        ),
    ]
    for name, value, good in rows:
        print(f"{'ok  ' if good else 'MISS'}  {name:70}  {value}")
    return all(good for _, _, good in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--many", type=int, default=20_000, help="tiny images; a tenth of them are the few")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        return 0 if run(Path(work), flags.images, flags.many) else 1


if __name__ == "__main__":
    sys.exit(main())
