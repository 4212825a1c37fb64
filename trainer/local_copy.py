"""--local_copy: the shards of a data set on gs://, copied to this machine's disk unless they are there already."""

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.cloud import storage
from google.cloud.storage import transfer_manager

from buckets import client
from detection.errors import ContractError, UsageError
from detection.manifests import DatasetManifest
from trainer.cloud import fault_of

_LOGGER = logging.getLogger(__name__)
_FILES_AT_ONCE = 8
_PART = ".part"  # of a shard that is not whole yet
_ROOM = 64 * 2**20  # bytes of the disk that are left to others


def copy_dataset(dataset: str, folder: str) -> str:
    """Copies a data set; files that are there already, of the same size and checksum, are not read again.

    A shard has its name only when it is whole, and the manifest comes last.

    Args:
      dataset: on gs://, with dataset.json.
      folder: on this machine; made where there is none.

    Returns:
      The folder.

    Raises:
      UsageError: the data set cannot be read, or the disk is too small or cannot be written to.
    """
    start = time.monotonic()
    try:
        blobs = _list(dataset)
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        text = _read_manifest(blobs, dataset)
        shards = _shards(text, blobs, dataset)
        mark = target / DatasetManifest.FILE
        if mark.is_file() and mark.read_text() != text:  # of another data set, whose shards may be replaced
            mark.unlink()
        missing = [blob for blob in shards if not _is_there(blob, target / _name(blob))]
        _check_room(missing, target)
        if missing:
            mark.unlink(missing_ok=True)
        _fetch(missing, target)
        _write(mark, text)
    except OSError as error:
        raise fault_of(f"--local_copy: cannot copy {dataset} to {folder}", error) from error
    size = sum(blob.size for blob in missing)
    _LOGGER.info(
        "local copy: %s (%d of %d shards fetched, %.1f MB, %.1f s)",
        folder,
        len(missing),
        len(shards),
        size / 1e6,
        time.monotonic() - start,
    )
    return folder


def _name(blob: storage.Blob) -> str:
    return blob.name.rpartition("/")[2]


def _list(dataset: str) -> dict[str, storage.Blob]:
    """The objects directly in a data set's folder, by their names there; each blob knows its generation."""
    bucket, prefix = client.split(f"{dataset.rstrip('/')}/")
    with client.os_errors("list it"):
        blobs = client.client().list_blobs(bucket, prefix=prefix, delimiter="/", retry=client.RETRY_QUESTION)
        return {_name(blob): blob for blob in blobs}


def _read_manifest(blobs: dict[str, storage.Blob], dataset: str) -> str:
    if DatasetManifest.FILE not in blobs:
        raise ContractError(
            f"--dataset: expected a prepared data set, found no {dataset.rstrip('/')}/{DatasetManifest.FILE}"
        )
    with client.os_errors("read it"):
        return blobs[DatasetManifest.FILE].download_as_bytes(retry=client.RETRY_BYTES).decode()


def _shards(text: str, blobs: dict[str, storage.Blob], dataset: str) -> list[storage.Blob]:
    manifest = DatasetManifest.from_json(text, source=f"{dataset.rstrip('/')}/{DatasetManifest.FILE}")
    names = [shard.name for split in manifest.splits.values() for shard in split.shards if shard.examples]
    for name in names:
        if name not in blobs:
            raise ContractError(f"--dataset: the manifest names {name}, which is not in {dataset}: prepare again")
    return [blobs[name] for name in names]


def _is_there(blob: storage.Blob, path: Path) -> bool:
    """Whether a file is what the object is; a part that is whole, of a copy that was killed, gets its name."""
    part = _part_of(path)
    if _is_same(blob, part):
        part.replace(path)
    return _is_same(blob, path)


def _part_of(path: Path) -> Path:
    return path.with_name(path.name + _PART)


def _is_same(blob: storage.Blob, path: Path) -> bool:
    if not path.is_file() or path.stat().st_size != blob.size:
        return False
    with path.open("rb") as file:
        return client.checksum(file) == blob.crc32c


def _check_room(missing: Sequence[storage.Blob], folder: Path) -> None:
    """Raises UsageError when the disk has no room for files that would take the places of old ones only at the end."""
    needed = sum(blob.size for blob in missing) + (_ROOM if missing else 0)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UsageError(f"--local_copy: expected {needed / 1e6:,.0f} MB free in {folder}, found {free / 1e6:,.0f} MB")


def _fetch(missing: Sequence[storage.Blob], folder: Path) -> None:
    """Reads shards, some at once; each gets its name when its bytes agree with the checksum.

    Raises:
      OSError: one cannot be read or written; the others are there.
    """
    paths = [folder / _name(blob) for blob in missing]
    outcomes = transfer_manager.download_many(
        [(blob, str(_part_of(path))) for blob, path in zip(missing, paths, strict=True)],
        download_kwargs={"retry": client.RETRY_BYTES},
        worker_type=transfer_manager.THREAD,
        max_workers=_FILES_AT_ONCE,
    )
    failed = {blob: outcome for blob, outcome in zip(missing, outcomes, strict=True) if outcome is not None}
    for blob, path in zip(missing, paths, strict=True):
        if blob not in failed:
            _part_of(path).replace(path)
    for blob, error in failed.items():
        with _named(blob):
            raise error


@contextlib.contextmanager
def _named(blob: storage.Blob) -> Iterator[None]:
    try:
        with client.os_errors("read it"):
            yield
    except OSError as error:
        raise type(error)(f"{_name(blob)}: {error}") from error


def _write(path: Path, text: str) -> None:
    """The commit mark: whole and on the disk, or not there."""
    part = _part_of(path)
    with part.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
