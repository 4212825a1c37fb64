"""Builds the wheels that other machines install: ours from a checkout, and the packages that Beam's image lacks.

Workers of Dataflow and TPU VMs install from files that are sent with the job, so they need no internet.
"""

import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from retinanet_odm.errors import UsageError

CHECKOUT = Path(__file__).parents[1]
# Dependencies in pyproject.toml that apache-beam[gcp] does not bring; tests/retinanet_odm/test_wheel.py compares. The
# order matters, because pip installs them one after the other: jinja2 needs markupsafe.
MISSING = ("lxml", "markupsafe", "jinja2", "simplejpeg", "filelock", "argcomplete", "tqdm")
# Of Dataflow's workers, whose stock image is based on Debian 12 (glibc 2.36). pip ignores them for pure Python wheels.
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_26_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_BUILD_FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")


def build_worker_wheels(folder: Path, *, root: Path = CHECKOUT) -> list[Path]:
    """Build the wheels for workers on Beam's stock image, and return them in the order of their installation.

    Args:
      folder: Folder for the wheels; its previous content is deleted.
      root: A checkout of this repository; nothing is written there.

    Raises:
      UsageError: pip fails.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return [*(_download(name, folder / name) for name in MISSING), build_wheel(folder / "ours", root=root)]


def build_wheel(folder: Path, *, root: Path = CHECKOUT) -> Path:
    """Build this repository's wheel into a folder and return its path.

    Builds from a copy, because setuptools writes its own files beside the sources and reuses outdated ones there.

    Raises:
      UsageError: root is no checkout of this repository, or pip fails.
    """
    missing = [name for name in _BUILD_FILES if not (root / name).is_file()]
    if missing:
        raise UsageError(f"run this from a checkout of the repository: there is no {missing[0]} in {root}")
    with tempfile.TemporaryDirectory() as copied:
        _copy_sources(root, Path(copied))
        options = ["--no-deps", "--no-build-isolation", "--no-cache-dir", f"--wheel-dir={folder}", copied]
        return _pip("wheel", options, folder)


def _copy_sources(root: Path, copied: Path) -> None:
    # Only what belongs into the wheel: a checkout may hold data sets and environments.
    packages = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    for name in _BUILD_FILES:
        shutil.copy(root / name, copied / name)
    for name in sorted({package.partition(".")[0] for package in packages}):
        shutil.copytree(root / name, copied / name, ignore=shutil.ignore_patterns("__pycache__"))


def _download(name: str, folder: Path) -> Path:
    """Download the version that is installed here, for the platform of the workers."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    platforms = [f"--platform={platform}" for platform in _PLATFORMS]
    options = ["--no-deps", "--only-binary=:all:", f"--python-version={version}", *platforms, f"--dest={folder}"]
    return _pip("download", [*options, f"{name}=={importlib.metadata.version(name)}"], folder)


def _pip(command: str, options: list[str], folder: Path) -> Path:
    """Run pip and return the one wheel that it put into a folder."""
    pip = [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check"]
    result = subprocess.run([*pip, *options], capture_output=True, text=True, check=False)  # noqa: S603 - pip, without a shell
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"exit status {result.returncode}"]
        raise UsageError(f"cannot build the wheels: pip {command} {options[-1]}: {lines[-1]}")
    # pip tells the name of the wheel only in its log; the folder must hold exactly one.
    (wheel,) = folder.glob("*.whl")
    return wheel
