"""The boxes of the training split, read without decoding an image. Begin with `read_boxes`.

Shapes: N boxes, (ymin, xmin, ymax, xmax).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from retinanet_odm.dataset import example_keys as schema
from retinanet_odm.dataset.anchor_coverage import place_boxes
from retinanet_odm.dataset.manifest import DatasetManifest
from trainer.config import TrainConfig
from trainer.config.options import parse_image_size
from trainer.data import records

# A data set is shuffled globally when it is written: its first records are a sample, and reading more takes minutes.
MAX_BOXES, MAX_IMAGES = 200_000, 20_000
_BATCH = 64  # records parsed at once, encoded images included

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int_]


@dataclass(frozen=True, kw_only=True)
class TrainingBoxes:
    """Boxes of the training split.

    Attributes:
      boxes: float64 [N, 4], relative.
      sizes: int [N, 2], (height, width) of their images in pixels.
      labels: int [N], class ids.
      images: Number of images read.
      is_complete: Whether these are all images of the split.
    """

    boxes: _Floats
    sizes: _Ints
    labels: _Ints
    images: int
    is_complete: bool

    def place(self, image_size: str) -> tuple[_Floats, _Floats]:
        """Return the boxes at scale 1 in canvas pixels [N, 4], and (height, width) of their canvases [N, 2].

        Args:
          image_size: the option of that name.
        """
        size = parse_image_size(image_size)
        return place_boxes(self.boxes, self.sizes, size if isinstance(size, tuple) else (size, size))


def read_boxes(config: TrainConfig, manifest: DatasetManifest) -> TrainingBoxes:
    """Read the boxes of the training split, or of its first records if there are very many; decodes no image.

    Raises:
      ContractError: The split is empty, or a shard is missing or damaged.
    """
    split = records.find_split(config.data.dataset, manifest, "train")
    # Each begins with no rows, so that a split without boxes has arrays of the same shapes.
    batches: list[tuple[_Floats, _Ints, _Ints]] = [(np.zeros((0, 4)), np.zeros(0, int), np.zeros((0, 2), int))]
    images, count = 0, 0
    with records.reading_shards(split.paths):
        for batch in _box_batches(split):
            batches.append(batch)
            images, count = images + _BATCH, count + len(batch[0])
            if count >= MAX_BOXES or images >= MAX_IMAGES:
                break
    images = min(images, split.examples)
    is_complete = images == split.examples
    boxes, labels, sizes = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return TrainingBoxes(boxes=boxes, sizes=sizes, labels=labels, images=images, is_complete=is_complete)


def _box_batches(split: records.RecordSplit) -> Iterator[tuple[_Floats, _Ints, _Ints]]:
    """Yield for some images each: relative boxes [N, 4], labels [N], and (height, width) of their images [N, 2]."""
    features: dict[str, Any] = {
        **{side: tf.io.FixedLenFeature([], tf.int64) for side in (schema.HEIGHT, schema.WIDTH)},
        **{key: tf.io.RaggedFeature(tf.int64) for key in (schema.LABEL, schema.IS_CROWD)},
        **{edge: tf.io.RaggedFeature(tf.float32) for edge in schema.BOX_KEYS},
    }
    batches = tf.data.TFRecordDataset(list(split.paths)).batch(_BATCH)
    for values in batches.map(lambda batch: tf.io.parse_example(batch, features)).prefetch(1):
        sizes = np.stack([values[side].numpy() for side in (schema.HEIGHT, schema.WIDTH)], axis=1)
        relative = np.stack([values[edge].flat_values.numpy() for edge in schema.BOX_KEYS], axis=1).astype(np.float64)
        labels = values[schema.LABEL]
        is_object = values[schema.IS_CROWD].flat_values.numpy() == 0  # crowds are not learned
        sizes = np.repeat(sizes, labels.row_lengths().numpy(), axis=0)
        yield relative[is_object], labels.flat_values.numpy()[is_object], sizes[is_object]
