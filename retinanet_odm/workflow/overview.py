"""The page of a run, `index.html`, from the files that its steps have written. Begin with `write_overview`."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.reports.run_page import RunStep, run_report
from retinanet_odm.storage import files
from retinanet_odm.workflow.plan import DATASET, MODEL, SCORED, RunOptions, WorkflowStep
from retinanet_odm.workflow.record import RunRecord

OVERVIEW_PAGE = "index.html"

# By the key that the page knows, the files to which it links, if they are there.
_LINKS = {
    "check": f"{DATASET}/check.html",
    "dataset": f"{DATASET}/report.html",
    "test": f"{MODEL}/eval-test.html",
    "evaluation": f"{MODEL}/eval.html",
    "scored": f"{SCORED}/report.html",
    "counts": f"{SCORED}/counts.csv",
    "to_label": f"{SCORED}/to_label.csv",
    "boxes": f"{SCORED}/cvat.xml",
}


def write_overview(
    options: RunOptions, manifest: DatasetManifest, steps: Sequence[WorkflowStep], record: RunRecord, command: str
) -> str:
    """Write the page of a run whose steps are complete, and return its path."""
    names = {step.name for step in steps}
    page = run_report(
        manifest,
        evaluation=_read(options, f"{MODEL}/eval.json") if "export" not in names else None,
        test=_read(options, f"{MODEL}/eval-test.json") if "test" in names else None,
        scored=_read(options, f"{SCORED}/summary.json") if "score" in names else None,
        links={key: name for key, name in _LINKS.items() if _is_of(name, names, options)},
        steps=list(_entries(steps, record)),
        command=command,
        folder=options.output,
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
    )
    path = options.folder(OVERVIEW_PAGE)
    files.write_text(path, page)
    return path


def _read(options: RunOptions, name: str) -> dict[str, Any] | None:
    path = options.folder(name)
    return files.read_json(path) if files.is_file(path) else None


def _is_of(name: str, steps: set[str], options: RunOptions) -> bool:
    """Return whether a file is there, and of a step of this run: an earlier run may have had more steps."""
    return (not name.startswith(SCORED) or "score" in steps) and files.is_file(options.folder(name))


def _entries(steps: Sequence[WorkflowStep], record: RunRecord) -> Iterator[RunStep]:
    for step in steps:
        if entry := record.entry(step):
            yield RunStep(name=step.name, purpose=step.purpose, command=entry.command, seconds=entry.seconds)
