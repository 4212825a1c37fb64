"""Numeric source ids that survive TPU RetinaNet.

TPU RetinaNet reads ``image/source_id`` with ``string_to_number`` into float32, which holds every whole number only up
to 2^24; digits stripped from file names, or hashes, collide there and silently merge images in evaluation. So ids are
dense, 1..N, and given by a plan: images fall into hash buckets by name, the buckets are laid end to end, and within a
bucket the order is that of the hash. Every bucket can be numbered on its own machine, and arrival order never matters.
A data set that grows goes on from its earlier ids (`id_maps`).
"""

import hashlib

from detection.errors import UsageError

MAX_SOURCE_ID = 2**24
NUM_BUCKETS = 4096


def name_hash(name: str) -> str:
    """Hex SHA-256 of an image's name: the one pseudo-random order of the data set."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def bucket_of(name: str) -> int:
    """The hash bucket 0..NUM_BUCKETS-1; buckets are ordered as the hashes are."""
    return int(name_hash(name)[:3], 16)


def check_count(images: int, last_id: int = 0) -> None:
    """Raises UsageError when more images are to be numbered than there are ids after the last one given."""
    if last_id + images > MAX_SOURCE_ID:
        after = f" after the {last_id} ids already given" if last_id else ""
        raise UsageError(
            f"{images} images{after}, but float32 source ids allow at most {MAX_SOURCE_ID}: prepare them in parts"
        )
