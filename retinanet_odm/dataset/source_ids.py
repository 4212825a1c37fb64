"""Source ids: the number of each image, and the id map that keeps numbers stable when a data set grows.

TPU RetinaNet reads ``image/source_id`` with ``string_to_number`` into float32, which represents every integer only up
to 2^24. Digits from file names, or hashes, collide beyond that and silently merge images in evaluation. So ids are
dense, 1..N. `assign_ids` states the rule: images keep the ids of the id map, and new ones follow in the order of the
hash of their names.

The rule also works without a global sort: images fall into hash buckets by name, the buckets are laid end to end
(`first_new_ids`), and `assign_bucket` numbers each bucket on its own machine. The order of arrival never matters.

`IdMap` is the content of ``id_map.csv``: the id of every image, in this build or an earlier one.
"""

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from retinanet_odm.csv_tables import Row, format_table, parse_table
from retinanet_odm.errors import ContractError, UsageError

MAX_SOURCE_ID = 2**24  # the largest integer up to which float32 represents all
NUM_BUCKETS = 256  # 16^2, the number of values of two hex digits

# The status of an image in the id map.
ID_WRITTEN = "written"
ID_REJECTED = "rejected"
ID_ABSENT = "absent"  # has an id from an earlier build, but is not part of this one
_COLUMNS = ("source_id", "image", "split", "status")


def name_hash(name: str) -> str:
    """Return the hex SHA-256 of an image's name, which determines the order of the data set."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def bucket_of(name: str) -> int:
    """Return the hash bucket 0..NUM_BUCKETS-1 of an image; buckets have the order of the hashes.

    Example:
      >>> bucket_of("a.jpg"), name_hash("a.jpg")[:2]
      (80, '50')
    """
    return int(name_hash(name)[:2], 16)


def check_image_count(images: int, last_id: int = 0) -> None:
    """Check that there are enough ids for so many new images.

    Args:
      images: the number of images without an id.
      last_id: the largest id of earlier builds.

    Raises:
      UsageError: ids would exceed MAX_SOURCE_ID.
    """
    if last_id + images > MAX_SOURCE_ID:
        after = f" after the {last_id} ids already given" if last_id else ""
        raise UsageError(
            f"{images} images{after}, but float32 source ids allow at most {MAX_SOURCE_ID}: prepare them in parts"
        )


@dataclass(frozen=True, kw_only=True, slots=True)  # slots: there may be millions
class IdRow:
    """One row of the id map.

    Attributes:
      source_id: 1..MAX_SOURCE_ID.
      image: the image's name, its path below the images' root.
      split: empty unless the image was written.
      status: ID_WRITTEN, ID_REJECTED or ID_ABSENT.

    Raises:
      ContractError: a value is not one of these.
    """

    source_id: int
    image: str
    split: str
    status: str

    def __post_init__(self) -> None:
        if not 1 <= self.source_id <= MAX_SOURCE_ID:
            raise ContractError(f"source_id of {self.image!r} must be in 1..{MAX_SOURCE_ID}: {self.source_id}")
        if not self.image:
            raise ContractError(f"source_id {self.source_id} has no image")
        if self.status not in (ID_WRITTEN, ID_REJECTED, ID_ABSENT):
            raise ContractError(f"{self.image!r}: status must be written, rejected or absent, found {self.status!r}")
        if bool(self.split) != (self.status == ID_WRITTEN):
            raise ContractError(f"{self.image!r}: only a written image has a split: {self.status}, {self.split!r}")


@dataclass(frozen=True)
class IdMap:
    """The id map: one row per image, sorted by id.

    Raises:
      ContractError: two images have the same id, or an image has two ids; the message names both.
    """

    rows: tuple[IdRow, ...] = ()

    def __post_init__(self) -> None:
        # Sorted, so that equal maps are equal and `last_id` is that of the last row.
        object.__setattr__(self, "rows", tuple(sorted(self.rows, key=lambda row: (row.source_id, row.image))))
        # Checked here as well as in the reader: a merged map must be consistent, too.
        for one, other in itertools.pairwise(self.rows):
            if one.source_id == other.source_id:
                both = f"{one.image!r} and {other.image!r}"
                raise ContractError(f"id map: source_id {one.source_id} is given to both {both}")
        # Counted first: an index of millions of images takes more memory than the rows.
        if len({row.image for row in self.rows}) < len(self.rows):
            self._refuse_two_ids()

    def _refuse_two_ids(self) -> None:
        id_of: dict[str, int] = {}
        for row in self.rows:
            if row.image in id_of:
                both = f"{id_of[row.image]} and {row.source_id}"
                raise ContractError(f"id map: image {row.image!r} has two source ids, {both}")
            id_of[row.image] = row.source_id

    @cached_property
    def id_of(self) -> dict[str, int]:
        """The source ids by image."""
        return {row.image: row.source_id for row in self.rows}

    @property
    def last_id(self) -> int:
        """The largest id; 0 if there is none."""
        return self.rows[-1].source_id if self.rows else 0


def parse_id_map(text: str, *, source: str) -> IdMap:
    """Parse id_map.csv.

    Args:
      text: the file's content, decoded with surrogateescape, because file names need not be UTF-8.
      source: the file's name, for messages.

    Raises:
      ContractError: the text is no such table, or it is inconsistent; the message names file and line.
    """
    # The frozen class checks the rows together; only the name of the file is missing in its message.
    rows = tuple(_parse_row(row, source) for row in parse_table(text, _COLUMNS, source=source))
    try:
        return IdMap(rows)
    except ContractError as error:
        raise ContractError(f"{source}: {error}") from error


def _parse_row(row: Row, source: str) -> IdRow:
    number, image, split, status = row.cells
    # int() would also accept signs, blanks, underscores and digits of other scripts.
    if not re.fullmatch(r"[0-9]{1,9}", number):
        raise ContractError(f"{source}: line {row.line}: source_id of {image!r} is not an integer: {number!r}")
    try:
        return IdRow(source_id=int(number), image=image, split=split, status=status)
    except ContractError as error:
        raise ContractError(f"{source}: line {row.line}: {error}") from error


def format_id_map(id_map: IdMap) -> str:
    """Format an id map as the CSV that parse_id_map reads."""
    return format_table(_COLUMNS, ((row.source_id, row.image, row.split, row.status) for row in id_map.rows))


def merge_id_maps(previous: IdMap, built: Iterable[IdRow]) -> IdMap:
    """Return the id map of a build that continued a previous id map; images that it lacks become absent.

    Args:
      previous: the earlier id map.
      built: the rows of the new build.

    Raises:
      ContractError: an image has another id than before, or a new image has the id of another; the message names both.
    """
    rows = tuple(built)
    if not previous.rows:
        return IdMap(rows)
    # An image whose id changed counts as absent too: both of its rows then meet in IdMap, which names the conflict.
    present = {row.image for row in rows if previous.id_of.get(row.image, row.source_id) == row.source_id}
    absent = (row for row in previous.rows if row.image not in present)
    gone = (IdRow(source_id=row.source_id, image=row.image, split="", status=ID_ABSENT) for row in absent)
    return IdMap((*rows, *gone))


def assign_ids(previous: IdMap, images: Iterable[str]) -> dict[str, int]:
    """Return the id of every image: its previous one, or the next free one in the order of the names' hashes.

    Raises:
      UsageError: ids would exceed MAX_SOURCE_ID.

    Example:
      >>> previous = IdMap((IdRow(source_id=1, image="b.jpg", split="train", status=ID_WRITTEN),))
      >>> assign_ids(previous, ["a.jpg", "b.jpg"])
      {'a.jpg': 2, 'b.jpg': 1}
    """
    # All names as one bucket. The pipeline numbers bucket by bucket, with the same result.
    names = set(images)
    check_image_count(len(names - previous.id_of.keys()), previous.last_id)
    return assign_bucket(names, previous.id_of, previous.last_id + 1)


def assign_bucket(images: Iterable[str], previous: Mapping[str, int], first_id: int) -> dict[str, int]:
    """Return the ids of the images of one hash bucket; all buckets together give the same ids as assign_ids.

    Args:
      images: those of the bucket; a repeated name counts once.
      previous: earlier ids by image, at least those of this bucket.
      first_id: the id of the bucket's first new image, from first_new_ids.
    """
    assigned: dict[str, int] = {}
    for image in sorted(set(images), key=name_hash):
        assigned[image] = previous.get(image, first_id)
        # Only new images use an id up; known ones keep theirs, wherever it lies.
        first_id += image not in previous
    return assigned


def first_new_ids(new_images: Mapping[int, int], last_id: int) -> dict[int, int]:
    """Return the id of the first new image of each bucket: the buckets follow each other after the last id.

    Args:
      new_images: the number of images without an id, by hash bucket.
      last_id: the largest earlier id; 0 if there is none.

    Example:
      >>> first_new_ids({0: 3, 7: 2}, last_id=10)
      {0: 11, 7: 14}
    """
    first: dict[int, int] = {}
    for bucket, count in sorted(new_images.items()):
        first[bucket] = last_id + 1
        last_id += count
    return first
