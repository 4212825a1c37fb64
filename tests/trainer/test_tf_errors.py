"""Errors of disks and buckets are one line with path and remedy; all others keep their stack trace."""

import errno

import pytest
import tensorflow as tf
from jax.errors import JaxRuntimeError

from trainer.main import _explain
from trainer.tf_errors import describe_disk_error, describe_memory_error, describe_storage_error, is_unavailable

errors = tf.errors
NODE = "{{function_node __wrapped__SaveV2_dtypes_5_device_/job:localhost/replica:0/task:0/device:CPU:0}} "
PART = "M/ckpt-80_temp/part-00000-of-00001.data-00000-of-00001.tempstate168691702"

DISK = [
    (
        "a checkpoint",
        errors.ResourceExhaustedError(None, None, f"{NODE}{PART}; No space left on device [Op:SaveV2]"),
        "M/ckpt-80: No space left on device: free some space",
    ),
    (
        "TensorBoard's events: the cause of several lines",
        errors.ResourceExhaustedError(
            None,
            None,
            f"{NODE}M/events.v2; No space left on device\n\tFailed to flush 1 events to M/events.v2\n\tCould not"
            " initialize events writer. [Op:CreateSummaryFileWriter] name: ",
        ),
        "M/events.v2: No space left on device: free some space",
    ),
    (
        "the graph of the export, while it has a temporary name",
        errors.ResourceExhaustedError(None, None, f"M/saved_model.pb.tmp{'0a' * 16}; Disk quota exceeded"),
        "M/saved_model.pb: Disk quota exceeded: free some space, or raise the quota",
    ),
    (
        "read-only",
        errors.PermissionDeniedError(None, None, "M/my data; v2/ckpt-1_temp; Read-only file system [Op:SaveV2]"),
        "M/my data; v2/ckpt-1_temp: Read-only file system: mount the disk for writing",
    ),
    ("a lost disk", errors.UnknownError(None, None, "M/a; Input/output error"), "M/a: Input/output error: check the"),
    ("a lost network disk", errors.AbortedError(None, None, "M/a; Stale file handle"), "M/a: Stale file handle: check"),
    ("a limit", errors.OutOfRangeError(None, None, "M/a; File too large"), "M/a: File too large: raise the limit on"),
    (
        "of the reader, without its class",
        errors.OpError(None, None, "M/a; Permission denied", 2),
        "M/a: Permission den",
    ),
    ("of Python", PermissionError(errno.EACCES, "Permission denied", "M/x"), "M/x: Permission denied: change the perm"),
]


MEMORY = [
    (
        "of a device",
        errors.ResourceExhaustedError(
            None,
            None,
            f"{NODE}OOM when allocating tensor with shape[64,64] and type float on GPU:0 [[{NODE}]] [Op:Conv2D]",
        ),
        "the memory of the device is full (OOM when allocating tensor with shape[64,64] and type float on GPU:0)",
    ),
    (
        "of a device of XLA",
        JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 96 bytes.\nSee the web"),
        "the memory of the device is full (RESOURCE_EXHAUSTED: Out of memory allocating 96 bytes.)",
    ),
    ("another error of XLA", JaxRuntimeError("INTERNAL: RESOURCE_EXHAUSTED"), ""),
    ("a full disk is none", DISK[0][1], ""),
    ("nor is another error", ValueError("OOM when allocating"), ""),
]


@pytest.mark.parametrize(("why", "error", "line"), MEMORY, ids=[row[0] for row in MEMORY])
def test_a_full_memory_is_one_line(why: str, error: Exception, line: str) -> None:
    assert describe_memory_error(error) == line, why
    ending = _explain(error)
    assert not line or (ending and ending.line == f"error: {line}: give a smaller --train_batch_size or --image_size")


@pytest.mark.parametrize(("why", "error", "line"), DISK, ids=[row[0] for row in DISK])
def test_disk_errors_are_one_line(why: str, error: Exception, line: str) -> None:
    found = describe_disk_error(error)
    assert found.startswith(line) and "\n" not in found, why
    ending = _explain(error)
    assert ending and ending.status == 2
    assert ending.line == f"error: {found}, then run the same command again"


OTHERS = [
    ("a defect", errors.FailedPreconditionError(None, None, "Could not find variable dense/kernel")),
    ("a defect of TensorFlow", errors.InternalError(None, None, "Blas GEMM launch failed")),
    ("damage", errors.OpError(None, None, "not an sstable (bad magic number)", 2)),
    ("a file that is not there", errors.NotFoundError(None, None, "M/ckpt-1.index; No such file or directory")),
    ("a value of our own", ValueError("a; No space left on device")),
    ("an error without a path", OSError(errno.ENOSPC, "No space left on device")),
]


@pytest.mark.parametrize(("why", "error"), OTHERS, ids=[row[0] for row in OTHERS])
def test_other_errors_keep_their_stack_trace(why: str, error: Exception) -> None:
    assert describe_disk_error(error) == "" and _explain(error) is None, why
    assert not is_unavailable(error)


BUCKET = [
    (
        "denied",
        errors.OpError(None, None, "Error executing an HTTP request: HTTP response code 403 … gs://b/a", 2),
        True,
    ),
    ("an outage", errors.UnavailableError(None, None, "HTTP response code 503 when reading gs://b/a"), True),
    ("no answer", errors.OpError(None, None, "libcurl code 6 meaning 'Couldn't resolve host' gs://b/a", 2), True),
    ("damage", errors.OpError(None, None, "gs://b/a: Checksum does not match", 2), False),
]


@pytest.mark.parametrize(("why", "error", "expected"), BUCKET, ids=[row[0] for row in BUCKET])
def test_errors_of_a_bucket_say_nothing_about_an_object(why: str, error: Exception, expected: bool) -> None:
    assert is_unavailable(error) == bool(describe_storage_error(error)) == expected, why
