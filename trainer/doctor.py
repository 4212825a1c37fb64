"""``--mode=doctor``: what would stop a long run, found in seconds; a line for each check, and what to do about it.

TensorFlow is imported only after the packages have been looked at: a spoilt installation may not even import.
"""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from retinanet_odm.dataset.examples import decode_example
from retinanet_odm.errors import ContractError, DataError, UsageError
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.storage import files
from trainer import gcs
from trainer.config import TrainConfig
from trainer.tf_errors import first_line

DISTRIBUTION = "retinanet-odm"
_TENSORFLOWS = ("tensorflow", "tensorflow-cpu", "tensorflow-tpu")
_WATCHED = (*_TENSORFLOWS, "libtpu", "keras", "numpy", "protobuf", "pycocotools", "tensorboard")
_EXTRAS = ("", "trainer", "cpu", "gpu", "tpu")
_INSTALL = "from the root of the repository, in a new environment: pip install -e '.[cpu]', or [gpu] or [tpu]"
# Four checkpoints of a ResNet-50 with AdamW's two averages, 0.45 GB each, and an export.
NEEDED_BYTES = 2 << 30
# Google's servers refuse requests that are minutes off.
CLOCK_TOLERANCE = 60.0  # seconds
_NVIDIA = Path("/dev/nvidia0")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing looked at: what was found, and, where that will not do, the mend."""

    name: str
    found: str
    mend: str = ""

    @property
    def passed(self) -> bool:
        return not self.mend

    def line(self) -> str:
        """Such as ``FAIL  keras: 3.14.0: pip install 'keras<3.16,>=3.15'``."""
        return f"pass  {self.name}: {self.found}" if self.passed else f"FAIL  {self.name}: {self.found}: {self.mend}"


def doctor_report(config: TrainConfig) -> int:
    """Prints a line for each check; returns 0, or 1 if one failed."""
    failed = 0
    for check in run_checks(config):
        print(check.line(), flush=True)  # noqa: T201 - the report is the output
        failed += not check.passed
    return min(failed, 1)


def run_checks(config: TrainConfig) -> Iterator[Check]:
    """Every check that the settings ask for: --dataset and --model_dir are looked at where they are given."""
    yield from _package_checks()
    try:
        import tensorflow  # noqa: F401
    except ImportError as error:
        yield Check(name="TensorFlow", found=f"cannot be imported: {error}", mend=_INSTALL)
        return
    yield attempt("devices", lambda: _devices(config), "see docs/training.md, Installing TensorFlow")
    if gcs.gcs_settings(config):
        access = attempt("gs://", lambda: gcs.check_access(config), "see docs/training.md, Data on gs://")
        yield access
        if not access.passed:  # TensorFlow would try for minutes
            return
    if config.data.dataset:
        yield attempt("data set", lambda: check_dataset(config.data.dataset), "copy or prepare the data set again")
    if config.run.model_dir:
        yield from _folder_checks(config.run.model_dir)


def attempt(name: str, probe: Callable[[], str], mend: str) -> Check:
    """The check by a probe that returns what it found, or raises a UsageError."""
    try:
        return Check(name=name, found=probe())
    except UsageError as error:
        return Check(name=name, found=str(error), mend=mend)


def _package_checks() -> Iterator[Check]:
    installed = {dist.name.lower().replace("_", "-"): dist.version for dist in metadata.distributions()}
    try:
        own = metadata.metadata(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        yield Check(name=DISTRIBUTION, found="not installed", mend=_INSTALL)
        return
    yield check_python(".".join(map(str, sys.version_info[:3])), own["Requires-Python"])
    yield check_single_tensorflow(installed)
    yield from check_versions(metadata.requires(DISTRIBUTION) or [], installed)


def check_python(version: str, wanted: str) -> Check:
    """The interpreter against Requires-Python."""
    fits = version in SpecifierSet(wanted)
    return Check(name="Python", found=version, mend="" if fits else f"use a Python {wanted}")


def check_single_tensorflow(installed: Iterable[str]) -> Check:
    """That exactly one of the packages is there that own the folder tensorflow/."""
    found = [name for name in _TENSORFLOWS if name in set(installed)]
    return Check(name="one TensorFlow", found=", ".join(found) or "none", mend="" if len(found) == 1 else _INSTALL)


def check_versions(requires: Sequence[str], installed: Mapping[str, str]) -> list[Check]:
    """Installed packages against the distribution's requirements, those of its extras for the trainer included.

    Of the TensorFlows, the one that is installed is looked at; and libtpu beside tensorflow-tpu, where with another
    version the import of TensorFlow aborts the process.
    """
    others = set(_TENSORFLOWS) - set(installed)
    if "tensorflow-tpu" in others:
        others.add("libtpu")
    checks = []
    for requirement in map(Requirement, requires):
        name, marker = requirement.name, requirement.marker
        asked = marker is None or any(marker.evaluate({"extra": extra}) for extra in _EXTRAS)
        if not asked or name not in _WATCHED or name in others:
            continue
        version = installed.get(name)
        fits = version is not None and requirement.specifier.contains(version, prereleases=True)
        mend = "" if fits else f"pip install '{name}{requirement.specifier}'"
        checks.append(Check(name=name, found=version or "not installed", mend=mend))
    return checks


def _devices(config: TrainConfig) -> str:
    import tensorflow as tf

    from trainer.strategy import make_strategy

    where = make_strategy(use_tpu=config.run.use_tpu, tpu=config.run.tpu)
    seen = Counter(device.device_type for device in tf.config.list_logical_devices())
    check_gpu_seen(seen["GPU"], has_card=_NVIDIA.exists())
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(seen.items()))
    return f"{counts}; trains on {where.num_replicas_in_sync} replica(s) of {type(where).__name__}"


def check_gpu_seen(seen: int, *, has_card: bool) -> None:
    """Raises UsageError where there is a graphics card that TensorFlow does not see: it would train on the CPU."""
    if has_card and not seen:
        raise UsageError("this machine has an NVIDIA card, but TensorFlow sees no GPU")


def check_dataset(folder: str) -> str:
    """That every shard is there and its first record is what the manifest says; returns how much there is.

    Raises:
      UsageError: it is not.
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
    for path in paths:
        with records.whole_shards([path]):
            first = next(tf.data.TFRecordDataset(path).as_numpy_iterator(), None)
        if first is None:
            raise ContractError(f"--dataset: {path} holds no record")
        check_record(first, manifest.labels, source=path)
    size = sum(tf.io.gfile.stat(path).length for path in paths)
    images = ", ".join(f"{name} {split.examples}" for name, split in manifest.splits.items())
    return f"{len(paths)} shards, {size / 1e6:.1f} MB; images: {images}; {len(manifest.labels.items)} classes"


def check_record(record: bytes, labels: LabelMap, *, source: str) -> None:
    """Raises ContractError if a record is none of ours or its labels are not those of the data set."""
    try:
        example = decode_example(record)
    except DataError as error:
        raise ContractError(f"{source}: the first record is not readable: {error}") from error
    for item in example.objects:
        if labels.name_by_id.get(item.label_id) != item.label:
            raise ContractError(f"{source}: the label map has no {item.label!r} with id {item.label_id}")


def _folder_checks(folder: str) -> Iterator[Check]:
    try:
        file_time = try_folder(folder)
    except UsageError as error:
        yield Check(name="model_dir", found=str(error), mend="give a folder that you may write to")
        return
    yield Check(name="model_dir", found="written to and read")
    yield check_clock(file_time, time.time())
    if "://" not in folder:  # a bucket has no end
        yield check_disk(shutil.disk_usage(folder).free)


def try_folder(folder: str) -> float:
    """Writes a small file, reads and removes it; returns its time in seconds since 1970.

    Raises:
      UsageError: the folder cannot be used.
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
        raise UsageError(f"{path}: what is read is not what was written")
    return file_time


def check_clock(file_time: float, now: float) -> Check:
    """This machine's clock against the storage's, in seconds since 1970."""
    off = now - file_time
    mend = "" if abs(off) <= CLOCK_TOLERANCE else "set the clock of this machine: timedatectl set-ntp true"
    return Check(name="clock", found=f"{off:+.1f} s from the storage's", mend=mend)


def check_disk(free: int) -> Check:
    """Room for the checkpoints, in bytes."""
    mend = "" if free >= NEEDED_BYTES else f"make room: a ResNet-50 needs {NEEDED_BYTES / 1e9:.1f} GB"
    return Check(name="disk", found=f"{free / 1e9:.1f} GB free", mend=mend)
