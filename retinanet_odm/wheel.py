"""The wheels that other machines install: ours, built from a checkout, and what Beam's stock image lacks.

Workers of Dataflow and TPU VMs install from files that travel with the job, so they need no internet.
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
# Of what pyproject.toml asks for, what Beam itself does not bring (tests/retinanet_odm/test_wheel.py looks).
MISSING = ("lxml", "markupsafe", "jinja2")  # jinja2 after what it needs
# Dataflow's workers: the stock image is based on Debian 12 (glibc 2.36). For a pure Python wheel pip ignores them.
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_26_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_BUILD_FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")


def build_worker_wheels(folder: Path, *, root: Path = CHECKOUT) -> list[Path]:
    """Makes the wheels for workers on Beam's stock image, in the order in which they must be installed.

    Args:
      folder: for the wheels; its earlier content is deleted.
      root: a checkout of this repository; nothing is written there.

    Raises:
      UsageError: pip cannot make one.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return [*(_download(name, folder / name) for name in MISSING), build_wheel(folder / "ours", root=root)]


def build_wheel(folder: Path, *, root: Path = CHECKOUT) -> Path:
    """Builds this repository's wheel into a folder and returns its path.

    It is built from a copy: setuptools leaves its own files beside the sources, and picks up stale ones there.

    Raises:
      UsageError: root is no checkout of this repository, or pip cannot build the wheel.
    """
    missing = [name for name in _BUILD_FILES if not (root / name).is_file()]
    if missing:
        raise UsageError(f"run this from a checkout of the repository: there is no {missing[0]} in {root}")
    with tempfile.TemporaryDirectory() as copied:
        _copy_sources(root, Path(copied))
        options = ["--no-deps", "--no-build-isolation", "--no-cache-dir", f"--wheel-dir={folder}", copied]
        return _pip("wheel", options, folder)


def _copy_sources(root: Path, copied: Path) -> None:
    packages = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    for name in _BUILD_FILES:
        shutil.copy(root / name, copied / name)
    for name in sorted({package.partition(".")[0] for package in packages}):
        shutil.copytree(root / name, copied / name, ignore=shutil.ignore_patterns("__pycache__"))


def _download(name: str, folder: Path) -> Path:
    """Downloads the version that is installed here, for workers: this machine may be of another kind."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    platforms = [f"--platform={platform}" for platform in _PLATFORMS]
    options = ["--no-deps", "--only-binary=:all:", f"--python-version={version}", *platforms, f"--dest={folder}"]
    return _pip("download", [*options, f"{name}=={importlib.metadata.version(name)}"], folder)


def _pip(command: str, options: list[str], folder: Path) -> Path:
    """Runs pip and returns the one wheel that it put into a folder."""
    pip = [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise UsageError(f"cannot make the wheels: pip {command} {options[-1]}: {lines[-1]}")
    (wheel,) = folder.glob("*.whl")
    return wheel
