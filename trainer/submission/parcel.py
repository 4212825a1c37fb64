"""What is copied to the TPU VM: the wheel of this package and the lock file."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from detection.errors import UsageError
from trainer.submission.commands import LOCK_FILE

ROOT = Path(__file__).parents[2]
_NEEDED = ("pyproject.toml", "setup.py", "README.md", "LICENSE")


def pack(folder: Path, root: Path = ROOT) -> tuple[Path, Path]:
    """Builds the wheel below an empty folder; returns it and the lock file.

    It is built of a copy: setuptools leaves folders behind, and takes modules from them that are no longer there.

    Raises:
      UsageError: there is no checkout of the repository, or the wheel cannot be built.
    """
    missing = [name for name in (*_NEEDED, LOCK_FILE) if not (root / name).is_file()]
    if missing:
        raise UsageError(f"run this from a checkout of the repository: there is no {missing[0]} in {root}")
    source = folder / "source"
    source.mkdir()
    for name in _NEEDED:
        shutil.copy(root / name, source)
    packages = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    for name in sorted({package.partition(".")[0] for package in packages}):
        shutil.copytree(root / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*build, f"--wheel-dir={folder}", str(source)], capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        told = [line for line in done.stderr.splitlines() if line.strip()]
        raise UsageError(f"the wheel cannot be built: {told[-1] if told else 'pip wheel made none'}")
    return wheels[0], root / LOCK_FILE
