"""The examples of a split as they are, for programs and notebooks: decoded images in full size, boxes in pixels.

Begin with `open_dataset`. Training reads the same records by `records`, resized and augmented.

Shapes: an image has h × w pixels, n objects and m regions.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from retinanet_odm.dataset import example_keys as schema
from retinanet_odm.systems import with_slashes
from trainer.data.parsing import REGION, parse_record
from trainer.data.preprocess import decode_full_size
from trainer.data.records import RecordSplit, find_split, read_dataset_manifest, reading_shards
from trainer.typing import Tensor


@dataclass(frozen=True, kw_only=True)
class DecodedSplit:
    """The examples of one split. Iterating gives dictionaries of numpy arrays, in the order of the shards.

    An example has these values. Boxes are (ymin, xmin, ymax, xmax) in pixels of the image, continuous 0-based edges.
    Strings are bytes, UTF-8.

      image       uint8 [h, w, 3], RGB, upright, in full size
      boxes       float32 [n, 4]
      labels      int32 [n], label ids, from 1
      names       string [n], the classes
      regions     float32 [m, 4], areas in which nobody has looked for objects, and crowds: no objects, no background
      filename    string scalar, the name of the image in the data set
      source_id   int64 scalar, the id of the image, the same in every split and in val.json

    Attributes:
      classes: names by label id.
      dataset: the same examples as a tf.data.Dataset of tensors, to be mapped, batched and so on. A damaged shard ends
        it with an error of TensorFlow.
    """

    classes: Mapping[int, str]
    dataset: tf.data.Dataset = field(repr=False)
    split: RecordSplit = field(repr=False)

    def __len__(self) -> int:
        return self.split.examples

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the examples.

        Raises:
          ContractError: A shard is damaged, or TensorFlow cannot decode an image.
        """
        with reading_shards(self.split.paths):
            yield from self.dataset.as_numpy_iterator()


def open_dataset(dataset: str | os.PathLike[str], split: str) -> DecodedSplit:
    """Open a split of a data set that `prepare` has written.

    Args:
      dataset: folder of the data set, with dataset.json, local or gs://.
      split: its name, such as "train", "val" or "test".

    Raises:
      ContractError: There is no complete data set, or no example in this split.

    Example (see docs/python.md):
      ``[example["names"] for example in trainer.open_dataset("DATASET", "val")]``
    """
    folder = with_slashes(os.fspath(dataset))
    manifest = read_dataset_manifest(folder)
    found = find_split(folder, manifest, split)
    names = _names_by_id(manifest.labels.name_by_id)

    @tf.autograph.experimental.do_not_convert  # there is no control flow to convert, and the search takes seconds
    def load(record: Tensor) -> dict[str, Tensor]:
        return _decode_example(record, names)

    records = tf.data.TFRecordDataset(found.paths).take(found.examples)
    decoded = records.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    sized = decoded.apply(tf.data.experimental.assert_cardinality(found.examples))
    return DecodedSplit(classes=manifest.labels.name_by_id, dataset=sized.prefetch(tf.data.AUTOTUNE), split=found)


def _names_by_id(classes: Mapping[int, str]) -> Tensor:
    """Return string [K + 1], the name of each label id; ids that the label map leaves out have none."""
    return tf.constant([classes.get(label_id, "") for label_id in range(max(classes) + 1)])


def _decode_example(record: Tensor, names: Tensor) -> dict[str, Tensor]:
    values = parse_record(record)
    # parse_record keeps what training needs; the name of the file is for people.
    named = tf.io.parse_single_example(record, {schema.FILENAME: tf.io.FixedLenFeature([], tf.string)})
    image = decode_full_size(values["encoded"])
    sides = tf.cast(tf.tile(tf.shape(image)[:2], [2]), tf.float32)  # (h, w, h, w)
    is_region = values["labels"] == REGION
    labels = tf.boolean_mask(values["labels"], ~is_region)
    return {
        "image": image,
        "boxes": tf.boolean_mask(values["boxes"], ~is_region) * sides,
        "labels": labels,
        "names": tf.gather(names, labels),
        "regions": tf.boolean_mask(values["boxes"], is_region) * sides,
        "filename": named[schema.FILENAME],
        "source_id": values["source_id"],
    }
