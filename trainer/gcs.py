"""What of a run lies on gs://, tried before TensorFlow is asked, which would try for minutes without a word."""

import contextlib
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.cloud import storage
from google.cloud.storage import transfer_manager

from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.storage import gcs_client
from retinanet_odm.storage.file_system import StorageUnavailableError
from trainer.config import TrainConfig

GCS = "gs://"
_NODE = re.compile(r"\{\{.*?\}\}")  # of the graph

# Flags that TensorFlow reads or writes; another one takes local files only.
_OF_TENSORFLOW = ("dataset", "model_dir", "init_from", "resnet_checkpoint")
_LOCAL = ("backbone_weights", "local_copy")


class StorageUnavailable(UsageError):  # noqa: N818 - the request is in order
    """A storage does not answer; an exit status other than 2 says that the same command may do better later."""

    status = 1


def resolve_dataset_location(config: TrainConfig) -> TrainConfig:
    """Looks into every bucket that a run needs, and fetches the data set where --local_copy says so.

    Returns:
      The configuration, with the data set where it is read from.

    Raises:
      UsageError: a bucket cannot be listed, a flag takes no gs://, or the data set cannot be copied.
    """
    for name, path in on_gcs(config, _LOCAL).items():
        raise UsageError(f"--{name}: expected a place on this machine, found {path}: copy it first")
    check_access(config)
    if not config.data.local_copy:
        return config
    if not config.data.dataset.startswith(GCS):
        raise UsageError(f"--local_copy: is for a --dataset on gs://, found {config.data.dataset}")
    return config.replace(dataset=copy_dataset(config.data.dataset, config.data.local_copy))


def check_access(config: TrainConfig) -> str:
    """Looks into every bucket that TensorFlow is to use; returns what was looked into.

    Raises:
      UsageError: one cannot be listed.
    """
    paths = on_gcs(config)
    for name, path in paths.items():
        _look_into(path, flag=f"--{name}")
    return ", ".join(paths.values())


def on_gcs(config: TrainConfig, names: Sequence[str] = _OF_TENSORFLOW) -> dict[str, str]:
    """The flags among these whose values are there."""
    settings = config.to_json()
    return {name: settings[name] for name in names if settings[name].startswith(GCS)}


def storage_fault_classes() -> tuple[type[Exception], ...]:
    """What TensorFlow raises when a file cannot be read or written; nothing, as long as it is not imported."""
    if "tensorflow" not in sys.modules:
        return ()
    errors = sys.modules["tensorflow"].errors
    return (errors.NotFoundError, errors.PermissionDeniedError, errors.UnauthenticatedError, errors.UnavailableError)


def describe_storage_fault(error: Exception) -> str:
    """One line of one of fault_classes, with the object that it is about; "" where it is about none of gs://."""
    said = " ".join(_NODE.sub("", str(error)).split())
    return said.partition(" [Op:")[0] if GCS in said else ""


def _look_into(path: str, *, flag: str) -> None:
    # Google's client takes part of a second to import: only who names gs:// pays for it.
    from retinanet_odm.storage import gcs_client

    try:
        bucket, name = gcs_client.split_uri(f"{path.rstrip('/')}/")
        with gcs_client.os_errors("list it"):
            blobs = gcs_client.shared_client().list_blobs(
                bucket, prefix=name, max_results=1, retry=gcs_client.RETRY_METADATA
            )
            next(iter(blobs), None)
    except OSError as error:
        raise fault_of(f"{flag}: {path}", error) from error


def fault_of(subject: str, error: OSError) -> UsageError:
    """What Google's client says of something, as the one line that ends the program."""
    return (StorageUnavailable if isinstance(error, StorageUnavailableError) else UsageError)(f"{subject}: {error}")


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
    bucket, prefix = gcs_client.split_uri(f"{dataset.rstrip('/')}/")
    with gcs_client.os_errors("list it"):
        blobs = gcs_client.shared_client().list_blobs(
            bucket, prefix=prefix, delimiter="/", retry=gcs_client.RETRY_METADATA
        )
        return {_name(blob): blob for blob in blobs}


def _read_manifest(blobs: dict[str, storage.Blob], dataset: str) -> str:
    if DatasetManifest.FILE not in blobs:
        raise ContractError(
            f"--dataset: expected a prepared data set, found no {dataset.rstrip('/')}/{DatasetManifest.FILE}"
        )
    with gcs_client.os_errors("read it"):
        return blobs[DatasetManifest.FILE].download_as_bytes(retry=gcs_client.RETRY_DATA).decode()


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
        return gcs_client.crc32c_checksum(file) == blob.crc32c


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
        download_kwargs={"retry": gcs_client.RETRY_DATA},
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
        with gcs_client.os_errors("read it"):
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
