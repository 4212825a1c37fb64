"""Data on gs://: a check of access, and a local copy of the data set. Begin with `resolve_dataset_location`.

Access is checked with Google's client before TensorFlow reads or writes, because TensorFlow retries for minutes without
a message.
"""

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.cloud import storage
from google.cloud.storage import transfer_manager

from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.storage import gcs_client
from trainer.config import TrainConfig
from trainer.tf_errors import GCS

_LOGGER = logging.getLogger(__name__)
# Flags whose files TensorFlow reads or writes, and flags that take local files only.
_ON_ANY_STORAGE = ("dataset", "model_dir", "init_from", "init_labels", "resnet_checkpoint")
_LOCAL = ("backbone_weights", "local_copy")

_MAX_TRANSFERS = 8  # at the same time
_PART = ".part"  # suffix of a shard that is not complete yet
_MIN_FREE_BYTES = 64 * 2**20  # of the disk, after the copy


def resolve_dataset_location(config: TrainConfig) -> TrainConfig:
    """Check access to every bucket of a run, and copy the data set if --local_copy is given.

    Returns:
      The configuration with the data set from which the run reads.

    Raises:
      UsageError: A bucket cannot be listed, a flag takes local paths only, or the data set cannot be copied.
    """
    for name, path in gcs_settings(config, _LOCAL).items():
        raise UsageError(f"--{name}: expected a local path, found {path}: copy it first")
    check_access(config)
    if not config.data.local_copy:
        return config
    if not config.data.dataset.startswith(GCS):
        raise UsageError(f"--local_copy: is for a --dataset on gs://, found {config.data.dataset}")
    return config.replace(dataset=copy_dataset(config.data.dataset, config.data.local_copy))


def check_access(config: TrainConfig) -> str:
    """Check that every path of a run on gs:// can be listed; return these paths, comma-separated.

    Raises:
      UsageError: One cannot be listed.
    """
    paths = gcs_settings(config)
    for name, path in paths.items():
        try:
            # One object or none: whether there is something is not the question.
            next(_list_objects(path, max_results=1), None)
        except OSError as error:
            raise UsageError(f"--{name}: {path}: {error}") from error
    return ", ".join(paths.values())


def gcs_settings(config: TrainConfig, names: Sequence[str] = _ON_ANY_STORAGE) -> dict[str, str]:
    """Return those of the named settings whose paths are on gs://."""
    settings = config.to_json()
    return {name: settings[name] for name in names if settings[name].startswith(GCS)}


def _list_objects(folder: str, *, max_results: int | None = None) -> Iterator[storage.Blob]:
    """Yield the objects below a folder; those of its subfolders too if max_results is given.

    Raises:
      OSError: It cannot be listed.
    """
    # With the slash, or "data" would list the objects of "data2" as well.
    bucket, prefix = gcs_client.split_uri(f"{folder.rstrip('/')}/")
    with gcs_client.os_errors("list it"):
        yield from gcs_client.shared_client().list_blobs(
            bucket,
            prefix=prefix,
            delimiter=None if max_results else "/",
            max_results=max_results,
            retry=gcs_client.RETRY_METADATA,
        )


# --- The local copy ---


def copy_dataset(dataset: str, folder: str) -> str:
    """Copy a data set; does not read local files again that have the right size and checksum.

    A shard gets its name only when it is complete, and the manifest is written last.

    Args:
      dataset: Folder on gs://, with dataset.json.
      folder: Local folder; created if it does not exist.

    Returns:
      The local folder.

    Raises:
      UsageError: The data set cannot be read, or the disk is too small or not writable.
    """
    start = time.monotonic()
    try:
        shards, missing = _copy(dataset, Path(folder))
    except OSError as error:
        raise UsageError(f"--local_copy: cannot copy {dataset} to {folder}: {error}") from error
    size = sum(blob.size for blob in missing) / 1e6
    seconds = time.monotonic() - start
    counts = f"{len(missing)} of {len(shards)} shards fetched, {size:.1f} MB, {seconds:.1f} s"
    _LOGGER.info("local copy: %s (%s)", folder, counts)
    return folder


def _copy(dataset: str, folder: Path) -> tuple[list[storage.Blob], list[storage.Blob]]:
    """Copy a data set; return all shards, and those that were fetched."""
    # One listing tells all names, sizes and checksums: no request for each shard.
    blobs = {_name(blob): blob for blob in _list_objects(dataset)}
    text = _read_manifest(blobs, dataset)
    shards = _find_shards(text, blobs, dataset)
    folder.mkdir(parents=True, exist_ok=True)
    # The order matters: without a manifest the folder does not look like a data set while its shards are replaced.
    mark = folder / DatasetManifest.FILE
    if mark.is_file() and mark.read_text() != text:
        mark.unlink()
    # Compared by size first, then by checksum: an interrupted copy goes on where it stopped.
    missing = [blob for blob in shards if not _is_complete(blob, folder / _name(blob))]
    _check_free_bytes(missing, folder)
    if missing:
        mark.unlink(missing_ok=True)
    _fetch(missing, folder)
    _write_durably(mark, text)
    return shards, missing


def _name(blob: storage.Blob) -> str:
    return blob.name.rpartition("/")[2]


def _read_manifest(blobs: dict[str, storage.Blob], dataset: str) -> str:
    if DatasetManifest.FILE not in blobs:
        raise ContractError(
            f"--dataset: expected a prepared data set, found no {dataset.rstrip('/')}/{DatasetManifest.FILE}"
        )
    with gcs_client.os_errors("read it"):
        return blobs[DatasetManifest.FILE].download_as_bytes(retry=gcs_client.RETRY_DATA).decode()


def _find_shards(text: str, blobs: dict[str, storage.Blob], dataset: str) -> list[storage.Blob]:
    manifest = DatasetManifest.from_json(text, source=f"{dataset.rstrip('/')}/{DatasetManifest.FILE}")
    names = [shard.name for split in manifest.splits.values() for shard in split.shards if shard.examples]
    for name in names:
        if name not in blobs:
            raise ContractError(f"--dataset: the manifest names {name}, which is not in {dataset}: prepare again")
    return [blobs[name] for name in names]


def _is_complete(blob: storage.Blob, path: Path) -> bool:
    """Return whether a file equals the object; a complete part that an earlier run left gets its name."""
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
        return gcs_client.crc32c_checksum(file) == blob.crc32c


def _check_free_bytes(missing: Sequence[storage.Blob], folder: Path) -> None:
    """Raise UsageError if the disk has no room for the missing files; those that they replace go only at the end."""
    needed = sum(blob.size for blob in missing) + (_MIN_FREE_BYTES if missing else 0)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UsageError(f"--local_copy: expected {needed / 1e6:,.0f} MB free in {folder}, found {free / 1e6:,.0f} MB")


def _fetch(missing: Sequence[storage.Blob], folder: Path) -> None:
    """Download shards in parallel; each gets its name when its bytes agree with the checksum.

    Raises:
      OSError: One cannot be read or written; the others are complete.
    """
    paths = [folder / _name(blob) for blob in missing]
    outcomes = transfer_manager.download_many(
        [(blob, str(_part_of(path))) for blob, path in zip(missing, paths, strict=True)],
        download_kwargs={"retry": gcs_client.RETRY_DATA},
        worker_type=transfer_manager.THREAD,
        max_workers=_MAX_TRANSFERS,
    )
    # All complete shards get their names first, so that the next run does not fetch them again.
    failed = {}
    for blob, path, error in zip(missing, paths, outcomes, strict=True):
        if error is None:
            _part_of(path).replace(path)
        else:
            failed[blob] = error
    for blob, error in failed.items():
        with _naming(blob):
            raise error


@contextlib.contextmanager
def _naming(blob: storage.Blob) -> Iterator[None]:
    """Put the name of a shard before the message of an error."""
    try:
        with gcs_client.os_errors("read it"):
            yield
    except OSError as error:
        raise type(error)(f"{_name(blob)}: {error}") from error


def _write_durably(path: Path, text: str) -> None:
    """Write the commit mark: complete and on the disk, or not there."""
    part = _part_of(path)
    with part.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
