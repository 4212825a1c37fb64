"""``--mode=doctor``: finds in seconds what would stop a long run. One line per check, with a fix if it failed.

Begin with `run_checks`. TensorFlow is imported only after the check of the packages, because a broken installation may
not even import.
"""

import importlib
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

from retinanet_odm.cli.native_log import import_quietly
from retinanet_odm.dataset.examples import decode_example
from retinanet_odm.errors import ContractError, DataError, UsageError
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.storage import files
from trainer import gcs
from trainer.config import TrainConfig
from trainer.tf_errors import first_line

DISTRIBUTION = "retinanet-odm"
# Three packages that install the same folder: with two of them, files of both are mixed.
_TENSORFLOWS = ("tensorflow", "tensorflow-cpu", "tensorflow-tpu")
_CHECKED = (*_TENSORFLOWS, "libtpu", "keras", "numpy", "protobuf", "pycocotools", "tensorboard")
_EXTRAS = ("", "trainer", "cpu", "gpu", "tpu")
_INSTALL = "from the root of the repository, in a new environment: pip install -e '.[cpu]', or [gpu] or [tpu]"
# Four checkpoints of a ResNet-50 with AdamW's two averages, 0.45 GB each, and an export.
MIN_FREE_BYTES = 2 << 30
# Google's servers reject requests from clocks that are minutes off.
MAX_CLOCK_ERROR = 60.0  # seconds
_NVIDIA = Path("/dev/nvidia0")


@dataclass(frozen=True, kw_only=True)
class Check:
    """Result of one check: the observed value and, if the check failed, a suggested fix."""

    name: str
    found: str
    fix: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing needs a fix."""
        return not self.fix

    def line(self) -> str:
        """Format it like ``FAIL  keras: 3.14.0: pip install 'keras<3.16,>=3.15'``."""
        return f"pass  {self.name}: {self.found}" if self.passed else f"FAIL  {self.name}: {self.found}: {self.fix}"


def doctor_report(config: TrainConfig) -> int:
    """Print a line for each check; return 0, or 1 if one failed."""
    failed = 0
    for check in run_checks(config):
        print(check.line(), flush=True)  # noqa: T201 - the report is the output
        failed += not check.passed
    return min(failed, 1)


def run_checks(config: TrainConfig) -> Iterator[Check]:
    """Run the checks that the settings need: --dataset and --model_dir are checked if given."""
    yield from _package_checks()
    try:
        import_quietly(lambda: importlib.import_module("tensorflow"))
    except ImportError as error:
        yield Check(name="TensorFlow", found=f"cannot be imported: {error}", fix=_INSTALL)
        return
    yield attempt("devices", lambda: _devices(config), "see docs/training.md, Installing TensorFlow")
    if gcs.gcs_settings(config):
        access = attempt("gs://", lambda: gcs.check_access(config), "see docs/training.md, Data on gs://")
        yield access
        if not access.passed:  # TensorFlow would retry for minutes
            return
    if config.data.dataset:
        yield attempt("data set", lambda: check_dataset(config.data.dataset), "copy or prepare the data set again")
    if config.run.model_dir:
        yield from _folder_checks(config.run.model_dir)


def attempt(name: str, probe: Callable[[], str], fix: str) -> Check:
    """Make a check of a probe, which returns the observed value or raises a UsageError."""
    try:
        return Check(name=name, found=probe())
    except UsageError as error:
        return Check(name=name, found=str(error), fix=fix)


def _package_checks() -> Iterator[Check]:
    # Names of packages are compared in lower case and with hyphens.
    installed = {dist.name.lower().replace("_", "-"): dist.version for dist in metadata.distributions()}
    try:
        own = metadata.metadata(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        yield Check(name=DISTRIBUTION, found="not installed", fix=_INSTALL)
        return
    yield check_python(".".join(map(str, sys.version_info[:3])), own["Requires-Python"])
    yield check_single_tensorflow(installed)
    yield from check_versions(metadata.requires(DISTRIBUTION) or [], installed)


def check_python(version: str, wanted: str) -> Check:
    """Check the interpreter's version against Requires-Python."""
    fits = version in SpecifierSet(wanted)
    return Check(name="Python", found=version, fix="" if fits else f"use a Python {wanted}")


def check_single_tensorflow(installed: Iterable[str]) -> Check:
    """Check that exactly one of the packages that own the folder tensorflow/ is installed."""
    found = [name for name in _TENSORFLOWS if name in set(installed)]
    return Check(name="one TensorFlow", found=", ".join(found) or "none", fix="" if len(found) == 1 else _INSTALL)


def check_versions(requires: Sequence[str], installed: Mapping[str, str]) -> list[Check]:
    """Check installed packages against the requirements of this distribution and its extras for the trainer.

    Of the TensorFlow packages, only the installed one is checked; libtpu only beside tensorflow-tpu, where a wrong
    version makes the import of TensorFlow abort the process.

    Args:
      requires: Requirements of the distribution, with markers.
      installed: Version by name of the package.
    """
    skipped = set(_TENSORFLOWS) - set(installed)
    if "tensorflow-tpu" in skipped:
        skipped.add("libtpu")
    checks = []
    for requirement in map(Requirement, requires):
        name, marker = requirement.name, requirement.marker
        # A requirement of an extra has a marker such as extra == "cpu".
        applies = marker is None or any(marker.evaluate({"extra": extra}) for extra in _EXTRAS)
        if not applies or name not in _CHECKED or name in skipped:
            continue
        version = installed.get(name)
        fits = version is not None and requirement.specifier.contains(version, prereleases=True)
        fix = "" if fits else f"pip install '{name}{requirement.specifier}'"
        checks.append(Check(name=name, found=version or "not installed", fix=fix))
    return checks


def _devices(config: TrainConfig) -> str:
    import tensorflow as tf

    from trainer.strategy import make_strategy

    # The same function as in a run, so that the doctor finds the same devices.
    where = make_strategy(use_tpu=config.run.use_tpu, tpu=config.run.tpu)
    seen = Counter(device.device_type for device in tf.config.list_logical_devices())
    check_gpu_seen(seen["GPU"], has_card=_NVIDIA.exists())
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(seen.items()))
    return f"{counts}; trains on {where.num_replicas_in_sync} replica(s) of {type(where).__name__}"


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
        yield check_disk(shutil.disk_usage(folder).free)


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


def check_disk(free: int) -> Check:
    """Check that there is room for the checkpoints; free is in bytes.

    Example:
      >>> check_disk(5 << 30).line()
      'pass  disk: 5.4 GB free'
    """
    fix = "" if free >= MIN_FREE_BYTES else f"free disk space: a ResNet-50 needs {MIN_FREE_BYTES / 1e9:.1f} GB"
    return Check(name="disk", found=f"{free / 1e9:.1f} GB free", fix=fix)
