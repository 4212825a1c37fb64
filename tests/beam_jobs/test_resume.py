"""What a resumed run keeps, and what it writes again."""

import dataclasses
from pathlib import Path

import pytest

from beam_jobs import resume
from beam_jobs.options import PrepareOptions, RecordOptions
from beam_jobs.rows import LabelledImage, PlannedImage
from beam_jobs.shards import make_shard
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.imaging.images import ImageRule
from retinanet_odm.sources.listing import ImageFile

KEY = ("val", "val-00000-of-00001.tfrecord")


@pytest.fixture
def planned(source):
    """A good image with two boxes, one of them flat, and one that is gone."""
    objects = (ObjectAnnotation(label="Étoile", box=(1, 2, 9, 12)), ObjectAnnotation(label="crab", box=(3, 3, 3, 9)))
    annotation = ImageAnnotation(filename="", width=None, height=None, objects=objects, source="x.xml", line=4)
    rows = []
    for number, uri in enumerate([source.add_image("a\udcff.jpg"), source.images / "gone.jpg"], start=1):
        image = ImageFile(uri=str(uri), name=uri.name, version="1-2")
        content = LabelledImage(image=image, annotation=annotation, label_ids=(1, 2))
        rows.append(PlannedImage(source_id=number, content=content))
    return rows


@pytest.fixture
def options(tmp_path) -> PrepareOptions:
    (tmp_path / "receipts").mkdir()
    return PrepareOptions(images=("i/*",), annotations=("x/*",), output=str(tmp_path), resume=True)


def test_an_unchanged_shard_is_kept(planned, options, monkeypatch):
    written = make_shard(KEY, planned, options)
    monkeypatch.setattr("beam_jobs.shards.write_shard", None)  # calling it would fail
    assert make_shard(KEY, reversed(planned), options) == written


def _change_image(rows, _folder):
    image = dataclasses.replace(rows[0].content.image, version="1-3")
    rows[0] = dataclasses.replace(rows[0], content=dataclasses.replace(rows[0].content, image=image))


def _change_box(rows, _folder):
    annotation = rows[0].content.annotation
    moved = (dataclasses.replace(annotation.objects[0], box=(1, 2, 9, 12.5)), *annotation.objects[1:])
    content = dataclasses.replace(rows[0].content, annotation=dataclasses.replace(annotation, objects=moved))
    rows[0] = dataclasses.replace(rows[0], content=content)


def _change_id(rows, _folder):
    rows[0] = dataclasses.replace(rows[0], source_id=9)


def _drop_image(rows, _folder):
    del rows[1]


def _spoil_shard(_rows, folder: Path):
    data = bytearray((folder / KEY[1]).read_bytes())
    data[-1] ^= 1
    (folder / KEY[1]).write_bytes(data)


def _delete_shard(_rows, folder: Path):
    (folder / KEY[1]).unlink()


def _receipt(folder: Path) -> Path:
    return folder / resume.receipt_name(KEY[1])


def _empty_receipt(_rows, folder: Path):  # as a power cut may leave it
    _receipt(folder).write_bytes(b"")


def _cut_receipt(_rows, folder: Path):
    _receipt(folder).write_bytes(_receipt(folder).read_bytes()[:100])


def _put_another_file_in_place_of_the_receipt(_rows, folder: Path):
    _receipt(folder).write_bytes(b"\xff\xfe[]")


def _edit_receipt(_rows, folder: Path):
    before, count, after = _receipt(folder).read_bytes().partition(b'"examples": 1')
    assert count
    _receipt(folder).write_bytes(before + b'"examples": 2' + after)


CHANGES = [
    _change_image,
    _change_box,
    _change_id,
    _drop_image,
    _spoil_shard,
    _delete_shard,
    _empty_receipt,
    _cut_receipt,
    _put_another_file_in_place_of_the_receipt,
    _edit_receipt,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_shard_is_written_again(tmp_path, planned, options, change):
    make_shard(KEY, planned, options)
    change(planned, tmp_path)
    made_of = resume.digest_plan(sorted(planned, key=lambda row: row.source_id), options.content)
    assert resume.find_receipt(options.output, KEY[1], made_of) is None
    make_shard(KEY, planned, options)
    assert resume.find_receipt(options.output, KEY[1], made_of) is not None


CONTENTS = [
    RecordOptions(pixels=ImageRule(max_side=9, perceptual_hash=True)),
    RecordOptions(pixels=ImageRule(grayscale=True, perceptual_hash=True)),
    RecordOptions(min_box=(3, 3)),
]


@pytest.mark.parametrize("content", CONTENTS)
def test_other_flags_make_another_shard(planned, options, content):
    assert resume.digest_plan(planned, content) != resume.digest_plan(planned, options.content)


def test_without_resume_nothing_is_kept(planned, options, monkeypatch):
    make_shard(KEY, planned, options)
    monkeypatch.setattr("beam_jobs.resume.find", None)  # calling it would fail
    make_shard(KEY, planned, dataclasses.replace(options, resume=False))
