"""The names in a data set's folder: which are ours, and so may be replaced or deleted, and which are not."""

import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

from beamio import files
from detection.errors import UsageError
from detection.manifests import DatasetManifest

LABELS = "labels.pbtxt"
ID_MAP = "id_map.csv"
VAL = "val.json"
REJECTED = "rejected.jsonl"
REPORT = "report.html"
_FIXED = frozenset({files.PROBE, DatasetManifest.FILE, LABELS, ID_MAP, VAL, REJECTED, REPORT})
_SHARD = re.compile(r"[a-z][a-z0-9_]*-\d{5}-of-\d{5}\.tfrecord")


def shard_name(split: str, index: int, count: int) -> str:
    """Such as train-00000-of-00032.tfrecord."""
    return f"{split}-{index:05d}-of-{count:05d}.tfrecord"


def is_ours(name: str) -> bool:
    """Whether this job may have written a file of this name, whole or half."""
    final = files.final_name(name)
    return final in _FIXED or bool(_SHARD.fullmatch(final))


def check_output(output: str, patterns: tuple[str, ...], *, given: Sequence[str] = ()) -> None:
    """Raises UsageError when the output folder is in use by something else; changes nothing.

    Args:
      output: the folder, which need not exist.
      patterns: where the job reads.
      given: files that the user wrote, which must not be buried under ours. An id map of an earlier build is none of
        them: ours has all of its rows.
    """
    for path in given:
        if _lies_in(path, output):
            raise UsageError(f"--output: {output} holds {path}, which the job reads: choose another folder")
    for pattern in patterns:
        root = files.root_of(pattern)
        below = "**" in pattern and posixpath.normpath(output).startswith(posixpath.normpath(root) + "/")
        if below or posixpath.normpath(root) == posixpath.normpath(output):
            raise UsageError(f"--output: {output} would be read as input by {pattern}: choose another folder")
    foreign = next((name for name in files.list_names(output) if not is_ours(name)), None)
    if foreign is None:
        foreign = next(files.iter_matches(posixpath.join(files.escape(output), "*", "**"), limit=1), None)
    if foreign is not None:
        raise UsageError(
            f"--output: {output} holds files that are not of a data set, such as {foreign}:"
            " choose an empty or a new folder"
        )


def _lies_in(path: str, folder: str) -> bool:
    if "://" in path or "://" in folder:
        return posixpath.dirname(path) == folder
    return Path(path).resolve().parent == Path(folder).resolve()


def delete_stale(output: str, written: set[str]) -> None:
    """Deletes our files of an earlier build, and halves of killed ones, that this build did not write."""
    stale = [name for name in files.list_names(output) if is_ours(name) and name not in written]
    files.delete([files.join(output, name) for name in stale])
