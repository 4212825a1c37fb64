"""Images and annotations for benchmarks of `prepare`, and complete processes with their cost."""

import io
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.voc import format_voc

LARGE, TINY = (540, 960), (48, 64)  # (height, width): about 110 KB, about 1 KB


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a process took: wall time, CPU time of it and its children in seconds, and its peak memory in MB."""

    seconds: float
    cpu: float
    megabytes: float


def cost(*command: str, cores: set[int] | None = None) -> Cost:
    """Run a command of this Python, on some cores only if they are given, and measure it."""
    if cores is None:
        return cost_of(sys.executable, *command)
    # The limit is inherited by what replaces the process.
    limited = (
        "import os, sys; os.sched_setaffinity(0, map(int, sys.argv[1].split())); os.execv(sys.argv[2], sys.argv[2:])"
    )
    return cost_of(sys.executable, "-c", limited, " ".join(map(str, sorted(cores))), sys.executable, *command)


def cost_of(*command: str) -> Cost:
    """Run a command and measure it."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    output = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {command[:4]}\n{output.decode()[-2000:]}")
    return Cost(
        seconds=time.monotonic() - start,
        cpu=usage.ru_utime + usage.ru_stime,
        megabytes=usage.ru_maxrss / 1024,
    )


def prepare(source: Path, *more: str, cores: set[int] | None = None) -> Cost:
    """Run prepare on a source."""
    flags = ["--images", f"{source}/images/*", "--annotations", f"{source}/annotations/*", "--output", f"{source}/out"]
    return cost("-m", "beam_jobs", "prepare", *flags, *more, cores=cores)


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


def link_source(folder: Path, count: int) -> None:
    """Write images/ and annotations/ of tiny images as hard links to a few files: a million takes a minute."""
    images = noisy_images(TINY, 60, count=64)  # a file has at most 65,000 links on ext4
    for name in ("images", "annotations", "files"):
        (folder / name).mkdir(parents=True)
    for number, data in enumerate(images):
        (folder / "files" / f"{number}.jpg").write_bytes(data)
        (folder / "files" / f"{number}.xml").write_bytes(format_voc(annotation(number, TINY, 2)))
    for number in range(count):
        file = folder / "files" / str(number % len(images))
        os.link(f"{file}.jpg", folder / "images" / f"{number:07d}.jpg")
        os.link(f"{file}.xml", folder / "annotations" / f"{number:07d}.xml")
