"""The container images, without building them: they use the tested versions and copy existing files."""

import fnmatch
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CONTAINERS = ROOT / "containers"
DOCKERFILES = sorted(path.name for path in CONTAINERS.glob("*.Dockerfile"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
KEPT = [line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]


def test_there_is_an_image_for_each_use():
    assert DOCKERFILES == ["local.Dockerfile", "prepare.Dockerfile", "score.Dockerfile"]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_uses_the_tested_beam_and_python(name):
    text = (CONTAINERS / name).read_text()
    base = re.findall(r"^FROM (\S+)", text, re.MULTILINE)[-1]
    beam = importlib.metadata.version("apache-beam")
    assert base in {f"apache/beam_python${{PYTHON}}_sdk:{beam}", "python:3.13-slim"}
    for default in re.findall(r"^ARG PYTHON=(\S+)", text, re.MULTILINE):
        assert f"Programming Language :: Python :: {default}" in PROJECT["classifiers"]
        assert default == yaml.safe_load((CONTAINERS / "cloudbuild.yaml").read_text())["substitutions"]["_PYTHON"]
    for launcher in re.findall(r"^FROM gcr.io/dataflow-templates-base/(\S+)", text, re.MULTILINE):
        assert launcher == "python311-template-launcher-base"


@pytest.mark.parametrize("name", DOCKERFILES)
def test_copied_files_exist_and_are_sent(name):
    for source in re.findall(r"^COPY (?!--)(\S+)", (CONTAINERS / name).read_text(), re.MULTILINE):
        assert (ROOT / source).exists()
        assert source == "." or any(fnmatch.fnmatch(source, pattern) for pattern in KEPT)


@pytest.mark.parametrize("name", ["prepare.Dockerfile", "score.Dockerfile"])
def test_the_launcher_finds_its_program(name):
    text = (CONTAINERS / name).read_text()
    (program,) = re.findall(r"^ENV FLEX_TEMPLATE_PYTHON_PY_FILE=(\S+)", text, re.MULTILINE)
    assert re.search(rf"^COPY \S+ {program}$", text, re.MULTILINE)
    assert "ENTRYPOINT" not in text, "Beam's entry point starts the worker"


@pytest.mark.parametrize("name", ["prepare", "score"])
def test_the_launchers_program_ends_with_one_line(name):
    done = subprocess.run(
        [sys.executable, CONTAINERS / f"{name}.py", "--output=gs://b/o"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "--images" in done.stderr and done.stderr.count("\n") == 1


def test_the_images_have_the_tensorflow_of_the_extras():
    text = (CONTAINERS / "score.Dockerfile").read_text()
    extras = PROJECT["optional-dependencies"]
    (on_linux,) = [line.partition(";")[0] for line in extras["cpu"] if "== 'x86_64'" in line]
    assert f"ARG TENSORFLOW={on_linux}\n" in text
    assert f"TENSORFLOW='{extras['gpu'][-1]}'" in text
    build = yaml.safe_load((CONTAINERS / "cloudbuild.yaml").read_text())
    assert build["substitutions"]["_TENSORFLOW"] == on_linux


@pytest.mark.parametrize("name", ["score.Dockerfile", "cloudbuild.yaml"])
def test_the_variant_for_a_tpu_has_the_jax_of_the_extra(name):
    (jax,) = PROJECT["optional-dependencies"]["xla"]
    assert jax.replace("jax==", "jax[tpu]==") in (CONTAINERS / name).read_text()


def test_the_sent_files_are_enough_for_pip():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    needed = {name.partition(".")[0] for name in packages} | {PROJECT["readme"], *PROJECT["license-files"]}
    assert needed | {"pyproject.toml", "setup.py", "requirements.lock"} == set(KEPT) - {"containers/*.py"}


def test_cloud_build_names_existing_files_and_steps_in_order():
    steps = yaml.safe_load((CONTAINERS / "cloudbuild.yaml").read_text())["steps"]
    words = [word for step in steps for word in step["args"]]
    for file in re.findall(r"containers/[\w.-]+", " ".join(words)):
        assert (ROOT / file).is_file()
    seen = {"-"}
    for step in steps:
        assert set(step.get("waitFor", ())) <= seen
        seen.add(step["id"])
