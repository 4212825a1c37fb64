"""A package index of one folder, so that pip needs no network."""

import importlib.metadata
import sys
import zipfile
from pathlib import Path


def write_index(folder: Path) -> None:
    """Empty wheels of lxml, of the version installed here: one for Dataflow's workers, one for another machine."""
    version = importlib.metadata.version("lxml")
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    for platform in ("manylinux_2_26_x86_64.manylinux_2_28_x86_64", "macosx_11_0_arm64"):
        info = f"lxml-{version}.dist-info"
        files = {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: lxml\nVersion: {version}\n",
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {python}-{python}-{platform}\n",
        }
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(folder / f"lxml-{version}-{python}-{python}-{platform}.whl", "w") as wheel:
            for name, text in files.items():
                wheel.writestr(name, text)
            wheel.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]))
