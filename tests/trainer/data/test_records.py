import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from retinanet_odm.dataset.examples import encode_example
from retinanet_odm.errors import ContractError
from tests.trainer.conftest import make_example
from trainer.data import records
from trainer.data.augmentation import Augmentation
from trainer.data.parsing import parse_record

CANVAS = (96, 128)


def batches(folder: Path, *, first_step: int = 0, seed: int = 0, batch_size: int = 5, max_instances: int = 2):
    split = records.find_split(str(folder), records.read_dataset_manifest(str(folder)), "train")
    return records.training_batches(
        split,
        canvas=CANVAS,
        batch_size=batch_size,
        max_instances=max_instances,
        augmentation=Augmentation(scale_min=0.8, scale_max=1.2, horizontal_flip=True),
        seed=seed,
        first_step=first_step,
    ).as_numpy_iterator()


def take(iterator, count: int) -> list[dict[str, np.ndarray]]:
    return [next(iterator) for _ in range(count)]


def test_a_resumed_run_sees_what_it_would_have_seen(dataset: Path) -> None:
    whole = take(batches(dataset), 12)  # 24 images: 2.5 epochs of batches of 5
    for first_step in (3, 5, 9):
        for expected, seen in zip(whole[first_step:], take(batches(dataset, first_step=first_step), 3), strict=False):
            for name, value in expected.items():
                np.testing.assert_array_equal(seen[name], value)


def test_epochs_and_seeds_differ_in_order(dataset: Path) -> None:
    def labels(**arguments: int) -> list[list[int]]:
        return [batch["labels"].tolist() for batch in take(batches(dataset, batch_size=24, **arguments), 2)]

    first, second = labels()
    assert first != second
    assert labels(seed=1)[0] != first


def test_an_epoch_holds_every_image_once(dataset: Path) -> None:
    found = sorted(int((row > 0).sum()) for row in next(batches(dataset, batch_size=24))["labels"])
    assert sum(found) <= sum(source_id % 3 for source_id in range(1, 25))
    split = records.find_split(str(dataset), records.read_dataset_manifest(str(dataset)), "train")
    epoch = records._epoch_records(split, 0, tf.constant(0, tf.int64))
    ids = sorted(int(parse_record(record)["source_id"]) for record in epoch)
    assert ids == list(range(1, 25))


WAITING = [
    ("tiny records: as many as ever", 100_000, 3_000, 4096),
    ("images of 100 KB: 64 MiB of them", 100_000, 100_000, 671),
    ("20 MB each: few, but not in the order of the shards", 100_000, 20_000_000, 16),
    ("fewer than that in all: the number does not matter", 5, 3_000, 4096),
]


@pytest.mark.parametrize(("why", "examples", "each", "expected"), WAITING, ids=[row[0] for row in WAITING])
def test_memory_of_the_shuffle_is_bounded(why: str, examples: int, each: int, expected: int) -> None:
    assert records.RecordSplit(paths=(), examples=examples, size=examples * each).shuffle_records == expected, why


def test_a_small_shuffle_gives_every_image_once_and_resumes(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records.RecordSplit, "shuffle_records", 4)
    whole = take(batches(dataset), 9)
    for first_step in (3, 5):
        for expected, seen in zip(whole[first_step:], take(batches(dataset, first_step=first_step), 3), strict=False):
            np.testing.assert_array_equal(seen["image"], expected["image"])
    split = records.find_split(str(dataset), records.read_dataset_manifest(str(dataset)), "train")
    epoch = records._epoch_records(split, 0, tf.constant(0, tf.int64))
    assert sorted(int(parse_record(record)["source_id"]) for record in epoch) == list(range(1, 25))


def test_more_boxes_than_max_instances_are_counted(dataset: Path) -> None:
    whole, cut = (next(batches(dataset, batch_size=24, max_instances=room)) for room in (2, 1))
    assert cut["boxes"].shape == (24, 1, 4) and not whole["boxes_truncated"].any()
    there = (whole["labels"] > 0).sum(axis=1)
    assert there.max() == 2
    assert (
        cut["boxes_truncated"].tolist() == [max(count - 1, 0) for count in there]
        and cut["boxes_truncated"].dtype == np.int32
    )


def test_batches_of_partial_labels_say_what_is_not_known(dataset: Path) -> None:
    split = records.find_split(str(dataset), records.read_dataset_manifest(str(dataset)), "train")
    settings = {"canvas": CANVAS, "batch_size": 5, "max_instances": 2, "augmentation": Augmentation(), "seed": 0}
    plain, partial = (
        next(records.training_batches(split, **settings, first_step=0, partial_classes=classes).as_numpy_iterator())
        for classes in (0, 2)
    )
    unknown = partial.pop("not_exhaustive")
    assert unknown.shape == (5, 2) and not unknown.any()
    assert sorted(plain) == sorted(partial)
    np.testing.assert_array_equal(plain["boxes"], partial["boxes"])


def test_evaluation_sees_every_image_once_in_full_batches(dataset: Path) -> None:
    split = records.find_split(str(dataset), records.read_dataset_manifest(str(dataset)), "val")  # 7 images
    seen = list(records.evaluation_batches(split, canvas=CANVAS, batch_size=4).as_numpy_iterator())
    ids = [int(value) for batch in seen for value in batch["source_id"]]
    assert [len(batch["image"]) for batch in seen] == [4, 4]
    assert sorted(value for value in ids if value) == list(range(25, 32)) and ids.count(0) == 1
    first = dataclasses.replace(split, examples=3)
    (batch,) = records.evaluation_batches(first, canvas=CANVAS, batch_size=4).as_numpy_iterator()
    assert batch["source_id"].tolist() == [*ids[:3], 0], "the first images alone"


def test_a_folder_without_a_manifest_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"found no .*dataset\.json"):
        records.read_dataset_manifest(str(tmp_path))


def test_a_missing_shard_is_named(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text((dataset / "dataset.json").read_text())
    with pytest.raises(ContractError, match="train-00000-of-00002"):
        records.find_split(str(tmp_path), records.read_dataset_manifest(str(tmp_path)), "train")


def _copy(dataset: Path, folder: Path) -> Path:
    """A copy of a data set; returns its first shard."""
    shutil.copytree(dataset, folder, dirs_exist_ok=True)
    return folder / "train-00000-of-00002.tfrecord"


def test_an_empty_shard_is_named(dataset: Path, tmp_path: Path) -> None:
    _copy(dataset, tmp_path).write_bytes(b"")
    with pytest.raises(ContractError, match=r"train-00000-of-00002\.tfrecord is empty"):
        batches(tmp_path)


@pytest.mark.parametrize("damage", [lambda data: data[:-40], lambda data: data[:500] + bytes(9) + data[509:]])
def test_a_damaged_shard_ends_in_one_line(dataset: Path, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    shard = _copy(dataset, tmp_path)
    shard.write_bytes(damage(shard.read_bytes()))
    split = records.find_split(str(tmp_path), records.read_dataset_manifest(str(tmp_path)), "train")
    seen = batches(tmp_path)
    named = pytest.raises(ContractError, match=r"damaged, .*again: .*train-00000-of-00002\.tfrecord$")
    with named, records.reading_shards(split.paths):
        take(seen, 6)


def _with_image(dataset: Path, folder: Path, damage: Callable[[bytes], bytes]) -> Path:
    """Copies a data set with an additional record, source id 77, whose image is damaged; returns its shard."""
    shard = _copy(dataset, folder)
    example = make_example(77)
    added = dataclasses.replace(example, encoded=damage(example.encoded))
    intact = [record.numpy() for record in tf.data.TFRecordDataset(str(shard))]
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for record in [*intact[:3], encode_example(added), *intact[4:]]:
            writer.write(record)
    return shard


DAMAGE = [
    pytest.param(lambda data: data[: len(data) // 2], id="half a PNG"),
    pytest.param(lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:], id="a PNG with a wrong checksum"),
    pytest.param(lambda _: b"\xff\xd8\xff\xe0 not a JPEG", id="no JPEG"),
    pytest.param(lambda _: b"II*\0 a TIFF", id="a format that TensorFlow cannot read"),
    pytest.param(lambda _: b"", id="no bytes"),
]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("evaluates", [False, True], ids=["training", "evaluation"])
def test_an_image_that_cannot_be_decoded_is_named(
    dataset: Path, tmp_path: Path, damage: Callable[[bytes], bytes], evaluates: bool
) -> None:
    """Such a record was not written by `prepare`, which verifies images."""
    shard = _with_image(dataset, tmp_path, damage)
    split = records.find_split(str(tmp_path), records.read_dataset_manifest(str(tmp_path)), "train")
    named = pytest.raises(ContractError, match=rf"^--dataset: .*: source id 77, record 4 of {shard}: [^\n]+$")
    with named, records.reading_shards(split.paths):
        if evaluates:
            list(records.evaluation_batches(split, canvas=CANVAS, batch_size=5))
        else:
            take(batches(tmp_path), 6)


def test_a_record_without_an_image_is_named(dataset: Path, tmp_path: Path) -> None:
    shard = _copy(dataset, tmp_path)
    with tf.io.TFRecordWriter(str(shard)) as writer:
        writer.write(tf.train.Example().SerializeToString())
    split = records.find_split(str(tmp_path), records.read_dataset_manifest(str(tmp_path)), "train")
    named = pytest.raises(ContractError, match=rf"^--dataset: .*: record 1 of {shard}: [^\n]+$")
    with named, records.reading_shards(split.paths):
        take(batches(tmp_path), 6)


def test_an_error_that_is_not_one_of_the_data_is_not_hidden(dataset: Path) -> None:
    split = records.find_split(str(dataset), records.read_dataset_manifest(str(dataset)), "train")
    with (
        pytest.raises(tf.errors.InvalidArgumentError, match="Incompatible shapes"),
        records.reading_shards(split.paths),
    ):
        tf.zeros([2]) + tf.zeros([3])
