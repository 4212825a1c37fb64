"""Rows as they are made: from a model's output to a line of predictions-*.jsonl, with its key, and counts over rows.

The key of a row identifies the image, by name and version, and the run, by everything that can change a row. So a later
run can reuse any row whose key it would give to an image of its own; see inference.request.
"""

import dataclasses
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from inference.image_sources.chunks import Chunk
from inference.model.outcome import Failure, ModelOutput
from retinanet_odm.dataset.frame_names import parse_frame_name
from retinanet_odm.errors import DataError
from retinanet_odm.imaging.images import EncodedImage
from retinanet_odm.predictions.rows import FAILED, MODEL_REFUSED, OK, Detection, PredictionRow, placeholder_label, utf8

_KEY_DIGITS = 20  # 80 bits: two of a million images have the same with a probability of 4 in 10^13
_KEY = re.compile(rb'"key": "([0-9a-f]{20})"\}\n?$')
# Failures caused by the image itself; others, such as a disk that is not mounted, may be temporary.
_PERMANENT = re.compile(rf"image_.*|{MODEL_REFUSED}")
_MIN_SWAPPED = 5  # from this EXIF orientation on, the sides of the image are swapped


@dataclass(frozen=True, kw_only=True)
class ShotFacts:
    """What a row says of an image beside the output of the model; see PredictionRow."""

    time: datetime | None = None
    orientation: int = 1

    @classmethod
    def of(cls, name: str, image: EncodedImage) -> "ShotFacts":
        """Return when an image was taken, if its name does not tell, and how it was turned."""
        return cls(
            time=None if parse_frame_name(name) else image.capture_time,
            orientation=image.orientation if image.orientation >= _MIN_SWAPPED else 1,
        )


def make_row(
    name: str, result: ModelOutput | Failure, shot: ShotFacts, *, labels: Mapping[int, str], min_score: float
) -> PredictionRow:
    """Return the row of an image that was scored.

    Args:
      name: of the image.
      result: what the model returned.
      shot: of the image.
      labels: names by label id.
      min_score: of the detections in the row.
    """
    # A row in any case: every image that was listed has exactly one.
    if isinstance(result, Failure):
        row = failed_row(name, DataError(result.reason, f"{name}: {result.why}"))
        return dataclasses.replace(row, time=shot.time, orientation=shot.orientation)
    # Plain numbers: JSON cannot write those of numpy.
    values = zip(result.boxes.tolist(), result.scores.tolist(), result.classes.tolist(), strict=True)
    detections = tuple(
        Detection(
            label=labels.get(label_id, placeholder_label(label_id)), label_id=label_id, score=score, box=_as_xyxy(box)
        )
        for box, score, label_id in values
        if score >= min_score
    )
    return PredictionRow(
        image=name,
        width=result.width,
        height=result.height,
        detections=detections,
        time=shot.time,
        orientation=shot.orientation,
        without_extent=result.without_extent,
        novelty=result.novelty,
    )


def failed_row(name: str, error: DataError) -> PredictionRow:
    """Return the row of an image that could not be scored."""
    return PredictionRow(image=name, status=FAILED, reason=error.reason, detail=error.detail)


def _as_xyxy(box: list[float]) -> tuple[float, float, float, float]:
    ymin, xmin, ymax, xmax = box
    return xmin, ymin, xmax, ymax


def make_run_key(run: Sequence[Any]) -> str:
    """Return a digest of everything that can change a row: model, labels, version of the program."""
    return _digest(run)


def row_keys(run_key: str, chunk: Chunk) -> list[str]:
    """Return the keys of the rows of a chunk, in the order of its images."""
    return [_digest([run_key, name, version]) for name, version in zip(chunk.names, chunk.versions, strict=True)]


def _digest(value: Sequence[Any]) -> str:
    # Sorted, because the order of keys in a dict is no part of a request.
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:_KEY_DIGITS]


def with_key(row: PredictionRow, key: str) -> PredictionRow:
    """Return the row with its key, or without one if its failure may be temporary: then the image is scored again."""
    # A row without a key is written all the same; only a later run does not reuse it.
    is_final = row.reason is None or _PERMANENT.fullmatch(row.reason)
    return dataclasses.replace(row, key=key) if is_final else row


def key_of_line(line: bytes) -> str:
    """Return the key at the end of a row's line, or "". The line is not parsed, which matters for a million lines."""
    # `to_json` writes the key last, so only the end of the line is searched; a name cannot imitate it there.
    match = _KEY.search(line, max(0, len(line) - _KEY_DIGITS - 16))
    return match[1].decode() if match else ""


@dataclass(frozen=True, kw_only=True)
class SerializedRow:
    """A row as it is written; text is a line of predictions-*.jsonl with its line break."""

    image: str
    text: bytes
    reason: str | None
    labels: tuple[str, ...]
    without_extent: int

    @classmethod
    def of(cls, row: PredictionRow) -> "SerializedRow":
        """Serialize a row."""
        return cls.read(row, utf8(row.to_json() + "\n"))

    @classmethod
    def read(cls, row: PredictionRow, text: bytes) -> "SerializedRow":
        """Return the line that a row was read from."""
        reason = None if row.status == OK else str(row.reason)
        labels = tuple(item.label for item in row.detections)
        return cls(image=row.image, text=text, reason=reason, labels=labels, without_extent=row.without_extent)


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """Counts over rows: images that were scored, failures by reason, detections by label, boxes without extent."""

    ok: int
    failed: Counter[str]
    detections: Counter[str]
    without_extent: int = 0

    @property
    def images(self) -> int:
        """Number of rows."""
        return self.ok + self.failed.total()

    @classmethod
    def of(cls, lines: Iterable[SerializedRow]) -> "RowCounts":
        """Count rows."""
        ok, failed, detections, without_extent = 0, Counter[str](), Counter[str](), 0
        for line in lines:
            if line.reason is None:
                ok += 1
            else:
                failed[line.reason] += 1
            detections.update(line.labels)
            without_extent += line.without_extent
        return cls(ok=ok, failed=failed, detections=detections, without_extent=without_extent)

    @classmethod
    def total(cls, counts: Sequence["RowCounts"]) -> "RowCounts":
        """Add counts."""
        return cls(
            ok=sum(item.ok for item in counts),
            failed=sum((item.failed for item in counts), Counter()),
            detections=sum((item.detections for item in counts), Counter()),
            without_extent=sum(item.without_extent for item in counts),
        )

    def to_json(self) -> dict[str, object]:
        """Return the counts as summary.json holds them; most runs have no boxes without extent."""
        optional = {"without_extent": self.without_extent} if self.without_extent else {}
        return {
            "images": self.images,
            "ok": self.ok,
            "failed": dict(self.failed),
            "detections": dict(self.detections),
            **optional,
        }
