"""Images in the TFRecord files of our own data sets: listed by reading each file once, then read by their offsets."""

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

_HEAD = 12  # bytes that tell a TFRecord file
_SUFFIX = ".tfrecord"


@dataclass(frozen=True, kw_only=True)
class RecordLocation:
    """One image in a TFRecord file.

    Attributes:
      name: its file name, sub-folders included, as the record has it.
      offset: first byte of the record's frame.
      size: bytes of the image.
      sha256: hex digest of the image's bytes.
    """

    name: str
    offset: int
    size: int
    sha256: str


def is_dataset(folder: str) -> bool:
    """Whether a folder holds a data set of ours."""
    return files.is_file(files.join(folder, DatasetManifest.FILE))


def shards_of(folder: str) -> frozenset[str]:
    """Paths of the TFRecord files of a data set, of all its splits: readers go by the manifest.

    Raises:
      ContractError: dataset.json is not ours.
      UsageError: it cannot be read, or a file that it lists is missing.
    """
    path = files.join(folder, DatasetManifest.FILE)
    manifest = DatasetManifest.from_json(files.read_text(path, flag="--images"), source=path)
    names = {shard.name for split in manifest.splits.values() for shard in split.shards}
    for name in sorted(names.difference(files.list_names(folder))):
        raise UsageError(f"--images: {path} lists {name}, which is missing: copy the data set again")
    return frozenset(files.join(folder, name) for name in names)


def is_tfrecord(path: str) -> bool:
    """Whether a file is a TFRecord file by its first bytes or says so by its name."""
    if path.endswith(_SUFFIX):
        return True
    try:
        with files.open_binary(path) as file:
            return begins_frame(file.read(_HEAD))
    except FileError:
        return False  # it stays in the list as an image, whose row will say that it cannot be read


def list_records(path: str, *, flag: str) -> Iterator[RecordLocation]:
    """Every record of a file, in order.

    Raises:
      UsageError: the file cannot be read, is not whole, or a record holds no image of our schema.
    """
    try:
        with files.open_binary(path) as file:
            for offset, data in read_frames(file):
                name, image = extract_image(data)
                sha256 = hashlib.sha256(image).hexdigest()
                yield RecordLocation(name=name, offset=offset, size=len(image), sha256=sha256)
    except FrameError as error:
        raise UsageError(f"{flag}: {path} is not a whole TFRecord file: {error}") from error
    except RecordError as error:
        raise UsageError(f"{flag}: {path} is not of a data set that prepare wrote: {error}") from error
    except FileError as error:
        raise UsageError(f"{flag}: {error}") from error


def read_records(path: str, records: Sequence[RecordLocation]) -> Iterator[bytes | DataError]:
    """The image of each record, or the error that befell it; the file is opened once."""
    done = 0
    try:
        with files.open_binary(path) as file:
            for record in records:
                try:
                    yield extract_image(read_frame(file, record.offset))[1]
                except (FrameError, RecordError) as error:
                    yield RecordError("record_not_readable", f"{path}: {record.name}: {error}")
                done += 1
    except FileError as error:
        yield from itertools.repeat(error, len(records) - done)
