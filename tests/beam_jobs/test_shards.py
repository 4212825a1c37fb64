"""One shard: its records, and the effect of a bad image."""

import dataclasses
import hashlib
from pathlib import Path

import pytest
from PIL import Image

from beam_jobs.options import PrepareOptions
from beam_jobs.rows import LabelledImage, PlannedImage
from beam_jobs.shards import start_shard
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.dataset.examples import decode_example
from retinanet_odm.sources.listing import ImageFile


def _planned(source_id: int, uri: str, *labels: str) -> PlannedImage:
    objects = tuple(ObjectAnnotation(label=label, box=(1, 2, 9, 12)) for label in labels)
    annotation = ImageAnnotation(filename="", width=None, height=None, objects=objects, source="x.xml")
    image = ImageFile(uri=uri, name=uri.rpartition("/")[2])
    content = LabelledImage(image=image, annotation=annotation, label_ids=(1,) * len(labels))
    return PlannedImage(source_id=source_id, content=content)


def _options(output: Path, **changes) -> PrepareOptions:
    if changes.get("writes", True):
        (output / "receipts").mkdir()
    return PrepareOptions(images=("i/*",), annotations=("x/*",), output=str(output), **changes)


def _records(data: bytes) -> list[bytes]:
    found = []
    while data:
        length = int.from_bytes(data[:8], "little")
        found.append(data[12 : 12 + length])
        data = data[16 + length :]
    return found


def test_shard(tmp_path, source):
    good = source.add_image("b.png")
    bad = source.images / "a.jpg"
    bad.write_bytes(good.read_bytes()[:60])
    rows = [_planned(3, str(good), "fish", "crab"), _planned(1, str(source.images / "gone.jpg")), _planned(2, str(bad))]
    result = start_shard(("val", "val-00000-of-00001.tfrecord"), rows, _options(tmp_path))()
    data = (tmp_path / "val-00000-of-00001.tfrecord").read_bytes()
    (example,) = map(decode_example, _records(data))
    assert (example.filename, example.encoded) == ("b.png", good.read_bytes())
    assert result.sha256 == hashlib.sha256(data).hexdigest()
    assert result.examples == 1
    assert [(*image[:2], image.is_written) for image in result.images] == [
        (1, "gone.jpg", False),
        (2, "a.jpg", False),
        (3, "b.png", True),
    ]
    assert list(result.images)[2].sha256 == hashlib.sha256(good.read_bytes()).hexdigest()
    assert [reject.reason for reject in result.rejects] == ["file_not_readable", "image_not_decodable"]
    assert result.boxes_per_class == {"fish": 1, "crab": 1}
    assert (result.statistics.boxes_per_image, result.statistics.image_sizes) == ({2: 1}, {(48, 32): 1})
    assert [entry["id"] for entry in result.coco_images] == [3]
    assert [entry["image_id"] for entry in result.coco_annotations] == [3, 3]


def test_remarks_on_pixels_are_those_of_the_shard(tmp_path, source):
    path = source.images / "dark.png"
    Image.new("RGB", (48, 32)).save(path)
    result = start_shard(("val", "val-00000-of-00001.tfrecord"), [_planned(1, str(path), "fish")], _options(tmp_path))()
    (remark,) = result.remarks
    assert (remark.reason, remark.name, remark.source) == ("image_without_contrast", "dark.png", str(path))
    assert remark.detail == "dark.png: all pixels have nearly the same brightness, 0 to 0 of 255"


def test_shard_of_bad_images_only_is_an_empty_file(tmp_path):
    result = start_shard(("train", "train-00000-of-00001.tfrecord"), [_planned(1, "/gone.jpg")], _options(tmp_path))()
    assert (tmp_path / "train-00000-of-00001.tfrecord").read_bytes() == b""
    assert (result.examples, result.statistics.image_sizes) == (0, {})


def test_programming_error_fails_the_shard_and_leaves_nothing(tmp_path, monkeypatch, source):
    def broken(*_args):
        raise KeyError("a fault of the program")

    monkeypatch.setattr("beam_jobs.shards.make_record", broken)
    output = tmp_path / "out"
    output.mkdir()
    with pytest.raises(KeyError):
        start_shard(("train", "x.tfrecord"), [_planned(1, str(source.add_image("a.jpg")))], _options(output))()
    assert list(output.iterdir()) == [output / "receipts"]
    assert not list(output.rglob("*.jsonl"))


def test_a_check_has_the_same_result_and_writes_nothing(tmp_path, source):
    rows = [_planned(3, str(source.add_image("b.png")), "fish", "crab"), _planned(1, str(source.images / "gone.jpg"))]
    key = ("val", "val-00000-of-00001.tfrecord")
    written = start_shard(key, rows, _options(tmp_path))()
    looked = start_shard(key, rows, _options(tmp_path / "none", writes=False))()
    assert not (tmp_path / "none").exists()
    assert looked == dataclasses.replace(written, sha256="")
