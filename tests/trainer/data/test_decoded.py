"""What a Python program gets of a data set is what its records hold."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from retinanet_odm.dataset.examples import encode_example
from retinanet_odm.errors import ContractError
from tests.trainer.conftest import LABELS, SIZE, make_example, write_dataset
from trainer import open_dataset


def test_examples_are_those_of_the_records(dataset: Path) -> None:
    split = open_dataset(dataset, "val")
    examples = list(split)
    assert len(split) == len(examples) == 7 and split.classes == LABELS.name_by_id
    assert sorted(int(example["source_id"]) for example in examples) == list(range(25, 32))
    for example in examples:
        expected = make_example(int(example["source_id"]))
        assert example["image"].dtype == np.uint8 and example["image"].shape == (*SIZE, 3)
        assert example["filename"].decode() == expected.filename
        boxes = np.array([item.box for item in expected.objects], np.float32).reshape(-1, 4)
        np.testing.assert_allclose(example["boxes"], boxes * np.tile(SIZE, 2), atol=1e-4)
        assert example["labels"].tolist() == [item.label_id for item in expected.objects]
        assert [name.decode() for name in example["names"]] == [item.label for item in expected.objects]
        assert example["regions"].shape == (0, 4)
        edges = example["boxes"].round().astype(int)
        for (top, left, bottom, right), label in zip(edges, example["names"], strict=True):
            assert (example["image"][top:bottom, left:right] == (240 if label == b"bright" else 10)).all()


def test_crowds_and_ignored_areas_are_regions(tmp_path: Path) -> None:
    write_dataset(tmp_path, splits={"train": [2]}, shards=1)
    example = make_example(2)
    crowd = dataclasses.replace(example.objects[0], is_crowd=True)
    ignored = ((0.0, 0.0, 0.5, 0.25),)
    changed = dataclasses.replace(example, objects=(crowd, example.objects[1]), ignored_regions=ignored)
    (shard,) = tmp_path.glob("train-*")
    with tf.io.TFRecordWriter(str(shard)) as writer:
        writer.write(encode_example(changed))
    (found,) = open_dataset(tmp_path, "train")
    assert found["names"].tolist() == [example.objects[1].label.encode()]
    height, width = SIZE
    np.testing.assert_allclose(found["regions"][1], (0, 0, height / 2, width / 4))
    np.testing.assert_allclose(found["regions"][0], np.multiply(crowd.box, (height, width, height, width)), atol=1e-4)


def test_as_a_dataset_of_tensors(dataset: Path) -> None:
    split = open_dataset(str(dataset), "train")
    assert int(split.dataset.cardinality()) == 24
    batch = next(iter(split.dataset.map(lambda example: example["image"]).batch(4)))
    assert batch.shape == (4, *SIZE, 3)


def test_what_is_no_split(dataset: Path) -> None:
    with pytest.raises(ContractError, match=r"expected a prepared data set, found no nowhere/dataset\.json"):
        open_dataset("nowhere", "train")
    with pytest.raises(ContractError, match=r"split 'tests' has no examples; the data set holds .*'train': 24"):
        open_dataset(dataset, "tests")


def test_a_damaged_shard_ends_with_one_line(tmp_path: Path) -> None:
    write_dataset(tmp_path, splits={"train": [1, 2]}, shards=1)
    (shard,) = tmp_path.glob("train-*")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 0xFF
    shard.write_bytes(bytes(data))
    with pytest.raises(ContractError, match="damaged, copy or prepare it again") as caught:
        list(open_dataset(tmp_path, "train"))
    assert "\n" not in str(caught.value) and shard.name in str(caught.value)
