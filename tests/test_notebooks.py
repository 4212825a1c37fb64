"""The notebooks of the guides run from top to bottom, show what they promise, and are stored without outputs."""

import json
import os
import re
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from retinanet_odm.samples.files import make_zip, sample_files
from tests.guides import pages
from tests.guides.flags import known_flags
from tests.guides.rules import rule_of
from tests.guides.sandbox import SMALL

DOCS = pages.ROOT / "docs"
NOTEBOOKS = sorted(path.name for path in DOCS.glob("*.ipynb"))


def _read(name: str) -> NotebookNode:
    return nbformat.read(DOCS / name, as_version=4)


def _sources(name: str, kind: str, *, tag: str = "") -> list[str]:
    """Returns the cells of a kind, or those that have a tag."""
    cells = [cell for cell in _read(name).cells if cell.cell_type == kind]
    return [cell.source for cell in cells if not tag or tag in cell.metadata.get("tags", ())]


def _commands(name: str) -> list[str]:
    """Returns the commands of a notebook, each in one line."""
    cells = [source for source in _sources(name, "code") if source.startswith("%%bash\n")]
    return [line for cell in cells for line in cell.replace("\\\n", " ").splitlines()[1:]]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_stored_without_outputs(name: str) -> None:
    notebook = _read(name)
    nbformat.validate(notebook)
    assert [cell.source for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")] == []
    assert notebook.metadata.kernelspec.name == "python3"
    # The first cell installs, and is skipped where everything is installed.
    assert _sources(name, "code", tag="skip-execution") == _sources(name, "code")[:1]
    assert _sources(name, "code")[0].splitlines()[-1].startswith("%pip install ")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_commands_links_and_flags_exist(name: str) -> None:
    commands = [command for command in _commands(name) if command.startswith("python -m ")]
    assert len(commands) >= 4
    assert [command for command in commands if not (rule_of(command) or "retinanet_odm.samples" in command)] == []
    named = {flag for command in commands for flag in re.findall(r" --(\w+)", command)}
    assert named - known_flags() - {"images"} == set()
    text = "\n".join(_sources(name, "markdown"))
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    assert links and [link for link in links if not (DOCS / link).exists()] == []


@pytest.mark.long
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_runs_from_top_to_bottom(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The commands of the cells are those of this environment, wherever the notebook is.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{pages.ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    notebook, settings = _read(name), _SHORT[name]
    if "EXPORTS" in settings:
        _write_exports(tmp_path)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    assert set(settings) <= set(re.findall(r'"([A-Z]+)":', cell.source))
    cell.source += f"\nos.environ |= {settings}"
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = Counter(kind for output in outputs for kind in output.get("data", {}))
    assert (shown["image/png"], shown["text/html"]) == _SHOWN[name], "images, curves and tables"
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "error:" not in printed and "AP50" in printed
    summary = json.loads((tmp_path / "OUT/summary.json").read_text())
    assert summary["images"] == (60 if "IMAGES" in settings else 3) and (tmp_path / "OUT/cvat.xml").exists()


# A training of seconds, as in the guides; it has learned nothing.
_FLAGS = {"EPOCHS": "1", "FLAGS": " ".join(flag for flag in SMALL if not flag.startswith("--num_epochs"))}
_SHORT = {
    "own_cvat_export.ipynb": {"EXPORTS": "EXPORTS/*.zip", "NEW": "archive.zip", **_FLAGS},
    "tutorial.ipynb": {"IMAGES": "60", **_FLAGS},
}
_SHOWN = {"own_cvat_export.ipynb": (2, 1), "tutorial.ipynb": (7, 2)}  # images, tables


def _write_exports(folder: Path) -> None:
    """Writes an export of a CVAT task, as it is downloaded, and an archive of new images."""
    files = dict(sample_files(images=40, archive_images=3))
    images = [(name, data) for name, data in files.items() if name.startswith("images/")]
    export = [*images, ("annotations.xml", files["cvat/annotations.xml"])]
    (folder / "EXPORTS").mkdir()
    (folder / "EXPORTS" / "task_1.zip").write_bytes(make_zip(iter(export)))
    (folder / "archive.zip").write_bytes(files["archive.zip"])
