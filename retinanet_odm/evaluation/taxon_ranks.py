"""What detections are worth at each rank of a tree of taxa, and what rolled-up ones are worth (--taxa).

Begin with `with_taxa`. At a rank, an object counts for the taxon of that rank above its class, and a detection with
the sum of the scores of the classes below that taxon (retinanet_odm.predictions.roll_up).
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from retinanet_odm.dataset.coco import NOT_EXHAUSTIVE, not_exhaustive_entry
from retinanet_odm.evaluation.coco_metrics import coco_metrics
from retinanet_odm.evaluation.exhaustive_images import Results, Truth
from retinanet_odm.evaluation.matching import Bools, ScoredSplit, match_detections, overlapping_pairs
from retinanet_odm.evaluation.rounding import format_metric
from retinanet_odm.labels.taxa import RANKS, Taxonomy
from retinanet_odm.predictions.roll_up import TaxonScores
from retinanet_odm.predictions.rows import Detection, PredictionRow, ScoringRun
from retinanet_odm.wording import plural

_MIN_IOU = 0.5


def with_taxa(
    metrics: Mapping[str, Any], truth: Truth, results: Results, *, run: ScoringRun, taxonomy: Taxonomy
) -> dict[str, Any]:
    """Return the content of evaluation.json with `taxa`, at the thresholds by which the classes were evaluated.

    Args:
      metrics: of coco_metrics.all_metrics.
      truth: COCO ground truth, whose categories are the classes of the model.
      results: COCO results, also those below the thresholds.
      run: that the results come from.
      taxonomy: the tree, with a row for each class.
    """
    classes = {category["id"]: category["name"] for category in truth["categories"]}
    found = {label_id: metrics["per_class"][name]["threshold"] for label_id, name in classes.items()}
    # A class without an object has no threshold of the best F1: it is never sure.
    scores = {label_id: 1.0 if score is None else score for label_id, score in found.items()}
    scored = dataclasses.replace(run, classes=classes, thresholds=scores, min_scores=scores)
    # The details stay last: people read what is before them.
    first = {name: value for name, value in metrics.items() if name != "details"}
    measured = measure_taxa(truth, results, TaxonScores(scored, taxonomy))
    return {**first, "taxa": measured, "details": metrics["details"]}


def measure_taxa(truth: Truth, results: Results, taxa: TaxonScores) -> dict[str, Any]:
    """Return the AP of each rank, and how many of the rolled-up detections are right.

    Args:
      truth: COCO ground truth, whose categories are the classes of the model.
      results: COCO results, also those below the minimum scores.
      taxa: the classes and the tree.

    Returns:
      ``ranks``, from the lowest: ``rank``, the number of ``taxa`` and of ``classes`` below them, ``ground_truth``
      objects, ``AP`` and ``AP50``; classes without a taxon of the rank are no part of it, neither objects nor
      detections. ``rolled_up``: ``objects``, how many of them are ``found``, ``recall``, and ``by_rank`` the number of
      ``detections`` of taxa of the rank, how many are ``right``, and their ``precision``. A detection is right if it
      matches (IoU 0.5) an object of its taxon or of one below.
    """
    rows = list(_rows(truth, results, taxa))
    truth = _with_taxa(truth, taxa)
    labels = taxa.scored.classes.values()
    found = {taxon.rank for label in labels for taxon in taxa.taxonomy.lineage(label)}
    ranks = [rank for rank in reversed(RANKS) if rank in found]
    return {
        "ranks": [_measure_rank(rank, truth, rows, taxa) for rank in ranks],
        "rolled_up": _measure_roll_up(truth, rows, taxa),
    }


def describe_taxa(measured: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each rank, and one about what is rolled up.

    Args:
      measured: of measure_taxa.
    """
    for entry in measured["ranks"]:
        scores = f"AP50 {format_metric(entry['AP50'])}  AP {format_metric(entry['AP'])}"
        taxa = f"{entry['taxa']} {'taxon' if entry['taxa'] == 1 else 'taxa'}"
        classes = f"{entry['classes']} {plural('class', entry['classes'])}"
        objects = f"{entry['ground_truth']} {plural('object', entry['ground_truth'])}"
        yield f"{entry['rank']}: {scores} ({taxa} above {classes}, {objects})"
    rolled_up = measured["rolled_up"]
    right = ", ".join(
        f"{rank} {found['right']} of {found['detections']}" for rank, found in rolled_up["by_rank"].items()
    )
    yield f"rolled up: right {right or 'none'}; found {rolled_up['found']} of {rolled_up['objects']} objects"


def _rows(truth: Truth, results: Results, taxa: TaxonScores) -> Iterator[tuple[int, PredictionRow]]:
    """Yield id and row of each image."""
    found = defaultdict(list)
    for entry in results:
        x, y, width, height = entry["bbox"]
        label_id = entry["category_id"]
        if label_id in taxa.scored.classes:
            item = Detection(
                label=taxa.scored.classes[label_id],
                label_id=label_id,
                score=entry["score"],
                box=(x, y, x + width, y + height),
            )
            found[entry["image_id"]].append(item)
    for image in truth["images"]:
        yield image["id"], PredictionRow(image=image["file_name"], detections=tuple(found[image["id"]]))


def _with_taxa(truth: Truth, taxa: TaxonScores) -> Truth:
    """Return ground truth with the taxa above the classes as categories; the objects keep their classes.

    A taxon is exhaustive in an image where all classes below it are.
    """
    classes = taxa.scored.classes
    above = {label_id: {taxon.label for taxon in taxa.taxonomy.lineage(name)} for label_id, name in classes.items()}

    def image_entry(image: Mapping[str, Any]) -> dict[str, Any]:
        unknown = {name for label_id in image.get(NOT_EXHAUSTIVE, ()) for name in above[label_id]}
        entry = {key: value for key, value in image.items() if key != NOT_EXHAUSTIVE}
        return {**entry, **not_exhaustive_entry(key for key, name in taxa.run.classes.items() if name in unknown)}

    categories = [{"id": label_id, "name": name} for label_id, name in taxa.run.classes.items()]
    return {**truth, "images": list(map(image_entry, truth["images"])), "categories": categories}


def _measure_rank(rank: str, truth: Truth, rows: list[tuple[int, PredictionRow]], taxa: TaxonScores) -> dict[str, Any]:
    ids = {name: label_id for label_id, name in taxa.run.classes.items()}
    # A morphotype of the rank of its genus counts for the genus: see Taxonomy.at_rank.
    found = {key: taxa.taxonomy.at_rank(name, rank) for key, name in taxa.scored.classes.items()}
    target = {key: ids[taxon.label] for key, taxon in found.items() if taxon}
    objects = [
        {**entry, "category_id": target[entry["category_id"]]}
        for entry in truth["annotations"]
        if entry["category_id"] in target
    ]
    kept = set(target.values())
    mapped = {
        **truth,
        "annotations": objects,
        "categories": [entry for entry in truth["categories"] if entry["id"] in kept],
    }
    metrics = coco_metrics(mapped, [_entry(key, item) for key, row in rows for item in taxa.detections_at(row, rank)])
    return {
        "rank": rank,
        "taxa": len(kept),
        "classes": len(target),
        "ground_truth": sum(values["ground_truth"] for values in metrics["per_class"].values()),
        "AP": metrics["AP"],
        "AP50": metrics["AP50"],
    }


def _measure_roll_up(truth: Truth, rows: list[tuple[int, PredictionRow]], taxa: TaxonScores) -> dict[str, Any]:
    results = [_entry(key, item) for key, row in rows for item in taxa.roll_up(row).detections]
    split = ScoredSplit.from_coco(truth, results)
    pairs = overlapping_pairs(split, min_iou=_MIN_IOU)
    is_right = _is_below(split, taxa)[split.detections.label[pairs.detection], split.truth.label[pairs.truth]]
    matches = match_detections(split, pairs.where(is_right), iou=_MIN_IOU)
    objects, hits = int((~split.truth.is_crowd).sum()), matches.is_hit
    ranks = np.array([taxa.taxonomy.by_label[name].rank for name in split.classes])[split.detections.label]
    by_rank = {}
    for rank in reversed(RANKS):
        of_rank = (ranks == rank) & ~matches.is_ignored
        if count := int(of_rank.sum()):
            right = int((of_rank & hits).sum())
            by_rank[rank] = {"detections": count, "right": right, "precision": right / count}
    found = int(hits.sum())
    return {
        "objects": objects,
        "found": found,
        "recall": found / objects if objects else None,
        "by_rank": by_rank,
    }


def _is_below(split: ScoredSplit, taxa: TaxonScores) -> Bools:
    """Return bool [K, K]: whether the taxon of a row is that of the column or above it."""
    lineages = [{taxon.label for taxon in taxa.taxonomy.lineage(name)} for name in split.classes]
    return np.array([[name in lineage for lineage in lineages] for name in split.classes], bool)


def _entry(image_id: int, item: Detection) -> dict[str, Any]:
    xmin, ymin, xmax, ymax = item.box
    box = [xmin, ymin, xmax - xmin, ymax - ymin]
    return {"image_id": image_id, "category_id": item.label_id, "bbox": box, "score": item.score}
