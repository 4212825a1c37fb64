"""The names in the folder of a data set: which files are ours, and so may be replaced or deleted."""

import json
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

from retinanet_odm.dataset import tfds_metadata
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import UsageError
from retinanet_odm.storage import files
from retinanet_odm.storage.file_kinds import is_left_by_system
from retinanet_odm.storage.file_names import escape_glob, is_below, is_same_path, name_below, root_of
from retinanet_odm.storage.local import LOCK_FILE, final_name
from retinanet_odm.systems import is_same_place

LABEL_MAP = "labels.pbtxt"
ID_MAP = "id_map.csv"
VAL = "val.json"
REJECTED = "rejected.jsonl"
REPORT_PAGE = "report.html"
PROBLEMS = "problems.jsonl"
CHECK_PAGE = "check.html"
# A build leaves the files of a check alone, and a check those of a build.
_CHECK_FILES = frozenset({CHECK_PAGE, LOCK_FILE})
_TFDS_FILES = (tfds_metadata.FEATURES_FILE, tfds_metadata.INFO_FILE)
_BUILD_FILES = frozenset(
    {files.PROBE, DatasetManifest.FILE, LABEL_MAP, ID_MAP, VAL, REJECTED, REPORT_PAGE, PROBLEMS, *_TFDS_FILES}
)
# Files whose digests dataset.json records. A check writes problems.jsonl too, so it is not among them.
BESIDE_SHARDS = (LABEL_MAP, ID_MAP, VAL, REJECTED, REPORT_PAGE, *_TFDS_FILES)
RECEIPTS = "receipts"  # the only sub-folder
# A name of `dataset_shard_name`; the split has the characters that retinanet_odm.dataset.splits allows.
_SHARD = re.compile(r"[a-z][a-z0-9_]*-\d{5}-of-\d{5}\.tfrecord")
_RECEIPT = re.compile(_SHARD.pattern.replace("tfrecord", "jsonl"))


def dataset_shard_name(split: str, index: int, count: int) -> str:
    """Return the file name of a shard.

    Example:
      >>> dataset_shard_name("train", 0, 32)
      'train-00000-of-00032.tfrecord'
    """
    return f"{split}-{index:05d}-of-{count:05d}.tfrecord"


def receipt_name(shard: str) -> str:
    """Return the path of a shard's receipt below the folder of the data set.

    Example:
      >>> receipt_name("val-00000-of-00004.tfrecord")
      'receipts/val-00000-of-00004.jsonl'
    """
    return f"{RECEIPTS}/{posixpath.splitext(shard)[0]}.jsonl"


def is_ours(name: str) -> bool:
    """Return whether `prepare` or `check` may have written a file of this name, complete or partial.

    Example:
      >>> is_ours("labels.pbtxt"), is_ours("labels.pbtxt.tmp-0a1b2c3d"), is_ours("notes.txt")
      (True, True, False)
    """
    final = final_name(name)  # without the suffix of a partial file
    return final in _CHECK_FILES or _is_build_file(final)


def _is_build_file(final: str) -> bool:
    return final in _BUILD_FILES or bool(_SHARD.fullmatch(final))


def _is_receipt(name: str) -> bool:
    return bool(_RECEIPT.fullmatch(final_name(name)))


def check_dataset_folder(output: str, patterns: tuple[str, ...], *, given: Sequence[str] = ()) -> None:
    """Raise UsageError if the output folder is in use by something else; changes nothing.

    Args:
      output: the folder, which need not exist.
      patterns: where the job reads.
      given: files of the user that must not be overwritten. An id map of an earlier build may be: ours has all its
        rows.
    """
    for path in given:
        if _lies_in(path, output):
            raise UsageError(f"--output: {output} holds {path}, which the job reads: choose another folder")
    # Our own shards would be listed as input.
    for pattern in patterns:
        root = root_of(files.as_written(pattern))
        # "" stands for the current folder, where it is usual to have both.
        if is_same_path(output, root) or ("**" in pattern and root and is_below(output, root)):
            raise UsageError(f"--output: {output} would be read as input by {pattern}: choose another folder")
    # A build deletes what an earlier build left. A folder with foreign files may be the user's, chosen by mistake.
    if foreign := _find_foreign(output):
        raise UsageError(
            f"--output: {output} holds files that are not of a data set, such as {foreign}:"
            " choose an empty or a new folder"
        )


def _find_foreign(output: str) -> str | None:
    """Return a file in the folder or below it that this job cannot have written."""
    for name in files.list_names(output):
        if is_left_by_system(name):
            continue
        if not is_ours(name) or (name == DatasetManifest.FILE and not _is_manifest(files.join(output, name))):
            return name
    for path in files.iter_matches(posixpath.join(escape_glob(output), "*", "**")):
        below = name_below(output, path)
        folder, _, name = below.partition("/")
        if not is_left_by_system(below) and (folder != RECEIPTS or not _is_receipt(name)):
            return below
    return None


def _is_manifest(path: str) -> bool:
    """Return whether a dataset.json is ours: other tools write files of this name, too."""
    try:
        value = json.loads(files.read_bytes(path))
    except (files.FileError, ValueError):
        return False
    return isinstance(value, dict) and {"schema_version", "fingerprint"} <= value.keys()


def _lies_in(path: str, folder: str) -> bool:
    # Links are resolved only where there are links: gs:// has none.
    if "://" in path or "://" in folder:
        return posixpath.dirname(path) == folder
    return is_same_place(str(Path(path).resolve().parent), folder)


def delete_stale(output: str, written: set[str]) -> None:
    """Delete files of earlier builds, and partial files of killed ones, that this build did not write.

    Args:
      output: the folder.
      written: paths below it, receipts among them.
    """
    # Names of a check are not among them: a build leaves check.html alone, and the lock to its holder.
    names = [name for name in files.list_names(output) if _is_build_file(final_name(name))]
    receipts = [f"{RECEIPTS}/{name}" for name in files.list_names(files.join(output, RECEIPTS)) if _is_receipt(name)]
    files.delete([files.join(output, name) for name in (*names, *receipts) if name not in written])
