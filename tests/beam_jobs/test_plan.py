"""Join, label, number: pure functions, so tables and laws without a pipeline."""

import hashlib
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_jobs import plan
from beam_jobs.options import DROP, NamedFile, PrepareOptions
from beam_jobs.rows import (
    IMAGE_REJECT,
    AssignedImage,
    Candidate,
    LabelledImage,
    Reject,
    UnannotatedImage,
)
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation, ignore_labels
from retinanet_odm.dataset.source_ids import MAX_SOURCE_ID, IdMap, IdRow, assign_ids
from retinanet_odm.dataset.splits import GroupRule
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.sources.listing import AnnotationFile, ImageFile, InputPattern, match_annotations
from tests.retinanet_odm.sources.rows import (
    write_zip,
)
from tests.retinanet_odm.sources.test_listing import CVAT


def _image(uri: str, name: str | None = None) -> ImageFile:
    return ImageFile(uri=uri, name=name or uri.rpartition("/")[2])


def _content(*labels: str) -> ImageAnnotation:
    objects = tuple(ObjectAnnotation(label=label, box=(1, 1, 9, 9)) for label in labels)
    return ImageAnnotation(filename="", width=None, height=None, objects=objects, source="x/a.xml")


def _annotation(uri: str) -> AnnotationFile:
    return AnnotationFile(uri=uri, annotation=_content())


def test_labels_are_looked_up_in_the_order_of_objects():
    row = plan.label_image(
        Candidate(image=_image("a.jpg"), annotation=_content("b", "a", "b")), LabelMap(((7, "a"), (2, "b")))
    )
    assert isinstance(row, LabelledImage)
    assert row.label_ids == (2, 7, 2)


def test_unknown_label_rejects_the_image_and_names_it():
    row = plan.label_image(Candidate(image=_image("a.jpg"), annotation=_content("crab")), LabelMap(((1, "fish"),)))
    assert isinstance(row, Reject)
    assert (row.kind, row.reason) == (IMAGE_REJECT, "unknown_label")
    assert all(word in row.detail for word in ("'crab'", "a.jpg", "x/a.xml", "fish"))


def test_the_label_of_an_ignored_area_is_no_class():
    content = ignore_labels(_content("unclear", "a"), ["unclear"])
    row = plan.label_image(Candidate(image=_image("a.jpg"), annotation=content), LabelMap(((7, "a"),)))
    assert isinstance(row, LabelledImage)
    assert row.label_ids == (0, 7)


def test_classes_that_are_not_exhaustive(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text("image,exhaustive_classes\na.jpg,b\n")
    given = NamedFile(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    options = PrepareOptions(images=("i",), annotations=("x",), output="o", exhaustive=given)
    labels = LabelMap(((7, "a"), (2, "b")))
    rows = [Candidate(image=_image(name), annotation=_content("a")) for name in ("a.jpg", "b.jpg")]
    found = [plan.assign_labels_and_splits(row, options, labels, []).content.not_exhaustive for row in rows]
    assert found == [((7, "a"),), ()]


def test_an_image_with_ignored_areas_alone_has_no_object():
    options = PrepareOptions(images=("i",), annotations=("x",), output="o", negatives=DROP)
    row = Candidate(image=_image("a.jpg"), annotation=ignore_labels(_content("unclear"), ["unclear"]))
    assert plan.assign_labels_and_splits(row, options, LabelMap(((7, "a"),)), []).reason == "no_objects"


MAPS = [
    (["b", "a", "bee"], None, LabelMap(((1, "a"), (2, "b"))), "names are numbered in order; an alias is none"),
    (["b"], LabelMap(((5, "z"),)), LabelMap(((5, "z"),)), "the user's map stays as it is"),
    ([], None, None, "no map and no name"),
]


@pytest.mark.parametrize(("found", "given_map", "expected", "reason"), MAPS)
def test_make_label_map(found, given_map, expected, reason):
    options = PrepareOptions(images=("i",), annotations=("x",), output="o", labels=given_map, aliases={"bee": "b"})
    assert plan.make_label_map(dict.fromkeys(found, 1), options) == expected, reason


def test_no_label_at_all_is_a_reject():
    row = plan.label_image(Candidate(image=_image("a.jpg"), annotation=_content()), None)
    assert isinstance(row, Reject)
    assert row.reason == "no_labels"


ASSIGNED = [
    ({}, _content("CRAB"), None, "an alias counts as its name"),
    ({"negatives": "drop"}, _content(), "no_objects", "negatives are dropped"),
    ({}, None, "image_without_annotation", "not confirmed to be empty"),
    ({"without_annotation": "negative"}, None, None, "the user confirms that it is empty"),
    ({}, _content("eel"), "unknown_label", "no such label"),
    ({"split_group": GroupRule("^dive[0-9]")}, _content("crab"), "no_split_group", "the name gives no group"),
]


@pytest.mark.parametrize(("changes", "content", "expected", "reason"), ASSIGNED, ids=[row[3] for row in ASSIGNED])
def test_labels_and_splits_are_assigned_at_once(changes, content, expected, reason):
    image = _image("i/a.jpg")
    row = Candidate(image=image, annotation=content) if content else UnannotatedImage(image=image)
    options = PrepareOptions(images=("i",), annotations=("x",), output="o", aliases={"CRAB": "crab"}, **changes)
    found = plan.assign_labels_and_splits(row, options, LabelMap(((7, "crab"),)), [])
    if expected:
        assert isinstance(found, Reject), reason
        assert (found.kind, found.name, found.reason) == (IMAGE_REJECT, "a.jpg", expected), reason
    else:
        assert isinstance(found, AssignedImage), reason
        assert found.content.label_ids == (7,) * bool(content), reason
        assert (found.split, found.known_id) == (options.splits.split_of("a.jpg"), None), reason


def test_an_unreadable_file_makes_no_negatives():
    options = PrepareOptions(images=("i",), annotations=("x",), output="o", without_annotation="negative")
    found = plan.assign_labels_and_splits(UnannotatedImage(image=_image("a.jpg")), options, None, [b"x/\xff.xml"])
    assert isinstance(found, Reject)
    assert "it may be in an unreadable file: x/\udcff.xml" in found.detail


NOTHING = IdMap()
OPTIONS = PrepareOptions(images=("i/*",), annotations=("x/*",), output="o", num_shards={"train": 5, "val": 2})


def _numbered(count: int, seed: int, previous: IdMap = NOTHING) -> dict[str, tuple[str, str, int]]:
    """name → (split, shard, id), with the images arriving in an order of the seed."""
    rows = [LabelledImage(image=_image(f"{n}.jpg"), annotation=_content(), label_ids=()) for n in range(count)]
    random.Random(seed).shuffle(rows)
    assigned = [
        AssignedImage(
            split=OPTIONS.splits.split_of(row.image.name), known_id=previous.id_of.get(row.image.name), content=row
        )
        for row in rows
    ]
    counts = Counter(map(plan.bucket_key, assigned))
    layout = plan.lay_out(counts, previous.last_id)
    buckets: dict[int, list[AssignedImage]] = {}
    for row in assigned:
        buckets.setdefault(plan.name_bucket(row.content.image), []).append(row)
    found = {}
    for item in buckets.items():
        for (split, shard), planned in plan.number_bucket(item, layout, OPTIONS):
            found[planned.name] = (split, shard, planned.source_id)
    return found


@settings(max_examples=25)
@given(st.integers(1, 200), st.integers(0, 99))
def test_ids_are_dense_and_shards_even_whatever_the_order(count, seed):
    found = _numbered(count, seed)
    assert found == _numbered(count, seed + 1)
    assert sorted(source_id for _, _, source_id in found.values()) == list(range(1, count + 1))
    for split in OPTIONS.splits.names:
        sizes = Counter(shard for of, shard, _ in found.values() if of == split)
        assert len(sizes) == min(sizes.total(), OPTIONS.shards_of(split))
        assert not sizes or max(sizes.values()) - min(sizes.values()) <= 1


@settings(max_examples=25)
@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 99))
def test_ids_of_an_earlier_build_stay_and_new_ones_follow(before, added, seed):
    """The same as numbering all at once, although each bucket is numbered by itself."""
    old = {name: source_id for name, (_, _, source_id) in _numbered(before, seed).items()}
    rows = (IdRow(source_id=source_id, image=name, split="", status="absent") for name, source_id in old.items())
    previous = IdMap(tuple(rows))
    found = {name: source_id for name, (_, _, source_id) in _numbered(before + added, seed, previous).items()}
    assert {name: found[name] for name in old} == old
    assert found == assign_ids(previous, found)


def test_a_shard_is_a_run_of_its_split():
    rows = sorted((source_id, shard) for split, shard, source_id in _numbered(200, 0).values() if split == "train")
    shards = [shard for _, shard in rows]
    assert shards == sorted(shards)


def test_more_images_than_ids_rejects_them_all():
    row = LabelledImage(image=_image("a.jpg"), annotation=_content(), label_ids=())
    assigned = AssignedImage(split="train", known_id=None, content=row)
    bucket = plan.name_bucket(row.image)
    layout = plan.lay_out({(bucket, "train", True): MAX_SOURCE_ID + 1}, last_id=0)
    (reject,) = plan.number_bucket((bucket, [assigned]), layout, OPTIONS)
    assert isinstance(reject, Reject)
    assert reject.reason == "too_many_images"


def test_a_truncated_file_is_a_reject_after_its_images(tmp_path):
    path = write_zip(tmp_path / "z.zip", "annotations.xml", data=CVAT[: CVAT.index(b"b.jpg")])
    ((_, file),) = match_annotations(InputPattern(pattern=path, flag="--exports", is_export=True))
    kept, fault = plan.read_annotation_group([file])
    assert isinstance(kept, AnnotationFile)
    assert isinstance(fault, Reject)
    assert (fault.source, fault.line) == (f"{path}/annotations.xml", 1)
