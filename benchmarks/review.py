"""How smoothly the page of `review` scrolls through 10,000 images, in headless Chromium.

    python -m benchmarks.review [--env DIR] [--images N]

Makes a run of synthetic images of 640×360 pixels with about 20 detections each, serves it, and drives the Chromium of
this machine by playwright, which is installed, by pip, in an environment of its own (--env keeps it). Frame times are
those between two animation frames, 16.7 ms at 60 frames a second; there is no GPU. Exits with 1 if a limit is missed.
"""

import argparse
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measures import HERE, Result, make_environment, print_results, run
from retinanet_odm.predictions.rows import Detection, PredictionRow
from retinanet_odm.samples.scenes import make_scene
from tests.inference.outputs import HEADER, write_output

PINS = ("playwright==1.65.2",)
CLASSES = {int(label_id): name for label_id, name in HEADER["labels"].items()}
DRAWN = 40  # different images; the others are copies
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def make_run(work: Path, count: int) -> Path:
    """Write images and the rows of a finished run."""
    images = work / "images"
    images.mkdir()
    encoded = []
    for seed in range(DRAWN):
        buffer = io.BytesIO()
        make_scene(seed)[0].save(buffer, "JPEG", quality=90)
        encoded.append(buffer.getvalue())
    rows = []
    for number in range(count):
        name = f"site {number % 20}/CAM_202103{1 + number // 20 % 28:02}_{number:06}.jpg"
        path = images / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded[number % DRAWN])
        rows.append(PredictionRow(image=name, width=640, height=360, detections=_detections(number)))
    rows.sort(key=lambda row: row.image)
    return write_output(work / "OUT", rows, sources=[{"images": [str(images)], "passed_over": {}}])


def _detections(number: int) -> tuple[Detection, ...]:
    random = np.random.default_rng(number)
    count = 1 + int(random.poisson(19))
    corners = random.uniform(0, (560, 280), (count, 2))
    sides = random.uniform(15, 80, (count, 2))
    # The first one always counts, so that each image has a box to wait for.
    scores = np.sort(np.append(random.beta(0.6, 2.5, count - 1), 0.95))[::-1]
    labels = random.choice(list(CLASSES), count)
    return tuple(
        Detection(label=CLASSES[int(label)], label_id=int(label), score=float(score), box=(*corner, *(corner + side)))
        for label, score, corner, side in zip(labels, scores, corners.tolist(), sides, strict=True)
    )


def serve(output: Path) -> tuple["subprocess.Popen[str]", str]:
    """Start the command; return its process, and the address that it prints."""
    words = [sys.executable, "-m", "inference", "review", str(output), "--no_browser"]
    process = subprocess.Popen(words, cwd=HERE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if found := re.search(r"http://\S+", line):
            return process, found[0]
    raise SystemExit("failed: review printed no address")


def results(found: dict[str, Any], memory: float, count: int) -> Iterator[Result]:
    yield Result(
        title=f"seconds from the address to the first of {count:,} images",
        value=f"{found['opened']:.2f}",
        good=found["opened"] < 5,
    )
    for name, title in (("wheel", "scrolled by the wheel"), ("fling", "flung, 140 rows a turn")):
        one = found[name]
        value = f"{one['median']:.1f}, {one['p95']:.1f}, {one['worst']:.1f} ms of {one['frames']:.0f} frames"
        yield Result(title=f"{title}: median, 95 % and worst frame time", value=value, good=one["p95"] < 34)
        value = f"{one['long_tasks']}, longest {one['longest_task']:.0f} ms"
        yield Result(title=f"{title}: tasks of 50 ms or more", value=value, good=one["longest_task"] < 100)
    yield Result(
        title="rows of the list in the document", value=f"{found['fling']['rows']}", good=found["fling"]["rows"] < 60
    )
    waited = sorted(found["waited"])
    yield Result(
        title="Enter to the next image with its boxes, decision on the disk: median, worst",
        value=f"{1000 * waited[len(waited) // 2]:.0f}, {1000 * waited[-1]:.0f} ms",
        good=waited[len(waited) // 2] < 0.3,
    )
    yield Result(title="requests to other servers", value=f"{len(found['elsewhere'])}", good=not found["elsewhere"])
    yield Result(
        title="memory of the page, of the server", value=f"{found['heap'] / 2**20:.0f}, {memory:.0f} MiB", good=True
    )


def peak_memory(process: int) -> float:
    """Return the most memory that a process has had, in MiB."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 2**10


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", type=Path, help="environment to keep; default: a temporary one")
    parser.add_argument("--images", type=int, default=10_000)
    flags = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        raise SystemExit(f"failed: expected a browser on this machine, any of {', '.join(CHROMIUM)}")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        interpreter = make_environment(flags.env or work / "env", PINS)
        process, address = serve(make_run(work, flags.images))
        try:
            printed = run(interpreter, "-m", "benchmarks.review_browser", address, chromium)
            memory = peak_memory(process.pid)
        finally:
            process.kill()
            process.wait()
    return 0 if print_results(results(json.loads(printed), memory, flags.images)) else 1


if __name__ == "__main__":
    sys.exit(main())
