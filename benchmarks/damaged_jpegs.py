"""Measures how many damaged JPEGs pass the full verification of `prepare` and `score`.

    python -m benchmarks.damaged_jpegs [--data BCCD] [--count 200]

Takes the JPEGs of BCCD/images, or scenes of the sample data, as they are and encoded in the ways of cameras and
programs. In --count files of each encoding, 1 to 200 bytes anywhere in a scan are deleted or set to zero. Prints how
many of these pass, and in how many of those more than 64 pixels differ by more than 16 of 255. Then prints how many
intact files are rejected, and the time of the verification relative to Pillow's decoding at the same reduced size, that
finds no damage. Exits with status 1 if a target is missed.
"""

import argparse
import io
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.measures import Result, in_turns, median_ratio, print_results, seconds
from benchmarks.prepare_sources import noisy_images
from retinanet_odm.errors import ImageError
from retinanet_odm.imaging.images import normalise_image
from retinanet_odm.imaging.jpeg import read_jpeg
from retinanet_odm.samples.scenes import make_scene

PASSED = 0.01  # of damaged files
SLOWER = 1.5  # relative to Pillow
MAX_BYTES = 200
SCENES = 20
VISIBLE_PIXELS, VISIBLE_CHANGE = 64, 16
AS_IT_IS = "the files as they are"
ENCODINGS: dict[str, dict[str, Any]] = {
    "quality 75, 4:2:0": {"quality": 75},
    "quality 85, 4:2:0": {"quality": 85},
    "quality 90, 4:2:2": {"quality": 90, "subsampling": 1},
    "quality 95, 4:4:4": {"quality": 95, "subsampling": 0},
    "quality 85, grey": {"quality": 85},
    "quality 85, optimised tables": {"quality": 85, "optimize": True},
    "quality 85, restart markers": {"quality": 85, "restart_marker_rows": 1},
    "quality 85, progressive": {"quality": 85, "progressive": True},
}


def encode(image: Image.Image, name: str) -> bytes:
    buffer = io.BytesIO()
    image.convert("L" if "grey" in name else "RGB").save(buffer, "JPEG", **ENCODINGS[name])
    return buffer.getvalue()


def encodings_of(data: Path | None) -> Iterator[tuple[str, list[bytes]]]:
    """Yield each encoding and its intact files."""
    files = [path.read_bytes() for path in sorted((data / "images").iterdir())] if data else []
    if files:
        yield AS_IT_IS, files
    images = [Image.open(io.BytesIO(file)) for file in files] or [make_scene(seed)[0] for seed in range(SCENES)]
    for name in ENCODINGS:
        yield name, [encode(image, name) for image in images]


def damage(data: bytes, rng: random.Random) -> bytes:
    """Delete or zeroe some bytes of one scan; a longer scan is hit more often."""
    scans = [(scan.start, scan.end) for scan in read_jpeg(data).scans]
    start, end = rng.choices(scans, [end - start for start, end in scans])[0]
    count = min(rng.randint(1, MAX_BYTES), end - start)
    first = rng.randint(start, end - count)
    filler = rng.choice([b"", bytes(count)])
    return data[:first] + filler + data[first + count :]


def passes(data: bytes) -> bool:
    try:
        normalise_image(data, name="x")
    except ImageError:
        return False
    return True


def is_visible(damaged: bytes, intact: bytes) -> bool:
    seen, expected = (np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in (damaged, intact))
    changed = np.abs(seen - expected).reshape(*seen.shape[:2], -1).max(-1) > VISIBLE_CHANGE
    return int(changed.sum()) > VISIBLE_PIXELS


def measure_damage(data: Path | None, count: int) -> Iterator[Result]:
    passed = tried = rejected = intact = 0
    for seed, (name, files) in enumerate(encodings_of(data)):
        rng = random.Random(seed)
        rejected, intact = rejected + sum(not passes(file) for file in files), intact + len(files)
        pairs = [(damage(file, rng), file) for file in (files[number % len(files)] for number in range(count))]
        found = [pair for pair in pairs if passes(pair[0])]
        visible = sum(is_visible(*pair) for pair in found)
        yield Result(
            title=f"  {name}: damaged files that pass", value=f"{len(found)} of {count}, {visible} visibly changed"
        )
        passed, tried = passed + len(found), tried + count
    share = passed / tried
    yield Result(title=f"damaged files that pass (<= {PASSED:.0%})", value=f"{share:.2%}", good=share <= PASSED)
    yield Result(title="intact files that are rejected (0)", value=f"{rejected} of {intact}", good=not rejected)


def decode_by_pillow(files: Sequence[bytes]) -> None:
    for data in files:
        with Image.open(io.BytesIO(data)) as image:
            image.draft("L", (64, 64))
            image.load()


def measure_time() -> Iterator[Result]:
    files = noisy_images((540, 960), 72)
    ours, pillow = in_turns(
        9, lambda: seconds(lambda: [passes(data) for data in files]), lambda: seconds(lambda: decode_by_pillow(files))
    )
    ratio = median_ratio(ours, pillow)
    title = f"time to verify a JPEG of {sum(map(len, files)) // len(files) // 1000} KB, relative to Pillow's decoding"
    yield Result(title=f"{title} (<= {SLOWER:g})", value=f"{ratio:.2f}x", good=ratio <= SLOWER)


def measure(data: Path | None, count: int) -> Iterator[Result]:
    yield from measure_damage(data, count)
    yield from measure_time()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of images/; default: scenes of the sample data")
    parser.add_argument("--count", type=int, default=200, help="number of damaged files of each encoding")
    options = parser.parse_args()
    return 0 if print_results(measure(options.data, options.count)) else 1


if __name__ == "__main__":
    sys.exit(main())
