"""From shards to batches. Begin with `training_batches`; `evaluation_batches` is its counterpart.

The order depends only on (seed, step), so that a resumed run sees the records that it would have seen.

Shapes: B images in a batch, on canvases of H × W pixels; n boxes of an image, padded to M. Boxes are
(ymin, xmin, ymax, xmax).
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import tensorflow as tf

from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import ContractError
from retinanet_odm.storage import files
from retinanet_odm.storage.file_names import parent_folder
from trainer.data import augmentation as augment
from trainer.data import preprocess
from trainer.data.parsing import parse_record
from trainer.tf_errors import plain_message
from trainer.typing import Tensor

# Encoded records in memory from which the next one is drawn. A data set is shuffled globally when it is written, and
# its shards are interleaved, so more gains little. Limited by bytes, because an image may have 20 KB or 20 MB.
_SHUFFLE_BYTES = 64 * 2**20
_MIN_SHUFFLE_RECORDS, _MAX_SHUFFLE_RECORDS = 16, 4096


@dataclass(frozen=True, kw_only=True)
class RecordSplit:
    """The shards of a split.

    Attributes:
      paths: Of the shards that hold records.
      examples: Number of records.
      size: Bytes of all shards.
    """

    paths: tuple[str, ...]
    examples: int
    size: int = 0

    @property
    def shuffle_records(self) -> int:
        """Number of records in memory from which the next one is drawn."""
        fitting = _SHUFFLE_BYTES * self.examples // max(self.size, 1)
        return min(max(fitting, _MIN_SHUFFLE_RECORDS), _MAX_SHUFFLE_RECORDS)


def read_dataset_manifest(folder: str) -> DatasetManifest:
    """Read the manifest of a data set.

    Raises:
      ContractError: There is none, so the folder holds no complete data set, or it is not ours.
      UsageError: It cannot be read.
    """
    path = f"{folder.rstrip('/')}/{DatasetManifest.FILE}"
    if not files.is_file(path):
        raise ContractError(f"--dataset: expected a prepared data set, found no {path}{_why_missing(folder)}")
    return DatasetManifest.from_json(files.read_text(path, flag="--dataset"), source=path)


def _why_missing(folder: str) -> str:
    parent = parent_folder(folder)
    if files.is_file(files.join(parent, DatasetManifest.FILE)):  # a file in it was given, or a pattern of its files
        return f"; did you mean {parent}?"
    return "; python -m beam_jobs prepare writes it, from images and annotations" if files.is_folder(folder) else ""


def find_split(folder: str, manifest: DatasetManifest, name: str) -> RecordSplit:
    """Find the shards of a split by the manifest.

    Raises:
      ContractError: The split is empty, or a shard is missing or has 0 bytes.
    """
    info = manifest.split(name)
    paths = tuple(f"{folder.rstrip('/')}/{shard.name}" for shard in info.shards if shard.examples)
    return RecordSplit(paths=paths, examples=info.examples, size=sum(map(_shard_size, paths)))


def _shard_size(path: str) -> int:
    try:
        size = tf.io.gfile.stat(path).length
    except tf.errors.NotFoundError as error:
        raise ContractError(f"--dataset: the manifest names {path}, which does not exist: prepare again") from error
    if not size:  # TensorFlow would read it as a shard without records
        raise ContractError(f"--dataset: {path} is empty: copy or prepare it again")
    return int(size)


@contextlib.contextmanager
def reading_shards(paths: Sequence[str]) -> Iterator[None]:
    """Wrap a block that reads records of these shards; a damaged shard or image ends it with a message of one line.

    Raises:
      ContractError: The length or checksum of a record is wrong, or TensorFlow cannot decode its image.
    """
    try:
        yield
    except tf.errors.DataLossError as error:
        damaged = ", ".join(path for path in paths if _is_damaged(path))
        raise ContractError(f"--dataset: damaged, copy or prepare it again: {damaged}") from error
    except tf.errors.InvalidArgumentError as error:
        unreadable = next(filter(None, map(_find_unreadable, paths)), None)
        if unreadable is None:  # the error is not one of the data
            raise
        raise ContractError(f"--dataset: prepare it again, without this image: {unreadable}") from error


def _find_unreadable(path: str) -> str | None:
    """Return which record of a shard cannot be decoded, and why; None if all can.

    An error in a pipeline does not name the record, so all are decoded again, in their order and at a small size.
    """
    records, read = tf.data.TFRecordDataset(path), 0
    try:
        for _ in records.map(_decode_small, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True):
            read += 1
    except tf.errors.InvalidArgumentError:
        (record,) = records.skip(read).take(1)
        return f"{_source_of(record)}record {read + 1} of {path}: {_why_unreadable(record)}"
    return None


def _decode_small(record: Tensor) -> Tensor:
    return preprocess.decode_image_bytes(parse_record(record)["encoded"], (64, 64)).size


def _source_of(record: Tensor) -> str:
    try:
        return f"source id {int(parse_record(record)['source_id'])}, "
    except tf.errors.InvalidArgumentError:
        return ""


def _why_unreadable(record: Tensor) -> str:
    try:
        _decode_small(record)
    except tf.errors.InvalidArgumentError as error:  # clearer than that of the pipeline
        return plain_message(error)
    return "TensorFlow cannot decode it"


def _is_damaged(path: str) -> bool:
    try:
        tf.data.TFRecordDataset(path).reduce(0, lambda count, _: count + 1)
    except tf.errors.DataLossError:
        return True
    return False


def training_batches(
    split: RecordSplit,
    *,
    canvas: tuple[int, int],
    batch_size: int,
    max_instances: int,
    augmentation: augment.Augmentation,
    seed: int,
    first_step: int,
    partial_classes: int = 0,
) -> tf.data.Dataset:
    """Make endless batches from first_step on; epochs follow each other without a break, each in its own order.

    Args:
      split: The records.
      canvas: (H, W).
      batch_size: B.
      max_instances: M; an image with more boxes keeps its first ones. Ignored regions are among the boxes, at the end.
      augmentation: Ranges of the random views.
      seed: Of the run.
      first_step: Number of batches that were seen before.
      partial_classes: K of a data set with partial labels; 0 for others.

    Yields:
      image: uint8 [B, H, W, 3]. boxes: float32 [B, M, 4] in canvas pixels. labels: int32 [B, M], 0 for padding,
      `parsing.REGION` for an area in which no object is known. boxes_truncated: int32 [B], number of boxes beyond M.
      With partial_classes also not_exhaustive: float32 [B, K], 1 for the classes of which an image may show objects
      without a box.
    """
    # Counted in records from the start of the run: with the seed, it is all that a draw depends on.
    position = first_step * batch_size

    @tf.autograph.experimental.do_not_convert  # there is no control flow to convert, and the search takes seconds
    def load(index: Tensor, record: Tensor) -> dict[str, Tensor]:
        values = parse_record(record, partial_classes=partial_classes)
        image, boxes, labels = augment.random_view(
            values["encoded"],
            values["boxes"],
            values["labels"],
            canvas,
            augmentation,
            tf.stack([tf.constant(seed, tf.int64), index]),
        )
        truncated = tf.maximum(tf.shape(labels)[0] - max_instances, 0)
        boxes, labels = _pad_instances(boxes, labels, max_instances)
        partial = {name: values[name] for name in ("not_exhaustive",) if name in values}
        return {"image": image, "boxes": boxes, "labels": labels, "boxes_truncated": truncated, **partial}

    batches = (
        _ordered_records(split, seed, position)
        .enumerate(start=position)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size, drop_remainder=True)
    )
    if augmentation.mosaic:
        batches = batches.enumerate(start=first_step).map(
            lambda step, batch: augment.apply_mosaics(batch, augmentation, seed, step)
        )
    # Of several hosts, each trains on its part of every batch.
    return _with_sharding(batches, tf.data.experimental.AutoShardPolicy.DATA).prefetch(tf.data.AUTOTUNE)


def batch_source_ids(split: RecordSplit, *, batch_size: int, seed: int, step: int) -> list[int]:
    """Return the source ids of the batch that `training_batches` yields after so many steps; decodes no image."""
    records = _ordered_records(split, seed, step * batch_size).take(batch_size)
    return [int(source_id) for source_id in records.map(lambda record: parse_record(record)["source_id"])]


def evaluation_batches(split: RecordSplit, *, canvas: tuple[int, int], batch_size: int) -> tf.data.Dataset:
    """Make batches of every image once; the last is filled up with repeats whose source_id is 0.

    The first `split.examples` records are read, in the order of the shards.

    Yields:
      image: uint8 [B, H, W, 3]. placed: float32 [B, 2], size of the image on the canvas (`preprocess.DecodedBatch`).
      size: int32 [B, 2], (height, width) of the image itself. source_id: int64 [B].
    """

    @tf.autograph.experimental.do_not_convert  # as above
    def load(record: Tensor) -> dict[str, Tensor]:
        values = parse_record(record)
        image = preprocess.decode_image_bytes(values["encoded"], canvas)
        boxed, placement = preprocess.letterbox(image, canvas)
        return {"image": boxed, "placed": placement.size, "size": image.size, "source_id": values["source_id"]}

    def as_filler(values: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**values, "source_id": tf.zeros_like(values["source_id"])}

    # Shard after shard, without shuffling: every run evaluates the same batches.
    records = tf.data.TFRecordDataset(split.paths).take(split.examples)
    images = records.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    # Batches of one static shape: the last is filled up.
    missing = -split.examples % batch_size
    filler = images.take(1).map(as_filler).repeat(missing)
    batches = images.concatenate(filler).batch(batch_size, drop_remainder=True)
    # Of several hosts, each sees all images.
    return _with_sharding(batches, tf.data.experimental.AutoShardPolicy.OFF).prefetch(tf.data.AUTOTUNE)


def _with_sharding(batches: tf.data.Dataset, policy: tf.data.experimental.AutoShardPolicy) -> tf.data.Dataset:
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = policy
    return batches.with_options(options)


def _ordered_records(split: RecordSplit, seed: int, position: int) -> tf.data.Dataset:
    """Yield serialized records, endless, from a position on in the order that the seed decides."""
    return (
        tf.data.Dataset.range(position // split.examples, tf.int64.max)
        .flat_map(lambda epoch: _epoch_records(split, seed, epoch))
        .skip(position % split.examples)
    )


def _epoch_records(split: RecordSplit, seed: int, epoch: Tensor) -> tf.data.Dataset:
    """Yield the records of one epoch, shards interleaved and shuffled by (seed, epoch)."""
    # Two seeds, one for the order of the shards and one for the records.
    order = tf.random.stateless_uniform([2], [tf.constant(seed, tf.int64), epoch], 0, tf.int64.max, tf.int64)
    shards = tf.data.Dataset.from_tensor_slices(list(split.paths)).shuffle(len(split.paths), seed=order[0])
    records = shards.interleave(tf.data.TFRecordDataset, cycle_length=min(16, len(split.paths)))
    return records.shuffle(split.shuffle_records, seed=order[1])


def _pad_instances(boxes: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Pad or truncate boxes [n, 4] to [count, 4] and labels [n] to [count]."""
    missing = tf.maximum(count - tf.shape(labels)[0], 0)
    boxes = tf.pad(boxes[:count], [[0, missing], [0, 0]])
    labels = tf.pad(labels[:count], [[0, missing]])
    boxes.set_shape([count, 4])
    labels.set_shape([count])
    return boxes, labels
