"""The section of the predictions page on images that are unlike the training images. Begin with `novelty_table`."""

from retinanet_odm.predictions.unlike_training import NoveltySummary
from retinanet_odm.reports.rendering import Cell, Percent, Table

_MAX_DEPLOYMENTS = 60  # rows of the table


def novelty_table(novelty: NoveltySummary) -> Table:
    """Tabulate how unlike the training images each deployment is, the most unlike first."""
    alarming = novelty.alarming
    ordered = sorted(novelty.deployments.items(), key=lambda item: (-item[1].share, -item[1].mean, item[0]))
    rows: list[list[Cell]] = [
        [name or "–", counts.images, counts.unlike, Percent(counts.share, is_bad=name in alarming), counts.mean]
        for name, counts in ordered[:_MAX_DEPLOYMENTS]
    ]
    return Table(["deployment", "images", "unlike the training images", "share", "mean novelty"], rows)
