"""The scored images that the page lists, and which of them a filter selects. Begin with `images_to_review`."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from inference.review_page.decisions import ACCEPTED, Decision
from inference.rows import finished_run
from retinanet_odm.dataset.frame_names import DeploymentRule
from retinanet_odm.errors import UsageError
from retinanet_odm.predictions.formats.encoding import legible
from retinanet_odm.predictions.rows import OK, PredictionRow, ScoringRun, reaches
from retinanet_odm.predictions.uncertainty import class_uncertainty, score_uncertainty

MAX_LISTED = 200_000  # all rows are in memory, about 2 kB each, and the page has the names of all
ANY, UNREVIEWED, STARTED, REVIEWED, FAILED_ONLY = "any", "unreviewed", "started", "reviewed", "failed"
STATUSES = (ANY, UNREVIEWED, STARTED, REVIEWED, FAILED_ONLY)
NAME_ORDER, UNCERTAINTY_ORDER, SCORE_ORDER = "name", "uncertainty", "score"
ORDERS = (NAME_ORDER, UNCERTAINTY_ORDER, SCORE_ORDER)
_UNCERTAINTY_DIGITS = 4


@dataclass(frozen=True, kw_only=True)
class ListedImages:
    """The images of a page, in the order of their names; parallel sequences.

    Attributes:
      run: which classes there are, and from which score their detections count.
      rows: with all their detections, weak ones too.
      deployments: of the images.
      uncertainties: of the images, 0 to 1: that of their most uncertain class (predictions.uncertainty).
      audited: whether an image is one of the audit; empty without an audit.
    """

    run: ScoringRun
    rows: Sequence[PredictionRow]
    deployments: Sequence[str]
    uncertainties: Sequence[float]
    audited: Sequence[bool] = ()


@dataclass(frozen=True, kw_only=True)
class ImageFilter:
    """What a filter selects; the defaults select all images.

    Attributes:
      label: images with a detection, or an accepted object, of this class; "" for any image.
      low, high: scores between which the detection must be; low None for the threshold of its class.
      uncertainty: the least uncertainty.
      deployment: of the images; None for all.
      status: one of STATUSES.
      audited: only images of the audit.
      text: part of the name, in any case.
      order: one of ORDERS; descending, except for names.

    Raises:
      UsageError: a value is out of its range.
    """

    label: str = ""
    low: float | None = None
    high: float = 1.0
    uncertainty: float = 0.0
    deployment: str | None = None
    status: str = ANY
    audited: bool = False
    text: str = ""
    order: str = NAME_ORDER

    def __post_init__(self) -> None:
        if self.status not in STATUSES or self.order not in ORDERS:
            raise UsageError(f"expected a status of {', '.join(STATUSES)} and an order of {', '.join(ORDERS)}")

    @property
    def asks_for_detections(self) -> bool:
        """Whether images without a detection of some kind are left out."""
        return bool(self.label) or self.low is not None or self.high < 1


def images_to_review(
    rows: Iterable[PredictionRow],
    run: ScoringRun,
    rule: DeploymentRule,
    *,
    below: str = "",
    audited: frozenset[str] | None = None,
    only_audited: bool = False,
) -> ListedImages:
    """Return the images of a run.

    Args:
      rows: of the run, in the order of their names.
      run: which classes there are, and from which score their detections count.
      rule: how deployments are found.
      below: list only images in this folder or archive; "" for all.
      audited: legible names of the images of the audit; None without an audit.
      only_audited: list only these.

    Raises:
      UsageError: there are none, or more than MAX_LISTED.
    """
    prefix = f"{below}/" if below else ""
    kept: list[PredictionRow] = []
    for row in rows:
        if row.image.startswith(prefix) and not (only_audited and legible(row.image) not in (audited or ())):
            kept.append(finished_run.with_deployment(row, rule))
        if len(kept) > MAX_LISTED:
            raise UsageError(
                f"review: more than {MAX_LISTED:,} images: choose a part of them by --below, or --audited after `audit`"
            )
    if not kept:
        raise UsageError(f"--below: no image's name begins with {prefix}" if below else "review: no image was scored")
    return ListedImages(
        run=run,
        rows=kept,
        deployments=[row.deployment for row in kept],
        uncertainties=[image_uncertainty(row, run.thresholds) for row in kept],
        audited=() if audited is None else [legible(row.image) in audited for row in kept],
    )


def image_uncertainty(row: PredictionRow, thresholds: Mapping[int, float]) -> float:
    """Return the uncertainty of the most uncertain class on an image, 0 to 1; 0 without detections."""
    by_class = defaultdict(list)
    for item in row.detections:
        if item.label_id in thresholds:
            by_class[item.label_id].append(score_uncertainty(item.score, thresholds[item.label_id]))
    return round(max(map(class_uncertainty, by_class.values()), default=0.0), _UNCERTAINTY_DIGITS)


def filter_images(images: ListedImages, wanted: ImageFilter, states: Mapping[str, Decision]) -> list[int]:
    """Return the positions of the images that a filter selects, in its order.

    Args:
      images: all of them.
      wanted: the filter.
      states: the last decision about each image that has any, by name.
    """
    chosen = [
        number
        for number, row in enumerate(images.rows)
        if _has_status(row, states.get(row.image), wanted.status)
        and images.uncertainties[number] >= wanted.uncertainty
        and wanted.deployment in (None, images.deployments[number])
        and (not wanted.audited or (bool(images.audited) and images.audited[number]))
        and wanted.text.casefold() in row.image.casefold()
        and _has_detection(row, states.get(row.image), wanted, images.run)
    ]
    keys: dict[str, Callable[[int], float]] = {
        UNCERTAINTY_ORDER: lambda number: -images.uncertainties[number],
        SCORE_ORDER: lambda number: -_best_score(images.rows[number], wanted.label),
    }
    # A stable sort: equal ones stay in the order of names.
    return sorted(chosen, key=keys[wanted.order]) if wanted.order in keys else chosen


def _has_status(row: PredictionRow, state: Decision | None, status: str) -> bool:
    if status == ANY:
        return True
    if row.status != OK or status == FAILED_ONLY:
        return row.status != OK and status == FAILED_ONLY
    if status == REVIEWED:
        return state is not None and state.done
    return (state is None or not state.done) if status == UNREVIEWED else (state is not None and not state.done)


def _has_detection(row: PredictionRow, state: Decision | None, wanted: ImageFilter, run: ScoringRun) -> bool:
    if not wanted.asks_for_detections:
        return True
    decided = state.objects if state else ()
    if wanted.label and any(item.label == wanted.label and item.verdict == ACCEPTED for item in decided):
        return True
    return any(
        wanted.label in ("", item.label)
        and item.score <= wanted.high
        and (reaches(item, run.thresholds) if wanted.low is None else item.score >= wanted.low)
        for item in row.detections
    )


def _best_score(row: PredictionRow, label: str) -> float:
    return max((item.score for item in row.detections if label in ("", item.label)), default=0.0)
