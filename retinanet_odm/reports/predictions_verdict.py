"""What a run has found, in sentences for a reader who knows no machine learning: the first lines of the page."""

from collections.abc import Iterator

from retinanet_odm.predictions.rows import ScoringRun
from retinanet_odm.predictions.summary import PredictionSummary
from retinanet_odm.reports.measured_counts import measured_error, why_not_measured, why_not_measured_together
from retinanet_odm.wording import plural

_MAX_NAMED = 6  # classes


def predictions_verdict(summary: PredictionSummary) -> Iterator[str]:
    """Yield the sentences, the most important first."""
    yield _found(summary)
    if summary.novelty.is_alarming:
        yield f"{summary.novelty.describe()}."
    yield _error(summary.run)
    if summary.failed:
        count = f"{summary.failed:,} {plural('image', summary.failed)}"
        yield f"{count} could not be scored, and {plural('is', summary.failed)} in no count: see Failures."


def _found(summary: PredictionSummary) -> str:
    """Return what was counted, the most frequent class first."""
    images = f"{summary.ok:,} {plural('image', summary.ok)}"
    counts = sorted(
        ((found.detections, label_id) for label_id, found in summary.classes.items() if found.detections),
        key=lambda item: (-item[0], item[1]),
    )
    if not counts:
        return f"Nothing was found in {images}."
    named = [f"{count:,} {summary.run.classes[label_id]}" for count, label_id in counts[:_MAX_NAMED]]
    rest = sum(count for count, _ in counts[_MAX_NAMED:])
    others = f" and {rest:,} of {len(counts) - _MAX_NAMED} rarer classes" if rest else ""
    return f"Counted in {images}: {', '.join(named)}{others}."


def _error(run: ScoringRun) -> str:
    evaluation = run.facts.get("evaluation", {})
    if error := measured_error(run):
        images = f"{evaluation['images']:,} {plural('image', evaluation['images'])}"
        return (
            f"When the model was evaluated, on {images} of the split {evaluation['split']}, its counts were {error}."
            " Here they may be further off, because these images are others: label a few of them and compare"
            " (python -m inference evaluate)."
        )
    reason = why_not_measured(run) or why_not_measured_together(run)
    return (
        f"How far these counts are from the truth is not known: {reason}. Label a few of these images and compare"
        " (python -m inference evaluate)."
    )
