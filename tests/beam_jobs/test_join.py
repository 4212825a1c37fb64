"""Images and annotations are joined: pure functions, so tables and laws without a pipeline."""

from collections.abc import Iterable, Iterator
from itertools import chain, groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_jobs import join
from beam_jobs.rows import (
    ANNOTATION_REJECT,
    IMAGE_REJECT,
    Candidate,
    Reject,
    UnannotatedImage,
)
from beam_jobs.tally import Tally, tallied, unreadable_file
from retinanet_odm.annotations.types import ImageAnnotation, UnreadableObject
from retinanet_odm.sources.listing import AnnotationFile, ImageFile
from retinanet_odm.sources.row_names import PAIRED_ACROSS_FOLDERS, PAIRED_BY_FILENAME
from tests.retinanet_odm.sources.rows import broken_file, image_annotation, image_file, listed_annotation, voc_file


def _image(uri: str, name: str | None = None) -> ImageFile:
    return ImageFile(uri=uri, name=name or uri.rpartition("/")[2])


def _annotation(uri: str) -> AnnotationFile:
    content = ImageAnnotation(filename="", width=None, height=None, objects=(), source="x/a.xml")
    return AnnotationFile(uri=uri, annotation=content)


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
    assert [_words(row) for row in join.join_images(group)] == expected


def _words(row: Candidate | UnannotatedImage | Reject) -> str:
    if isinstance(row, Candidate):
        return f"candidate {row.image.name}"
    if isinstance(row, UnannotatedImage):
        return f"unannotated {row.image.name}"
    return f"{row.kind} {row.name} {row.reason}"


def test_ambiguous_match_names_every_file():
    group = (b"a", {"images": [_image("i/a.jpg"), _image("i/a.png")], "annotations": [_annotation("x/a.xml")]})
    for reject in join.join_images(group):
        assert all(name in reject.detail for name in ("i/a.jpg", "i/a.png", "x/a.xml"))


names = st.lists(st.sampled_from("abcd"), max_size=6)


@given(names, names)
def test_every_distinct_image_becomes_one_row(image_folders, annotation_folders):
    images = [_image(f"{folder}/a.jpg", f"{folder}/a.jpg") for folder in image_folders]
    group = (b"a", {"images": images, "annotations": [_annotation(f"{f}/a.xml") for f in annotation_folders]})
    kept = [row for row in join.join_images(group) if not isinstance(row, Reject) or row.kind == IMAGE_REJECT]
    assert len(kept) == join.count_images(group) == len(set(image_folders))


def test_annotation_without_image_is_no_image():
    (reject,) = join.join_images((b"a", {"images": [], "annotations": [BAD]}))
    assert isinstance(reject, Reject)
    assert reject.kind == ANNOTATION_REJECT


def _joined(images: list[str], annotations: list[AnnotationFile]) -> list:
    return list(join.join_images((b"a", {"images": map(image_file, images), "annotations": annotations})))


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
    assert list(unreadable_file(reject)) == ([b"/x/a.xml"] if reason == "xml_not_well_formed" else []), why


def test_one_name_twice_is_never_numbered_twice():
    images = [ImageFile(uri="/i/a.jpg", name="a.jpg"), ImageFile(uri="/j/a.jpg", name="a.jpg", export_uri="/j.zip")]
    rows = list(join.join_images((b"a", {"images": images, "annotations": []})))
    assert [row.reason for row in rows if isinstance(row, Reject)] == ["duplicate_image_name"] * 2
    assert not any(isinstance(row, UnannotatedImage) for row in rows)


def _grouped(pairs: Iterable[tuple[bytes, object]]) -> Iterator[tuple[bytes, list]]:
    ordered = sorted(pairs, key=lambda pair: pair[0])
    return ((key, [row for _, row in group]) for key, group in groupby(ordered, key=lambda pair: pair[0]))


def _joined_twice(images: Iterable[ImageFile], annotations: Iterable[AnnotationFile]) -> list:
    """Joins by the files' own names, then by the names inside, as the pipeline does."""
    keyed: list = [(join.image_key(row), row) for row in images]
    keyed += [(join.annotation_key(row), row) for row in annotations]
    first: list = []
    for key, rows in _grouped(keyed):
        found = [row for row in rows if isinstance(row, ImageFile)]
        others = [row for row in rows if isinstance(row, AnnotationFile)]
        first += join.join_images((key, {"images": found, "annotations": others}))
    still_open = chain.from_iterable(map(join.open_row_key, (row for row in first if not isinstance(row, Reject))))
    second = [row for group in _grouped(still_open) for row in join.join_by_filename(group)]
    return [row for row in first if isinstance(row, (Candidate, Reject))] + second


BY_FILENAME = {
    "its own name is of no image, its <filename> of one": (
        ["b.jpg"],
        [voc_file("a.xml", "b.jpg")],
        ["candidate b.jpg"],
        {PAIRED_BY_FILENAME: (1, "b.jpg with /x/a.xml")},
    ),
    "numbered files, each with the name of its image": (
        ["b.jpg", "c.jpg"],
        [voc_file("1.xml", "c.jpg"), voc_file("2.xml", "b.jpg")],
        ["candidate b.jpg", "candidate c.jpg"],
        {PAIRED_BY_FILENAME: (2, "b.jpg with /x/2.xml")},
    ),
    "a path of another machine": (
        ["d/b.jpg"],
        [voc_file("a.xml", "C:\\me\\b.jpg")],
        ["candidate d/b.jpg"],
        {PAIRED_BY_FILENAME: (1, "d/b.jpg with /x/a.xml")},
    ),
    "its own name comes first, whatever <filename> says": (
        ["a.jpg", "b.jpg"],
        [voc_file("a.xml", "b.jpg")],
        ["candidate a.jpg", "unannotated b.jpg"],
        {},
    ),
    "the image has an annotation of its own name": (
        ["b.jpg"],
        [voc_file("a.xml", "b.jpg"), voc_file("b.xml", "b.jpg")],
        ["candidate b.jpg", "annotation /x/a.xml annotation_without_image"],
        {},
    ),
    "two images have the name": (
        ["1/b.jpg", "2/b.jpg"],
        [voc_file("a.xml", "b.jpg")],
        ["unannotated 1/b.jpg", "unannotated 2/b.jpg", "annotation /x/a.xml annotation_without_image"],
        {},
    ),
    "two images have the name, and one of them its own annotation": (
        ["1/b.jpg", "2/b.jpg"],
        [voc_file("a.xml", "b.jpg"), voc_file("1/b.xml", "b.jpg")],
        ["candidate 1/b.jpg", "unannotated 2/b.jpg", "annotation /x/a.xml annotation_without_image"],
        {},
    ),
    "two files name it": (
        ["b.jpg"],
        [voc_file("a.xml", "b.jpg"), voc_file("c.xml", "b.jpg")],
        [
            "unannotated b.jpg",
            "annotation /x/a.xml annotation_without_image",
            "annotation /x/c.xml annotation_without_image",
        ],
        {},
    ),
    "the extension counts": (
        ["b.png"],
        [voc_file("a.xml", "b.jpg")],
        ["unannotated b.png", "annotation /x/a.xml annotation_without_image"],
        {},
    ),
    "one <filename> that was copied into all files": (
        ["a.jpg", "b.jpg", "c.jpg"],
        [voc_file("a.xml", "c.jpg"), voc_file("b.xml", "c.jpg"), voc_file("c.xml", "c.jpg")],
        ["candidate a.jpg", "candidate b.jpg", "candidate c.jpg"],
        {},
    ),
}


@pytest.mark.parametrize("step", [1, -1], ids=["in order", "reversed"])
@pytest.mark.parametrize(("images", "files", "expected", "told"), BY_FILENAME.values(), ids=BY_FILENAME.keys())
def test_join_by_filename(images, files, expected, told, step):
    rows = _joined_twice([image_file(name) for name in images][::step], files[::step])
    assert sorted(map(_words, rows)) == sorted(expected)
    assert _told(rows) == told


def _told(rows: Iterable[Candidate | UnannotatedImage | Reject]) -> dict[str, tuple[int, str]]:
    *_, tally = tallied(rows, Tally())
    return tally.pairings


ACROSS = [
    ("dive2/IMG_0.jpg", listed_annotation("dive1/IMG_0.jpg"), True, "the folders contradict each other"),
    ("dive2/IMG_0.png", listed_annotation("dive1/IMG_0.jpg"), True, "also when the image was converted"),
    ("dive2/IMG_0.jpg", voc_file("dive1/IMG_0.xml"), True, "a file of another folder"),
    ("dive1/IMG_0.jpg", listed_annotation("dive1/IMG_0.jpg"), False, "the same folder"),
    ("IMG_0.jpg", listed_annotation("dive1/IMG_0.jpg"), False, "the pattern of images begins lower"),
    ("x/dive1/IMG_0.jpg", listed_annotation("IMG_0.jpg"), False, "the annotation names no folder"),
    ("x/images/IMG_0.jpg", voc_file("x/annotations/IMG_0.xml"), False, "the folders of a collection"),
    ("x/dive1/IMG_0.png", listed_annotation("dive1/IMG_0.jpg"), False, "converted, in the same folder"),
]


@pytest.mark.parametrize(("image", "file", "is_told", "why"), ACROSS)
def test_pairs_across_folders_are_told(image, file, is_told, why):
    (row,) = _joined_twice([image_file(image)], [file])
    assert isinstance(row, Candidate), why
    assert bool(_told([row]).get(PAIRED_ACROSS_FOLDERS)) is is_told, why


file_names = st.sampled_from(["a.jpg", "b.jpg", "1/a.jpg", "2/a.jpg", "1/b.png", "a.b.jpg"])
voc_names = st.sampled_from(["a.xml", "b.xml", "1/a.xml", "c.xml", "a.jpg.xml", "2/b.xml"])


@given(
    st.sets(file_names),
    st.dictionaries(voc_names, file_names),
    st.randoms(use_true_random=False),
)
def test_every_image_and_every_annotation_ends_once(images, files, random):
    rows = _joined_twice(map(image_file, images), [voc_file(name, inside) for name, inside in files.items()])
    ended = [row for row in rows if not isinstance(row, Reject) or row.kind == IMAGE_REJECT]
    assert len(ended) == len(images)
    shuffled = random.sample([voc_file(name, inside) for name, inside in files.items()], len(files))
    assert sorted(map(_words, _joined_twice(map(image_file, images), shuffled))) == sorted(map(_words, rows))
