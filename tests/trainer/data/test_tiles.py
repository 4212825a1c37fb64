"""Tiles of a data set: the grid of scoring, boxes by their visible share, and which tiles a training sees."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from inference.model.tiling import Tiling
from retinanet_odm.dataset.example_keys import PARTIAL_SCHEMA_VERSION
from retinanet_odm.dataset.examples import DetectionExample, ExampleObject, decode_example, encode_example
from retinanet_odm.dataset.manifest import ShardInfo, SplitInfo
from tests.trainer.conftest import make_example
from trainer.config import TrainConfig
from trainer.data import records, tiles
from trainer.data.parsing import REGION, parse_record
from trainer.presets import make_config

WINDOW = (0, 40, 60, 100)
Corners = tuple[float, float, float, float]

# Why, the box in pixels of an image, what of it is in the tile, and the share that is.
BOXES = [
    ("inside", (10, 50, 30, 70), (10 / 60, 10 / 60, 30 / 60, 30 / 60), 1.0),
    ("half of it", (10, 30, 30, 50), (10 / 60, 0, 30 / 60, 10 / 60), 0.5),
    ("too little of it", (10, 30, 30, 44), (10 / 60, 0, 30 / 60, 4 / 60), 4 / 14),
    ("outside", (10, 0, 30, 20), None, 0.0),
    ("an edge in common", (10, 20, 30, 40), None, 0.0),
    ("larger than the tile", (0, 0, 96, 128), (0, 0, 1, 1), 60 * 60 / (96 * 128)),
]


def relative(box: tuple[int, int, int, int]) -> Corners:
    ymin, xmin, ymax, xmax = (float(np.float32(edge / side)) for edge, side in zip(box, (96, 128) * 2, strict=True))
    return ymin, xmin, ymax, xmax


def with_box(box: tuple[int, int, int, int], **changes: bool) -> DetectionExample:
    item = ExampleObject(label_id=1, label="bright", box=relative(box), area=100.0, **changes)
    return DetectionExample(
        encoded=b"", format="png", height=96, width=128, filename="a.png", source_id=1, sha256="", objects=(item,)
    )


@pytest.mark.parametrize(("why", "box", "expected", "share"), BOXES, ids=[row[0] for row in BOXES])
def test_boxes_of_a_tile(why: str, box: tuple[int, int, int, int], expected: Corners | None, share: float) -> None:
    example = with_box(box)
    objects = tiles.visible_objects(example, WINDOW, 0.3)
    regions = tiles.ignored_regions(example, WINDOW, 0.3)
    if share >= 0.3:
        (item,) = objects
        assert item.box == pytest.approx(expected, abs=1e-6) and regions == (), why
        assert (item.area, item.truncated) == (pytest.approx(100 * share, rel=1e-4), share < 1)
    else:  # neither an object nor background
        assert objects == () and len(regions) == (expected is not None), why
        assert all(region == pytest.approx(expected, abs=1e-6) for region in regions), why


@pytest.mark.parametrize(("why", "box", "expected", "share"), BOXES, ids=[row[0] for row in BOXES])
def test_ignored_regions_of_a_tile(
    why: str, box: tuple[int, int, int, int], expected: Corners | None, share: float
) -> None:
    example = dataclasses.replace(with_box(box), objects=(), ignored_regions=(relative(box),))
    found = tiles.ignored_regions(example, WINDOW, 0.3)
    assert len(found) == (share > 0), why
    assert all(region == pytest.approx(expected, abs=1e-6) for region in found), "cut, however little is visible"


def test_a_crowd_stays_however_little_is_visible() -> None:
    hardly = with_box((10, 30, 30, 44), is_crowd=True)
    assert len(tiles.visible_objects(hardly, WINDOW, 0.3)) == 1
    assert tiles.ignored_regions(hardly, WINDOW, 0.3) == ()
    assert tiles.visible_objects(with_box((10, 0, 30, 20), is_crowd=True), WINDOW, 0.3) == ()


CHOSEN = [
    ("as many without objects", 2, 9, 4),
    ("fewer, if there are no more", 5, 2, 7),
    ("one of an empty image", 0, 9, 1),
    ("none is left", 3, 0, 3),
]


@pytest.mark.parametrize(("why", "filled", "empty", "expected"), CHOSEN, ids=[row[0] for row in CHOSEN])
def test_which_tiles_a_training_sees(why: str, filled: int, empty: int, expected: int) -> None:
    item = with_box((0, 0, 9, 9)).objects
    objects = {(0, row, 9, row + 9): item if row < filled else () for row in range(filled + empty)}
    found = tiles.choose_training_tiles("a.png", objects)
    assert len(set(found)) == len(found) == expected, why
    assert set(list(objects)[:filled]) <= set(found)
    assert set(found) == set(tiles.choose_training_tiles("a.png", dict(reversed(objects.items()))))


def settings(dataset: Path, model_dir: Path, side: int = 64) -> TrainConfig:
    return make_config("tiny", {"dataset": str(dataset), "model_dir": str(model_dir), "tile": side})


def test_a_split_becomes_tiles(dataset: Path, tmp_path: Path) -> None:
    config, manifest = settings(dataset, tmp_path), records.read_dataset_manifest(str(dataset))
    tiles.cut_splits(config, manifest, ["train", "val"])
    folder = tiles.tile_folder(config, manifest)
    made = tiles.read_tiles(folder, manifest, ["val", "train"])
    split = records.find_split(folder, made, "val")
    found = [decode_example(record) for record in tf.data.TFRecordDataset(split.paths).as_numpy_iterator()]
    windows = Tiling(side=64).plan(96, 128)
    assert len(windows) == 6 and len(found) == split.examples == 6 * 7, "every tile that score looks at"
    assert {one.filename for one in found} == {
        f"{number}.png#{top}-{left}" for number in range(25, 32) for top, left, *_ in windows
    }
    for one in found:
        name, _, place = one.filename.partition("#")
        top, left = map(int, place.split("-"))
        source = Image.open(io.BytesIO(make_example(int(name.removesuffix(".png"))).encoded))
        part = np.asarray(source)[top : top + 64, left : left + 64]
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(one.encoded))), part)
    training = records.find_split(folder, made, "train")
    numbers = [
        decode_example(record).source_id for record in tf.data.TFRecordDataset(training.paths).as_numpy_iterator()
    ]
    assert sorted(numbers) == list(range(1, training.examples + 1)) and numbers != sorted(numbers)
    assert made.splits["train"].boxes == sum(made.splits["train"].boxes_per_class.values()) > 0
    regions = [len(one.ignored_regions) for one in found]
    assert made.schema_version == PARTIAL_SCHEMA_VERSION, "what is left of cut objects"
    assert made.splits["val"].ignored_regions == sum(regions) > 0
    assert made.max_boxes_per_image >= max(len(one.objects) + len(one.ignored_regions) for one in found)
    cut = encode_example(found[int(np.argmax(regions))])
    assert REGION in parse_record(cut)["labels"].numpy(), "not learned as background"


def test_tiles_know_what_their_image_knows(dataset: Path, tmp_path: Path) -> None:
    regions = (relative((0, 0, 96, 128)),)
    image = dataclasses.replace(make_example(3), objects=(), not_exhaustive=((2, "dark"),), ignored_regions=regions)
    path = tmp_path / "train.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(encode_example(image))
    split = SplitInfo(
        examples=1,
        boxes=0,
        boxes_per_class={},
        shards=(ShardInfo(name=path.name, examples=1, sha256=""),),
        not_exhaustive={"dark": 1},
        ignored_regions=1,
    )
    manifest = dataclasses.replace(
        records.read_dataset_manifest(str(dataset)),
        schema_version=PARTIAL_SCHEMA_VERSION,
        splits={"train": split},
        images_in=1,
        fingerprint="",
    )
    config = settings(tmp_path, tmp_path)
    tiles.cut_splits(config, manifest, ["train"])
    made = tiles.read_tiles(tiles.tile_folder(config, manifest), manifest, ["train"])
    found = made.splits["train"]
    assert made.is_partial and found.examples == found.ignored_regions == found.not_exhaustive["dark"] > 0


def test_an_image_no_larger_than_a_tile_keeps_its_bytes(dataset: Path, tmp_path: Path) -> None:
    config, manifest = settings(dataset, tmp_path, side=128), records.read_dataset_manifest(str(dataset))
    tiles.cut_splits(config, manifest, ["val"])
    folder = tiles.tile_folder(config, manifest)
    made = tiles.read_tiles(folder, manifest, ["val"])
    split = records.find_split(folder, made, "val")
    found = [decode_example(record) for record in tf.data.TFRecordDataset(split.paths).as_numpy_iterator()]
    assert sorted(one.encoded for one in found) == sorted(make_example(number).encoded for number in range(25, 32))
    assert made.schema_version == manifest.schema_version, "nothing is cut"


def test_other_settings_have_other_folders(dataset: Path, tmp_path: Path) -> None:
    manifest = records.read_dataset_manifest(str(dataset))
    config = settings(dataset, tmp_path)
    changed = [config.replace(tile=96), config.replace(tile_overlap=0.3), config.replace(min_visible=0.5)]
    folders = {tiles.tile_folder(one, manifest) for one in (config, *changed, config.replace(num_epochs=3))}
    assert len(folders) == 4
