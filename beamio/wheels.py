"""The wheels that workers of `prepare` install: ours, and what Beam's stock image lacks. So they need no internet."""

import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from detection.errors import UsageError

# Of what pyproject.toml asks for, what Beam itself does not bring (tests/beamio/test_wheels.py looks).
MISSING = ("lxml",)
# Dataflow's workers; the stock image stands on Debian 12 (glibc 2.36). pip takes none of these for another.
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_26_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_TEXTS = ("pyproject.toml", "setup.py", "README.md", "LICENSE")


def build_wheels(root: Path, folder: Path) -> list[Path]:
    """Makes the wheels, in the order in which workers must install them.

    Args:
      root: of a checkout of this repository; nothing is written there.
      folder: for the wheels; what lay there is deleted.

    Raises:
      UsageError: pip cannot make one.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wheels = [_download(name, folder / name) for name in MISSING]
    with tempfile.TemporaryDirectory() as copied:
        _copy_sources(root, Path(copied))
        options = ["--no-deps", "--no-build-isolation", "--no-cache-dir", f"--wheel-dir={folder / 'ours'}", copied]
        return [*wheels, _pip("wheel", options, folder / "ours")]


def _copy_sources(root: Path, copied: Path) -> None:
    """What the wheel is made of; setuptools leaves its own files beside it, and would take up stale ones."""
    packages = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    for name in _TEXTS:
        shutil.copy(root / name, copied / name)
    for name in sorted({package.partition(".")[0] for package in packages}):
        shutil.copytree(root / name, copied / name, ignore=shutil.ignore_patterns("__pycache__"))


def _download(name: str, folder: Path) -> Path:
    """The version that is installed here, for workers: this machine may be another kind."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    platforms = [f"--platform={platform}" for platform in _PLATFORMS]
    options = ["--no-deps", "--only-binary=:all:", f"--python-version={version}", *platforms, f"--dest={folder}"]
    return _pip("download", [*options, f"{name}=={importlib.metadata.version(name)}"], folder)


def _pip(command: str, options: list[str], folder: Path) -> Path:
    """The one wheel that pip puts into a folder."""
    pip = [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise UsageError(f"cannot make the wheels for the workers: pip {command} {options[-1]}: {said[-1]}")
    (wheel,) = folder.glob("*.whl")
    return wheel
