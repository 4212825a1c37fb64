"""The script that tests every Python that is installed: what it reports, and when it fails."""

import shutil
import subprocess
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[2] / "scripts" / "test_pythons.sh"
# Python 3.13 is not installed, the tests of 3.12 fail, and the installations for 3.10 and 3.9 fail.
_SETUP = """#!/bin/bash
case "$PYTHON" in 3.13) exit 2 ;; 3.10) exit 1 ;; 3.9) mkdir .venv; exit 2 ;; esac
mkdir -p .venv/bin
printf '#!/bin/bash\\necho "tested in $PWD"; test -e unsaved.txt && test %s != 3.12\\n' "$PYTHON" > .venv/bin/pytest
chmod +x .venv/bin/pytest
"""
OUTCOMES = [
    ("one that passes", ["3.11"], ["3.11: passed"], 0),
    ("one that is not installed beside it", ["3.11", "3.13"], ["3.11: passed", "3.13: not installed"], 0),
    ("one fails, the next is tested all the same", ["3.12", "3.11"], ["3.12: FAILED", "3.11: passed"], 1),
    ("the installation fails", ["3.10", "3.11"], ["3.10: FAILED", "3.11: passed"], 1),
    ("the installation fails with uv's status", ["3.9", "3.11"], ["3.9: FAILED", "3.11: passed"], 1),
    ("none is installed: nothing was tested", ["3.13"], ["3.13: not installed"], 1),
    ("all by default", [], ["3.11: passed", "3.12: FAILED", "3.13: not installed"], 1),
]


@pytest.mark.parametrize(
    ("versions", "lines", "status"), [row[1:] for row in OUTCOMES], ids=[row[0] for row in OUTCOMES]
)
def test_each_version_is_reported(tmp_path: Path, versions: list[str], lines: list[str], status: int) -> None:
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    shutil.copy(_SCRIPT, scripts)
    (scripts / "setup.sh").write_text(_SETUP)
    (scripts / "setup.sh").chmod(0o755)
    (tmp_path / "unsaved.txt").touch()  # what is not committed is tested, too
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    done = subprocess.run([scripts / _SCRIPT.name, *versions], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert done.stdout.splitlines()[-len(lines) :] == [f"Python {line}" for line in lines]
    folders = [line.removeprefix("tested in ") for line in done.stdout.splitlines() if line.startswith("tested in")]
    assert not any(Path(folder).exists() for folder in folders)
    assert not (tmp_path / ".venv").exists()
