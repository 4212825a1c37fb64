"""What the model said about one image, as an output row; and what a set of rows adds up to."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from inference.model.outcome import Failure, ModelOutput
from inference.model.thresholds import ScoreThresholds
from retinanet_odm.errors import DataError
from retinanet_odm.predictions.formats.encoding import utf8
from retinanet_odm.predictions.rows import FAILED, OK, Detection, PredictionRow, placeholder_label


def make_row(
    name: str, outcome: ModelOutput | Failure, *, labels: Mapping[int, str], thresholds: ScoreThresholds
) -> PredictionRow:
    """The row of an image that the model was asked about; labels are names by id."""
    if isinstance(outcome, Failure):
        return failed_row(name, DataError(outcome.reason, f"{name}: {outcome.why}"))
    rows = zip(outcome.boxes.tolist(), outcome.scores.tolist(), outcome.classes.tolist(), strict=True)
    kept = (
        Detection(
            label=labels.get(label_id, placeholder_label(label_id)), label_id=label_id, score=score, box=_as_xyxy(box)
        )
        for box, score, label_id in rows
        if thresholds.keeps(label_id, score)
    )
    return PredictionRow(image=name, width=outcome.width, height=outcome.height, detections=tuple(kept))


def failed_row(name: str, error: DataError) -> PredictionRow:
    """The row of an image that could not be scored."""
    return PredictionRow(image=name, status=FAILED, reason=error.reason, detail=error.detail)


def _as_xyxy(box: list[float]) -> tuple[float, float, float, float]:
    ymin, xmin, ymax, xmax = box
    return xmin, ymin, xmax, ymax


@dataclass(frozen=True, kw_only=True)
class SerializedRow:
    """A row as it is written: text is a line of predictions-*.jsonl, with its line break."""

    image: str
    text: bytes
    reason: str | None
    labels: tuple[str, ...]

    @classmethod
    def of(cls, row: PredictionRow) -> "SerializedRow":
        """The line of a row."""
        return cls.read(row, utf8(row.to_json() + "\n"))

    @classmethod
    def read(cls, row: PredictionRow, text: bytes) -> "SerializedRow":
        """The line that a row was read from."""
        reason = None if row.status == OK else str(row.reason)
        return cls(image=row.image, text=text, reason=reason, labels=tuple(item.label for item in row.detections))


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """Counts over rows: images that were scored, failures by reason, detections by label."""

    ok: int
    failed: Counter[str]
    detections: Counter[str]

    @property
    def images(self) -> int:
        return self.ok + self.failed.total()

    @classmethod
    def of(cls, lines: Iterable[SerializedRow]) -> "RowCounts":
        """Counts rows."""
        ok, failed, detections = 0, Counter[str](), Counter[str]()
        for line in lines:
            if line.reason is None:
                ok += 1
            else:
                failed[line.reason] += 1
            detections.update(line.labels)
        return cls(ok=ok, failed=failed, detections=detections)

    @classmethod
    def total(cls, tallies: Sequence["RowCounts"]) -> "RowCounts":
        """Adds up tallies."""
        return cls(
            ok=sum(tally.ok for tally in tallies),
            failed=sum((tally.failed for tally in tallies), Counter()),
            detections=sum((tally.detections for tally in tallies), Counter()),
        )

    def to_json(self) -> dict[str, object]:
        """The counts as they stand in summary.json."""
        return {
            "images": self.images,
            "ok": self.ok,
            "failed": dict(self.failed),
            "detections": dict(self.detections),
        }
