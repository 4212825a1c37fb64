"""Roll-up: which taxon an object gets, and the laws of its scores."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.labels.taxa import Taxonomy, parse_taxa
from retinanet_odm.predictions.roll_up import TaxonScores
from retinanet_odm.predictions.rows import Detection, PredictionRow, ScoringRun
from tests.retinanet_odm.prediction_rows import RUN, scored

CLASSES = {1: "A. alba", 2: "A. rubra", 3: "B. maior", 5: "urchin"}
IDS = {label: label_id for label_id, label in CLASSES.items()}
TREE = """label,AphiaID,rank,parent
Fam,1,family,
Aus,2,genus,Fam
Bus,3,genus,Fam
A. alba,4,species,Aus
A. rubra,5,species,Aus
B. maior,6,species,Bus
urchin,7,class,
other,8,class,
"""
LEAVES = "label,AphiaID,rank,parent\n" + "".join(
    f"{label},{label_id},species,\n" for label_id, label in CLASSES.items()
)
HERE, NEARLY_HERE, AWAY = (0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 9.0), (20.0, 0.0, 30.0, 10.0)


def _run(**scores: float) -> ScoringRun:
    """A run with a minimum score of 0.5 of every class, or another one."""
    min_scores = {label_id: scores.get(f"id{label_id}", 0.5) for label_id in CLASSES}
    return dataclasses.replace(RUN, classes=CLASSES, thresholds=min_scores, min_scores=min_scores)


def _taxa(text: str) -> Taxonomy:
    return parse_taxa(text, source="taxa.csv")


def _found(label: str, score: float, box: tuple[float, float, float, float] = HERE) -> Detection:
    return Detection(label=label, label_id=IDS[label], score=score, box=box)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param([("A. alba", 0.6)], [("A. alba", 0.6)], id="sure"),
        pytest.param([("A. alba", 0.4), ("A. rubra", 0.3)], [("Aus", 0.7)], id="only the genus is sure"),
        pytest.param([("A. alba", 0.4), ("B. maior", 0.3)], [("Fam", 0.7)], id="only the family"),
        pytest.param([("A. alba", 0.6), ("A. rubra", 0.3)], [("A. alba", 0.6)], id="the lowest that reaches it"),
        pytest.param([("A. alba", 0.2), ("A. rubra", 0.2)], [], id="not even the top"),
        pytest.param([("A. alba", 0.49)], [], id="alone, a taxon above is no easier to reach"),
        pytest.param(
            [("A. alba", 0.9), ("A. rubra", 0.9)], [("A. alba", 0.5)], id="above 1: divided, the first of two"
        ),
        pytest.param([("A. alba", 0.9), ("A. rubra", 0.8), ("B. maior", 0.3)], [("Aus", 0.85)], id="above 1: unsure"),
        pytest.param([("A. alba", 0.4), ("A. rubra", 0.3, AWAY)], [], id="two objects are not added"),
        pytest.param([("A. alba", 0.4), ("A. rubra", 0.3, NEARLY_HERE)], [("Aus", 0.7)], id="boxes differ a little"),
        pytest.param([("urchin", 0.6), ("A. alba", 0.6)], [("urchin", 0.6), ("A. alba", 0.6)], id="of two trees"),
        pytest.param(
            [("A. alba", 0.6), ("A. alba", 0.55, NEARLY_HERE)],
            [("A. alba", 0.6), ("A. alba", 0.55)],
            id="two of one class that suppression has kept",
        ),
        pytest.param(
            [("A. alba", 0.3), ("B. maior", 0.3), ("A. rubra", 0.3)], [("Aus", 0.6)], id="the genus, not the family"
        ),
    ],
)
def test_taxon_of_an_object(found: list[tuple], expected: list[tuple[str, float]]) -> None:
    taxa = TaxonScores(_run(), _taxa(TREE))
    row = taxa.roll_up(scored("a.jpg", *(_found(*item) for item in found)))
    assert [(item.label, item.score) for item in row.detections] == expected
    assert all(taxa.run.classes[item.label_id] == item.label for item in row.detections)


def test_box_is_that_of_the_best_score() -> None:
    row = scored("a.jpg", _found("A. alba", 0.4), _found("A. rubra", 0.45, NEARLY_HERE))
    (item,) = TaxonScores(_run(), _taxa(TREE)).roll_up(row).detections
    assert item.box == NEARLY_HERE


def test_run_has_the_taxa_above_its_classes_and_their_scores() -> None:
    run = TaxonScores(_run(id2=0.7), _taxa(TREE)).run
    assert dict(run.classes) == {**CLASSES, 6: "Fam", 7: "Aus", 8: "Bus"}  # not "other", of which it has no class
    assert run.min_scores == {1: 0.5, 2: 0.7, 3: 0.5, 5: 0.5, 6: 0.7, 7: 0.7, 8: 0.5}


_PIXELS = st.integers(0, 20).map(float)
_ROWS = st.lists(
    st.builds(
        lambda label, score, x, y, width: _found(label, score / 10_000, (x, y, x + 1 + width, y + 8)),
        st.sampled_from(sorted(IDS)),
        st.integers(500, 10_000),
        _PIXELS,
        st.integers(0, 3).map(float),
        _PIXELS,
    ),
    max_size=8,
).map(lambda found: scored("a.jpg", *sorted(found, key=lambda item: -item.score)))


@given(_ROWS)
def test_a_tree_of_leaves_changes_nothing(row: PredictionRow) -> None:
    taxa = TaxonScores(_run(), _taxa(LEAVES))
    assert taxa.run == _run()
    assert taxa.roll_up(row) == row.filtered(_run().min_scores)


@given(_ROWS)
def test_every_published_taxon_reaches_its_score_and_none_is_above_1(row: PredictionRow) -> None:
    taxa = TaxonScores(_run(id1=0.3), _taxa(TREE))
    found = taxa.roll_up(row).detections
    assert all(taxa.run.min_scores[item.label_id] <= item.score <= 1 for item in found)
    assert len(found) <= len(row.detections)


@given(st.dictionaries(st.sampled_from(["A. alba", "A. rubra", "B. maior"]), st.floats(0, 1), min_size=1))
def test_scores_of_an_object_add_up_the_tree(scores: dict[str, float]) -> None:
    sums = TaxonScores(_run(), _taxa(TREE)).sum_scores(scores)
    assert max(sums.values()) == sums["Fam"] <= 1
    for parent in ("Aus", "Bus"):
        children = [label for label in scores if _taxa(TREE).lineage(label)[1].label == parent]
        assert sums.get(parent, 0) == pytest.approx(sum(sums[label] for label in children), abs=2e-4)  # rounded twice
    if sum(scores.values()) <= 1:
        assert all(sums[label] == round(score, 4) for label, score in scores.items())
