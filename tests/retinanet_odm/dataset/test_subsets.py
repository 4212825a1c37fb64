"""Nested subsets, each mixed as the whole, and folds: both depend on the names alone."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.dataset.subsets import assign_folds, join_groups, nested_order

GROUPED = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(
    lambda found: [(f"d{group}/{row}.jpg", f"d{group}") for row, group in enumerate(found)]
)


@given(GROUPED, st.data())
def test_each_group_has_its_share_of_every_subset(images: list[tuple[str, str]], data: st.DataObject) -> None:
    names, groups = zip(*images, strict=True)
    order = nested_order(names, groups)
    assert sorted(order) == list(range(len(names)))
    size = data.draw(st.integers(0, len(names)))
    taken = Counter(groups[row] for row in order[:size])
    sizes = Counter(groups)
    # The place at which the subset is cut, between 0 and 1, is common to all groups: each is within one image of it.
    shares = [(taken[name] - 1) / sizes[name] for name in sizes], [(taken[name] + 1) / sizes[name] for name in sizes]
    assert max(shares[0]) <= min(shares[1])


@given(GROUPED, st.randoms(use_true_random=False))
def test_the_order_of_the_records_does_not_matter(images: list[tuple[str, str]], source: random.Random) -> None:
    shuffled = source.sample(images, len(images))
    found = [[rows[row][0] for row in nested_order(*zip(*rows, strict=True))] for rows in (images, shuffled)]
    assert found[0] == found[1]


def test_it_is_not_the_order_of_the_names() -> None:
    names = [f"{row:03d}.jpg" for row in range(100)]
    order = nested_order(names, [""] * 100)
    assert order != sorted(order) and len(set(order[:10]) & set(range(50, 100))) in range(1, 10)


@given(
    st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=60), st.integers(2, 4), st.randoms(use_true_random=False)
)
def test_folds_hold_whole_groups_and_are_about_equal(groups: list[str], folds: int, source: random.Random) -> None:
    found = assign_folds(groups, folds)
    assert len(set(zip(groups, found, strict=True))) == len(set(groups)), "a group is in one fold"
    sizes = Counter(found)
    assert len(sizes) == min(folds, len(set(groups))), "no fold is empty that need not be"
    assert max(sizes.values()) - min(sizes[fold] for fold in range(folds)) <= max(Counter(groups).values())
    # The order of the images does not matter.
    order = source.sample(range(len(groups)), len(groups))
    assert assign_folds([groups[row] for row in order], folds) == [found[row] for row in order]


@given(st.lists(st.tuples(st.sampled_from("abcdefg"), st.integers(0, 9)), min_size=1, max_size=20))
def test_equal_images_are_in_one_group(images: list[tuple[str, int]]) -> None:
    groups, digests = zip(*images, strict=True)
    joined = join_groups(groups, [bytes([digest]) for digest in digests])
    for kinds in (groups, digests):
        assert len(set(zip(kinds, joined, strict=True))) == len(set(kinds)), "never in two"
    # Nothing else is joined: by the definition, step by step.
    for first in range(len(images)):
        reached = {first}
        while True:
            more = {
                row
                for row in range(len(images))
                if any(groups[row] == groups[other] or digests[row] == digests[other] for other in reached)
            }
            if more == reached:
                break
            reached = more
        assert {row for row in range(len(images)) if joined[row] == joined[first]} == reached
