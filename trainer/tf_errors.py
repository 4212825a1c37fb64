"""Errors of TensorFlow as one line, above all those of disks and buckets. TensorFlow is not imported here.

TensorFlow's error classes do not tell a full disk from a full memory (both are ResourceExhaustedError), and its reader
of checkpoints loses them. Its messages about files are reliable: the path, a semicolon, and the system's own words.
"""

import errno
import os
import re
import sys

GCS = "gs://"
_NODE = re.compile(r"\{\{.*?\}\}")  # of the graph
# What to do about errors of a disk, which say nothing about the program.
_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or raise the quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "mount the disk for writing",
    errno.EACCES: "change the permissions",
    errno.EPERM: "change the permissions",
    errno.EIO: "check the disk",
    errno.ENXIO: "check the disk",
    errno.ENODEV: "check the disk",
    errno.ESTALE: "check the connection to the disk",
    errno.ENOTCONN: "check the connection to the disk",
    errno.ETIMEDOUT: "check the connection to the disk",
}
_NUMBERS = {os.strerror(number): number for number in _REMEDIES}
_DISK_ERROR = re.compile(rf"(?P<path>[^\n]*); (?P<reason>{'|'.join(map(re.escape, _NUMBERS))})\b")
# Names of files that TensorFlow renames at the end: what they become says more.
_PARTIAL = re.compile(r"_temp/part-.*|\.tmp[0-9a-f]{32}$|\.tempstate[0-9]+$")
# Answers of a bucket that do not concern the object: access, too many requests, outages.
_BUCKET_ERROR = re.compile(r"HTTP response code (?:40[13]|408|429|5\d\d)|libcurl code")


def first_line(error: Exception) -> str:
    r"""Return the message of an error without the graph and the stack that may follow it.

    Example:
      >>> first_line(ValueError("no such file\n  at node A"))
      'no such file'
    """
    return str(error).strip().partition("\n")[0]


def plain_message(error: BaseException) -> str:
    r"""Return the message of an error as one line, without the names of nodes and operations.

    Example:
      >>> plain_message(ValueError("{{node a/b}} no such file\n [Op:ReadFile]"))
      'no such file'
    """
    return " ".join(_NODE.sub("", str(error)).split()).partition(" [Op:")[0]


def describe_storage_error(error: BaseException) -> str:
    """Describe an error of TensorFlow about a file on gs:// in one line, with the file's name; "" for all others."""
    # What is not imported has not raised the error, and importing it here would take seconds.
    if "tensorflow" not in sys.modules:
        return ""
    errors = sys.modules["tensorflow"].errors
    # The errors of storage; a bug in a graph has other classes.
    kinds = (errors.NotFoundError, errors.PermissionDeniedError, errors.UnauthenticatedError, errors.UnavailableError)
    line = plain_message(error)
    is_storage = isinstance(error, kinds) or (isinstance(error, errors.OpError) and _BUCKET_ERROR.search(line))
    return line if is_storage and GCS in line else ""


def describe_disk_error(error: BaseException) -> str:
    """Describe an error of a local disk in one line: path, reason and what to do; "" for all others.

    Example:
      >>> describe_disk_error(OSError(errno.ENOSPC, "No space left on device", "model/eval.json"))
      'model/eval.json: No space left on device: free some space'
    """
    if isinstance(error, OSError) and error.filename is not None and error.errno in _REMEDIES:
        return f"{os.fsdecode(error.filename)}: {os.strerror(error.errno)}: {_REMEDIES[error.errno]}"
    found = _find_disk_error(error)
    if not found:
        return ""
    path = _PARTIAL.sub("", found["path"].strip())
    return f"{path}: {found['reason']}: {_REMEDIES[_NUMBERS[found['reason']]]}"


def describe_memory_error(error: BaseException) -> str:
    """Describe TensorFlow's or jax's error about a device whose memory is full in one line; "" for all others."""
    if "jax" in sys.modules and isinstance(error, sys.modules["jax"].errors.JaxRuntimeError):
        line = str(error).partition("\n")[0]
        return f"the memory of the device is full ({line})" if line.startswith("RESOURCE_EXHAUSTED") else ""
    if "tensorflow" not in sys.modules or not isinstance(
        error, sys.modules["tensorflow"].errors.ResourceExhaustedError
    ):
        return ""
    line = plain_message(error)
    return f"the memory of the device is full ({line.partition(' [')[0]})" if "OOM when allocating" in line else ""


def is_unavailable(error: BaseException) -> bool:
    """Return whether the disk or the bucket has failed, which says nothing about the content of a file."""
    return bool(describe_storage_error(error) or _find_disk_error(error))


def _find_disk_error(error: BaseException) -> re.Match[str] | None:
    if "tensorflow" not in sys.modules or not isinstance(error, sys.modules["tensorflow"].errors.OpError):
        return None
    return _DISK_ERROR.search(_NODE.sub("", str(error)))
