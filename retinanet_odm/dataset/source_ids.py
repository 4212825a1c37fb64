"""Numeric source ids that survive TPU RetinaNet.

TPU RetinaNet reads ``image/source_id`` with ``string_to_number`` into float32, which holds every whole number only up
to 2^24; digits stripped from file names, or hashes, collide there and silently merge images in evaluation. So ids are
dense, 1..N, and given by a plan: images fall into hash buckets by name, the buckets are laid end to end, and within a
bucket the order is that of the hash. Every bucket can be numbered on its own machine, and arrival order never matters.
A data set that grows goes on from its earlier ids (`id_maps`).
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from retinanet_odm.csv_tables import Row, format_table, parse_table
from retinanet_odm.errors import ContractError, UsageError

MAX_SOURCE_ID = 2**24
NUM_BUCKETS = 4096


def name_hash(name: str) -> str:
    """Hex SHA-256 of an image's name: the one pseudo-random order of the data set."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def bucket_of(name: str) -> int:
    """The hash bucket 0..NUM_BUCKETS-1; buckets are ordered as the hashes are."""
    return int(name_hash(name)[:3], 16)


def check_image_count(images: int, last_id: int = 0) -> None:
    """Raises UsageError when more images are to be numbered than there are ids after the last one given."""
    if last_id + images > MAX_SOURCE_ID:
        after = f" after the {last_id} ids already given" if last_id else ""
        raise UsageError(
            f"{images} images{after}, but float32 source ids allow at most {MAX_SOURCE_ID}: prepare them in parts"
        )


ID_WRITTEN = "written"
ID_REJECTED = "rejected"
ID_ABSENT = "absent"  # numbered by an earlier build, not part of this one
_COLUMNS = ("source_id", "image", "split", "status")


@dataclass(frozen=True, kw_only=True)
class IdRow:
    """One image's number, and what became of it.

    Attributes:
      source_id: 1..ids.MAX_SOURCE_ID.
      image: its name, the path below the images' root.
      split: empty unless it was written.
      status: WRITTEN, REJECTED or ABSENT.

    Raises:
      ContractError: a value outside of these.
    """

    source_id: int
    image: str
    split: str
    status: str

    def __post_init__(self) -> None:
        if not 1 <= self.source_id <= MAX_SOURCE_ID:
            raise ContractError(f"source_id of {self.image!r} must lie in 1..{MAX_SOURCE_ID}: {self.source_id}")
        if not self.image:
            raise ContractError(f"source_id {self.source_id} has no image")
        if self.status not in (ID_WRITTEN, ID_REJECTED, ID_ABSENT):
            raise ContractError(f"{self.image!r}: status must be written, rejected or absent, found {self.status!r}")
        if bool(self.split) != (self.status == ID_WRITTEN):
            raise ContractError(f"{self.image!r}: only a written image has a split: {self.status}, {self.split!r}")


@dataclass(frozen=True)
class IdMap:
    """One row an image, in the order of the ids, however they were given.

    Raises:
      ContractError: two images have one id, or two ids one image; the message names both.
    """

    rows: tuple[IdRow, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(sorted(self.rows, key=lambda row: (row.source_id, row.image))))
        image_of: dict[int, str] = {}
        id_of: dict[str, int] = {}
        for row in self.rows:
            if row.source_id in image_of:
                both = f"{image_of[row.source_id]!r} and {row.image!r}"
                raise ContractError(f"id map: source_id {row.source_id} is given to both {both}")
            if row.image in id_of:
                both = f"{id_of[row.image]} and {row.source_id}"
                raise ContractError(f"id map: image {row.image!r} has two source ids, {both}")
            image_of[row.source_id] = row.image
            id_of[row.image] = row.source_id

    @cached_property
    def id_of(self) -> dict[str, int]:
        """Source id by image."""
        return {row.image: row.source_id for row in self.rows}

    @cached_property
    def image_of(self) -> dict[int, str]:
        """Image by source id."""
        return {row.source_id: row.image for row in self.rows}

    @property
    def last_id(self) -> int:
        """The largest id ever given; 0 where there is none."""
        return self.rows[-1].source_id if self.rows else 0


def parse_id_map(text: str, *, source: str) -> IdMap:
    """Reads id_map.csv; decode its bytes with surrogateescape, as file names need not be UTF-8.

    Raises:
      ContractError: the text is not such a table (the message names file and line), or it contradicts itself.
    """
    rows = tuple(_parse_row(row, source) for row in parse_table(text, _COLUMNS, source=source))
    try:
        return IdMap(rows)
    except ContractError as error:
        raise ContractError(f"{source}: {error}") from error


def _parse_row(row: Row, source: str) -> IdRow:
    number, image, split, status = row.cells
    if not re.fullmatch(r"[0-9]{1,9}", number):
        raise ContractError(f"{source}: line {row.line}: source_id of {image!r} is no whole number: {number!r}")
    try:
        return IdRow(source_id=int(number), image=image, split=split, status=status)
    except ContractError as error:
        raise ContractError(f"{source}: line {row.line}: {error}") from error


def format_id_map(id_map: IdMap) -> str:
    """Inverse of parse_id_map."""
    return format_table(_COLUMNS, ((row.source_id, row.image, row.split, row.status) for row in id_map.rows))


def merge_id_maps(previous: IdMap, built: Iterable[IdRow]) -> IdMap:
    """The id map of a build that was numbered after a previous one: its rows, and as absent the images it lacks.

    Raises:
      ContractError: an old image was given another id, or a new one an old id; the message names both.
    """
    rows = tuple(built)
    present = {row.image for row in rows if previous.id_of.get(row.image, row.source_id) == row.source_id}
    absent = (row for row in previous.rows if row.image not in present)
    gone = (IdRow(source_id=row.source_id, image=row.image, split="", status=ID_ABSENT) for row in absent)
    return IdMap((*rows, *gone))


def assign_ids(previous: IdMap, images: Iterable[str]) -> dict[str, int]:
    """The id of every image: the old one, else the next ones after the largest old id, in hash order.

    Raises:
      UsageError: ids would go beyond ids.MAX_SOURCE_ID.
    """
    names = set(images)
    check_image_count(len(names - previous.id_of.keys()), previous.last_id)
    return assign_bucket(names, previous.id_of, previous.last_id + 1)


def assign_bucket(images: Iterable[str], previous: Mapping[str, int], first_id: int) -> dict[str, int]:
    """The same within one hash bucket, in hash order, so that all buckets together give what assign_ids gives.

    Args:
      images: those of the bucket; a name that comes twice counts once.
      previous: old ids by image, at least those of this bucket.
      first_id: of the bucket's first new image, by first_new_ids.
    """
    assigned: dict[str, int] = {}
    for image in sorted(set(images), key=name_hash):
        assigned[image] = previous.get(image, first_id)
        first_id += image not in previous
    return assigned


def first_new_ids(new_images: Mapping[int, int], last_id: int) -> dict[int, int]:
    """The id of each bucket's first new image: the buckets' new images are laid end to end after the last old id.

    Args:
      new_images: number of images that have no id yet, by hash bucket.
      last_id: the largest old id, 0 where there is none.
    """
    first: dict[int, int] = {}
    for bucket, count in sorted(new_images.items()):
        first[bucket] = last_id + 1
        last_id += count
    return first
