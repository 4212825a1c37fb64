"""A paragraph for the methods section of a paper, about a scored run.

Every number is of model.json or summary.json. Begin with `methods_text`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from retinanet_odm import PROGRAM
from retinanet_odm.predictions.rows import ScoringRun
from retinanet_odm.predictions.summary import PredictionSummary
from retinanet_odm.reports.measured_counts import has_same_threshold, measured_error
from retinanet_odm.wording import describe_min_scores, plural

_RETINANET = (
    "Lin, T.-Y., Goyal, P., Girshick, R., He, K. & Dollár, P. (2017). Focal Loss for Dense Object Detection. ICCV 2017,"
    " 2980-2988."
)
_PACKAGES = {"tensorflow": "TensorFlow", "keras": "Keras"}  # titles of packages
_Values = Mapping[str, Any]


def methods_text(summary: PredictionSummary) -> str:
    """Return the paragraph with its references; what is not known is left out, and named in its last sentence."""
    run = summary.run
    paragraph = " ".join(
        [*_scoring(summary), *_training(run.facts), *_counting(run), *_evaluation(run), *_missing(run.facts)]
    )
    return "\n".join([paragraph, *_references(run)])


def _scoring(summary: PredictionSummary) -> Iterator[str]:
    run, images = summary.run, summary.ok
    network = _network(run.facts)
    tiles = ", in overlapping tiles" if run.facts.get("tiles") else ""
    yield (
        f"Objects were detected in {images:,} {plural('image', images)}{tiles} with {network} (model"
        f" {run.model_hash[:12]}), by {run.program}."
    )
    if summary.failed:
        yield f"{summary.failed:,} more {plural('image', summary.failed)} could not be scored."


def _network(facts: _Values) -> str:
    if not (backbone := facts.get("backbone")):
        return "a neural network"
    height, width = facts["image_size"]
    return f"RetinaNet (Lin et al. 2017) with the backbone {backbone} at {width} × {height} pixels"


def _training(facts: _Values) -> Iterator[str]:
    dataset = facts.get("dataset", {})
    if not dataset:
        return
    name = f"the data set {dataset['name']}" if dataset.get("name") else "a data set"
    splits = "; ".join(
        f"{split}: {size['images']:,} {plural('image', size['images'])} with {size['boxes']:,}"
        f" {plural('box', size['boxes'])}"
        for split, size in dataset.get("splits", {}).items()
    )
    steps = f" for {facts['steps']:,} steps" if facts.get("steps") else ""
    sizes = f" ({splits})" if splits else ""
    yield f"It was trained on {name}{sizes}, fingerprint {dataset['fingerprint'][:12]},{steps} with {_versions(facts)}."


def _versions(facts: _Values) -> str:
    known = {PROGRAM: facts["code_version"], **facts.get("versions", {})}
    return ", ".join(f"{_PACKAGES.get(name, name)} {version}" for name, version in known.items())


def _counting(run: ScoringRun) -> Iterator[str]:
    # A class without a best score, because no detection was right, counts from a default.
    is_best = all(has_same_threshold(run, label_id) for label_id in run.classes)
    best = ", where F1 was best in the evaluation" if is_best else ""
    origin = {"model.json": best, "--min_score": ", chosen by hand"}.get(run.facts.get("threshold_origin", ""), "")
    yield f"Detections were counted from a score of {describe_min_scores(run.thresholds_by_name)}{origin}."
    if run.facts.get("without_repeats"):
        yield "Detections that were repeated at one place were left out."


def _evaluation(run: ScoringRun) -> Iterator[str]:
    evaluation = run.facts.get("evaluation", {})
    if not evaluation:
        return
    intervals = evaluation.get("interval", {})
    of_tiles = bool(evaluation.get("tile"))
    same = not (of_tiles or run.facts.get("tiles")) and all(
        has_same_threshold(run, label_id) for label_id in run.classes
    )
    # Recall and precision are of the scores of the evaluation; AP50 is over all scores.
    rates = [
        f"{title} was {evaluation[name]:.2f}{_between(intervals.get(name))}"
        for name, title in (("AP50", "AP50"), ("recall", "recall"), ("precision", "precision"))
        if evaluation.get(name) is not None and (same or name == "AP50")
    ]
    if error := measured_error(run):
        rates.append(f"counts were {error}")
    images = evaluation["images"]
    if rates:
        what = plural("tile" if of_tiles else "image", images)
        where = f"On the {images:,} {what} of the split {evaluation['split']}"
        over = f"; intervals by bootstrap over {intervals['units']:,} {intervals['over']}" if intervals else ""
        yield f"{where}, {', '.join(rates)}{over}."


def _between(interval: tuple[float, float] | None) -> str:
    return f" (95 % interval {interval[0]:.2f} to {interval[1]:.2f})" if interval else ""


def _missing(facts: _Values) -> Iterator[str]:
    """Name what a reader of the paragraph would ask for."""
    known = {
        "network": "backbone" in facts,
        "training data": "dataset" in facts,
        "sizes of the splits": "splits" in facts.get("dataset", {}),
        "error": "evaluation" in facts,
    }
    if missing := [name for name, is_known in known.items() if not is_known]:
        yield f"Not recorded: {', '.join(missing)}."


def _references(run: ScoringRun) -> Iterator[str]:
    if "backbone" in run.facts:
        yield _RETINANET
    yield f"RetinaNet-ODM, version {run.code_version} (software)."
