"""Difference hashes, and what the splits have in common, held against the definition."""

import hashlib
import io
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from retinanet_odm.dataset.leakage import MAX_NEAR_DISTANCE, ImageHashes, Leakage, NearDuplicate, find_leakage
from retinanet_odm.imaging.images import difference_hash


def _ramp(size: tuple[int, int] = (36, 32)) -> Image.Image:
    return Image.linear_gradient("L").rotate(90).resize(size)


def _rings(size: tuple[int, int] = (36, 32)) -> Image.Image:
    return Image.radial_gradient("L").resize(size)


def _waves(size: tuple[int, int]) -> Image.Image:
    y, x = np.mgrid[: size[1], : size[0]]
    u, v = x / size[0], y / size[1]
    red, green = 127 + 60 * np.sin(20 * u + 9 * v), 127 + 60 * np.cos(15 * v - 13 * u * v)
    return Image.fromarray(np.stack([red, green, 255 * u], -1).astype(np.uint8))


# From ImageHash 4.3.2, imagehash.dhash, with Pillow 12.3.0.
VECTORS = [
    (_ramp(), 0xFFFFFFFFFFFFFFFF, "brighter from left to right"),
    (_ramp().transpose(Image.Transpose.FLIP_LEFT_RIGHT), 0, "darker from left to right"),
    (_rings(), 0x0F0F0F0F0F0F0F0F, "bright around a dark centre, as Pillow draws it"),
    (_waves((72, 64)), 0x6D6B5B97A7617919, "colours, and rows that differ"),
    (_waves((280, 200)), 0x6D4B5B96A7617919, "the largest before the box filter helps"),
    (_waves((960, 540)), 0x6D4B5B96A7617919, "where it does"),
    (Image.new("RGB", (36, 32), (9, 60, 200)), 0, "plain"),
]


@pytest.mark.parametrize(("image", "expected", "reason"), VECTORS)
def test_difference_hash(image: Image.Image, expected: int, reason: str) -> None:
    assert difference_hash(image) == expected, reason


def test_saving_again_keeps_the_hash_near() -> None:
    image = _waves((960, 540))
    buffer = io.BytesIO()
    image.resize((480, 270)).save(buffer, "JPEG", quality=30)
    with Image.open(buffer) as saved:
        assert _distance(difference_hash(saved), difference_hash(image)) <= MAX_NEAR_DISTANCE


def _distance(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def _print(name: str, split: str, content: str, perceptual_hash: int | None = None) -> ImageHashes:
    return ImageHashes(name, split, hashlib.sha256(content.encode()).digest(), perceptual_hash)


BASE = 0x0F0F33AA5500FF13
SOME = [
    _print("a", "train", "A", BASE),
    _print("b", "train", "A", BASE),
    _print("c", "train", "C", BASE ^ 0b11),
    _print("d", "train", "D", 0),
    _print("e", "val", "A", BASE),
    _print("f", "val", "F", BASE ^ 0b111),
    _print("g", "val", "G", BASE ^ 0b1111 << 60),
    _print("h", "val", "H", BASE ^ 0b11111 << 59),
    _print("i", "val", "I", 0),
    _print("j", "val", "J", None),
    _print("k", "test", "K", BASE ^ 0b111),
    _print("l", "test", "C", BASE ^ 0b11),
    _print("m", "test", "M", 5),
    _print("n", "test", "M", 5),
]


def test_find_leaks() -> None:
    found = find_leakage(SOME)
    assert (found.images, found.hashed, found.reach) == (14, 11, MAX_NEAR_DISTANCE)
    assert [group.members for group in found.across.examples] == [
        (("train", "a"), ("train", "b"), ("val", "e")),
        (("train", "c"), ("test", "l")),
    ]
    assert [group.members for group in found.within.examples] == [(("test", "m"), ("test", "n"))]
    assert (found.across.groups, found.across.images, found.within.groups, found.within.images) == (2, 5, 1, 2)
    test, val = found.held_out
    assert (test.split, test.images, test.exact, test.near) == ("test", 4, 1, 1)
    assert (val.split, val.images, val.exact, val.near) == ("val", 6, 1, 2)
    assert test.examples == (NearDuplicate(name="k", train_name="c", distance=1),)
    assert val.examples == (
        NearDuplicate(name="f", train_name="c", distance=1),
        NearDuplicate(name="g", train_name="a", distance=4),
    )


def test_plain_images_are_no_duplicates() -> None:
    found = find_leakage([_print("a", "train", "A", 0), _print("b", "val", "B", 0), _print("c", "val", "C", 1)])
    assert (found.hashed, found.held_out[0].near) == (1, 0)


def test_a_search_that_would_take_too_long_finds_equal_hashes_only() -> None:
    rows = [*SOME, _print("o", "val", "O", BASE)]
    seen, asked = len({BASE, BASE ^ 3}), len({BASE ^ 7, BASE ^ 0xF << 60, BASE ^ 0x1F << 59, 5, BASE})
    assert find_leakage(rows, max_comparisons=seen * asked).reach == MAX_NEAR_DISTANCE
    found = find_leakage(rows, max_comparisons=seen * asked - 1)
    assert found.reach == 0
    assert [held.near for held in found.held_out] == [0, 1]
    assert found.held_out[1].examples == (NearDuplicate(name="o", train_name="a", distance=0),)


def test_examples_are_capped_and_counts_are_not() -> None:
    rows = [_print(f"{split}{row}", split, f"{row % 3}", None) for split in ("train", "val") for row in range(9)]
    rows += [_print(f"near{row}", "val", f"near{row}", BASE) for row in range(9)] + [_print("z", "train", "z", BASE)]
    found = find_leakage(rows, examples=2)
    assert (found.across.groups, found.across.images, len(found.across.examples)) == (3, 18, 2)
    assert found.across.examples[0].images == 6
    assert found.across.examples[0].members == (("train", "train0"), ("train", "train3"))
    (val,) = found.held_out
    assert (val.exact, val.near, [twin.name for twin in val.examples]) == (9, 9, ["near0", "near1"])


@pytest.mark.parametrize("split", ["train", "val"])
def test_one_split_alone_leaks_nothing(split: str) -> None:
    found = find_leakage([_print("a", split, "A", 7), _print("b", split, "B", 7)])
    assert (found.across.groups, found.within.groups) == (0, 0)
    assert [held.exact + held.near for held in found.held_out] == [0] * (split == "val")


def test_no_images() -> None:
    found = find_leakage([])
    assert (found.images, found.held_out, found.across.groups) == (0, (), 0)


FINGERPRINTS = (
    st.none()
    | st.just(0)
    | st.lists(st.integers(0, 63), max_size=7).map(lambda bits: BASE ^ sum(1 << bit for bit in set(bits)))
)
ROWS = st.lists(st.tuples(st.sampled_from(["train", "val", "test"]), st.integers(0, 12), FINGERPRINTS), max_size=30)


@given(ROWS, st.randoms(use_true_random=False))
def test_find_leaks_is_its_definition(rows: list[tuple[str, int, int | None]], shuffler: random.Random) -> None:
    prints = [_print(f"{row:02d}", split, str(content), bits) for row, (split, content, bits) in enumerate(rows)]
    found = find_leakage(prints, examples=99)
    for held in found.held_out:
        _check_held_out(prints, held.split, found)
    contents = {item.sha256: [other for other in prints if other.sha256 == item.sha256] for item in prints}
    groups = [group for group in contents.values() if len(group) > 1]
    for duplicates, several in ((found.within, False), (found.across, True)):
        wanted = [group for group in groups if (len({item.split for item in group}) > 1) == several]
        shown = [[name for _, name in group.members] for group in duplicates.examples]
        assert shown == [[item.name for item in group] for group in wanted]
        assert (duplicates.groups, duplicates.images) == (len(wanted), sum(map(len, wanted)))
    shuffled = shuffler.sample(prints, len(prints))
    assert find_leakage(shuffled, examples=99) == found


def _check_held_out(prints: list[ImageHashes], split: str, found: Leakage) -> None:
    train = [item for item in prints if item.split == "train"]
    inside = [item for item in prints if item.split == split]
    fresh = [item for item in inside if all(item.sha256 != other.sha256 for other in train)]
    twins = []
    for item in fresh:
        bits = item.perceptual_hash
        pairs = [(_distance(bits, t.perceptual_hash), t.name) for t in train if bits and t.perceptual_hash]
        if pairs and min(pairs)[0] <= MAX_NEAR_DISTANCE:
            twins.append(NearDuplicate(name=item.name, train_name=min(pairs)[1], distance=min(pairs)[0]))
    (held,) = (held for held in found.held_out if held.split == split)
    assert (held.images, held.exact, held.near) == (len(inside), len(inside) - len(fresh), len(twins))
    assert held.examples == tuple(twins)
