"""Source ids: dense and exact in float32; id maps: stable, unique, and equal to their text."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.dataset import source_ids
from retinanet_odm.dataset.source_ids import (
    ID_ABSENT,
    ID_REJECTED,
    ID_WRITTEN,
    IdMap,
    IdRow,
    assign_bucket,
    assign_ids,
    first_new_ids,
    format_id_map,
    merge_id_maps,
    parse_id_map,
)
from retinanet_odm.errors import ContractError, UsageError

_ANY_NAMES = st.lists(st.text(), unique=True, max_size=40)


@given(_ANY_NAMES, st.randoms())
def test_numbering_bucket_by_bucket_is_numbering_by_hash(names: list[str], shuffler: random.Random) -> None:
    """So every bucket can be numbered on a different machine, in any order of names."""
    shuffler.shuffle(names)
    buckets = sorted({source_ids.bucket_of(name) for name in names})
    laid_end_to_end = [
        name
        for bucket in buckets
        for name in sorted((name for name in names if source_ids.bucket_of(name) == bucket), key=source_ids.name_hash)
    ]
    assert laid_end_to_end == sorted(names, key=source_ids.name_hash)
    assert all(0 <= bucket < source_ids.NUM_BUCKETS for bucket in buckets)


def test_a_name_that_is_not_utf8_has_a_hash() -> None:
    assert source_ids.name_hash(b"b\xe9.jpg".decode("utf-8", "surrogateescape")) != source_ids.name_hash("b.jpg")


def test_every_id_up_to_the_limit_is_exact_in_float32_and_the_next_is_not() -> None:
    last = np.arange(source_ids.MAX_SOURCE_ID - 1000, source_ids.MAX_SOURCE_ID + 1)
    assert np.array_equal(last.astype(np.float32).astype(np.int64), last)
    assert int(np.float32(source_ids.MAX_SOURCE_ID + 1)) != source_ids.MAX_SOURCE_ID + 1


def test_too_many_images_are_refused_before_any_is_read() -> None:
    source_ids.check_image_count(source_ids.MAX_SOURCE_ID)
    with pytest.raises(UsageError, match="16777217 images"):
        source_ids.check_image_count(source_ids.MAX_SOURCE_ID + 1)


def test_ids_given_before_count_too() -> None:
    source_ids.check_image_count(1, source_ids.MAX_SOURCE_ID - 1)
    with pytest.raises(UsageError, match="2 images after the 16777215 ids already given"):
        source_ids.check_image_count(2, source_ids.MAX_SOURCE_ID - 1)


_HEADER = "source_id,image,split,status\n"
# File names are bytes, on Linux any but NUL and /; those that are no UTF-8 become lone surrogates.
_BYTES = st.binary() | st.lists(st.sampled_from([b"\xe9", b"\r", b"\n", b'"', b",", b"#", b"a"])).map(b"".join)
_IMAGE = _BYTES.filter(bool).map(lambda name: name.decode("utf-8", "surrogateescape"))
_IMAGES = st.sets(_IMAGE, max_size=20)


def _written(source_id: int, image: str) -> IdRow:
    return IdRow(source_id=source_id, image=image, split="train", status=ID_WRITTEN)


def _map(assigned: dict[str, int]) -> IdMap:
    return IdMap(tuple(_written(source_id, image) for image, source_id in assigned.items()))


@given(st.dictionaries(_IMAGE, st.sampled_from([ID_WRITTEN, ID_REJECTED, ID_ABSENT]), max_size=20))
def test_format_and_parse_are_inverse(statuses: dict[str, str]) -> None:
    id_map = IdMap(
        tuple(
            IdRow(source_id=number, image=image, split="train" if status == ID_WRITTEN else "", status=status)
            for number, (image, status) in enumerate(statuses.items(), start=1)
        )
    )
    assert parse_id_map(format_id_map(id_map), source="id_map.csv") == id_map


def test_the_file_is_sorted_by_id() -> None:
    rejected = IdRow(source_id=2, image="a, b.jpg", split="", status=ID_REJECTED)
    text = _HEADER + '2,"a, b.jpg",,rejected\n10,c.jpg,train,written\n'
    assert format_id_map(IdMap((_written(10, "c.jpg"), rejected))) == text
    assert parse_id_map(text, source="id_map.csv").rows == (rejected, _written(10, "c.jpg"))


def test_ids_by_image() -> None:
    id_map = _map({"b.jpg": 2, "a.jpg": 7})
    assert id_map.id_of == {"b.jpg": 2, "a.jpg": 7}
    assert (id_map.last_id, IdMap().last_id) == (7, 0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param(
            "3,a,train,written\n3,b,val,written", "id 3 is given to both 'a' and 'b'", id="one id, two images"
        ),
        pytest.param(
            "3,a,train,written\n4,a,train,written", "'a' has two source ids, 3 and 4", id="one image, two ids"
        ),
        pytest.param("3,a,train,written\n3,a,train,written", "id 3", id="a line twice"),
        pytest.param("1,a,train,written\n0,b,train,written", r"line 3.*1\.\.16777216", id="TPU ids start at 1"),
        pytest.param("16777217,a,train,written", r"line 2.*1\.\.16777216", id="beyond float32"),
        pytest.param("1.0,a,train,written", "line 2.*'a' is not an integer: '1.0'", id="Excel's number"),
        pytest.param("٣,a,train,written", "not an integer", id="a digit of another script"),
        pytest.param("x,a,train,written", "not an integer", id="a word"),
        pytest.param("1,,train,written", "line 2: source_id 1 has no image", id="no name"),
        pytest.param("1,a,,done", "line 2.*found 'done'", id="an unknown status"),
        pytest.param("1,a,,written", "only a written image has a split", id="written, but where"),
        pytest.param("1,a,train,absent", "only a written image has a split", id="absent, but in a split"),
        pytest.param("1,a", "line 2: expected 4 cells", id="cut short"),
    ],
)
def test_refused(rows: str, message: str) -> None:
    with pytest.raises(ContractError, match=f"old.csv: .*{message}"):
        parse_id_map(f"{_HEADER}{rows}\n", source="old.csv")


@given(_IMAGES, _IMAGES, st.randoms())
def test_additions_keep_every_old_id_in_any_order(old: set[str], new: set[str], shuffler: random.Random) -> None:
    first = assign_ids(IdMap(), old)
    assert sorted(first.values()) == list(range(1, len(old) + 1))
    shuffled = [*old, *new, *new]
    shuffler.shuffle(shuffled)
    second = assign_ids(_map(first), shuffled)
    assert second == assign_ids(_map(first), old | new)
    assert {image: second[image] for image in old} == first
    assert sorted(second.values()) == list(range(1, len(old | new) + 1))
    added = sorted(new - old, key=source_ids.name_hash)
    assert [second[image] for image in added] == list(range(len(old) + 1, len(old) + len(added) + 1))


@given(st.lists(_IMAGES, max_size=5))
def test_no_build_ever_renames_an_image_or_gives_an_id_twice(builds: list[set[str]]) -> None:
    """An image that is absent from a build keeps its id for later builds."""
    id_map, given_ids = IdMap(), dict[str, int]()
    for images in builds:
        assigned = assign_ids(id_map, images)
        id_map = merge_id_maps(id_map, (_written(source_id, image) for image, source_id in assigned.items()))
        assert given_ids.items() <= id_map.id_of.items()
        assert {row.image for row in id_map.rows if row.status == ID_WRITTEN} == images
        assert sorted(id_map.id_of.values()) == list(range(1, len(id_map.rows) + 1))
        given_ids = id_map.id_of
        assert assign_ids(id_map, images) == assigned  # the same build once more


@given(_IMAGES, _IMAGES, st.randoms())
def test_buckets_numbered_separately_are_numbered_as_one(
    old: set[str], images: set[str], shuffler: random.Random
) -> None:
    """So every bucket can be numbered on a different machine."""
    previous = _map(assign_ids(IdMap(), old))
    buckets = list({source_ids.bucket_of(image) for image in images})
    shuffler.shuffle(buckets)
    new_images = Counter(source_ids.bucket_of(image) for image in images - old)
    first = first_new_ids({bucket: new_images[bucket] for bucket in buckets}, previous.last_id)
    apart: dict[str, int] = {}
    for bucket in buckets:
        apart |= assign_bucket(
            [image for image in images if source_ids.bucket_of(image) == bucket], previous.id_of, first[bucket]
        )
    assert apart == assign_ids(previous, images)


def test_a_first_build_has_the_ids_of_the_hash_order() -> None:
    """Data sets that were published before there were id maps keep their numbers."""
    images = [f"img_{number}.jpg" for number in range(5)]
    in_order = sorted(images, key=source_ids.name_hash)
    assert assign_ids(IdMap(), images) == {image: number for number, image in enumerate(in_order, start=1)}
    assert list(assign_ids(IdMap(), images)) == in_order


def test_ids_beyond_float32_are_rejected_even_if_most_images_are_absent() -> None:
    previous = _map({"last.jpg": source_ids.MAX_SOURCE_ID})
    assert assign_ids(previous, ["last.jpg"]) == {"last.jpg": source_ids.MAX_SOURCE_ID}
    with pytest.raises(UsageError, match="1 images after the 16777216 ids"):
        assign_ids(previous, ["last.jpg", "one more.jpg"])


def test_an_image_that_left_is_absent_and_one_that_is_back_is_not() -> None:
    previous = _map({"a": 1, "b": 2})
    without = merge_id_maps(previous, [_written(1, "a")])
    assert without.rows == (_written(1, "a"), IdRow(source_id=2, image="b", split="", status=ID_ABSENT))
    assert merge_id_maps(without, [_written(1, "a"), _written(2, "b")]) == previous


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param(_written(3, "a"), "'a' has two source ids, 1 and 3", id="an old image with a new id"),
        pytest.param(_written(2, "c"), "id 2 is given to both 'b' and 'c'", id="a new image with an absent one's id"),
    ],
)
def test_a_build_that_breaks_the_map_is_refused(row: IdRow, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        merge_id_maps(_map({"a": 1, "b": 2}), [row])
