import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.review_page.decisions import (
    ACTIONS,
    VERDICTS,
    Decision,
    ReviewedObject,
    check_objects,
    first_objects,
    parse_decisions,
    replay,
)
from retinanet_odm.errors import ContractError, DataError
from tests.retinanet_odm.prediction_rows import CRAB, PIG, RUN, STAR, scored

_CENTS = st.integers(0, 4000).map(lambda cents: cents / 100)
_OBJECTS = st.builds(
    ReviewedObject,
    label=st.text(max_size=5),
    box=st.tuples(_CENTS, _CENTS, _CENTS, _CENTS),
    verdict=st.sampled_from(VERDICTS),
    detection=st.none() | st.integers(0, 9),
)
# Names with line breaks and bytes that are not UTF-8, which Python holds as lone surrogates, too.
_DECISIONS = st.builds(
    Decision,
    image=st.text(st.characters() | st.sampled_from("\n\r\u2028\udce9"), max_size=4),
    row=st.none() | st.just("0123"),
    action=st.sampled_from(ACTIONS),
    done=st.booleans(),
    objects=st.lists(_OBJECTS, max_size=2).map(tuple),
    time=st.just("2026-01-02T03:04:05Z"),
)


@settings(max_examples=50)
@given(st.lists(_DECISIONS, max_size=4), st.data())
def test_every_beginning_of_a_file_is_a_file(decisions: list[Decision], data: st.DataObject) -> None:
    """However a kill cuts the file: what is complete is read, what is not is told, and nothing is lost."""
    written = b"".join(decision.to_line() for decision in decisions)
    cut = written[: data.draw(st.integers(0, len(written)))]
    found, torn = parse_decisions(cut, source="review.jsonl")
    assert found == decisions[: len(found)]
    assert len(found) >= cut.count(b"\n"), "no complete line is dropped"
    kept = b"".join(decision.to_line() for decision in found)
    assert kept + torn in (cut, cut + b"\n"), "what follows the last decision is told, all of it"
    assert replay(found) == {decision.image: decision for decision in found}


@settings(max_examples=50)
@given(st.lists(_DECISIONS, max_size=6), st.integers(0, 6))
def test_replaying_in_two_parts_is_replaying_all(decisions: list[Decision], at: int) -> None:
    assert replay(decisions[:at]) | replay(decisions[at:]) == replay(decisions)


_LINE = Decision(image="a.jpg", row=None, action="done", done=True, objects=(), time="").to_line()
BAD_LINES = [
    (b"\n", "an empty line"),
    (b"{}\n", "an object of another kind"),
    (b"[]\n", "no object"),
    (b"\xff\n", "no UTF-8"),
    (_LINE.replace(b"true", b"1"), "a number in place of a truth value"),
    (_LINE.replace(b'"a.jpg"', b"5"), "a number in place of a name"),
    (_LINE.replace(b"[]", b'[{"label": "crab"}]'), "an object without a box"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_line_in_the_middle_that_is_no_decision(line: bytes, reason: str) -> None:
    with pytest.raises(ContractError, match=r"review.jsonl, line 2: expected a decision"):
        parse_decisions(_LINE + line + _LINE, source="review.jsonl")
    assert parse_decisions(_LINE + line.rstrip(b"\n"), source="review.jsonl")[0], reason


def test_what_counts_is_open_at_first() -> None:
    weak = CRAB.__class__(label="crab", label_id=1, score=0.29, box=(1, 2, 3, 4))
    assert [
        (item.label, item.detection, item.verdict)
        for item in first_objects(scored("a", PIG, weak, STAR), RUN.thresholds)
    ] == [
        ("sea pig", 0, "open"),
        ('Étoile "de", mer', 2, "open"),
    ]


_BOX = {"label": "crab", "box": [1, 2, 11, 12], "verdict": "accepted", "detection": None}
REFUSED: list[tuple[list[Any], str, str]] = [
    ([5], "not_an_object", "a number"),
    ([{**_BOX, "box": [1, 2, 3]}], "not_an_object", "three edges"),
    ([{**_BOX, "box": [1, 2, "x", 4]}], "not_an_object", "a word in place of an edge"),
    ([{**_BOX, "verdict": "maybe"}], "not_an_object", "an unknown verdict"),
    ([{**_BOX, "detection": True}], "not_an_object", "a truth value is no number"),
    ([{**_BOX, "label": "whale"}], "unknown_label", "no class of the model"),
    ([{**_BOX, "detection": 1}], "unknown_detection", "the row has one detection"),
    ([{**_BOX, "detection": -1}], "unknown_detection", "from the end"),
    ([{**_BOX, "detection": 0}, {**_BOX, "detection": 0}], "unknown_detection", "twice"),
    ([{**_BOX, "box": [11, 2, 1, 12]}], "box_without_extent", "its edges are exchanged"),
    ([{**_BOX, "box": [50, 2, 60, 12]}], "box_without_extent", "beyond the image of 40 pixels"),
    ([{**_BOX, "box": [1, 2, 1.5, 12]}], "box_without_extent", "half a pixel wide"),
    ([{**_BOX, "box": [1, 2, float("nan"), 12]}], "not_a_box", "not a number"),
    ([{**_BOX, "box": [1, 2, float("inf"), 12]}], "not_a_box", "infinite"),
]


@pytest.mark.parametrize(("values", "why", "reason"), REFUSED)
def test_objects_that_are_refused(values: list[Any], why: str, reason: str) -> None:
    with pytest.raises(DataError) as error:
        check_objects(values, scored("a.jpg", PIG), RUN.classes.values())
    assert error.value.reason == why, reason


def test_boxes_are_cut_at_the_borders() -> None:
    (item,) = check_objects([{**_BOX, "box": [-3, 2.001, 99, 12]}], scored("a.jpg"), RUN.classes.values())
    assert item.box == (0, 2, 40, 12)
    assert ReviewedObject.from_dict(json.loads(json.dumps(item.to_dict()))) == item
