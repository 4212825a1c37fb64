"""Spellings: what is one name, what is near a name, and what looks like a slip."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.labels.spelling import find_look_alikes, look_alike, nearest_labels, normalise_label

_MAP = LabelMap.from_names(["Peniagone sp. A", "Peniagone sp. B", "urchin"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("PENIAGONE_SP_A", "Peniagone sp. A", id="the original tool's own label map"),
        pytest.param("sea-urchin", "Sea Urchin", id="hyphen"),
        pytest.param("sea–urchin", "sea urchin", id="en dash, as word processors make it"),
        pytest.param(" sea\u00a0urchin\t", "seaurchin", id="no-break space, blanks about it"),
        pytest.param("sea\u200burchin\ufeff", "seaurchin", id="invisible characters"),
        pytest.param("Großer Seestern", "GROSSER SEESTERN", id="sharp s"),
        pytest.param("Étoile de mer", "etoile de mer", id="without accent"),
        pytest.param("e\u0301toile", "étoile", id="two encodings of one accent: macOS file names"),
        pytest.param("ﬁsh", "fish", id="a ligature out of a PDF"),
        pytest.param("\uff23\uff52\uff41\uff42", "crab", id="full-width letters"),
        pytest.param("㎒ sponge", "MHz sponge", id="a character that normalises to capitals"),
        pytest.param("sp. 1", "SP_1", id="a digit after a letter"),
        pytest.param("sp 1.2", "sp_1-2", id="digits stay apart, however"),
    ],
)
def test_fold_equal(one: str, other: str) -> None:
    assert normalise_label(one) == normalise_label(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("Peniagone sp. A", "Peniagone sp. B", id="two species"),
        pytest.param("sp. 1-1", "sp. 11", id="they differ only in the hyphen"),
        pytest.param("か", "が", id="a mark that makes another letter"),
        pytest.param(".", "-", id="separators alone: nothing would be left"),
        pytest.param("male +", "male", id="a character that is no separator"),
    ],
)
def test_fold_apart(one: str, other: str) -> None:
    assert normalise_label(one) != normalise_label(other)


@given(st.text())
def test_folding_twice_changes_nothing_and_a_name_keeps_something(name: str) -> None:
    assert normalise_label(normalise_label(name)) == normalise_label(name)
    assert bool(normalise_label(name)) == bool(name)


@given(st.lists(st.sampled_from(["sea", "urchin", "é", "ß", "sp", "A"]), min_size=1), st.sampled_from([" ", "_", ". "]))
def test_case_and_separators_do_not_matter(words: list[str], separator: str) -> None:
    assert (
        normalise_label(separator.join(words))
        == normalise_label("".join(words).upper())
        == normalise_label("-".join(words).swapcase())
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("PENIAGONE_SP_A", ("Peniagone sp. A", "Peniagone sp. B"), id="equal first, then alike"),
        pytest.param("Peniagone sp. C", ("Peniagone sp. B", "Peniagone sp. A"), id="two alike"),
        pytest.param("urchn", ("urchin",), id="a typo"),
        pytest.param("sea urchin", ("urchin",), id="a longer name"),
        pytest.param("starfish", (), id="nothing like it"),
        pytest.param("", (), id="no name"),
    ],
)
def test_nearest(name: str, expected: tuple[str, ...]) -> None:
    assert nearest_labels(name, _MAP.name_by_id.values()) == expected


def test_nearest_gives_three_at_most_equal_ones_first() -> None:
    assert nearest_labels("crab", ["CRAB", "Crab", "crabs", "crab a", "krab"])[:2] == ("CRAB", "Crab")
    assert len(nearest_labels("crab", ["CRAB", "Crab", "crabs", "crab a", "krab"])) == 3


# why, one name, another, whether they look alike, and whether they do if one of them is rare
_PAIRS = [
    ("letters that changed places", "Ophiuriodea", "Ophiuroidea", True, True),
    ("a letter too few", "Holothuria", "Holothura", True, True),
    ("a plural", "platelet", "Platelets", True, True),
    ("a plural of several words", "sea star", "Sea_Stars", True, True),
    ("a plural that changes the end", "anemony", "anemonies", True, True),
    ("a plural in es", "fish", "fishes", True, True),
    ("a short name", "crab", "krab", False, True),
    ("two species by letters", "Peniagone sp. A", "Peniagone sp. B", False, False),
    ("two species by numbers", "morphotype 12", "morphotype 13", False, False),
    ("numbers without a space", "sponge1", "sponge2", False, False),
    ("very short names", "WBC", "RBC", False, False),
    ("other names", "urchin", "starfish", False, False),
    ("a part of a name", "urchin", "sea urchin", False, True),
]


@pytest.mark.parametrize(("why", "one", "other", "alike", "alike_if_rare"), _PAIRS, ids=[row[0] for row in _PAIRS])
def test_pairs(why: str, one: str, other: str, alike: bool, alike_if_rare: bool) -> None:
    assert (look_alike(one, other), look_alike(one, other, is_rare=True)) == (alike, alike_if_rare), why


_NAMES = st.text("abcst. _1é", min_size=1, max_size=12)


@given(_NAMES, _NAMES, st.booleans())
def test_looking_alike_is_symmetric_and_case_does_not_matter(one: str, other: str, is_rare: bool) -> None:
    found = look_alike(one, other, is_rare=is_rare)
    assert look_alike(other, one, is_rare=is_rare) == found
    assert look_alike(one.upper(), other, is_rare=is_rare) == found


@given(st.text("abcdefg ", min_size=4, max_size=12).filter(lambda name: len(normalise_label(name)) >= 4))
def test_a_name_and_its_plural_look_alike(name: str) -> None:
    assert look_alike(name, f"{name}s") and look_alike(f"{name}s", name)


@given(st.dictionaries(st.sampled_from(["crab", "crabs", "Crab", "carb", "krab", "sea crab"]), st.integers(1, 500)))
def test_the_rarer_name_is_the_slip_and_settled_names_are_left_alone(counts: dict[str, int]) -> None:
    found = find_look_alikes(counts)
    assert all(counts[name] <= counts[other] for name, other in found.items())
    assert find_look_alikes(dict(reversed(counts.items()))) == found
    assert find_look_alikes(counts, set(counts)) == {}
