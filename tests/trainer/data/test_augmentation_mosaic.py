"""A mosaic's boxes follow its pixels; mosaics end before the closing epochs, and depend only on seed and step."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.data.test_records import CANVAS, take
from trainer.data import augmentation, records
from trainer.data.augmentation import Augmentation
from trainer.data.parsing import REGION

HEIGHT, WIDTH = 64, 96


def coloured_batch(boxes: list[list[tuple[int, ...]]], room: int) -> dict[str, tf.Tensor]:
    """Returns black images with rectangles; the grey level of each is 20 times its label."""
    images = np.zeros((len(boxes), HEIGHT, WIDTH, 3), np.uint8)
    edges, labels = np.zeros((len(boxes), room, 4), np.float32), np.zeros((len(boxes), room), np.int32)
    label = 0
    for row, image in enumerate(boxes):
        for slot, (ymin, xmin, ymax, xmax) in enumerate(image[:room]):
            label += 1
            images[row, ymin:ymax, xmin:xmax] = 20 * label
            edges[row, slot], labels[row, slot] = (ymin, xmin, ymax, xmax), label
    truncated = tf.maximum([len(image) - room for image in boxes], 0)
    return {
        "image": tf.constant(images),
        "boxes": tf.constant(edges),
        "labels": tf.constant(labels),
        "boxes_truncated": truncated,
    }


IMAGE_BOXES = [
    [(0, 0, 20, 30)],
    [],
    [(40, 60, 64, 96), (0, 0, 8, 8)],
    [(10, 50, 30, 70)],
    [(2, 4, 60, 90)],
]


def test_boxes_follow_the_pixels() -> None:
    batch = coloured_batch(IMAGE_BOXES, room=5)
    made = {name: value.numpy() for name, value in augmentation.make_mosaics(batch).items()}
    expected = [sum(len(IMAGE_BOXES[(row + image) % 5]) for image in range(4)) for row in range(5)]
    assert [(labels > 0).sum() for labels in made["labels"]] == expected
    for image, boxes, labels in zip(made["image"], made["boxes"], made["labels"], strict=True):
        for box, label in zip(boxes[labels > 0], labels[labels > 0], strict=True):
            rows, columns = np.nonzero(image[..., 0] == 20 * label)
            np.testing.assert_array_equal(box, [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])


ROOM = [
    ("padding comes last and is zero", 6, [1, 2, 3, 4, 0, 0], [0, 0, 0, 0, 0]),
    ("the first boxes are kept if there are too many", 2, [1, 2], [2, 2, 3, 1, 2]),
    ("boxes that the views had truncated stay counted", 1, [1], [3, 3, 4, 2, 3]),
]


@pytest.mark.parametrize(("why", "room", "kept", "truncated"), ROOM, ids=[row[0] for row in ROOM])
def test_the_room_for_boxes_stays(why: str, room: int, kept: list[int], truncated: list[int]) -> None:
    made = augmentation.make_mosaics(coloured_batch(IMAGE_BOXES, room))
    assert made["labels"].numpy()[0].tolist() == kept, why
    assert made["boxes_truncated"].numpy().tolist() == truncated, why
    assert (made["boxes"].numpy()[made["labels"].numpy() == 0] == 0).all()


AREAS = [
    ("areas come behind the objects", 5, 2, [1, 3, 4, REGION, 0]),
    ("the room is for objects first", 3, 1, [2, 3, 4]),
    ("an area stays if there is room", 4, 1, [2, 3, 4, REGION]),
]


@pytest.mark.parametrize(("why", "room", "area", "kept"), AREAS, ids=[row[0] for row in AREAS])
def test_an_area_in_which_no_object_is_known_takes_no_place_of_an_object(
    why: str, room: int, area: int, kept: list[int]
) -> None:
    batch = coloured_batch(IMAGE_BOXES, room)
    batch["labels"] = tf.where(batch["labels"] == area, REGION, batch["labels"])
    assert augmentation.make_mosaics(batch)["labels"].numpy()[0].tolist() == kept, why


def test_a_mosaic_knows_what_all_four_know() -> None:
    batch = coloured_batch(IMAGE_BOXES, room=5)
    batch["labels"] = tf.where(batch["labels"] == 2, REGION, batch["labels"])
    batch["not_exhaustive"] = tf.constant([[1.0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 0]])
    made = augmentation.make_mosaics(batch)
    assert made["not_exhaustive"].numpy()[:2].tolist() == [[1, 0, 0], [0, 1, 0]], "of images 1 to 4, and 2 to 5"
    assert made["labels"].numpy()[0].tolist() == [1, 3, 4, REGION, 0], "an area stays one"
    assert (made["boxes"].numpy()[0, 3] != 0).any()


def batches(dataset: Path, first_step: int = 0, **settings: Any):
    split = records.find_split(str(dataset), records.read_dataset_manifest(str(dataset)), "train")
    return records.training_batches(
        split,
        canvas=CANVAS,
        batch_size=5,
        max_instances=8,
        augmentation=Augmentation(horizontal_flip=True, **settings),
        seed=0,
        first_step=first_step,
    ).as_numpy_iterator()


def mosaics_in(dataset: Path, count: int, **settings: Any) -> list[int]:
    """Returns for each of the first steps the number of images that differ from those without mosaic."""
    pairs = zip(take(batches(dataset), count), take(batches(dataset, **settings), count), strict=True)
    return [int((plain["image"] != made["image"]).any(axis=(1, 2, 3)).sum()) for plain, made in pairs]


CLOSED = [
    ("certain, up to the closing epochs", 1.0, 3, [5, 5, 5, 0, 0, 0]),
    ("closed from the start", 1.0, 0, [0, 0, 0, 0, 0, 0]),
    ("none by default", 0.0, 3, [0, 0, 0, 0, 0, 0]),
]


@pytest.mark.parametrize(("why", "chance", "steps", "expected"), CLOSED, ids=[row[0] for row in CLOSED])
def test_the_last_epochs_have_no_mosaic(
    dataset: Path, why: str, chance: float, steps: int, expected: list[int]
) -> None:
    assert mosaics_in(dataset, 6, mosaic=chance, mosaic_steps=steps) == expected, why


def test_some_views_stay_as_they_are(dataset: Path) -> None:
    counts = mosaics_in(dataset, 8, mosaic=0.5, mosaic_steps=8)
    assert 8 < sum(counts) < 32 and len(set(counts)) > 1


def test_a_resumed_run_sees_the_same_views(dataset: Path) -> None:
    settings = {"mosaic": 0.5, "mosaic_steps": 6, "rot90": True, "photometric": 0.5}
    whole = take(batches(dataset, **settings), 9)
    for first_step in (2, 5):
        seen = take(batches(dataset, first_step, **settings), 3)
        for expected, found in zip(whole[first_step : first_step + 3], seen, strict=True):
            for name, value in expected.items():
                np.testing.assert_array_equal(found[name], value)
