"""Images in the shards of a data set: each file is read once to list its records, which are then read by offset."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from retinanet_odm.dataset.examples import extract_image
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import DataError, RecordError, UsageError
from retinanet_odm.storage import files
from retinanet_odm.storage.files import FileError
from retinanet_odm.storage.tfrecord import FrameError, begins_frame, read_frame, read_frames

_HEAD = 12  # bytes at the beginning of a TFRecord file that identify it
_SUFFIX = ".tfrecord"


@dataclass(frozen=True, kw_only=True)
class RecordLocation:
    """Where an image lies in a TFRecord file.

    Attributes:
      name: file name of the image in the record, sub-folders included.
      offset: first byte of the record's frame.
      size: size of the image in bytes.
      sha256: hex digest of the image's bytes.
    """

    name: str
    offset: int
    size: int
    sha256: str


def shards_of(folder: str) -> frozenset[str]:
    """Return the paths of a data set's shards, of all splits, as its manifest lists them.

    Raises:
      ContractError: dataset.json is not of this program.
      UsageError: dataset.json cannot be read, or a file that it lists is missing.
    """
    path = files.join(folder, DatasetManifest.FILE)
    manifest = DatasetManifest.from_json(files.read_text(path, flag="--images"), source=path)
    # By the manifest, never by a glob: a shard that it does not list is not part of the data set.
    names = {shard.name for split in manifest.splits.values() for shard in split.shards}
    for name in sorted(names.difference(files.list_names(folder))):
        raise UsageError(f"--images: {path} lists {name}, which is missing: copy the data set again")
    return frozenset(files.join(folder, name) for name in names)


def has_suffix(path: str) -> bool:
    """Return whether a path ends like that of a TFRecord file."""
    return path.endswith(_SUFFIX)


def is_tfrecord(path: str) -> bool:
    """Return whether a file is a TFRecord file, by its suffix or its first bytes."""
    if has_suffix(path):
        return True
    try:
        with files.open_binary(path) as file:
            return begins_frame(file.read(_HEAD))
    except FileError:
        return False  # it is listed as an image, and its row will have the reason why it cannot be read


def list_records(path: str, *, flag: str) -> Iterator[RecordLocation]:
    """Yield the location of every record of a file, in order.

    Raises:
      UsageError: the file cannot be read or is incomplete, or a record has no image of our schema.
    """
    try:
        with files.open_binary(path) as file:
            for offset, data in read_frames(file):
                # The digest is the version of the image in the key of its row; the bytes are dropped again.
                name, image = extract_image(data)
                sha256 = hashlib.sha256(image).hexdigest()
                yield RecordLocation(name=name, offset=offset, size=len(image), sha256=sha256)
    except FrameError as error:
        raise UsageError(f"{flag}: {path} is not a complete TFRecord file: {error}") from error
    except RecordError as error:
        raise UsageError(f"{flag}: {path} is not part of a data set that prepare wrote: {error}") from error
    except FileError as error:
        raise UsageError(f"{flag}: {error}") from error


def read_records(path: str, records: Sequence[RecordLocation]) -> Iterator[bytes | DataError]:
    """Yield the image of each record, or the error raised while reading it. Opens the file once."""
    done = 0
    try:
        with files.open_binary(path) as file:
            # The file is opened once for all of them; a damaged record does not end the others.
            for record in records:
                try:
                    yield extract_image(read_frame(file, record.offset))[1]
                except (FrameError, RecordError) as error:
                    yield RecordError("record_not_readable", f"{path}: {record.name}: {error}")
                done += 1
    except FileError as error:
        yield from itertools.repeat(error, len(records) - done)
