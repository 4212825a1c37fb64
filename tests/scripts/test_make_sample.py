"""The script that writes the sample data set."""

import subprocess
import sys
from pathlib import Path

_SCRIPT = Path(__file__).parents[2] / "scripts" / "make_sample.py"


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, str(_SCRIPT), *arguments], capture_output=True, text=True, check=False)


def test_the_script_writes_confirms_and_refuses(tmp_path: Path) -> None:
    out = tmp_path / "sample"
    small = ["--images=1", "--archive_images=0"]
    assert _run(str(out), *small).returncode == 0
    assert len(list((out / "images").iterdir())) == 1
    (image,) = (out / "images").iterdir()
    before, written = image.stat().st_mtime_ns, image.read_bytes()
    (out / "cvat" / "annotations.xml").write_text("corrupt")
    assert _run(str(out), *small).returncode == 0
    assert image.stat().st_mtime_ns == before, "a file that is right is left alone"
    assert image.read_bytes() == written
    assert (out / "cvat" / "annotations.xml").read_bytes().startswith(b"<?xml")
    other = _run(str(out), "--images=2")
    assert (other.returncode, other.stderr.count("\n")) == (2, 1)
    assert "another sample" in other.stderr


def test_the_script_touches_no_folder_that_is_not_a_sample(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    refused = _run(str(tmp_path))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert str(tmp_path) in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_help() -> None:
    shown = _run("--help")
    assert shown.returncode == 0
    assert "--archive_images" in shown.stdout
