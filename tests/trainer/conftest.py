"""A small data set that a detector can learn: bright and dark rectangles on grey."""

import hashlib
import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from retinanet_odm.dataset.examples import DetectionExample, ExampleObject, encode_example
from retinanet_odm.dataset.manifest import DatasetManifest, ShardInfo, SplitInfo
from retinanet_odm.labels.label_map import LabelMap

# Grappler rewrites a graph before its first step, which takes a quarter of a short training. It is TensorFlow's own
# work: the programs that tests start as processes have it.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})

# For --runtime=xla: jax reads these when it is imported. Programs that tests start have them, too.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="xla-cache-")

LABELS = LabelMap.from_names(["bright", "dark"])
SIZE = (96, 128)


def make_example(source_id: int, *, size: tuple[int, int] = SIZE) -> DetectionExample:
    """Makes an image with 0 to 2 rectangles, determined by the number."""
    rng = np.random.default_rng(source_id)
    height, width = size
    pixels = np.full((height, width, 3), 110, np.uint8)
    objects = []
    for slot in range(source_id % 3):
        label_id = int(rng.integers(1, 3))
        box_height, box_width = rng.integers(20, 40, 2)
        top = int(rng.integers(0, height - box_height))
        left = int(slot * width / 2 + rng.integers(0, width / 2 - box_width))
        pixels[top : top + box_height, left : left + box_width] = 240 if label_id == 1 else 10
        box = (top / height, left / width, (top + box_height) / height, (left + box_width) / width)
        objects.append(
            ExampleObject(
                label_id=label_id,
                label=LABELS.name_by_id[label_id],
                box=tuple(float(np.float32(edge)) for edge in box),  # type: ignore[arg-type]
                area=float(box_height * box_width),
            )
        )
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return DetectionExample(
        encoded=buffer.getvalue(),
        format="png",
        height=height,
        width=width,
        filename=f"{source_id}.png",
        source_id=source_id,
        sha256=hashlib.sha256(buffer.getvalue()).hexdigest(),
        objects=tuple(objects),
    )


def make_noise(seed: int, size: tuple[int, int]) -> bytes:
    """Returns a PNG of coarse noise, for untrained networks; size is (height, width)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize(size[::-1]).save(buffer, "PNG")
    return buffer.getvalue()


def write_dataset(folder: Path, *, splits: dict[str, list[int]], shards: int = 2) -> DatasetManifest:
    """A data set of the given source ids by split."""
    infos = {}
    for name, ids in splits.items():
        shard_infos = []
        for shard in range(shards):
            part = ids[shard::shards]
            file = f"{name}-{shard:05d}-of-{shards:05d}.tfrecord"
            with tf.io.TFRecordWriter(str(folder / file)) as writer:
                for source_id in part:
                    writer.write(encode_example(make_example(source_id)))
            digest = hashlib.sha256((folder / file).read_bytes()).hexdigest()
            shard_infos.append(ShardInfo(name=file, examples=len(part), sha256=digest))
        boxes = sum(source_id % 3 for source_id in ids)
        infos[name] = SplitInfo(examples=len(ids), boxes=boxes, boxes_per_class={}, shards=tuple(shard_infos))
    total = sum(len(ids) for ids in splits.values())
    manifest = DatasetManifest(
        labels=LABELS,
        splits=infos,
        max_boxes_per_image=2,
        aspect_ratio_min=SIZE[1] / SIZE[0],
        aspect_ratio_max=SIZE[1] / SIZE[0],
        images_in=total,
        rejected=0,
        rejected_by_reason={},
        objects_dropped={},
        options={},
        code_version="test",
    )
    (folder / DatasetManifest.FILE).write_text(manifest.to_json())
    return manifest


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    write_dataset(folder, splits={"train": list(range(1, 25)), "val": list(range(25, 32))})
    return folder
