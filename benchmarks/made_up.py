"""Writes a synthetic prepared data set for benchmarks: noisy images with a fixed number of boxes each.

    python -m benchmarks.made_up FOLDER [--train N] [--boxes N] [--max_boxes N] [--size HxW] [--quality Q]

A few images are drawn and encoded as JPEG, and used in turn; every record has its own id and boxes. A detector learns
nothing from it. It is a separate program so that the benchmark's own process stays small.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.measures import python
from benchmarks.prepare_sources import noisy_images
from retinanet_odm.dataset.examples import DetectionExample, ExampleObject, encode_example
from retinanet_odm.dataset.manifest import DatasetManifest, ShardInfo, SplitInfo
from retinanet_odm.labels.label_map import LabelMap

LABELS = LabelMap.from_names(["class 1", "class 2", "class 3"])
SHARDS = 32  # as prepare writes a training split
SMALL, LARGE = "96x128", "540x960"  # at the default quality: 3 KB, 118 KB


def make(folder: Path, *, train: int, boxes: int = 5, max_boxes: int = 0, size: str = SMALL, quality: int = 72) -> Path:
    """Run this program; return the folder."""
    flags = [f"--train={train}", f"--boxes={boxes}", f"--max_boxes={max_boxes}", f"--size={size}"]
    python("-m", "benchmarks.made_up", str(folder), *flags, f"--quality={quality}")
    return folder


def make_objects(source_id: int, size: tuple[int, int], count: int) -> tuple[ExampleObject, ...]:
    """Return boxes with sides of 5 to 40 % of the image's, determined by the number."""
    rng = np.random.default_rng(source_id)
    sides = rng.uniform(0.05, 0.4, (count, 2))
    corners = rng.uniform(0, 1 - sides)
    table = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    labels = rng.integers(1, LABELS.num_classes + 1, count)
    areas = sides.prod(axis=1) * size[0] * size[1]
    return tuple(
        ExampleObject(label_id=int(label), label=LABELS.name_by_id[int(label)], box=tuple(map(float, box)), area=area)
        for label, box, area in zip(labels, table, areas.tolist(), strict=True)
    )


def records(ids: Sequence[int], images: Sequence[bytes], size: tuple[int, int], boxes: int) -> Iterator[bytes]:
    digests = [hashlib.sha256(image).hexdigest() for image in images]
    for source_id in ids:
        row = source_id % len(images)
        yield encode_example(
            DetectionExample(
                encoded=images[row],
                format="jpeg",
                height=size[0],
                width=size[1],
                filename=f"{source_id}.jpg",
                source_id=source_id,
                sha256=digests[row],
                objects=make_objects(source_id, size, boxes),
            )
        )


def write_split(folder: Path, name: str, ids: Sequence[int], encoded: Iterator[bytes], boxes: int) -> SplitInfo:
    import tensorflow as tf  # imported here, because make is for programs that stay small

    shards = []
    for shard in range(SHARDS):
        count = len(ids[shard::SHARDS])
        path = folder / f"{name}-{shard:05d}-of-{SHARDS:05d}.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for _ in range(count):
                writer.write(next(encoded))
        # Of the name and the number: reading gigabytes again would take long, and nothing checks it.
        digest = hashlib.sha256(f"{path.name} {len(ids)}".encode()).hexdigest()
        shards.append(ShardInfo(name=path.name, examples=count, sha256=digest))
    return SplitInfo(examples=len(ids), boxes=boxes * len(ids), boxes_per_class={}, shards=tuple(shards))


def write(folder: Path, *, train: int, boxes: int, max_boxes: int, size: tuple[int, int], quality: int) -> None:
    folder.mkdir(parents=True)
    images = noisy_images(size, quality)
    ids = range(1, train + 1)
    split = write_split(folder, "train", ids, records(ids, images, size, boxes), boxes)
    manifest = DatasetManifest(
        labels=LABELS,
        splits={"train": split},
        max_boxes_per_image=max(boxes, max_boxes),
        aspect_ratio_min=size[1] / size[0],
        aspect_ratio_max=size[1] / size[0],
        images_in=train,
        rejected=0,
        rejected_by_reason={},
        objects_dropped={},
        options={},
        code_version="made up",
    )
    (folder / DatasetManifest.FILE).write_text(manifest.to_json())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=300, help="images of the training split")
    parser.add_argument("--boxes", type=int, default=5, help="boxes of each image")
    parser.add_argument("--max_boxes", type=int, default=0, help="the number in dataset.json, if larger")
    parser.add_argument("--size", default=SMALL, help="HEIGHTxWIDTH of the images")
    parser.add_argument("--quality", type=int, default=72, help="of the JPEG files")
    flags = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    height, width = map(int, flags.size.split("x"))
    write(
        flags.folder,
        train=flags.train,
        boxes=flags.boxes,
        max_boxes=flags.max_boxes,
        size=(height, width),
        quality=flags.quality,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
