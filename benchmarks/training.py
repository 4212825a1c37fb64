"""Measures how fast the trainer reads, and what its time and memory depend on.

    python -m benchmarks.training [--data FOLDER] [--parts input boxes records memory start] [--scale 30000]

FOLDER holds images/ and annotations/ (Pascal VOC), such as the BCCD data set; without it, the sample of
scripts/make_sample.py is made. Measured on it: the input pipeline of --preset=tiny, relative to one that only decodes
and resizes (input; also on synthetic images of 6 megapixels), and the time from the start of `python -m trainer` to
its first step (start). On synthetic records: the time of a step with 1 and with 100 boxes per image (boxes), with 300
records and many (records), and the peak memory of `python -m trainer` with both, on images of about 90 KB (memory;
takes 100 KB of disk per record).

Compared runs alternate; ratios are medians over the rounds. Exits with 1 if a target is missed. The file is not called
trainer.py: Python would import that as the program when another file of this folder is run by its path.
"""

import argparse
import dataclasses
import functools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import made_up
from benchmarks.measures import HERE, Result, in_turns, median_ratio, print_results, python, seconds

INPUT = 0.80  # images per second relative to the minimal pipeline
FLAT = 1.05  # time of a step, more relative to less
MEMORY = 1.1  # peak, many records relative to few
START_SECONDS = 25
FEW = 300  # records
MAX_BOXES = 100
MEMORY_STEPS = 60  # more than an epoch of FEW
STEP_SETTINGS = {"image_size": "128"}  # for images of made_up.SMALL
JPEG_QUALITY = 55
CAMERA, CAMERA_RECORDS = "2000x3000", 64


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long to measure.

    Attributes:
      rounds: of each of the two that are compared.
      warm_up, count: batches or steps of a round that are not measured, and that are.
      scale: records of the large data set.
    """

    rounds: int
    warm_up: int
    count: int
    scale: int


def prepared(work: Path, data: Path | None) -> Path:
    """Prepare a data set from the images in data, or from the sample."""
    if data is None:
        data = work / "sample"
        python("scripts/make_sample.py", str(data), "--archive_images=0")
    source = ("--images", f"{data}/images/*", "--annotations", f"{data}/annotations/*.xml")
    python("-m", "beam_jobs", "prepare", *source, "--output", f"{work}/dataset", "--splits", "train=0.8,val=0.2")
    return work / "dataset"


def timed_batches(make: Callable[[], Any], effort: Effort) -> float:
    """Return the seconds for the batches of a round of a new iterator."""
    batches = iter(make())
    for _ in range(effort.warm_up):
        next(batches)
    return seconds(lambda: [next(batches) for _ in range(effort.count)])


def of_input(work: Path, data: Path | None, effort: Effort) -> Iterator[Result]:
    """Compare letterboxed, augmented batches with a minimal decode and resize of the same records."""
    camera = {"size": CAMERA, "quality": JPEG_QUALITY}
    yield from input_ratio(prepared(work / "input", data), effort)
    yield from input_ratio(made_up.make(work / "camera", train=CAMERA_RECORDS, **camera), shortened(effort))


def shortened(effort: Effort) -> Effort:
    """Return settings for images that take ten times as long."""
    return dataclasses.replace(effort, warm_up=max(effort.warm_up // 10, 1), count=max(effort.count // 10, 1))


def input_ratio(dataset: Path, effort: Effort) -> Iterator[Result]:
    from trainer.config import canvas_size
    from trainer.data import records
    from trainer.presets import make_config

    manifest = records.read_dataset_manifest(str(dataset))
    split = records.find_split(str(dataset), manifest, "train")
    config = make_config("tiny", {})
    canvas = canvas_size(config.network.image_size, manifest.aspect_ratio_min, manifest.aspect_ratio_max)
    pipelines = (
        lambda: our_batches(config, manifest, split, canvas),
        lambda: bare_batches(split.paths, canvas, config.schedule.train_batch_size, antialias=False),
        lambda: bare_batches(split.paths, canvas, config.schedule.train_batch_size, antialias=True),
    )
    measures = (functools.partial(timed_batches, pipeline, effort) for pipeline in pipelines)
    ours, bare, smooth = in_turns(effort.rounds, *measures)
    ratio = median_ratio(bare, ours)
    kilobytes = sum(Path(path).stat().st_size for path in split.paths) / split.examples / 1000
    title = f"input pipeline against decode and resize, {split.examples} records of {kilobytes:.0f} KB (>= {INPUT})"
    yield Result(title=title, value=f"{ratio:.2f} x", good=ratio >= INPUT)
    yield Result(
        title="  against one that resizes with antialiasing, as ours", value=f"{median_ratio(smooth, ours):.2f} x"
    )
    images = effort.count * config.schedule.train_batch_size
    speeds = (images / statistics.median(times) for times in (ours, bare, smooth))
    yield Result(title="  images/s, ours and these two", value=", ".join(f"{speed:.0f}" for speed in speeds))


def our_batches(config: Any, manifest: Any, split: Any, canvas: tuple[int, int]) -> Any:
    from trainer.loop import plan

    return plan.batches_from(0, config, manifest, split, canvas)


def bare_batches(paths: tuple[str, ...], canvas: tuple[int, int], batch_size: int, *, antialias: bool) -> Any:
    """Read as in a tutorial: no boxes, aspect not kept, no shuffling."""
    import tensorflow as tf

    from retinanet_odm.dataset.example_keys import ENCODED

    def load(record: Any) -> Any:
        encoded = tf.io.parse_single_example(record, {ENCODED: tf.io.FixedLenFeature([], tf.string)})[ENCODED]
        return tf.image.resize(tf.io.decode_jpeg(encoded, channels=3), canvas, antialias=antialias)

    return (
        tf.data.TFRecordDataset(list(paths))
        .repeat()
        .map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Training steps of a small network on several data sets that differ only in their records."""

    config: Any
    network: Any
    strategy: Any
    run_steps: Any

    @classmethod
    def of(cls, dataset: Path) -> "Steps":
        from trainer import strategy
        from trainer.data import records
        from trainer.loop import schedule, steps
        from trainer.network import build
        from trainer.presets import make_config

        config = make_config("tiny", STEP_SETTINGS)
        where = strategy.make_strategy(use_tpu=False, tpu="local")
        with where.scope():
            net = build.build_network(config, records.read_dataset_manifest(str(dataset)))
            optimizer, _ = schedule.build_optimizer(config.schedule, net.model, total_steps=100_000)
        return cls(config=config, network=net, strategy=where, run_steps=steps.make_loop(config, net, optimizer, where))

    def seconds(self, dataset: Path, effort: Effort) -> float:
        """Return the seconds for the steps of a round with a new iterator."""
        import tensorflow as tf

        from trainer.data import records

        manifest = records.read_dataset_manifest(str(dataset))
        split = records.find_split(str(dataset), manifest, "train")
        batches = our_batches(self.config, manifest, split, self.network.canvas)
        iterator = iter(self.strategy.experimental_distribute_dataset(batches))
        self.run_steps(iterator, tf.constant(effort.warm_up))["loss"].numpy()
        return seconds(lambda: float(self.run_steps(iterator, tf.constant(effort.count))["loss"].numpy()))


def step_ratio(less: Path, more: Path, effort: Effort) -> tuple[float, str]:
    """Return the time of a step on one data set relative to another, and both in milliseconds."""
    steps = Steps.of(less)
    for dataset in (less, more):  # builds the graph, reads the files
        steps.seconds(dataset, effort)
    few, many = in_turns(effort.rounds, lambda: steps.seconds(less, effort), lambda: steps.seconds(more, effort))
    times = ", ".join(f"{statistics.median(column) / effort.count * 1000:.1f}" for column in (few, many))
    return median_ratio(many, few), times


def of_boxes(work: Path, effort: Effort) -> Iterator[Result]:
    few, many = (
        made_up.make(work / f"boxes-{boxes}", train=FEW, boxes=boxes, max_boxes=MAX_BOXES) for boxes in (1, MAX_BOXES)
    )
    ratio, times = step_ratio(few, many, effort)
    title = f"time of a step, {MAX_BOXES} boxes an image against 1, room for {MAX_BOXES} (<= {FLAT})"
    yield Result(title=title, value=f"{ratio:.3f} x", good=ratio <= FLAT)
    yield Result(title="  ms, 1 and 100 boxes", value=times)


def of_records(work: Path, effort: Effort) -> Iterator[Result]:
    few, many = (made_up.make(work / f"records-{count}", train=count) for count in (FEW, effort.scale))
    ratio, times = step_ratio(few, many, effort)
    title = f"time of a step, {effort.scale} records against {FEW} (<= {FLAT})"
    yield Result(title=title, value=f"{ratio:.3f} x", good=ratio <= FLAT)
    yield Result(title=f"  ms, {FEW} and {effort.scale} records", value=times)


def trainer_lines(
    dataset: Path, model_dir: Path, *flags: str, interpreter: str = sys.executable
) -> Iterator[tuple[subprocess.Popen, str]]:
    """Yield the lines of `python -m trainer` and its process, which is stopped at the end of the block."""
    folders = (f"--dataset={dataset}", f"--model_dir={model_dir}")
    command = [interpreter, "-m", "trainer", "--mode=train", "--preset=tiny", *folders, *flags]
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    process = subprocess.Popen(command, cwd=HERE, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            yield process, line
        raise SystemExit(f"the trainer ended before it was wanted: {' '.join(command)}")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()


def peak_memory(dataset: Path, model_dir: Path) -> float:
    """Return the peak memory in MB when `python -m trainer` reaches MEMORY_STEPS."""
    for process, line in trainer_lines(dataset, model_dir, "--num_epochs=100"):
        if line.startswith(f"step {MEMORY_STEPS}/"):
            status = Path(f"/proc/{process.pid}/status").read_text()
            return next(int(row.split()[1]) / 1024 for row in status.splitlines() if row.startswith("VmHWM"))
    raise AssertionError("trainer_lines ends only by an exception")


def of_memory(work: Path, effort: Effort) -> Iterator[Result]:
    sizes = (FEW, effort.scale)
    look = {"size": made_up.LARGE, "quality": JPEG_QUALITY}
    datasets = [made_up.make(work / f"memory-{count}", train=count, **look) for count in sizes]
    kilobytes = sum(path.stat().st_size for path in datasets[0].glob("*.tfrecord")) / FEW / 1000
    peaks = [peak_memory(dataset, work / f"model-{dataset.name}") for dataset in datasets]
    ratio = peaks[1] / peaks[0]
    title = f"peak memory, {effort.scale} records of {kilobytes:.0f} KB against {FEW} (<= {MEMORY})"
    yield Result(title=title, value=f"{ratio:.2f} x", good=ratio <= MEMORY)
    yield Result(title="  MB", value=", ".join(f"{peak:.0f}" for peak in peaks))


def first_step(dataset: Path, model_dir: Path) -> float:
    """Return the seconds from the start of `python -m trainer` to its first step."""
    start = time.perf_counter()
    for _, line in trainer_lines(dataset, model_dir, "--steps_per_loop=1"):
        if line.startswith("step 1/"):
            return time.perf_counter() - start
    raise AssertionError("trainer_lines ends only by an exception")


def of_start(work: Path, data: Path | None, runs: int) -> Iterator[Result]:
    dataset = prepared(work / "start", data)
    times = [first_step(dataset, work / f"model-{run}") for run in range(runs)]
    median = statistics.median(times)
    title = f"start of python -m trainer to its first step, median of {runs} (<= {START_SECONDS} s)"
    yield Result(title=title, value=f"{median:.1f} s", good=median <= START_SECONDS)
    yield Result(title="  seconds", value=", ".join(f"{each:.1f}" for each in times))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("input", "boxes", "records", "memory", "start")
    parser.add_argument("--data", type=Path, help="folder of images/ and annotations/; default: the sample")
    parser.add_argument("--parts", nargs="+", choices=names, default=names)
    parser.add_argument("--scale", type=int, default=30_000, help="records of the large data sets")
    parser.add_argument("--rounds", type=int, default=9, help="of each of two that are compared")
    parser.add_argument("--count", type=int, default=150, help="batches or steps of a round")
    flags = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    effort = Effort(rounds=flags.rounds, warm_up=max(flags.count // 5, 1), count=flags.count, scale=flags.scale)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        parts = {
            "input": lambda: of_input(work, flags.data, effort),
            "boxes": lambda: of_boxes(work, effort),
            "records": lambda: of_records(work, effort),
            "memory": lambda: of_memory(work, effort),
            "start": lambda: of_start(work, flags.data, min(flags.rounds, 3)),
        }
        good = [print_results(parts[name]()) for name in flags.parts]  # every part is measured
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
