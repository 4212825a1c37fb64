"""The output row of scoring: one per input image, whatever became of it; and the run that rows come from."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from retinanet_odm import PROGRAM
from retinanet_odm.dataset.frame_names import FrameName, parse_frame_name
from retinanet_odm.errors import ContractError

OK = "ok"
FAILED = "failed"

# Reasons for a failure that lie with the model, not with the file.
MODEL_REFUSED = "model_refused_image"
MODEL_FAILED = "model_failed"
MODEL_MEMORY_SHORT = "model_memory_short"
MODEL_REASONS = (MODEL_REFUSED, MODEL_FAILED, MODEL_MEMORY_SHORT)

# Rows hold weaker detections too, because an evaluation needs them; people would mostly see noise there.
MIN_SHOWN_SCORE = 0.3

_HASH_DIGITS = 12  # of 64: enough to tell one person's models apart
_SCORE_DIGITS, _BOX_DIGITS = 4, 2


def unnamed(label_id: int) -> str:
    """The label of an id that the label map leaves out; a head is as wide as its largest id, so it can give one."""
    return f"id {label_id}"


@dataclass(frozen=True, kw_only=True)
class Detection:
    """One box in pixels of the upright image, ``[xmin, ymin, xmax, ymax]``, continuous 0-based edges.

    ``repeat`` is no part of a row: where `repeats` was run, it is the number of the place where this came back.
    """

    label: str
    label_id: int
    score: float
    box: tuple[float, float, float, float]
    repeat: int | None = None


@dataclass(frozen=True, kw_only=True)
class PredictionRow:
    """What became of one image.

    Attributes:
      image: the image's name, sub-folders (and the archive's name) included.
      width, height: pixels of the upright image (EXIF orientation applied); None when it could not be read.
      status: "ok", also with no detections, or "failed".
      reason, detail: why it failed; None when ok.
      detections: by falling score.
      time: when it was taken by the camera's clock, as EXIF tells; None where it does not, or where the name tells.
      orientation: EXIF's, by which the photograph was turned upright, if that swapped its sides (5 to 8); else 1.
      key: of which image, model, threshold and program this is the row (inference.rows.resume); None where the image is to
        be tried again.
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
    key: str | None = None

    @property
    def frame(self) -> FrameName | None:
        """Deployment and time as the image's name tells them, or else its folder and the time of EXIF, or None."""
        if self.time is None:
            return parse_frame_name(self.image)
        return FrameName(deployment=self._folder, when=self.time)

    @property
    def deployment(self) -> str:
        """The frame's deployment; without a frame, the image's folder, "" at the top."""
        frame = self.frame
        return frame.deployment if frame else self._folder

    @property
    def _folder(self) -> str:
        return self.image.rpartition("/")[0]

    def to_json(self) -> str:
        """One line of predictions-*.jsonl."""
        value: dict[str, Any] = {
            "image": self.image,
            "width": self.width,
            "height": self.height,
            "status": self.status,
            "detections": [
                {
                    "label": item.label,
                    "label_id": item.label_id,
                    "score": round(item.score, _SCORE_DIGITS),
                    "box": [round(edge, _BOX_DIGITS) for edge in item.box],
                }
                for item in self.detections
            ],
        }
        if self.time is not None:
            value["time"] = self.time.isoformat(sep=" ")
        if self.orientation != 1:
            value["orientation"] = self.orientation
        if self.status != OK:
            value |= {"reason": self.reason, "detail": self.detail}
        if self.key is not None:
            value["key"] = self.key
        return json.dumps(value, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str | bytes, *, source: str) -> "PredictionRow":
        """Inverse of to_json, but for the digits that it rounds away; source names the file in messages.

        Raises:
          ContractError: no row of this form.
        """
        try:
            value = json.loads(line)
            detections = tuple(_detection(item) for item in value.pop("detections"))
            time = datetime.fromisoformat(value.pop("time")) if "time" in value else None
            return cls(**value, detections=detections, time=time)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ContractError(f"{source}: expected a row of predictions: {error}") from error

    def kept(self, run: "ScoringRun") -> "PredictionRow":
        """The row with those detections only that the run says it holds."""
        # Scores read back are rounded; the threshold must be too, or it would drop some that just reached it.
        least = round(run.threshold, _SCORE_DIGITS)
        kept = (item for item in self.detections if item.label_id in run.classes and item.score >= least)
        return dataclasses.replace(self, detections=tuple(kept))


def _detection(value: dict[str, Any]) -> Detection:
    xmin, ymin, xmax, ymax = value.pop("box")
    return Detection(**value, box=(xmin, ymin, xmax, ymax))


@dataclass(frozen=True, kw_only=True)
class ScoringRun:
    """What a file of predictions says about where they come from, and which of them it holds.

    Attributes:
      classes: names by id, of the classes whose detections are in the file, by rising id.
      model_hash: ModelManifest.model_hash.
      threshold: the score from which detections are in the file.
      nms_iou: the overlap from which the model took two boxes of a class for one.
      code_version: of the program that scored.
      class_thresholds: of classes that had a higher one when they were scored, by name.
    """

    classes: Mapping[int, str]
    model_hash: str
    threshold: float
    nms_iou: float
    code_version: str
    class_thresholds: Mapping[str, float] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The beginning of model_hash, for people and for columns of a table."""
        return self.model_hash[:_HASH_DIGITS]

    @property
    def program(self) -> str:
        return f"{PROGRAM} {self.code_version}"

    @property
    def title(self) -> str:
        """One line, for formats with no more room than that."""
        return f"{self.program}, model {self.model_hash}, scores from {self.threshold:g}"

    def describe(self) -> dict[str, Any]:
        """Everything, fit for JSON."""
        return {
            "program": self.program,
            "model_hash": self.model_hash,
            "labels": {str(label_id): label for label_id, label in self.classes.items()},
            "thresholds": {"score": self.threshold, "nms_iou": self.nms_iou, "classes": dict(self.class_thresholds)},
        }
