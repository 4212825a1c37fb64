"""Nested subsets: each part of the order is mixed as the whole, and depends on the names alone."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.dataset.subsets import nested_order

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
