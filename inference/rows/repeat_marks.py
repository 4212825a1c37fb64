"""repeats.jsonl: which detections of a run are at places where something is seen again and again.

One line for each image that has such detections, in the order of names: ``{"image": "a.jpg", "places": [null, 3]}``, a
place or none for each detection of its row. It lies beside the rows and changes none of them: without the file, nothing
is marked.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from retinanet_odm.errors import ContractError
from retinanet_odm.predictions.formats.encoding import utf8
from retinanet_odm.predictions.rows import PredictionRow


@dataclass(frozen=True, kw_only=True)
class RepeatFlags:
    """The place of each detection of an image, or None."""

    image: str
    places: tuple[int | None, ...]

    def to_line(self) -> bytes:
        """A line of repeats.jsonl."""
        return utf8(json.dumps({"image": self.image, "places": self.places}, ensure_ascii=False) + "\n")

    @classmethod
    def from_line(cls, line: bytes, *, source: str) -> "RepeatFlags":
        """Inverse of to_line; source names the file in messages.

        Raises:
          ContractError: no line of this form.
        """
        try:
            value = json.loads(line)
            return cls(image=value["image"], places=tuple(value["places"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ContractError(f"{source}: expected marks of an image: {error}") from error


def with_repeat_flags(rows: Iterable[PredictionRow], lines: Iterable[bytes], *, source: str) -> Iterator[PredictionRow]:
    """The rows, their detections with the places that repeats.jsonl gives them.

    Args:
      rows: all of the run, in the order of their names.
      lines: of the file.
      source: names the file in messages.

    Raises:
      ContractError: the marks are of other rows.
    """
    of_images = (RepeatFlags.from_line(line, source=source) for line in lines)
    marks = next(of_images, None)
    for row in rows:
        if marks is None or marks.image != row.image:
            yield row
        else:
            yield _with_places(row, marks.places, source)
            marks = next(of_images, None)
    if marks is not None:
        raise _of_other_rows(marks.image, source)


def _with_places(row: PredictionRow, places: Sequence[int | None], source: str) -> PredictionRow:
    if len(places) != len(row.detections):
        raise _of_other_rows(row.image, source)
    detections = (dataclasses.replace(item, repeat=place) for item, place in zip(row.detections, places, strict=True))
    return dataclasses.replace(row, detections=tuple(detections))


def _of_other_rows(image: str, source: str) -> ContractError:
    return ContractError(f"{source} marks {image!r} otherwise than the rows have it: run `repeats` again")


def without_repeats(row: PredictionRow) -> PredictionRow:
    """The row without the detections that are marked."""
    return dataclasses.replace(row, detections=tuple(item for item in row.detections if item.repeat is None))
