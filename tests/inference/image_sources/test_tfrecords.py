"""Images in TFRecords of our own data sets."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from inference.image_sources import chunks, tfrecords
from inference.main import main
from retinanet_odm.dataset.examples import DetectionExample, encode_example
from retinanet_odm.dataset.manifest import DatasetManifest, ShardInfo, SplitInfo
from retinanet_odm.errors import DataError
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.storage.tfrecord import frame_record
from tests.inference.fake_model import RED, make_image, read_rows
from tests.inference.image_chunks import chunks_of, read_sources

Fail = Callable[..., str]
NAMES = ("dive1/a.jpg", "caf\udce9.png", "b.png")
IMAGES = {name: make_image(20 + number, 10, {RED: (1, 2, 9, 8)}) for number, name in enumerate(NAMES)}


def _record(name: str, image: bytes) -> bytes:
    example = DetectionExample(
        encoded=image,
        format="png",
        height=10,
        width=20,
        filename=name,
        source_id=1,
        sha256=hashlib.sha256(image).hexdigest(),
        objects=(),
    )
    return frame_record(encode_example(example))


def write_dataset(folder: Path, shards: Mapping[str, tuple[str, ...]], data_of: Mapping[str, bytes] = IMAGES) -> Path:
    """Writes a data set whose shards hold images of these names, and a shard that its manifest does not list."""
    folder.mkdir()
    infos = []
    for name, images in shards.items():
        (folder / name).write_bytes(b"".join(_record(image, data_of[image]) for image in images))
        infos.append(ShardInfo(name=name, examples=len(images), sha256="0" * 64))
    total = sum(map(len, shards.values()))
    split = SplitInfo(examples=total, boxes=0, boxes_per_class={}, shards=tuple(infos))
    manifest = DatasetManifest(
        labels=LabelMap(((1, "crab"),)),
        splits={"train": split},
        max_boxes_per_image=0,
        aspect_ratio_min=1.0,
        aspect_ratio_max=1.0,
        images_in=total,
        rejected=0,
        rejected_by_reason={},
        objects_dropped={},
        options={},
        code_version="test",
    )
    (folder / DatasetManifest.FILE).write_text(manifest.to_json())
    (folder / "train-00000-of-00009.tfrecord").write_bytes(_record("of an earlier run", b""))
    (folder / "report.html").write_text("not an image")
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "ds", {"train-0.tfrecord": NAMES[:2], "val-0.tfrecord": NAMES[2:]})


def test_names_and_images(dataset: Path, tmp_path: Path) -> None:
    assert read_sources(dataset) == IMAGES
    assert read_sources(dataset / "val-0.tfrecord") == {"b.png": IMAGES["b.png"]}
    assert read_sources(f"{dataset}/*-0.tfrecord") == IMAGES
    (dataset / "train-0.tfrecord").rename(tmp_path / "records")  # known by its content too
    assert read_sources(tmp_path / "records") == {name: IMAGES[name] for name in NAMES[:2]}
    (tmp_path / "x.png").write_bytes(b"x")
    both = read_sources(dataset / "val-0.tfrecord", tmp_path / "x.png")
    assert both == {"ds/b.png": IMAGES["b.png"], "x.png": b"x"}, "names begin at the folder above both"


def test_a_record_whose_length_looks_like_another_format(tmp_path: Path) -> None:
    """A record of 0x4b50 bytes begins with PK, as a zip archive does."""
    frame = 16
    overhead = len(_record("a.png", bytes(19_000))) - 19_000 - frame
    image = bytes(0x4B50 - overhead)
    (tmp_path / "records").write_bytes(_record("a.png", image))
    assert (tmp_path / "records").read_bytes()[:2] == b"PK"
    assert read_sources(tmp_path / "records") == {"a.png": image}


def test_a_record_that_is_damaged_after_it_was_listed(dataset: Path) -> None:
    path = dataset / "train-0.tfrecord"
    (chunk,) = chunks_of(path)
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    (_, good), (_, bad) = chunks.read_chunk(chunk)
    assert good == IMAGES[NAMES[0]]
    assert isinstance(bad, DataError) and bad.reason == "record_not_readable"
    path.unlink()
    assert {str(getattr(error, "reason", "")) for _, error in chunks.read_chunk(chunk)} == {"file_not_readable"}


def _cut(folder: Path) -> None:
    path = folder / "train-0.tfrecord"
    path.write_bytes(path.read_bytes()[:-1])


def _foreign(folder: Path) -> None:
    (folder / "val-0.tfrecord").write_bytes(frame_record(b""))


def _twice(folder: Path) -> None:
    (folder / "val-0.tfrecord").write_bytes((folder / "train-0.tfrecord").read_bytes())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, "train-0.tfrecord is not a complete TFRecord file: the record at byte"),
        (
            _foreign,
            "val-0.tfrecord is not part of a data set that prepare wrote: record: key 'image/filename' is missing",
        ),
        (_twice, "two records are named dive1/a.jpg, one of them in "),
        (lambda folder: (folder / "val-0.tfrecord").unlink(), "dataset.json lists val-0.tfrecord, which is missing"),
        (lambda folder: (folder / "dataset.json").write_text("{}"), "dataset.json: schema version 1 or 2 expected"),
    ],
)
def test_an_incomplete_data_set(
    damage: Callable[[Path], object], message: str, dataset: Path, fail: Fail, model: Path, tmp_path: Path
) -> None:
    damage(dataset)
    assert message in fail("score", "--images", dataset, "--model", model, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_score(dataset: Path, model: Path, tmp_path: Path) -> None:
    words = ["score", "--images", str(dataset), "--model", str(model), "--output", str(tmp_path / "out")]
    assert main(words) == 0
    rows = read_rows(tmp_path / "out")
    assert {name: row["width"] for name, row in rows.items()} == {name: 20 + n for n, name in enumerate(NAMES)}
    assert all(row["detections"][0]["box"] == [1, 2, 9, 8] for row in rows.values())


def test_shards_are_those_of_the_manifest(dataset: Path) -> None:
    assert tfrecords.shards_of(str(dataset)) == {str(dataset / f"{split}-0.tfrecord") for split in ("train", "val")}
