"""``--mode=doctor``: finds in seconds what would stop a long run.

Begin with `run_checks`, which continues the checks of the installation. TensorFlow is imported only after them,
because a broken installation may not even import.
"""

import dataclasses
import importlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from retinanet_odm.cli.installation import INSTALL_HINT, Check, check_disk, installation_checks
from retinanet_odm.cli.native_log import import_quietly
from retinanet_odm.dataset.examples import decode_example
from retinanet_odm.errors import ContractError, DataError, UsageError
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.storage import files
from retinanet_odm.xla import TENSORFLOW
from trainer import gcs
from trainer.config import TrainConfig
from trainer.config.backbone_names import IMAGENET, LITE0
from trainer.tf_errors import first_line

# Google's servers reject requests from clocks that are minutes off.
MAX_CLOCK_ERROR = 60.0  # seconds
_NVIDIA = Path("/dev/nvidia0")


def run_checks(config: TrainConfig) -> Iterator[Check]:
    """Run the checks that the settings need: --dataset and --model_dir are checked if given."""
    yield from installation_checks()
    try:
        import_quietly(lambda: importlib.import_module("tensorflow"))
    except ImportError as error:
        yield Check(name="TensorFlow", found=f"cannot be imported: {error}", fix=INSTALL_HINT)
        return
    yield attempt("devices", lambda: _devices(config), "see docs/training.md, Installing TensorFlow")
    if gcs.gcs_settings(config):
        access = attempt("gs://", lambda: gcs.check_access(config), "see docs/training.md, Data on gs://")
        yield access
        if not access.passed:  # TensorFlow would retry for minutes
            return
    if config.data.dataset:
        data = attempt("data set", lambda: check_dataset(config.data.dataset), "copy or prepare the data set again")
        yield data
        if data.passed:
            yield attempt("training", lambda: _memory(config), "see docs/training.md, Choosing --image_size")
    if config.network.backbone == LITE0 and config.weights.backbone_weights == IMAGENET:
        yield attempt("initial weights", _imagenet_file, "see docs/training.md, Weights of ImageNet")
    if config.run.model_dir:
        yield from _folder_checks(config.run.model_dir)


def attempt(name: str, probe: Callable[[], str], fix: str) -> Check:
    """Make a check of a probe, which returns the observed value or raises a UsageError."""
    try:
        return Check(name=name, found=probe())
    except UsageError as error:
        return Check(name=name, found=str(error), fix=fix)


def _devices(config: TrainConfig) -> str:
    import tensorflow as tf

    from trainer.strategy import describe_replicas, make_strategy

    # The same functions as in a run, so that the doctor finds the same devices.
    runtime = config.run.runtime
    where = make_strategy(use_tpu=config.run.use_tpu, tpu=config.run.tpu, runtime=runtime)
    seen = Counter(device.device_type for device in tf.config.list_logical_devices())
    if runtime == TENSORFLOW:
        check_gpu_seen(seen["GPU"], has_card=_NVIDIA.exists())
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(seen.items()))
    return f"{counts}; trains on {describe_replicas(where, runtime)}"


def _imagenet_file() -> str:
    from trainer.weights.pretrained import find_imagenet_file  # it imports TensorFlow

    return find_imagenet_file()


def _memory(config: TrainConfig) -> str:
    from trainer.memory import probe_memory  # it imports TensorFlow

    return probe_memory(config)


def check_gpu_seen(seen: int, *, has_card: bool) -> None:
    """Raise UsageError if there is a GPU that TensorFlow does not detect: it would train on the CPU."""
    if has_card and not seen:
        raise UsageError("this machine has an NVIDIA card, but TensorFlow sees no GPU")


def check_dataset(folder: str) -> str:
    """Check that every shard exists and that its first record agrees with the manifest; return the size of the data.

    Raises:
      UsageError: A shard is missing, damaged or contradicts the manifest.
    """
    import tensorflow as tf

    from trainer.data import records

    manifest = records.read_dataset_manifest(folder)
    paths = [
        path
        for name, split in manifest.splits.items()
        if split.examples
        for path in records.find_split(folder, manifest, name).paths
    ]
    # The first record of each shard is enough to find another label map, a missing file or a truncated beginning.
    for path in paths:
        with records.reading_shards([path]):
            first = next(tf.data.TFRecordDataset(path).as_numpy_iterator(), None)
        if first is None:
            raise ContractError(f"--dataset: {path} holds no record")
        check_record(first, manifest.labels, source=path)
    size = sum(tf.io.gfile.stat(path).length for path in paths)
    images = ", ".join(f"{name} {split.examples}" for name, split in manifest.splits.items())
    return f"{len(paths)} shards, {size / 1e6:.1f} MB; images: {images}; {len(manifest.labels.items)} classes"


def check_record(record: bytes, labels: LabelMap, *, source: str) -> None:
    """Raise ContractError if a record is not ours or its labels are not those of the data set."""
    try:
        example = decode_example(record)
    except DataError as error:
        raise ContractError(f"{source}: the first record is not readable: {error}") from error
    # Ids and names must agree: shards of two data sets in one folder would not.
    for item in example.objects:
        if labels.name_by_id.get(item.label_id) != item.label:
            raise ContractError(f"{source}: the label map has no {item.label!r} with id {item.label_id}")


def _folder_checks(folder: str) -> Iterator[Check]:
    try:
        file_time = try_folder(folder)
    except UsageError as error:
        yield Check(name="model_dir", found=str(error), fix="give a folder to which you can write")
        return
    yield Check(name="model_dir", found="can be written and read")
    yield check_clock(file_time, time.time())
    if "://" not in folder:  # a bucket has no end
        yield dataclasses.replace(check_disk(shutil.disk_usage(folder).free), name="disk of model_dir")


def try_folder(folder: str) -> float:
    """Write, read and delete a small file; return its modification time in seconds since 1970.

    Raises:
      UsageError: The folder cannot be used.
    """
    import tensorflow as tf

    files.make_folder(folder, flag="--model_dir")
    path = f"{folder.rstrip('/')}/.doctor"
    try:  # by TensorFlow, as checkpoints are
        with tf.io.gfile.GFile(path, "w") as file:
            file.write("doctor")
        with tf.io.gfile.GFile(path) as file:
            content = file.read()
        file_time = tf.io.gfile.stat(path).mtime_nsec / 1e9
        tf.io.gfile.remove(path)
    except tf.errors.OpError as error:
        raise UsageError(f"--model_dir: TensorFlow cannot use the folder {folder}: {first_line(error)}") from error
    if content != "doctor":
        raise UsageError(f"{path}: the content read differs from the content written")
    return file_time


def check_clock(file_time: float, now: float) -> Check:
    """Compare this machine's clock with the storage's, in seconds since 1970.

    Example:
      >>> check_clock(file_time=1000.0, now=1000.5).line()
      "pass  clock: +0.5 s from the storage's"
    """
    off = now - file_time
    fix = "" if abs(off) <= MAX_CLOCK_ERROR else "set the clock of this machine: timedatectl set-ntp true"
    return Check(name="clock", found=f"{off:+.1f} s from the storage's", fix=fix)
