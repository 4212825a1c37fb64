"""The output row of scoring: one per input image, whatever became of it."""

import json
from dataclasses import dataclass
from typing import Any

OK = "ok"
FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Detection:
    """One box in pixels of the upright image, ``[xmin, ymin, xmax, ymax]``, continuous 0-based edges."""

    label: str
    label_id: int
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class PredictionRow:
    """What became of one image.

    Attributes:
      image: the image's name, sub-folders (and the archive's name) included.
      width, height: pixels of the upright image (EXIF orientation applied); None when it could not be read.
      status: "ok", also with no detections, or "failed".
      reason, detail: why it failed; None when ok.
      detections: by falling score.
    """

    image: str
    width: int | None = None
    height: int | None = None
    status: str = OK
    reason: str | None = None
    detail: str | None = None
    detections: tuple[Detection, ...] = ()

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
                    "score": round(item.score, 4),
                    "box": [round(edge, 2) for edge in item.box],
                }
                for item in self.detections
            ],
        }
        if self.status != OK:
            value |= {"reason": self.reason, "detail": self.detail}
        return json.dumps(value, ensure_ascii=False)
