"""Label checks: one animal in many spellings, and other problems that the counts of labels show."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.labels.checks import ERROR, RARE_BELOW, LabelProblem, check_labels
from retinanet_odm.labels.label_map import LabelMap

_MAP = LabelMap.from_names(["Peniagone sp. A", "Peniagone sp. B", "urchin"])
_MANY = RARE_BELOW


def _found(findings: tuple[LabelProblem, ...]) -> list[tuple[str, str, int]]:
    return [(finding.code, finding.label, finding.count) for finding in findings]


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


# why, boxes by label, label map, aliases, what is found
_ALIKE = [
    ("a letter in the wrong place", {"Ophiuroidea": 812, "Ophiuriodea": 70}, None, {}, ["Ophiuriodea"]),
    ("a rare plural is no rare class", {"Platelets": 300, "platelet": 3}, None, {}, ["platelet"]),
    ("several at once", {"crabs": 20, "crab": 90, "urchins": 10, "urchin": 30}, None, {}, ["crabs", "urchins"]),
    ("an alias settles it", {"crabs": 20, "crab": 90}, None, {"crabs": "crab"}, []),
    ("a label map that lists both settles it", {"crabs": 20, "crab": 90}, ["crab", "crabs"], {}, []),
    ("two species by letters", {"Peniagone sp. A": 90, "Peniagone sp. B": 20}, None, {}, []),
]


@pytest.mark.parametrize(("why", "seen", "labels", "aliases", "expected"), _ALIKE, ids=[row[0] for row in _ALIKE])
def test_labels_that_look_alike(
    why: str, seen: dict[str, int], labels: list[str] | None, aliases: dict[str, str], expected: list[str]
) -> None:
    found = check_labels(seen, LabelMap.from_names(labels) if labels else None, aliases=aliases)
    assert [(problem.code, problem.label) for problem in found] == [("labels_look_alike", name) for name in expected], (
        why
    )


def test_the_line_to_copy_makes_the_rarer_name_the_alias() -> None:
    (found,) = check_labels({"Ophiuroidea": 812, "Ophiuriodea": 70}, None)
    assert found.detail == "labels 'Ophiuriodea' (70 boxes) and 'Ophiuroidea' (812 boxes) look alike: alias?"
    assert "the line Ophiuriodea,Ophiuroidea;" in found.suggestion


def test_names_that_were_just_added_to_a_label_map_are_compared_with_those_that_were_there() -> None:
    labels = LabelMap.from_names(["crab", "crabs", "krab"])
    found = check_labels({"crab": 900, "crabs": 90, "krab": 11}, labels, settled={"crab", "crabs"})
    assert [problem.label for problem in found] == ["krab"]
