"""Ranks of taxa: AP with the tree, and which rolled-up detections are right."""

import dataclasses

import pytest

from retinanet_odm.evaluation.coco_metrics import coco_metrics
from retinanet_odm.evaluation.taxon_ranks import describe_taxa, measure_taxa
from retinanet_odm.labels.taxa import parse_taxa
from retinanet_odm.predictions.roll_up import TaxonScores
from tests.retinanet_odm.prediction_rows import RUN

CLASSES = {1: "A. alba", 2: "A. rubra", 3: "urchin"}
SCORES = dict.fromkeys(CLASSES, 0.5)
TREE = "label,AphiaID,rank,parent\nAus,1,genus,\nA. alba,2,species,Aus\nA. rubra,3,species,Aus\nurchin,4,class,\n"
TAXA = TaxonScores(
    dataclasses.replace(RUN, classes=CLASSES, thresholds=SCORES, min_scores=SCORES),
    parse_taxa(TREE, source="taxa.csv"),
)
LEFT, RIGHT, BELOW = [0, 0, 10, 10], [30, 0, 10, 10], [0, 15, 10, 10]


def _truth(*objects: tuple[int, list[int]], **image: object) -> dict:
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30, **image}],
        "categories": [{"id": label_id, "name": name} for label_id, name in CLASSES.items()],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": label_id, "bbox": box, "area": 100, "iscrowd": 0}
            for n, (label_id, box) in enumerate(objects, start=1)
        ],
    }


def _results(*found: tuple[int, list[int], float]) -> list[dict]:
    return [{"image_id": 1, "category_id": key, "bbox": box, "score": score} for key, box, score in found]


def _ranks(measured: dict, key: str) -> dict[str, float]:
    return {entry["rank"]: entry[key] for entry in measured["ranks"]}


def test_a_species_that_is_taken_for_another_is_right_at_the_genus() -> None:
    truth = _truth((1, LEFT), (2, RIGHT), (3, BELOW))
    found = _results((2, LEFT, 0.45), (1, LEFT, 0.4), (2, RIGHT, 0.42), (3, BELOW, 0.9))
    measured = measure_taxa(truth, found, TAXA)
    # Of the second species, the better detection is wrong: half of its precision. As a genus, both are right.
    assert _ranks(measured, "AP50") == pytest.approx({"species": 0.75, "genus": 1.0, "class": 1.0}, abs=0.01)
    assert _ranks(measured, "ground_truth") == {"species": 2, "genus": 2, "class": 1}
    assert _ranks(measured, "taxa") == {"species": 2, "genus": 1, "class": 1}
    # Only the left one reaches the minimum score as a genus.
    rolled_up = measured["rolled_up"]
    assert rolled_up["by_rank"] == {
        "genus": {"detections": 1, "right": 1, "precision": 1.0},
        "class": {"detections": 1, "right": 1, "precision": 1.0},
    }
    assert (rolled_up["found"], rolled_up["objects"]) == (2, 3)
    assert list(describe_taxa(measured))[-1] == "rolled up: right genus 1 of 1, class 1 of 1; found 2 of 3 objects"


def test_a_wrong_species_is_wrong() -> None:
    measured = measure_taxa(_truth((1, LEFT)), _results((2, LEFT, 0.9)), TAXA)
    assert measured["rolled_up"]["by_rank"] == {"species": {"detections": 1, "right": 0, "precision": 0.0}}
    assert measured["rolled_up"]["recall"] == 0


def test_without_any_detection() -> None:
    measured = measure_taxa(_truth((1, LEFT)), [], TAXA)
    assert measured["rolled_up"] == {"objects": 1, "found": 0, "recall": 0.0, "by_rank": {}}


def test_a_tree_of_leaves_has_the_metrics_of_the_classes() -> None:
    leaves = "label,AphiaID,rank,parent\n" + "".join(f"{name},{n},species,\n" for n, name in CLASSES.items())
    truth = _truth((1, LEFT), (2, RIGHT), (3, BELOW))
    results = _results((2, LEFT, 0.4), (1, LEFT, 0.3), (2, RIGHT, 0.9), (3, LEFT, 0.2))
    (entry,) = measure_taxa(truth, results, TaxonScores(TAXA.scored, parse_taxa(leaves, source="t")))["ranks"]
    expected = coco_metrics(truth, results)
    assert {key: entry[key] for key in ("AP", "AP50")} == {key: expected[key] for key in ("AP", "AP50")}


def test_where_a_species_is_not_exhaustive_its_genus_is_not() -> None:
    truth = _truth((1, LEFT), (3, RIGHT), not_exhaustive_category_ids=[2])
    measured = measure_taxa(truth, _results((2, LEFT, 0.4), (1, LEFT, 0.3), (3, RIGHT, 0.9)), TAXA)
    assert _ranks(measured, "AP50") == {"species": pytest.approx(1), "genus": None, "class": pytest.approx(1)}
    # The rolled-up genus is neither right nor wrong there.
    assert measured["rolled_up"]["by_rank"] == {"class": {"detections": 1, "right": 1, "precision": 1.0}}
