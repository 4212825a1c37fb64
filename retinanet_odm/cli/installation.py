"""Checks of the machine and of the installed packages, one line each, with a fix if a check failed.

Begin with `installation_checks`. They need no package beyond those of the base installation; the trainer's doctor adds
checks of TensorFlow, of a data set and of a folder.
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from retinanet_odm.cli.free_memory import free_memory
from retinanet_odm.errors import UsageError
from retinanet_odm.wording import plural

DISTRIBUTION = "retinanet-odm"
INSTALL_HINT = "in a new environment, pip install 'retinanet-odm[cpu]', or [gpu] or [tpu]"
# Three packages that install the same folder: with two of them, files of both are mixed.
_TENSORFLOWS = ("tensorflow", "tensorflow-cpu", "tensorflow-tpu")
_EXTRAS = ("", "trainer", "cpu", "gpu", "tpu")
# Four checkpoints of a ResNet-50 with AdamW's two averages, 0.45 GB each, and an export.
MIN_FREE_BYTES = 2 << 30
MIN_MEMORY = 2 << 30  # bytes; the preset tiny with its default batch takes 1.1 GB


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


def check_extras(command: str, **extras: str) -> None:
    """Check that the packages of extras are installed, without importing them.

    Args:
      command: what needs them, for the message.
      extras: by name of a module, the extra that installs it.

    Raises:
      UsageError: a module is not there.

    Example:
      >>> check_extras("score", numpy="cpu")
    """
    missing = [module for module in extras if importlib.util.find_spec(module) is None]
    if missing:
        install = ",".join(dict.fromkeys(extras[module] for module in missing))
        verb = plural("is", len(missing))
        raise UsageError(
            f"{command}: needs {' and '.join(missing)}, which {verb} not installed: pip install '.[{install}]'"
        )


def print_checks(checks: Iterable[Check]) -> int:
    """Print a line for each check as soon as it is made; return 0, or 1 if one failed."""
    failed = 0
    for check in checks:
        print(check.line(), flush=True)  # noqa: T201 - the report is the output
        failed += not check.passed
    return min(failed, 1)


def installation_checks() -> Iterator[Check]:
    """Check cores, memory, disk, the interpreter and the installed packages."""
    yield Check(name="cores", found=str(os.cpu_count()))
    yield check_memory(free_memory())
    yield check_disk(shutil.disk_usage(".").free)
    # Names of packages are compared in lower case and with hyphens.
    installed = {dist.name.lower().replace("_", "-"): dist.version for dist in metadata.distributions()}
    try:
        own = metadata.metadata(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        yield Check(name=DISTRIBUTION, found="not installed", fix=INSTALL_HINT)
        return
    yield check_python(".".join(map(str, sys.version_info[:3])), own["Requires-Python"])
    yield Check(name=DISTRIBUTION, found=own["Version"])
    yield check_single_tensorflow(installed)
    yield from check_versions(metadata.requires(DISTRIBUTION) or [], installed)


def check_python(version: str, wanted: str) -> Check:
    """Check the interpreter's version against Requires-Python."""
    fits = version in SpecifierSet(wanted)
    return Check(name="Python", found=version, fix="" if fits else f"use a Python {wanted}")


def check_single_tensorflow(installed: Iterable[str]) -> Check:
    """Check that exactly one of the packages that own the folder tensorflow/ is installed."""
    found = [name for name in _TENSORFLOWS if name in set(installed)]
    return Check(name="one TensorFlow", found=", ".join(found) or "none", fix="" if len(found) == 1 else INSTALL_HINT)


def check_versions(requires: Sequence[str], installed: Mapping[str, str]) -> list[Check]:
    """Check installed packages against the requirements of this distribution and its extras for the trainer.

    Of the TensorFlow packages, only the installed one is checked; libtpu only beside tensorflow-tpu, where a wrong
    version makes the import of TensorFlow abort the process.

    Args:
      requires: Requirements of the distribution, with markers.
      installed: Version by name of the package.
    """
    skipped = {DISTRIBUTION, *(set(_TENSORFLOWS) - set(installed))}
    if "tensorflow-tpu" in skipped:
        skipped.add("libtpu")
    checks = {}
    for requirement in map(Requirement, requires):
        name, marker = requirement.name, requirement.marker
        # A requirement of an extra has a marker such as extra == "cpu".
        applies = marker is None or any(marker.evaluate({"extra": extra}) for extra in _EXTRAS)
        if not applies or name in skipped:
            continue
        version = installed.get(name)
        fits = version is not None and requirement.specifier.contains(version, prereleases=True)
        fix = "" if fits else f"pip install '{name}{requirement.specifier}'"
        checks[name] = Check(name=name, found=version or "not installed", fix=fix)
    return list(checks.values())


def check_memory(free: int | None) -> Check:
    """Check that there is enough main memory for a small training; free is in bytes, None if it is unknown.

    Example:
      >>> check_memory(8 << 30).line()
      'pass  memory: 8.6 GB free'
    """
    if free is None:
        return Check(name="memory", found="unknown on this system")
    fix = f"a training needs {MIN_MEMORY / 1e9:.1f} GB: end other programs, or use a larger machine or container"
    return Check(name="memory", found=f"{free / 1e9:.1f} GB free", fix="" if free >= MIN_MEMORY else fix)


def check_disk(free: int) -> Check:
    """Check that there is room for the checkpoints; free is in bytes.

    Example:
      >>> check_disk(5 << 30).line()
      'pass  disk: 5.4 GB free'
    """
    fix = "" if free >= MIN_FREE_BYTES else f"free disk space: a ResNet-50 needs {MIN_FREE_BYTES / 1e9:.1f} GB"
    return Check(name="disk", found=f"{free / 1e9:.1f} GB free", fix=fix)
