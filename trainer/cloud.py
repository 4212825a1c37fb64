"""What of a run lies on gs://, tried before TensorFlow is asked, which would try for minutes without a word."""

import dataclasses
import re
import sys
from collections.abc import Sequence

from buckets.faults import AwayError
from detection.errors import UsageError
from trainer.config import TrainConfig

GCS = "gs://"
_NODE = re.compile(r"\{\{.*?\}\}")  # of the graph
# Flags that TensorFlow reads or writes; another one takes local files only.
_OF_TENSORFLOW = ("dataset", "model_dir", "init_from", "resnet_checkpoint")
_LOCAL = ("backbone_weights", "local_copy")


class AwayFault(UsageError):  # noqa: N818 - the request is in order
    """A storage does not answer; an exit status other than 2 says that the same command may do better later."""

    status = 1


def settle(config: TrainConfig) -> TrainConfig:
    """Looks into every bucket that a run needs, and fetches the data set where --local_copy says so.

    Returns:
      The configuration, with the data set where it is read from.

    Raises:
      UsageError: a bucket cannot be listed, a flag takes no gs://, or the data set cannot be copied.
    """
    for name, path in on_gcs(config, _LOCAL).items():
        raise UsageError(f"--{name}: expected a place on this machine, found {path}: copy it first")
    check_access(config)
    if not config.local_copy:
        return config
    if not config.dataset.startswith(GCS):
        raise UsageError(f"--local_copy: is for a --dataset on gs://, found {config.dataset}")
    from trainer.local_copy import copy_dataset

    return dataclasses.replace(config, dataset=copy_dataset(config.dataset, config.local_copy))


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
    values = {name: getattr(config, name) for name in names}
    return {name: value for name, value in values.items() if value.startswith(GCS)}


def fault_classes() -> tuple[type[Exception], ...]:
    """What TensorFlow raises when a file cannot be read or written; nothing, as long as it is not imported."""
    if "tensorflow" not in sys.modules:
        return ()
    errors = sys.modules["tensorflow"].errors
    return (errors.NotFoundError, errors.PermissionDeniedError, errors.UnauthenticatedError, errors.UnavailableError)


def describe_fault(error: Exception) -> str:
    """One line of one of fault_classes, with the object that it is about; "" where it is about none of gs://."""
    said = " ".join(_NODE.sub("", str(error)).split())
    return said.partition(" [Op:")[0] if GCS in said else ""


def _look_into(path: str, *, flag: str) -> None:
    # Google's client takes part of a second to import: only who names gs:// pays for it.
    from buckets import client

    try:
        bucket, name = client.split(f"{path.rstrip('/')}/")
        with client.os_errors("list it"):
            blobs = client.client().list_blobs(bucket, prefix=name, max_results=1, retry=client.RETRY_QUESTION)
            next(iter(blobs), None)
    except OSError as error:
        raise fault_of(f"{flag}: {path}", error) from error


def fault_of(subject: str, error: OSError) -> UsageError:
    """What Google's client says of something, as the one line that ends the program."""
    return (AwayFault if isinstance(error, AwayError) else UsageError)(f"{subject}: {error}")
