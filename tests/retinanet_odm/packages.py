"""A package index of one folder, so that pip needs no network."""

import importlib.metadata
import sys
import zipfile
from pathlib import Path

from retinanet_odm.wheel import MISSING

PURE = {"jinja2", "filelock", "argcomplete", "tqdm"}
_PYTHON = f"cp{sys.version_info.major}{sys.version_info.minor}"
_TAGS = [
    f"{_PYTHON}-{_PYTHON}-{platform}"
    for platform in ("manylinux_2_26_x86_64.manylinux_2_28_x86_64", "macosx_11_0_arm64")
]


def write_index(folder: Path) -> None:
    """Writes empty wheels of the MISSING packages, of the versions installed here.

    A package has a wheel for Dataflow's workers and one for another machine; those in pure Python have one for all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in MISSING:
        for tag in ["py3-none-any"] if name in PURE else _TAGS:
            _write_wheel(folder, name, importlib.metadata.version(name), tag)


def _write_wheel(folder: Path, name: str, version: str, tag: str) -> None:
    info = f"{name}-{version}.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: {str(tag.endswith('any')).lower()}\nTag: {tag}\n",
    }
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as wheel:
        for member, text in files.items():
            wheel.writestr(member, text)
        wheel.writestr(f"{info}/RECORD", "".join(f"{member},,\n" for member in [*files, f"{info}/RECORD"]))
