"""Shards to batches, in an order that depends only on (seed, step), so that a resumed run sees what it would have."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from retinanet_odm.dataset import examples as schema
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import ContractError
from retinanet_odm.storage import files
from trainer.data import augmentation as augment
from trainer.data import augmentation as mosaic
from trainer.data import preprocess

Tensor = Any

# Undecoded records waiting to be drawn from, in memory at once; a data set is globally shuffled when written and its
# shards are interleaved, so more buys little. By bytes, since a photograph may have 20 KB or 20 MB.
_SHUFFLED_BYTES = 64 * 2**20
_SHUFFLED_RECORDS = (16, 4096)  # at least, at most


@dataclass(frozen=True, kw_only=True)
class RecordSplit:
    """Where a split's records are and how many there should be.

    Attributes:
      size: bytes of all shards.
    """

    paths: tuple[str, ...]
    examples: int
    size: int = 0

    @property
    def shuffled(self) -> int:
        """How many records wait in memory to be drawn from."""
        least, most = _SHUFFLED_RECORDS
        return min(max(_SHUFFLED_BYTES * self.examples // max(self.size, 1), least), most)


def read_dataset_manifest(folder: str) -> DatasetManifest:
    """The manifest of a data set.

    Raises:
      ContractError: there is none, so that the folder holds no whole data set, or it is not ours.
    """
    path = f"{folder.rstrip('/')}/{DatasetManifest.FILE}"
    if not files.is_file(path):
        raise ContractError(f"--dataset: expected a prepared data set, found no {path}")
    return DatasetManifest.from_json(files.read_text(path, flag="--dataset"), source=path)


def find_split(folder: str, manifest: DatasetManifest, name: str) -> RecordSplit:
    """The shards of a split, by the manifest.

    Raises:
      ContractError: the split is empty, or a shard is missing or of 0 bytes.
    """
    info = manifest.split(name)
    paths = tuple(f"{folder.rstrip('/')}/{shard.name}" for shard in info.shards if shard.examples)
    return RecordSplit(paths=paths, examples=info.examples, size=sum(map(_shard_size, paths)))


def _shard_size(path: str) -> int:
    try:
        size = tf.io.gfile.stat(path).length
    except tf.errors.NotFoundError as error:
        raise ContractError(f"--dataset: the manifest names {path}, which does not exist: prepare again") from error
    if not size:  # it would read as a shard without records
        raise ContractError(f"--dataset: {path} is empty: copy or prepare it again")
    return size


@contextlib.contextmanager
def whole_shards(paths: Sequence[str]) -> Iterator[None]:
    """A block in which records of these shards are read: one that is cut or spoilt ends it in one line.

    Raises:
      ContractError: a record's length or checksum is wrong.
    """
    try:
        yield
    except tf.errors.DataLossError as error:
        damaged = ", ".join(path for path in paths if _is_damaged(path))
        raise ContractError(f"--dataset: damaged, copy or prepare it again: {damaged}") from error


def _is_damaged(path: str) -> bool:
    try:
        tf.data.TFRecordDataset(path).reduce(0, lambda count, _: count + 1)
    except tf.errors.DataLossError:
        return True
    return False


def parse_record(record: Tensor) -> dict[str, Tensor]:
    """One serialized example: encoded image, relative boxes [n, 4] (ymin, xmin, ymax, xmax), labels [n] int32."""
    edges = (schema.YMIN, schema.XMIN, schema.YMAX, schema.XMAX)
    features: dict[str, Any] = {
        schema.ENCODED: tf.io.FixedLenFeature([], tf.string),
        schema.SOURCE_ID: tf.io.FixedLenFeature([], tf.string),
        schema.LABEL: tf.io.RaggedFeature(tf.int64),
        **{edge: tf.io.RaggedFeature(tf.float32) for edge in edges},
    }
    values = tf.io.parse_single_example(record, features)
    return {
        "encoded": values[schema.ENCODED],
        "source_id": tf.strings.to_number(values[schema.SOURCE_ID], tf.int64),
        "boxes": tf.stack([values[edge] for edge in edges], axis=-1),
        "labels": tf.cast(values[schema.LABEL], tf.int32),
    }


def training_batches(
    split: RecordSplit,
    *,
    canvas: tuple[int, int],
    batch_size: int,
    max_instances: int,
    augmentation: augment.Augmentation,
    seed: int,
    first_step: int,
) -> tf.data.Dataset:
    """Endless batches from first_step on; epochs follow each other without a break, each in an order of its own.

    Yields:
      dict of image uint8 [B, H, W, 3], boxes float32 [B, M, 4] in canvas pixels, labels int32 [B, M], 0 for padding,
      left_out int32 [B]. An image with more than max_instances boxes keeps its first ones; left_out counts the others.
    """
    position = first_step * batch_size

    @tf.autograph.experimental.do_not_convert  # as in steps: looking for Python's control flow takes seconds
    def load(index: Tensor, record: Tensor) -> dict[str, Tensor]:
        values = parse_record(record)
        image, boxes, labels = augment.random_view(
            values["encoded"],
            values["boxes"],
            values["labels"],
            canvas,
            augmentation,
            tf.stack([tf.constant(seed, tf.int64), index]),
        )
        left_out = tf.maximum(tf.shape(labels)[0] - max_instances, 0)
        boxes, labels = _pad_instances(boxes, labels, max_instances)
        return {"image": image, "boxes": boxes, "labels": labels, "left_out": left_out}

    batches = (
        _ordered_records(split, seed, position)
        .enumerate(start=position)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size, drop_remainder=True)
    )
    if augmentation.mosaic:
        batches = batches.enumerate(start=first_step).map(
            lambda step, batch: mosaic.some_mosaics(batch, augmentation, seed, step)
        )
    return _sharded(batches, tf.data.experimental.AutoShardPolicy.DATA).prefetch(tf.data.AUTOTUNE)


def batch_source_ids(split: RecordSplit, *, batch_size: int, seed: int, step: int) -> list[int]:
    """The source ids of the batch that training_batches yields after so many steps, without decoding an image."""
    records = _ordered_records(split, seed, step * batch_size).take(batch_size)
    return [int(source_id) for source_id in records.map(lambda record: parse_record(record)["source_id"])]


def evaluation_batches(split: RecordSplit, *, canvas: tuple[int, int], batch_size: int) -> tf.data.Dataset:
    """Every image once, in full batches: the last is filled up with repeats whose source_id is 0.

    Yields:
      dict of image uint8 [B, H, W, 3], placed float32 [B, 2] (see preprocess.DecodedBatch), size int32 [B, 2] of the
      photograph, source_id int64 [B].
    """

    @tf.autograph.experimental.do_not_convert
    def load(record: Tensor) -> dict[str, Tensor]:
        values = parse_record(record)
        photograph = preprocess.decode_image_bytes(values["encoded"], canvas)
        boxed, placement = preprocess.letterbox(photograph, canvas)
        return {"image": boxed, "placed": placement.size, "size": photograph.size, "source_id": values["source_id"]}

    def as_filler(values: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**values, "source_id": tf.zeros_like(values["source_id"])}

    images = tf.data.TFRecordDataset(split.paths).map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    missing = -split.examples % batch_size
    filler = images.take(1).map(as_filler).repeat(missing)
    batches = images.concatenate(filler).batch(batch_size, drop_remainder=True)
    return _sharded(batches, tf.data.experimental.AutoShardPolicy.OFF).prefetch(tf.data.AUTOTUNE)


def _sharded(batches: tf.data.Dataset, policy: tf.data.experimental.AutoShardPolicy) -> tf.data.Dataset:
    """How several hosts share batches: in training each takes its part of every one, in evaluation each sees all."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = policy
    return batches.with_options(options)


def _ordered_records(split: RecordSplit, seed: int, position: int) -> tf.data.Dataset:
    """Serialized records, endless, from a position in the order that the seed decides."""
    return (
        tf.data.Dataset.range(position // split.examples, tf.int64.max)
        .flat_map(lambda epoch: _epoch_records(split, seed, epoch))
        .skip(position % split.examples)
    )


def _epoch_records(split: RecordSplit, seed: int, epoch: Tensor) -> tf.data.Dataset:
    """The records of one epoch, shards interleaved and shuffled by (seed, epoch)."""
    order = tf.random.stateless_uniform([2], [tf.constant(seed, tf.int64), epoch], 0, tf.int64.max, tf.int64)
    shards = tf.data.Dataset.from_tensor_slices(list(split.paths)).shuffle(len(split.paths), seed=order[0])
    records = shards.interleave(tf.data.TFRecordDataset, cycle_length=min(16, len(split.paths)))
    return records.shuffle(split.shuffled, seed=order[1])


def _pad_instances(boxes: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    missing = tf.maximum(count - tf.shape(labels)[0], 0)
    boxes = tf.pad(boxes[:count], [[0, missing], [0, 0]])
    labels = tf.pad(labels[:count], [[0, missing]])
    boxes.set_shape([count, 4])
    labels.set_shape([count])
    return boxes, labels
