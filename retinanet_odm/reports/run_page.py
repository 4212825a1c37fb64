"""The page of a run, `index.html` of ``retinanet-odm run``: a verdict, what to do next, links to all other pages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retinanet_odm.cli.progress import format_seconds
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.imaging.drawing import colour_of
from retinanet_odm.reports.dataset_page import judge_dataset
from retinanet_odm.reports.evaluation_verdict import evaluation_verdict
from retinanet_odm.reports.rendering import Cell, ClassName, Code, Table, Titled, render
from retinanet_odm.reports.run_verdict import describe_empty_splits, next_steps, run_verdict

_Values = Mapping[str, Any]
# By key, the other pages and tables of a run, and the question that each answers.
_PAGES = {
    "dataset": "Data set: sizes, classes, and what was left out",
    "check": "Check: what is wrong or doubtful in images and annotations",
    "test": "Test: the detector on images that took no part in anything before",
    "evaluation": "Evaluation: errors, thresholds and example images",
    "scored": "Archive: counts over time, and images with their boxes",
    "counts": "Counts of each image, as a table",
    "to_label": "Images to label next, as a table",
}


@dataclass(frozen=True, kw_only=True)
class RunStep:
    """A step of a run that has ended: its name, what it did, its command and how many seconds it took."""

    name: str
    purpose: str
    command: str
    seconds: float


def run_report(
    manifest: DatasetManifest,
    *,
    evaluation: _Values | None,
    test: _Values | None,
    scored: _Values | None,
    links: Mapping[str, str],
    steps: Sequence[RunStep],
    command: str,
    folder: str,
    date: str,
) -> str:
    """Render the page.

    Args:
      manifest: dataset.json.
      evaluation: eval.json; None if no image was held out for it.
      test: eval-test.json; None if there is no test split.
      scored: summary.json of the archive; None if there is none.
      links: paths of pages and tables below the folder, by key of _PAGES; boxes for CVAT have the key "boxes".
      steps: in their order.
      command: that of the run, which continues it.
      folder: of the run.
      date: of the page.
    """
    judged = test or evaluation  # nothing was chosen on the test split
    return render(
        "run.html.j2",
        about=(date, f"folder {folder}"),
        verdict=run_verdict(manifest, evaluation=evaluation, test=test, scored=scored),
        data=judge_dataset(manifest),
        judged=[(_title(metrics), evaluation_verdict(metrics)) for metrics in (test, evaluation) if metrics],
        empty=list(describe_empty_splits(manifest)),
        counts=_counts(manifest, scored, judged) if scored else None,
        scored=scored,
        next_steps=list(next_steps(manifest, judged, links, folder)),
        pages=[(links[key], text) for key, text in _PAGES.items() if key in links],
        steps=Table(["step", "time", "command"], list(_rows(steps))),
        command=Code(command),
    )


def _title(metrics: _Values) -> str:
    return f"Split {metrics['split']}, {metrics['images']:,} images"


def _counts(manifest: DatasetManifest, scored: _Values, judged: _Values | None) -> Table:
    """Tabulate the counts of the archive beside those of the labelled images, where the truth is known."""
    known = judged["details"]["counts"] if judged and "details" in judged else {}
    rows: list[list[Cell]] = [
        [
            ClassName(label, colour_of(label_id)),
            scored["counted"].get(label, 0),
            *((known.get(label, {}).get(key) for key in ("true", "found")) if known else ()),
        ]
        for label_id, label in manifest.labels.items
    ]
    beside = [f"true in {judged['split']}", f"found in {judged['split']}"] if judged and known else []
    return Table(["class", "counted", *beside], rows)


def _rows(steps: Sequence[RunStep]) -> Iterator[list[Cell]]:
    for step in steps:
        yield [Titled(step.name, step.purpose), format_seconds(step.seconds), Code(step.command)]
