"""The section of the evaluation's page about ranks of taxa (``evaluate --taxa``)."""

from collections.abc import Mapping
from typing import Any

from retinanet_odm.reports.rendering import Bar, Table


def taxa_tables(taxa: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables, by the names that the template uses.

    Args:
      taxa: ``taxa`` of evaluation.json (retinanet_odm.evaluation.taxon_ranks).
    """
    ranks = [
        (
            entry["rank"],
            entry["taxa"],
            entry["classes"],
            entry["ground_truth"],
            Bar.of(entry["AP50"], 1.0),
            Bar.of(entry["AP"], 1.0),
        )
        for entry in taxa["ranks"]
    ]
    rolled_up = taxa["rolled_up"]
    published = [
        (rank, found["detections"], found["right"], Bar.of(found["precision"], 1.0))
        for rank, found in rolled_up["by_rank"].items()
    ]
    return {
        "ranks": Table(["rank", "taxa", "classes below", "true boxes", "AP50", "AP"], ranks),
        "published": Table(["rank", "detections", "right", "precision"], published),
        "objects": rolled_up["objects"],
        "found": rolled_up["found"],
    }
