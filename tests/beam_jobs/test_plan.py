"""Join, label, number: pure functions, so tables and laws without a pipeline."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_jobs import numbering, plan
from beam_jobs.options import PrepareOptions
from beam_jobs.rows import (
    ANNOTATION_REJECT,
    IMAGE_REJECT,
    AssignedImage,
    Candidate,
    LabelledImage,
    Reject,
    UnannotatedImage,
)
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation, UnreadableObject
from retinanet_odm.dataset.source_ids import MAX_SOURCE_ID, IdMap, IdRow, assign_ids
from retinanet_odm.dataset.splits import GroupRule
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.sources.listing import AnnotationFile, ImageFile, InputPattern, match_annotations
from retinanet_odm.sources.matching import match_key
from tests.retinanet_odm.sources.rows import (
    broken_file,
    image_annotation,
    image_file,
    listed_annotation,
    voc_file,
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


BAD = AnnotationFile(uri="x/a.xml", reason="xml_not_well_formed", detail="x/a.xml: line 3")

JOINS = {
    "one of each belong together": ([_image("i/a.jpg")], [_annotation("x/a.xml")], ["candidate a.jpg"]),
    "no annotation": ([_image("i/a.jpg")], [], ["unannotated a.jpg"]),
    "no image": ([], [_annotation("x/a.xml")], ["annotation x/a.xml annotation_without_image"]),
    "a bad annotation rejects its image, once": ([_image("i/a.jpg")], [BAD], ["image a.jpg xml_not_well_formed"]),
    "two images, one annotation: neither is guessed": (
        [_image("i/1/a.jpg", "1/a.jpg"), _image("i/2/a.jpg", "2/a.jpg")],
        [_annotation("x/a.xml")],
        ["image 1/a.jpg ambiguous_match", "image 2/a.jpg ambiguous_match"],
    ),
    "one image, two annotations": (
        [_image("i/a.jpg")],
        [_annotation("x/a.xml"), _annotation("y/a.xml")],
        ["image a.jpg ambiguous_match"],
    ),
    "one name from two roots would be one record name": (
        [_image("i/a.jpg"), _image("j/a.jpg")],
        [_annotation("x/a.xml")],
        ["image a.jpg duplicate_image_name", "image a.jpg duplicate_image_name"],
    ),
    "one file by two patterns is one image, under the smaller name": (
        [_image("i/1/a.jpg", "a.jpg"), _image("i/1/a.jpg", "1/a.jpg")],
        [_annotation("x/a.xml")],
        ["candidate 1/a.jpg"],
    ),
}


@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "reversed"])
@pytest.mark.parametrize(("images", "annotations", "expected"), JOINS.values(), ids=JOINS.keys())
def test_join(images, annotations, expected, reverse):
    step = -1 if reverse else 1
    group = (b"a", {"images": images[::step], "annotations": annotations[::step]})
    assert [_words(row) for row in plan.join_images(group)] == expected


def _words(row: Candidate | UnannotatedImage | Reject) -> str:
    if isinstance(row, Candidate):
        return f"candidate {row.image.name}"
    if isinstance(row, UnannotatedImage):
        return f"unannotated {row.image.name}"
    return f"{row.kind} {row.name} {row.reason}"


def test_ambiguous_match_names_every_file():
    group = (b"a", {"images": [_image("i/a.jpg"), _image("i/a.png")], "annotations": [_annotation("x/a.xml")]})
    for reject in plan.join_images(group):
        assert all(name in reject.detail for name in ("i/a.jpg", "i/a.png", "x/a.xml"))


names = st.lists(st.sampled_from("abcd"), max_size=6)


@given(names, names)
def test_every_distinct_image_becomes_one_row(image_folders, annotation_folders):
    images = [_image(f"{folder}/a.jpg", f"{folder}/a.jpg") for folder in image_folders]
    group = (b"a", {"images": images, "annotations": [_annotation(f"{f}/a.xml") for f in annotation_folders]})
    kept = [row for row in plan.join_images(group) if not isinstance(row, Reject) or row.kind == IMAGE_REJECT]
    assert len(kept) == plan.count_images(group) == len(set(image_folders))


KEYS = [
    ("gs://b/i/a.JPG", b"a", "extension and folder do not count"),
    ("i/a.b.jpg", b"a.b", "only the last extension is one"),
    ("i/Étoile 1.png", "Étoile 1".encode(), "accents and spaces stay"),
    ("i/\udcff.jpg", b"\xff", "a name that is no UTF-8 is a name"),
]


@pytest.mark.parametrize(("uri", "key", "reason"), KEYS)
def test_match_key(uri, key, reason):
    assert match_key(uri) == key, reason


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
    counts = Counter(key for row in assigned for key, _ in numbering.bucket_counts(row))
    layout = numbering.lay_out(counts, previous.last_id)
    buckets: dict[int, list[AssignedImage]] = {}
    for row in assigned:
        buckets.setdefault(numbering.image_bucket(row), []).append(row)
    found = {}
    for item in buckets.items():
        for (split, shard), planned in numbering.number_bucket(item, layout, OPTIONS):
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
    bucket = numbering.image_bucket(assigned)
    layout = numbering.lay_out({(bucket, "train", True): MAX_SOURCE_ID + 1}, last_id=0)
    (reject,) = numbering.number_bucket((bucket, [assigned]), layout, OPTIONS)
    assert isinstance(reject, Reject)
    assert reject.reason == "too_many_images"


def test_annotation_without_image_is_no_image():
    (reject,) = plan.join_images((b"a", {"images": [], "annotations": [BAD]}))
    assert isinstance(reject, Reject)
    assert reject.kind == ANNOTATION_REJECT


def _joined(images: list[str], annotations: list[AnnotationFile]) -> list:
    return list(plan.join_images((b"a", {"images": map(image_file, images), "annotations": annotations})))


def test_a_conflict_names_all_who_are_in_it():
    for reject in _joined(["1/a.jpg", "2/a.jpg"], [listed_annotation("a.jpg")]):
        assert reject.reason == "ambiguous_match"
        assert all(word in reject.detail for word in ("/i/1/a.jpg", "/i/2/a.jpg", "a.jpg in /x/all.json"))


def test_a_large_conflict_names_some():
    (first, *_) = _joined([f"{row}/a.jpg" for row in range(999)], [listed_annotation("a.jpg")])
    assert "and 980 more" in first.detail


def test_an_unread_object_rejects_its_image():
    fault = UnreadableObject(reason="number_not_readable", detail="all.json: line 7: x")
    file = AnnotationFile(
        uri="/x/a", image_name="a.jpg", annotation=image_annotation("a.jpg", unreadable=(fault, fault))
    )
    (reject,) = _joined(["a.jpg"], [file])
    assert (reject.reason, reject.detail, reject.source) == (fault.reason, f"a.jpg: {fault.detail}", "/x/a")


UNUSED = [
    (listed_annotation("1/a.jpg"), "1/a.jpg", "annotation_without_image", "an image that was not given"),
    (voc_file("a.xml"), "/x/a.xml", "annotation_without_image", "the file stands for its image"),
    (broken_file("a.xml"), "/x/a.xml", "xml_not_well_formed", "a broken file: its own reason"),
]


@pytest.mark.parametrize(("file", "name", "reason", "why"), UNUSED)
def test_unused_annotation(file, name, reason, why):
    (reject,) = _joined([], [file])
    assert (reject.kind, reject.name, reject.reason) == ("annotation", name, reason), why
    assert list(plan.unreadable_file(reject)) == ([b"/x/a.xml"] if reason == "xml_not_well_formed" else []), why


def test_one_name_twice_is_never_numbered_twice():
    images = [ImageFile(uri="/i/a.jpg", name="a.jpg"), ImageFile(uri="/j/a.jpg", name="a.jpg", export_uri="/j.zip")]
    rows = list(plan.join_images((b"a", {"images": images, "annotations": []})))
    assert [row.reason for row in rows if isinstance(row, Reject)] == ["duplicate_image_name"] * 2
    assert not any(isinstance(row, UnannotatedImage) for row in rows)


def test_a_truncated_file_is_a_reject_after_its_images(tmp_path):
    path = write_zip(tmp_path / "z.zip", "annotations.xml", data=CVAT[: CVAT.index(b"b.jpg")])
    ((_, file),) = match_annotations(InputPattern(pattern=path, flag="--exports", is_export=True))
    kept, fault = plan.read_annotation_group((b"", [file]))
    assert isinstance(kept, AnnotationFile)
    assert isinstance(fault, Reject)
    assert (fault.source, fault.line) == (f"{path}/annotations.xml", 1)
