"""What a line of review.jsonl says: the complete state of one image after one decision.

A line repeats what the image had before, so the last line of an image is all that is needed: every beginning of the
file is a valid file, and undoing is one more line. Begin with `Decision`; `parse_decisions` and `replay` read a file.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retinanet_odm.errors import ContractError, DataError
from retinanet_odm.predictions.rows import PredictionRow, utf8

OPEN, ACCEPTED, REJECTED = "open", "accepted", "rejected"
VERDICTS = (OPEN, ACCEPTED, REJECTED)
ACTIONS = ("accept", "reject", "label", "draw", "move", "delete", "done", "reopen", "undo")
_BOX_DIGITS = 2  # of the edges, as in the rows
_MIN_SIDE = 1.0  # pixel: less is a slip of the hand


@dataclass(frozen=True, kw_only=True)
class ReviewedObject:
    """A box under review: (xmin, ymin, xmax, ymax) in pixels of the upright image, continuous 0-based edges.

    Attributes:
      label: name of its class.
      box: its edges.
      verdict: one of VERDICTS.
      detection: its position among the detections of the row; None for a box that a person has drawn.
    """

    label: str
    box: tuple[float, float, float, float]
    verdict: str = OPEN
    detection: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the object as a line holds it."""
        return {
            "label": self.label,
            "box": [round(edge, _BOX_DIGITS) for edge in self.box],
            "verdict": self.verdict,
            "detection": self.detection,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "ReviewedObject":
        """Return the object that `to_dict` has made of one.

        Raises:
          ValueError, TypeError, KeyError: it is none.
        """
        xmin, ymin, xmax, ymax = (float(edge) for edge in value["box"])
        label, verdict, detection = value["label"], value["verdict"], value["detection"]
        if not isinstance(label, str) or verdict not in VERDICTS:
            raise ValueError(f"expected a label and one of {', '.join(VERDICTS)}, found {label!r} and {verdict!r}")
        if detection is not None and (not isinstance(detection, int) or isinstance(detection, bool)):
            raise ValueError(f"expected the number of a detection or null, found {detection!r}")
        return cls(label=label, box=(xmin, ymin, xmax, ymax), verdict=verdict, detection=detection)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One line: the state of an image after a decision.

    Attributes:
      image: name of the image, as in its row.
      row: key of the row whose detections were shown; None if that has none.
      action: what was decided, one of ACTIONS. For people who read the file; the state does not depend on it.
      done: whether the image is reviewed: no object is open, and none is missing.
      objects: all objects of the image, rejected ones too.
      time: when, in UTC, as YYYY-MM-DDTHH:MM:SSZ.
    """

    image: str
    row: str | None
    action: str
    done: bool
    objects: tuple[ReviewedObject, ...]
    time: str

    def to_line(self) -> bytes:
        """Return the line, with its line break."""
        value = {
            "image": self.image,
            "row": self.row,
            "action": self.action,
            "done": self.done,
            "objects": [item.to_dict() for item in self.objects],
            "time": self.time,
        }
        return utf8(json.dumps(value, ensure_ascii=False) + "\n")

    @classmethod
    def from_line(cls, line: bytes) -> "Decision":
        """Parse a line that `to_line` wrote.

        Raises:
          ValueError: it is none.
        """
        try:
            value = json.loads(line)
            objects = tuple(ReviewedObject.from_dict(item) for item in value.pop("objects"))
            decision = cls(**value, objects=objects)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(str(error)) from error
        if not isinstance(decision.image, str) or not isinstance(decision.done, bool):
            raise ValueError("expected the name of an image, and whether it is done")
        return decision


def parse_decisions(data: bytes, *, source: str) -> tuple[list[Decision], bytes]:
    r"""Return the decisions of a file, and what follows its last complete line: a kill may cut a line.

    A last line that only lacks its line break is complete.

    Example:
      >>> parse_decisions(b'{"image": "a.j', source="review.jsonl")
      ([], b'{"image": "a.j')

    Raises:
      ContractError: another line is not one of a review.
    """
    *lines, last = data.split(b"\n")
    decisions = []
    for number, line in enumerate(lines, start=1):
        try:
            decisions.append(Decision.from_line(line))
        except ValueError as error:
            raise ContractError(f"{source}, line {number}: expected a decision of a review: {error}") from error
    try:
        return ([*decisions, Decision.from_line(last)], b"") if last else (decisions, b"")
    except ValueError:
        return decisions, last


def replay(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """Return the state of each image that decisions are about, by its name: its last decision."""
    return {decision.image: decision for decision in decisions}


def first_objects(row: PredictionRow, thresholds: Mapping[int, float]) -> tuple[ReviewedObject, ...]:
    """Return the objects of an image before any decision: its detections that count, all of them open.

    Args:
      row: with all its detections.
      thresholds: minimum scores by label id.
    """
    counted = set(map(id, row.filtered(thresholds).detections))
    return tuple(
        ReviewedObject(label=item.label, box=item.box, detection=number)
        for number, item in enumerate(row.detections)
        if id(item) in counted
    )


def check_objects(values: Sequence[Any], row: PredictionRow, labels: Iterable[str]) -> tuple[ReviewedObject, ...]:
    """Return the objects that a page has sent for an image, with boxes cut at its borders.

    Args:
      values: as `ReviewedObject.to_dict` makes them.
      row: of the image.
      labels: names of the classes.

    Raises:
      DataError: one is no object, has a label that is no class, no extent within the image, or is a detection that the
        row does not have or that was sent before.
    """
    known, found, seen = frozenset(labels), [], set[int]()
    for value in values:
        try:
            item = ReviewedObject.from_dict(value)
        except (ValueError, TypeError, KeyError) as error:
            raise DataError("not_an_object", f"expected an object with label, box and verdict: {error}") from error
        if item.label not in known:
            raise DataError("unknown_label", f"expected a class of the model, found {item.label!r}")
        if item.detection is not None and (item.detection in seen or not 0 <= item.detection < len(row.detections)):
            raise DataError("unknown_detection", f"expected each detection once, found number {item.detection}")
        seen.update(() if item.detection is None else (item.detection,))
        box = item.box if item.verdict == REJECTED else _cut(item.box, row)
        found.append(ReviewedObject(label=item.label, box=box, verdict=item.verdict, detection=item.detection))
    return tuple(found)


def _cut(box: tuple[float, float, float, float], row: PredictionRow) -> tuple[float, float, float, float]:
    width, height = float(row.width or 0), float(row.height or 0)
    # Written so that nan is refused: it would be in no order with a number.
    if not all(abs(edge) < float("inf") for edge in box):
        raise DataError("not_a_box", f"expected numbers of pixels, found {list(box)}")
    xmin, ymin, xmax, ymax = (
        round(min(max(edge, 0.0), side), _BOX_DIGITS) for edge, side in zip(box, (width, height) * 2, strict=True)
    )
    if xmax - xmin < _MIN_SIDE or ymax - ymin < _MIN_SIDE:
        raise DataError("box_without_extent", f"expected a box of a pixel or more within the image, found {list(box)}")
    return xmin, ymin, xmax, ymax
