"""repeats.jsonl: which detections of a run were repeated at one location.

The file has one line for each image with such detections, in the order of names, such as
``{"image": "a.jpg", "places": [null, 3]}``: the number of a location, or null, for each detection of its row. It lies
beside the rows and does not change them: without the file, nothing is flagged.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from retinanet_odm.errors import ContractError
from retinanet_odm.predictions.rows import PredictionRow, utf8


@dataclass(frozen=True, kw_only=True)
class RepeatFlags:
    """The number of the location of each detection of an image, or None."""

    image: str
    locations: tuple[int | None, ...]

    def to_line(self) -> bytes:
        """Return a line of repeats.jsonl."""
        return utf8(json.dumps({"image": self.image, "places": self.locations}, ensure_ascii=False) + "\n")

    @classmethod
    def from_line(cls, line: bytes, *, source: str) -> "RepeatFlags":
        """Parse a line; source names the file in messages.

        Raises:
          ContractError: the line has another form.
        """
        try:
            value = json.loads(line)
            return cls(image=value["image"], locations=tuple(value["places"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ContractError(f"{source}: expected the repeated detections of an image: {error}") from error


def with_repeat_flags(rows: Iterable[PredictionRow], lines: Iterable[bytes], *, source: str) -> Iterator[PredictionRow]:
    """Yield the rows, with the locations from repeats.jsonl in their detections.

    Args:
      rows: all rows of the run, in the order of their names.
      lines: of the file.
      source: names the file in messages.

    Raises:
      ContractError: the file was made from other rows.
    """
    # Both are in the order of names, so one pass over each is enough; flags without a row show that rows have changed.
    flags = (RepeatFlags.from_line(line, source=source) for line in lines)
    upcoming = next(flags, None)
    for row in rows:
        if upcoming is None or upcoming.image != row.image:
            yield row
        else:
            yield _with_locations(row, upcoming.locations, source)
            upcoming = next(flags, None)
    if upcoming is not None:
        raise _other_rows(upcoming.image, source)


def _with_locations(row: PredictionRow, locations: Sequence[int | None], source: str) -> PredictionRow:
    if len(locations) != len(row.detections):
        raise _other_rows(row.image, source)
    flagged = zip(row.detections, locations, strict=True)
    return dataclasses.replace(row, detections=tuple(dataclasses.replace(item, repeat=at) for item, at in flagged))


def _other_rows(image: str, source: str) -> ContractError:
    return ContractError(f"{source} does not match the row of {image!r}: run `repeats` again")


def without_repeats(row: PredictionRow) -> PredictionRow:
    """Return the row without its flagged detections."""
    return dataclasses.replace(row, detections=tuple(item for item in row.detections if item.repeat is None))
