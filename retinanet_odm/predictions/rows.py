"""Prediction rows: one JSON line for each scored image, and the run that the rows come from.

Begin with `PredictionRow`: `inference` writes it, and everything else in this room reads it.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from retinanet_odm import PROGRAM
from retinanet_odm.dataset.frame_names import BY_NAME, FrameName, parse_frame_name
from retinanet_odm.errors import ContractError

OK = "ok"
FAILED = "failed"

# Reasons for a failure that lie with the model, not with the file.
MODEL_REFUSED = "model_refused_image"
MODEL_FAILED = "model_failed"
MODEL_MEMORY_SHORT = "model_memory_short"
MODEL_REASONS = (MODEL_REFUSED, MODEL_FAILED, MODEL_MEMORY_SHORT)

_HASH_DIGITS = 12  # of 64: enough to distinguish the models of one user
# Digits in a row. Each digit costs a byte or more for every detection of a run.
SCORE_DIGITS, _BOX_DIGITS, _NOVELTY_DIGITS = 4, 2, 3
# An image with a novelty above it is unlike the training images. Not from retinanet_odm.novelty, which needs numpy.
_NOVELTY_LIMIT = 1.0


def placeholder_label(label_id: int) -> str:
    """Return a label for an id that is missing in the label map.

    The model's output covers all ids up to the largest one, so it can return an id that has no name.

    Example:
      >>> placeholder_label(7)
      'id 7'
    """
    return f"id {label_id}"


def utf8(text: str) -> bytes:
    r"""Encode text as UTF-8; a byte of a file name that is not UTF-8 becomes an escape such as ``\udce9``.

    Python holds such a byte as a lone surrogate. JSON readers turn the escape back into it. In other formats the escape
    is at least readable, and the file stays valid.

    Example:
      >>> utf8("caf\udce9.jpg")
      b'caf\\udce9.jpg'
    """
    return text.encode("utf-8", "backslashreplace")


@dataclass(frozen=True, kw_only=True)
class Detection:
    """One box in pixels of the upright image, ``(xmin, ymin, xmax, ymax)``, continuous 0-based edges.

    ``repeat`` is not part of a row. It is set from repeats.jsonl, if `repeats` was run: the number of the location at
    which this detection was repeated.
    """

    label: str
    label_id: int
    score: float
    box: tuple[float, float, float, float]
    repeat: int | None = None

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """The box as ``(ymin, xmin, ymax, xmax)``, the order of annotations."""
        xmin, ymin, xmax, ymax = self.box
        return ymin, xmin, ymax, xmax

    def to_dict(self) -> dict[str, Any]:
        """Return the detection as a row holds it: rounded to 4 digits of the score and to hundredths of a pixel."""
        return {
            "label": self.label,
            "label_id": self.label_id,
            "score": round(self.score, SCORE_DIGITS),
            "box": [round(edge, _BOX_DIGITS) for edge in self.box],
        }


@dataclass(frozen=True, kw_only=True)
class PredictionRow:
    """The result for one image.

    Attributes:
      image: name of the image, with its folders and the name of its archive.
      width, height: size of the upright image (EXIF orientation applied) in pixels; None if it could not be read.
      status: "ok", also for an image without detections, or "failed".
      reason, detail: why the image failed; None if it is ok.
      detections: in order of falling score.
      time: when EXIF dates the image, by the camera's clock; None if EXIF has no date, or if the image's name has one.
      orientation: the EXIF orientation, if it swaps the sides of the image (5 to 8); else 1.
      without_extent: number of boxes of the model that are no detections, because they are less than a pixel high or
        wide.
      novelty: how unlike the training images the image is (retinanet_odm.novelty); None if the model has no reference,
        or if the image failed.
      key: identifies the image, model, threshold and program that produced the row (see inference.rows.rows); None if
        the image has to be scored again.
      place: the deployment, where another rule than that of the name found it; no part of a row.
    """

    image: str
    width: int | None = None
    height: int | None = None
    status: str = OK
    reason: str | None = None
    detail: str | None = None
    detections: tuple[Detection, ...] = ()
    time: datetime | None = None
    orientation: int = 1
    without_extent: int = 0
    novelty: float | None = None
    key: str | None = None
    place: str | None = None

    @property
    def frame(self) -> FrameName | None:
        """Deployment, and the time of the name or else of EXIF; None if there is no time."""
        # `time` is set only where the name has none, so the two never disagree.
        named = parse_frame_name(self.image) if self.time is None else None
        time = named.time if named else self.time
        return FrameName(deployment=self.deployment, time=time) if time else None

    @property
    def deployment(self) -> str:
        """The deployment of the image, also without a time; "" if its name says nothing."""
        return BY_NAME.deployment_of(self.image) if self.place is None else self.place

    @property
    def is_unlike_training(self) -> bool:
        """Whether the image is known to be unlike the training images: its counts are not to be trusted."""
        # Rounded as in the row, so that a row that was never written says the same.
        return self.novelty is not None and round(self.novelty, _NOVELTY_DIGITS) > _NOVELTY_LIMIT

    def to_dict(self) -> dict[str, Any]:
        """Return the row as predictions-*.jsonl holds it."""
        value: dict[str, Any] = {
            "image": self.image,
            "width": self.width,
            "height": self.height,
            "status": self.status,
            "detections": [item.to_dict() for item in self.detections],
        }
        # Optional keys: most rows have none of them, and a run has a million rows.
        if self.time is not None:
            value["time"] = self.time.isoformat(sep=" ")
        if self.orientation != 1:
            value["orientation"] = self.orientation
        if self.without_extent:
            value["without_extent"] = self.without_extent
        if self.novelty is not None:
            value["novelty"] = round(self.novelty, _NOVELTY_DIGITS)
        if self.status != OK:
            value |= {"reason": self.reason, "detail": self.detail}
        if self.key is not None:
            value["key"] = self.key
        return value

    def to_json(self) -> str:
        """Return the row as a line of predictions-*.jsonl, without the line break."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str | bytes, *, source: str) -> "PredictionRow":
        """Parse a line that to_json wrote; scores and boxes are rounded there.

        Example:
          >>> PredictionRow.from_json('{"image": "a.jpg", "detections": []}', source="predictions.jsonl").status
          'ok'

        Args:
          line: the line.
          source: name of the file, for messages.

        Raises:
          ContractError: the line is not a row of predictions.
        """
        try:
            value = json.loads(line)
            detections = tuple(_detection_from_json(item) for item in value.pop("detections"))
            # Optional keys that are missing keep the defaults of the class.
            time = datetime.fromisoformat(value.pop("time")) if "time" in value else None
            return cls(**value, detections=detections, time=time)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ContractError(f"{source}: expected a row of predictions: {error}") from error

    def filtered(self, min_scores: Mapping[int, float]) -> "PredictionRow":
        """Return the row with only the detections of these classes, by label id, that have their minimum score."""
        kept = (item for item in self.detections if reaches(item, min_scores))
        return dataclasses.replace(self, detections=tuple(kept))


def row_threshold(min_score: float) -> float:
    """Return the minimum score for scores of rows, which are rounded: unrounded, it would drop some that reached it.

    Example:
      >>> row_threshold(0.300001)
      0.3
    """
    return round(min_score, SCORE_DIGITS)


def reaches(item: Detection, min_scores: Mapping[int, float]) -> bool:
    """Return whether a detection has one of these classes, by label id, and its minimum score."""
    # Both rounded, so that a row that was never written keeps what it would keep when it is read.
    return item.label_id in min_scores and round(item.score, SCORE_DIGITS) >= row_threshold(min_scores[item.label_id])


def _detection_from_json(value: dict[str, Any]) -> Detection:
    # Unpacked, so that a box with more or fewer edges is an error of this row.
    xmin, ymin, xmax, ymax = value.pop("box")
    return Detection(**value, box=(xmin, ymin, xmax, ymax))


@dataclass(frozen=True, kw_only=True)
class ScoringRun:
    """The origin of a file of predictions, and which detections of it the file holds.

    Attributes:
      classes: names by id of the classes whose detections are in the file, in order of the ids.
      model_hash: ModelManifest.model_hash.
      thresholds: by label id, the minimum score of the detections that count.
      min_scores: by label id, the minimum score of the detections in the file: the thresholds, or less in formats
        whose readers choose a threshold.
      nms_iou: the IoU threshold of the model's non-maximum suppression.
      code_version: version of the program that scored the images.
      rows_from: the lowest score of the rows; 0 where the model has no threshold.
      facts: what the report says about the model (ModelManifest.facts), and `tiles`, `without_repeats` and
        `threshold_origin` of the run; what is not known is missing.
    """

    classes: Mapping[int, str]
    model_hash: str
    thresholds: Mapping[int, float]
    min_scores: Mapping[int, float]
    nms_iou: float
    code_version: str
    rows_from: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The first digits of model_hash, for people and for columns of a table."""
        return self.model_hash[:_HASH_DIGITS]

    @property
    def program(self) -> str:
        """Name and version of the program."""
        return f"{PROGRAM} {self.code_version}"

    @property
    def title(self) -> str:
        """The run in one line, for formats that have no more room."""
        low, high = min(self.min_scores.values()), max(self.min_scores.values())
        scores = f"{low:g}" if low == high else f"{low:g} to {high:g}, by class"
        return f"{self.program}, model {self.model_hash}, scores from {scores}"

    @property
    def min_scores_by_name(self) -> dict[str, float]:
        """The minimum score of the detections in the file, by name of the class."""
        return self._by_name(self.min_scores)

    @property
    def thresholds_by_name(self) -> dict[str, float]:
        """The minimum score of the detections that count, by name of the class."""
        return self._by_name(self.thresholds)

    def describe(self) -> dict[str, Any]:
        """Return the run as a JSON object, for formats that have room for metadata."""
        return {
            "program": self.program,
            "model_hash": self.model_hash,
            "labels": {str(label_id): label for label_id, label in self.classes.items()},
            "min_scores": self.min_scores_by_name,
            "thresholds": self.thresholds_by_name,
            "nms_iou": self.nms_iou,
        }

    def _by_name(self, scores: Mapping[int, float]) -> dict[str, float]:
        return {label: scores[label_id] for label_id, label in self.classes.items()}
