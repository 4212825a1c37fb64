"""The workflows of GitHub and the Dev Container, without running them: they name existing files and tested Pythons."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if text.startswith("Programming Language")]


def _jobs(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())["jobs"]


def _commands(path: Path) -> str:
    steps = [step for job in _jobs(path.name).values() for step in job["steps"]]
    return "\n".join(step.get("run", "") for step in steps)


def test_there_is_a_workflow_for_tests_and_one_for_releases() -> None:
    assert [path.name for path in WORKFLOWS] == ["release.yml", "tests.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_the_files_in_the_commands_exist(path: Path) -> None:
    named = re.findall(r"(?:tests|scripts|retinanet_odm)/[\w/.]+|requirements\.lock", _commands(path))
    assert named and [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_has_no_more_rights_than_it_needs(path: Path) -> None:
    assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}
    rights = {name: job["permissions"] for name, job in _jobs(path.name).items() if "permissions" in job}
    assert rights == ({"publish": {"id-token": "write"}} if path.name == "release.yml" else {})
    assert "secrets." not in path.read_text(), "PyPI trusts the workflow: there is no password"


def test_every_system_is_tested_with_every_python() -> None:
    jobs = _jobs("tests.yml")
    assert [jobs[name]["strategy"]["matrix"]["python"] for name in ("linux", "systems")] == [PYTHONS, PYTHONS]
    systems = jobs["systems"]["strategy"]["matrix"]["system"]
    assert {system.partition("-")[0] for system in systems} == {"macos", "windows"}


def test_a_release_is_tested_and_has_the_version_of_its_tag() -> None:
    jobs = _jobs("release.yml")
    assert jobs["publish"]["needs"] == "build"
    commands = _commands(ROOT / ".github" / "workflows" / "release.yml")
    assert "scripts/test_wheel.sh" in commands and "GITHUB_REF_NAME" in commands
    assert re.search(r'^__version__ = "\d+\.\d+\.\d+"$', (ROOT / "retinanet_odm/__init__.py").read_text(), re.MULTILINE)


def test_the_dev_container_has_a_tested_python_and_runs_our_setup() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["image"].rpartition(":")[2] == PYTHONS[-1]
    assert container["postCreateCommand"].startswith("scripts/setup.sh ")


@pytest.mark.skipif(not shutil.which("actionlint"), reason="actionlint is not installed; see CONTRIBUTING.md")
def test_actionlint_finds_nothing() -> None:
    done = subprocess.run(["actionlint", *WORKFLOWS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
