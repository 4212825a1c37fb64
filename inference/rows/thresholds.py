"""The minimum score of each class: which detections of the rows count, in every output beside the rows.

Rows hold all detections that the model returns, so that outputs at other scores need no new scoring. Begin with
`choose_thresholds`, which score and detect call with a model, and `thresholds_of_run`, for the commands that read a
finished run.
"""

import argparse
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retinanet_odm.errors import UsageError
from retinanet_odm.exported_model import DEFAULT_THRESHOLD, ModelManifest
from retinanet_odm.predictions.rows import PredictionRow
from retinanet_odm.wording import describe_min_scores

_logger = logging.getLogger(__name__)

_FLAG = "--min_score"
BEST = "best"  # the value of the flag for the thresholds in model.json
THRESHOLD_DEFAULT = f"{BEST!r}, or {DEFAULT_THRESHOLD:g} if the model has no thresholds"  # in words
_NO_THRESHOLDS = "default"  # origin where the model has none


@dataclass(frozen=True, kw_only=True)
class OperatingThresholds:
    """Minimum scores of the detections that count.

    Attributes:
      by_name: of each class; not empty.
      origin: where they are from, as summary.json holds it: model.json, a flag, or "default".
    """

    by_name: Mapping[str, float]
    origin: str

    def by_id(self, classes: Mapping[int, str]) -> dict[int, float]:
        """Return the minimum scores of these classes by label id.

        An id without a name, which no evaluation knows, gets the highest of all.
        """
        highest = max(self.by_name.values())
        return {label_id: self.by_name.get(name, highest) for label_id, name in classes.items()}

    def counted(self, row: PredictionRow) -> PredictionRow:
        """Return the row with only the detections that count."""
        return row.filtered(self.by_id({item.label_id: item.label for item in row.detections}))

    def describe(self) -> str:
        """Return the minimum scores in one line."""
        return f"{describe_min_scores(self.by_name)} ({self.origin})"


def add_min_score_flag(parser: argparse.ArgumentParser, *, default: str) -> None:
    """Add --min_score; default says in words what holds without it."""
    parser.add_argument(
        _FLAG,
        type=min_score_value,
        metavar="SCORE",
        help=f"minimum score of the detections that count, for every class, or {BEST!r} for the threshold of each class"
        f" in model.json, the score of its best F1 in the evaluation of the model; default: {default}",
    )


def min_score_value(text: str) -> float | str:
    """Parse a value of --min_score: BEST or a number.

    Example:
      >>> min_score_value("best"), min_score_value("0.3")
      ('best', 0.3)
    """
    if text == BEST:
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a score or {BEST!r}, found {text!r}") from None


def check_score_flag(value: float | str | None) -> None:
    """Raise UsageError if the value of --min_score is no score, nor BEST, nor None."""
    if isinstance(value, str) and value != BEST:
        raise UsageError(f"{_FLAG}: expected a score from 0 to 1 or {BEST!r}, found {value!r}")
    if value is not None and not isinstance(value, str) and not 0 <= value <= 1:  # also refuses nan
        raise UsageError(f"{_FLAG}: expected a score from 0 to 1, found {value:g}")


def choose_thresholds(value: float | str | None, manifest: ModelManifest) -> OperatingThresholds:
    """Return the thresholds that a value of --min_score means for a model.

    Args:
      value: a score for all classes; BEST for the thresholds in model.json; None for these, or else the default.
      manifest: of the model.

    Raises:
      UsageError: value is BEST, but the model has no thresholds.
    """
    best = manifest.operating_thresholds if manifest.thresholds else {}
    if value is not None:
        return _given(value, manifest.operating_thresholds, best, manifest.score_threshold)
    missing = [name for name in manifest.operating_thresholds if name not in manifest.thresholds]
    if missing:
        which = "per class" if not best else "for " + ", ".join(map(repr, missing))
        _logger.warning(
            "the model has no thresholds %s: detections count from a score of %g; choose another by %s",
            *(which, manifest.operating_thresholds[missing[0]], _FLAG),
        )
    origin = manifest.FILE if best else _NO_THRESHOLDS
    return OperatingThresholds(by_name=manifest.operating_thresholds, origin=origin)


def describe_thresholds(thresholds: OperatingThresholds, manifest: ModelManifest) -> dict[str, Any]:
    """Return the thresholds as summary.json holds them."""
    return {
        "score": manifest.score_threshold,
        "nms_iou": manifest.nms_iou,
        "classes": dict(thresholds.by_name),
        "from": thresholds.origin,
        "best": manifest.operating_thresholds if manifest.thresholds else {},
    }


def thresholds_of_run(value: float | str | None, summary: Mapping[str, Any]) -> OperatingThresholds:
    """Return the thresholds that a value of --min_score means for a finished run; None for those of the run.

    Raises:
      UsageError: value is BEST, but the model had no thresholds, or the run did not record them.
    """
    known = summary["thresholds"]
    # Rows of earlier versions were cut at the thresholds of their run, and hold what was to be counted.
    delivered = known.get("classes") or dict.fromkeys(summary["labels"].values(), known["score"])
    if value is None:
        return OperatingThresholds(by_name=delivered, origin=known.get("from", "rows"))
    if value == BEST and "best" not in known:
        raise UsageError(
            f"{_FLAG}={value}: the run is of an earlier version, which did not record the thresholds of the model;"
            " give a score"
        )
    return _given(value, delivered, known.get("best", {}), known["score"])


def _given(
    value: float | str, names: Mapping[str, float], best: Mapping[str, float], rows_from: float
) -> OperatingThresholds:
    """Return the thresholds of a flag. Only BEST is a text: see min_score_value."""
    if isinstance(value, str):
        if not best:
            raise UsageError(
                f"{_FLAG}={value}: the model has no thresholds per class, which only an export after an evaluation"
                " has; give a score"
            )
        return OperatingThresholds(by_name=best, origin=ModelManifest.FILE)
    if value < rows_from:
        _logger.warning("%s=%g has no effect: there is no detection below %g", _FLAG, value, rows_from)
    return OperatingThresholds(by_name=dict.fromkeys(names, max(value, rows_from)), origin=_FLAG)
