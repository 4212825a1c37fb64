"""Label checks: one animal in many spellings, and other problems that the counts of labels show."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.labels.checks import ERROR, RARE_BELOW, LabelProblem, check_labels, nearest_labels, normalise_label
from retinanet_odm.labels.label_map import LabelMap

_MAP = LabelMap.from_names(["Peniagone sp. A", "Peniagone sp. B", "urchin"])
_MANY = RARE_BELOW


def _found(findings: tuple[LabelProblem, ...]) -> list[tuple[str, str, int]]:
    return [(finding.code, finding.label, finding.count) for finding in findings]


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


def test_every_unknown_label_is_named_at_once_the_most_frequent_first() -> None:
    seen = {
        "urchin": 50,
        "PENIAGONE_SP_A": 12,
        "urchn": 3,
        "starfish": 40,
        "Peniagone sp. A": 10,
        "Peniagone sp. B": 10,
    }
    findings = check_labels(seen, _MAP)
    assert _found(findings) == [
        ("unknown_label", "starfish", 40),
        ("unknown_label", "PENIAGONE_SP_A", 12),
        ("unknown_label", "urchn", 3),
    ]
    assert [finding.candidates[:1] for finding in findings] == [(), ("Peniagone sp. A",), ("urchin",)]
    assert "add it to the label map" in findings[0].suggestion
    assert "same name" in findings[1].suggestion
    assert "the line PENIAGONE_SP_A,Peniagone sp. A" in findings[1].suggestion
    assert findings[2].suggestion.startswith("if 'urchin' is meant")


def test_the_suggested_line_is_a_row_of_the_alias_file() -> None:
    (finding,) = check_labels({"crab, red": 1, "Crab, Red": 99}, None, rare_below=0)
    assert finding.suggestion.endswith('the line "crab, red","Crab, Red"')


def test_the_same_animal_twice_in_a_label_map() -> None:
    """The defect in the original sample data: ids 1 and 4."""
    labels = LabelMap(((1, "PENIAGONE_SP_A"), (4, "Peniagone sp. A"), (2, "urchin")))
    seen = {"PENIAGONE_SP_A": 11, "Peniagone sp. A": 200, "urchin": 30}
    (finding,) = check_labels(seen, labels)
    assert (finding.code, finding.severity, finding.label) == ("same_label_twice", ERROR, "PENIAGONE_SP_A")
    assert finding.candidates == ("Peniagone sp. A",)
    assert check_labels(seen, labels, aliases={"PENIAGONE_SP_A": "Peniagone sp. A"}) == ()


def test_the_same_animal_twice_among_names_that_would_make_a_label_map() -> None:
    seen = {"Sea urchin": 20, "sea_urchin": 500, "SEA-URCHIN": 10, "crab": 10}
    assert _found(check_labels(seen, None)) == [
        ("same_label_twice", "Sea urchin", 20),
        ("same_label_twice", "SEA-URCHIN", 10),
    ]


@pytest.mark.parametrize(
    ("seen", "labels", "aliases", "expected"),
    [
        pytest.param({"urchin": _MANY}, ["urchin", "crab"], {}, [("label_never_seen", "crab", 0)], id="never seen"),
        pytest.param({"urchin": _MANY - 1}, ["urchin"], {}, [("rare_label", "urchin", _MANY - 1)], id="rare"),
        pytest.param({"urchin": _MANY}, ["urchin"], {}, [], id="just enough"),
        pytest.param({"urchin": 1}, None, {}, [("rare_label", "urchin", 1)], id="rare, without a label map"),
        pytest.param({"a": 6, "b": 4}, ["b"], {"a": "b"}, [], id="an alias counts with its name"),
        pytest.param({"b": _MANY}, ["b"], {"a": "b"}, [("alias_never_seen", "a", 0)], id="an alias of nothing"),
        pytest.param({"a": 1}, ["b"], {}, [("unknown_label", "a", 1), ("label_never_seen", "b", 0)], id="errors first"),
        pytest.param({}, None, {}, [], id="nothing seen"),
    ],
)
def test_other_findings(
    seen: dict[str, int], labels: list[str] | None, aliases: dict[str, str], expected: list[tuple[str, str, int]]
) -> None:
    label_map = LabelMap.from_names(labels) if labels else None
    assert _found(check_labels(seen, label_map, aliases=aliases)) == expected


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 30), max_size=8), st.randoms())
def test_the_order_of_arrival_does_not_matter(seen: dict[str, int], shuffler: random.Random) -> None:
    items = list(seen.items())
    shuffler.shuffle(items)
    assert check_labels(dict(items), _MAP) == check_labels(seen, _MAP)
    assert check_labels(dict(items), None) == check_labels(seen, None)
