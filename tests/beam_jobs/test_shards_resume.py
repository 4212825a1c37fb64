"""What a resumed run keeps, what it writes again, and which values decide that."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from beam_jobs import shards
from beam_jobs.options import PrepareOptions, RecordOptions
from beam_jobs.rows import LabelledImage, PlannedImage
from beam_jobs.shard_results import ShardResult
from beam_jobs.shards import start_shard
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation, Remark, UnreadableObject
from retinanet_odm.imaging.images import VERIFY_HEADER, ImageRule
from retinanet_odm.sources.listing import ImageFile
from retinanet_odm.storage.zip_files import ZipMember

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
    written = start_shard(KEY, planned, options)()
    monkeypatch.setattr("beam_jobs.shards.make_record", None)  # calling it would fail
    assert start_shard(KEY, reversed(planned), options)() == written


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


def _damage_shard(_rows, folder: Path):
    data = bytearray((folder / KEY[1]).read_bytes())
    data[-1] ^= 1
    (folder / KEY[1]).write_bytes(data)


def _delete_shard(_rows, folder: Path):
    (folder / KEY[1]).unlink()


def _receipt(folder: Path) -> Path:
    return folder / shards.receipt_name(KEY[1])


def _empty_receipt(_rows, folder: Path):  # for example after a power failure
    _receipt(folder).write_bytes(b"")


def _cut_receipt(_rows, folder: Path):
    _receipt(folder).write_bytes(_receipt(folder).read_bytes()[:100])


def _put_another_file_in_place_of_the_receipt(_rows, folder: Path):
    _receipt(folder).write_bytes(b"\xff\xfe[]")


def _edit_receipt(_rows, folder: Path):
    before, count, after = _receipt(folder).read_bytes().partition(b'"clipped": 0')
    assert count
    _receipt(folder).write_bytes(before + b'"clipped": 2' + after)


CHANGES = [
    _change_image,
    _change_box,
    _change_id,
    _drop_image,
    _damage_shard,
    _delete_shard,
    _empty_receipt,
    _cut_receipt,
    _put_another_file_in_place_of_the_receipt,
    _edit_receipt,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_shard_is_written_again(tmp_path, planned, options, change):
    start_shard(KEY, planned, options)()
    change(planned, tmp_path)
    plan_digest = shards.digest_plan(sorted(planned, key=lambda row: row.source_id), options.content)
    assert shards.find_receipt(options.output, KEY[1], plan_digest) is None
    start_shard(KEY, planned, options)()
    assert shards.find_receipt(options.output, KEY[1], plan_digest) is not None


CONTENTS = [
    RecordOptions(pixels=ImageRule(max_side=9, perceptual_hash=True)),
    RecordOptions(pixels=ImageRule(grayscale=True, perceptual_hash=True)),
    RecordOptions(min_box=(3, 3)),
]


@pytest.mark.parametrize("content", CONTENTS)
def test_other_flags_make_another_shard(planned, options, content):
    assert shards.digest_plan(planned, content) != shards.digest_plan(planned, options.content)


def test_without_resume_nothing_is_kept(planned, options, monkeypatch):
    start_shard(KEY, planned, options)()
    monkeypatch.setattr("beam_jobs.shards.find_receipt", None)  # calling it would fail
    start_shard(KEY, planned, dataclasses.replace(options, resume=False))()


MEMBER = ZipMember(name="i/a.jpg", offset=9, stored_size=8, size=7, method=8, encrypted=False, crc=6)
ITEM = ObjectAnnotation(label="crab", box=(1, 2, 9, 12), line=5)
PLANNED = PlannedImage(
    source_id=1,
    content=LabelledImage(
        image=ImageFile(uri="e.zip/i/a.jpg", name="e/i/a.jpg", export_uri="e.zip", member=MEMBER, version="1-2"),
        annotation=ImageAnnotation(filename="a.jpg", width=9, height=8, objects=(ITEM,), source="x.xml", line=4),
        label_ids=(1,),
    ),
)
# Another value for every field that affects a record or a reject.
DECISIVE: dict[type, dict[str, Any]] = {
    PlannedImage: {"source_id": 2},
    LabelledImage: {"label_ids": (2,), "not_exhaustive": ((3, "worm"),)},
    ImageFile: {"uri": "f.zip/i/a.jpg", "name": "f/i/a.jpg", "member": None, "version": "1-3"},
    ZipMember: {
        "name": "j/a.jpg",
        "offset": 10,
        "stored_size": 9,
        "size": 8,
        "method": 0,
        "encrypted": True,
        "crc": 7,
    },
    ImageAnnotation: {
        "width": 10,
        "height": None,
        "objects": (),
        "source": "y.xml",
        "line": None,
        "remarks": (Remark(reason="x", detail="y"),),
        "is_relative": True,
    },
    ObjectAnnotation: {
        "label": "fish",
        "box": (1, 2, 9, 12.5),
        "difficult": True,
        "truncated": True,
        "occluded": True,
        "is_crowd": True,
        "ignore": True,
        "line": 6,
    },
    RecordOptions: {"min_box": (3, 3)},
    ImageRule: {"verify": VERIFY_HEADER, "max_side": 9, "grayscale": True, "perceptual_hash": False},
}
# Fields that hold another row of this table, and those that only matter before images and annotations are matched.
PARTS = {PlannedImage: {"content"}, LabelledImage: {"image", "annotation"}, RecordOptions: {"pixels"}}
INDIFFERENT: dict[type, dict[str, Any]] = {
    LabelledImage: {"pairing": "paired_by_filename", "paired_with": "y.xml"},
    ImageFile: {"export_uri": "f.zip"},
    ImageAnnotation: {
        "filename": "b.jpg",
        "subset": "Train",
        "task_id": "7",
        "ignored": (("points", 1),),
        "unreadable": (UnreadableObject(reason="x", detail="y"),),
    },
}


def _digest(kind: type | None = None, changes: dict[str, Any] | None = None) -> str:
    """The digest of one image, with changes in the rows of one class."""
    planned, content = _changed((PLANNED, RecordOptions()), kind, changes or {})
    return shards.digest_plan([planned], content)


def _changed(value: Any, kind: type | None, changes: dict[str, Any]) -> Any:
    if isinstance(value, tuple):
        return tuple(_changed(part, kind, changes) for part in value)
    if not dataclasses.is_dataclass(value):
        return value
    if type(value) is kind:
        return dataclasses.replace(value, **changes)
    parts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return type(value)(**{name: _changed(part, kind, changes) for name, part in parts.items()})


def test_every_field_of_a_plan_is_decisive_or_indifferent():
    """A new field fails here until it is listed in beam_jobs.shards, or in INDIFFERENT."""
    for kind, values in DECISIVE.items():
        fields = {field.name for field in dataclasses.fields(kind)}
        assert {*values, *PARTS.get(kind, ()), *INDIFFERENT.get(kind, ())} == fields, kind


def _cases(table: dict[type, dict[str, Any]]) -> list:
    return [
        pytest.param(kind, {name: value}, id=f"{kind.__name__}.{name}")
        for kind, values in table.items()
        for name, value in values.items()
    ]


@pytest.mark.parametrize(("kind", "changes"), _cases(DECISIVE))
def test_a_field_that_affects_the_record_is_in_the_digest(kind, changes):
    assert _digest(kind, changes) != _digest()


@pytest.mark.parametrize(("kind", "changes"), _cases(INDIFFERENT))
def test_a_field_of_the_matching_is_not_in_the_digest(kind, changes):
    assert _digest(kind, changes) == _digest()


def test_the_digest_does_not_depend_on_class_names():
    renamed = {kind: type(f"Renamed{kind.__name__}", (kind,), {}) for kind in DECISIVE}

    def rename(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(rename, value))
        if type(value) not in renamed:
            return value
        fields = dataclasses.fields(value)
        return renamed[type(value)](**{field.name: rename(getattr(value, field.name)) for field in fields})

    planned, content = rename((PLANNED, RecordOptions()))
    assert repr(planned) != repr(PLANNED)
    assert shards.digest_plan([planned], content) == _digest()


def test_the_digest_is_the_same_on_every_machine(monkeypatch):
    monkeypatch.setattr(shards, "__version__", "0.1.0")
    assert _digest() == GOLDEN


GOLDEN = "0ebd2d4af6224e97b85adf1e650f573f3f05a13b19d10bf2cd7ce4cf76be7a1f"


def test_another_form_of_receipt_has_another_version():
    """Raise RECEIPT_VERSION whenever these names change."""
    names = "clipped coco_annotations coco_images images name rejects remarks sha256 split statistics"
    assert (shards.RECEIPT_VERSION, sorted(ShardResult(split="val", name="x").to_json())) == (3, names.split())
