"""What is counted while the plan is made. A `Tally` of some rows adds up with those of others in any order."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from beam_jobs.batches import KeyedRow
from beam_jobs.join import describe_pairing
from beam_jobs.rows import ANNOTATION_REJECT, NO_MATCHING_IMAGE, Candidate, Reject
from retinanet_odm.pickling import pickle_by_position
from retinanet_odm.sources.listing import AnnotationFile

_MAX_UNREADABLE = 3  # unreadable annotation files named in the detail of an image without annotation


@pickle_by_position
@dataclass(kw_only=True)
class Tally:
    """Counts of some rows.

    Attributes:
      images_in: distinct image files.
      label_counts: boxes by label, as the annotations write it.
      ignored: shapes that have no box by design, by kind.
      pairings: number and first example, in alphabetical order, of images by the way they were paired, if a person
        should look at them.
      unreadable: the first annotation files, in the order of their paths, that cannot be read completely.
    """

    images_in: int = 0
    label_counts: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    pairings: dict[str, tuple[int, str]] = field(default_factory=dict)
    unreadable: tuple[bytes, ...] = ()

    def add(self, row: Any) -> None:
        """Count a row; those of other kinds count nothing."""
        if isinstance(row, Candidate):
            self.label_counts.update(item.label for item in row.annotation.objects if not item.ignore)
            for pairing, example in describe_pairing(row):
                self._add_pairing(pairing, example)
        elif isinstance(row, Reject):
            self._add_unreadable(unreadable_file(row))

    def add_shapes(self, file: AnnotationFile) -> None:
        """Count the shapes without a box of an annotation that was read."""
        if file.annotation is not None:
            for kind, count in file.annotation.ignored:
                self.ignored[kind] += count

    def merge(self, other: "Tally") -> None:
        """Add the counts of other rows."""
        self.images_in += other.images_in
        self.label_counts.update(other.label_counts)
        self.ignored.update(other.ignored)
        for pairing, example in other.pairings.items():
            self._add_pairing(pairing, example)
        self._add_unreadable(other.unreadable)

    def _add_pairing(self, pairing: str, found: tuple[int, str]) -> None:
        count, example = self.pairings.get(pairing, (0, found[1]))
        self.pairings[pairing] = count + found[0], min(example, found[1])

    def _add_unreadable(self, paths: Iterable[bytes]) -> None:
        # A file with several faults has a reject for each.
        self.unreadable = tuple(sorted({*self.unreadable, *paths})[:_MAX_UNREADABLE])


def add_tallies(tallies: Iterable[Tally]) -> Tally:
    """Add up tallies; the sum of none is empty."""
    total = Tally()
    for tally in tallies:
        total.merge(tally)
    return total


def tallied(rows: Iterable[Any], tally: Tally) -> Iterator[Any]:
    """Yield the rows unchanged, then the tally with all of them counted."""
    for row in rows:
        tally.add(row.row if isinstance(row, KeyedRow) else row)
        yield row
    yield tally


def unreadable_file(reject: Reject) -> Iterator[bytes]:
    """Yield the path of an annotation file that cannot be read completely, as bytes; nothing for other rejects."""
    if reject.kind == ANNOTATION_REJECT and reject.reason != NO_MATCHING_IMAGE:
        yield reject.source.encode("utf-8", "surrogateescape")
