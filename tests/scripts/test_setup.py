"""The script that creates the environment: which Python it takes, with which installer, and when it installs again."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[2] / "scripts" / "setup.sh"
# Stands for an interpreter: tells its version, "creates" an environment with itself, and notes what pip should install.
_PYTHON = f"""#!/bin/bash
case "$*" in
  *"import pip"*) ;;
  *"import hashlib"*) exec {sys.executable} "$@" ;;
  *"import ctypes"*) echo "$VERSION" ;;
  "-m venv --clear .venv") rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  "-m pip install"*) echo "pip $VERSION ${{*: -2}}" >> installs ;;
  *) exit 9 ;;
esac
"""
_UV = """#!/bin/bash
case "$*" in
  venv*) echo "${*: -2:1}" >> pythons; mkdir -p .venv/bin; cp "$(command -v "${*: -2:1}")" .venv/bin/python ;;
  "pip install"*) echo "uv ${*: -2}" >> installs ;;
  *) exit 9 ;;
esac
"""
_FAILING = "#!/bin/bash\necho 'pyenv: command not found' >&2\nexit 127\n"


def _command(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class _Checkout:
    """A checkout with nothing but the script and the files that it reads, and the commands that are to be found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _command(folder / "scripts" / "setup.sh", _SCRIPT.read_text())
        (folder / "requirements.lock").write_text("six==1.17.0\n")
        (folder / "pyproject.toml").write_text("")
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name in ("bash", "cat", "cp", "dirname", "mkdir", "rm", "touch"):
            (self.bin / name).symlink_to(shutil.which(name) or name)

    def add_python(self, path: str, version: str) -> None:
        _command(self.folder / path, _PYTHON.replace("$VERSION", version))

    def run(self, **environment: str) -> "subprocess.CompletedProcess[str]":
        found = {"PATH": str(self.bin), "HOME": str(self.folder / "home"), **environment}
        script = self.folder / "scripts" / "setup.sh"
        return subprocess.run([script], env=found, capture_output=True, text=True, check=False)

    def installs(self) -> list[str]:
        """What was installed since the last call."""
        noted = self.folder / "installs"
        lines = noted.read_text().splitlines() if noted.exists() else []
        noted.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> _Checkout:
    return _Checkout(tmp_path)


def _installed(version: str) -> list[str]:
    return [f"pip {version} --requirement requirements.lock", f"pip {version} --editable ."]


PYTHONS = [
    ("Debian 12", {"bin/python3.11": "3.11", "bin/python3": "3.11"}, "3.11"),
    ("Ubuntu 24.04", {"bin/python3.12": "3.12", "bin/python3": "3.12"}, "3.12"),
    ("the newest of several", {"bin/python3.11": "3.11", "bin/python3.13": "3.13", "bin/python3.12": "3.12"}, "3.13"),
    ("one that is too new, and one that is not", {"bin/python3": "3.14", "bin/python3.12": "3.12"}, "3.12"),
    ("only the general name", {"bin/python3": "3.13"}, "3.13"),
    ("without a 3 in the name", {"bin/python": "3.12"}, "3.12"),
    ("pyenv's shims fail", {"bin/python3.13": "", "bin/python3.12": "", "bin/python3.11": "3.11"}, "3.11"),
    ("pyenv's versions", {"bin/python3.11": "3.11", "home/.pyenv/versions/3.13.0/bin/python": "3.13"}, "3.13"),
    ("no free-threaded build: it has no wheels", {"home/.pyenv/versions/3.13.0t/bin/python": "3.13"}, None),
    ("too old", {"bin/python3": "3.9"}, None),
    ("none", {}, None),
]


@pytest.mark.parametrize(("pythons", "taken"), [row[1:] for row in PYTHONS], ids=[row[0] for row in PYTHONS])
def test_the_newest_python_that_runs_is_taken(checkout: _Checkout, pythons: dict[str, str], taken: str | None) -> None:
    for path, version in pythons.items():
        if version:
            checkout.add_python(path, version)
        else:
            _command(checkout.folder / path, _FAILING)
    done = checkout.run()
    if taken is None:
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "Python 3.11, 3.12 or 3.13 with its module venv is needed; on Debian" in done.stderr
        assert not (checkout.folder / ".venv").exists()
    else:
        assert (done.returncode, checkout.installs()) == (0, _installed(taken)), done.stderr


def test_it_installs_again_when_something_changed(checkout: _Checkout) -> None:
    for version in ("3.11", "3.12"):
        checkout.add_python(f"bin/python{version}", version)
    assert checkout.run().returncode == 0
    assert checkout.installs() == _installed("3.12")
    assert checkout.run().returncode == 0
    assert checkout.installs() == [], "nothing changed"
    assert checkout.run(PYTHON="python3.11").returncode == 0
    assert checkout.installs() == _installed("3.11"), "another Python is asked for"
    assert checkout.run(PYTHON="3.12").returncode == 0
    assert checkout.installs() == _installed("3.12"), "and another, by its version"
    assert checkout.run(PYTHON="3.11").returncode == 0
    assert checkout.installs() == _installed("3.11")
    assert checkout.run().returncode == 0
    assert checkout.installs() == [], "an environment that works is kept, also with an older Python"
    (checkout.folder / "requirements.lock").write_text("six==1.16.0\n")
    assert checkout.run().returncode == 0
    assert checkout.installs() == _installed("3.11"), "another lock file"
    _command(checkout.folder / ".venv/bin/python", _FAILING)
    assert checkout.run().returncode == 0
    assert checkout.installs() == _installed("3.12"), "the Python of the environment is gone, as after an upgrade"


@pytest.mark.parametrize("asked", ["python3.9", "3.9", "3.13", "/nowhere/python"])
def test_a_python_that_is_asked_for_must_fit(checkout: _Checkout, asked: str) -> None:
    checkout.add_python("bin/python3.12", "3.12")
    checkout.add_python("bin/python3.9", "3.9")
    done = checkout.run(PYTHON=asked)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"Python 3.11, 3.12 or 3.13 with its module venv is needed, not {asked}" in done.stderr


def test_an_installation_that_failed_is_not_taken_for_complete(checkout: _Checkout) -> None:
    broken = _PYTHON.replace("$VERSION", "3.12").replace('"-m pip install"*)', '"-m pip install"*) exit 1;;\n  never)')
    _command(checkout.bin / "python3.12", broken)
    assert checkout.run().returncode == 1
    assert not list((checkout.folder / ".venv").glob("installed-*"))


def test_uv_is_used_where_it_is_installed(checkout: _Checkout) -> None:
    checkout.add_python("bin/python3.12", "3.12")
    _command(checkout.bin / "uv", _UV)
    assert checkout.run().returncode == 0
    assert checkout.installs() == ["uv --requirement requirements.lock", "uv --editable ."]
    assert (checkout.folder / "pythons").read_text() == "python3.12\n"
    assert checkout.run().returncode == 0
    assert checkout.installs() == []
