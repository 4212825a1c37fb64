"""Parses records inside a graph. Begin with `parse_record`.

Shapes: n boxes of an image, (ymin, xmin, ymax, xmax); K classes.
"""

from typing import Any

import tensorflow as tf

from retinanet_odm.dataset import example_keys as schema
from trainer.typing import Tensor

REGION = -1  # the label of an area in which no object is known: neither an object nor background


def parse_record(record: Tensor, *, partial_classes: int = 0) -> dict[str, Tensor]:
    """Parse one serialized example.

    Args:
      record: string scalar.
      partial_classes: K, for records that may name classes that are not exhaustive; 0 for others.

    Returns:
      encoded: string scalar. source_id: int64 scalar. boxes: float32 [n, 4], relative. labels: int32 [n], REGION for
      crowds and for ignored regions. With partial_classes also not_exhaustive: float32 [K], 1 for the classes of which
      the image may show objects without a box.
    """
    # Only the keys that training needs; a record holds more.
    features: dict[str, Any] = {
        schema.ENCODED: tf.io.FixedLenFeature([], tf.string),
        schema.SOURCE_ID: tf.io.FixedLenFeature([], tf.string),
        **{key: tf.io.RaggedFeature(tf.int64) for key in (schema.LABEL, schema.IS_CROWD, schema.NOT_EXHAUSTIVE_LABEL)},
        **{edge: tf.io.RaggedFeature(tf.float32) for edge in (*schema.BOX_KEYS, *schema.IGNORED_KEYS)},
    }
    values = tf.io.parse_single_example(record, features)
    # A crowd has a class, but nobody has drawn its objects one by one.
    labels = tf.where(values[schema.IS_CROWD] > 0, tf.constant(REGION, tf.int64), values[schema.LABEL])
    objects = tf.stack([values[edge] for edge in schema.BOX_KEYS], axis=-1)
    regions = tf.stack([values[edge] for edge in schema.IGNORED_KEYS], axis=-1)
    parsed = {
        "encoded": values[schema.ENCODED],
        "source_id": tf.strings.to_number(values[schema.SOURCE_ID], tf.int64),
        "boxes": tf.concat([objects, regions], axis=0),
        "labels": tf.concat([tf.cast(labels, tf.int32), tf.fill(tf.shape(regions)[:1], REGION)], axis=0),
    }
    if not partial_classes:
        return parsed
    indices = values[schema.NOT_EXHAUSTIVE_LABEL] - 1
    one_hot = tf.one_hot(indices, partial_classes)  # [classes of the record, K]
    return {**parsed, "not_exhaustive": tf.reduce_sum(one_hot, axis=0)}
