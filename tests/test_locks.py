"""The lock files pin what pyproject.toml asks for, on each system and Python version."""

import itertools
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ("3.11", "3.12", "3.13")
_LINUX = {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux"}
SYSTEMS = {
    "Linux": {**_LINUX, "platform_machine": "x86_64"},
    "Linux on Arm": {**_LINUX, "platform_machine": "aarch64"},
    "macOS": {"sys_platform": "darwin", "os_name": "posix", "platform_system": "Darwin", "platform_machine": "arm64"},
    "Windows": {"sys_platform": "win32", "os_name": "nt", "platform_system": "Windows", "platform_machine": "AMD64"},
}
MACHINES = list(itertools.product(SYSTEMS, PYTHONS))


def _environment(system: str, python: str) -> dict[str, str]:
    return {**SYSTEMS[system], "python_version": python, "python_full_version": f"{python}.1", "extra": ""}


def _locked(name: str, environment: dict[str, str]) -> dict[str, str]:
    """Return the pinned version of each package for a machine."""
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    pinned = [pin for pin in map(Requirement, lines) if pin.marker is None or pin.marker.evaluate(environment)]
    names = [canonicalize_name(pin.name) for pin in pinned]
    assert len(names) == len(set(names)), "a package is pinned once"
    return {name: str(pin.specifier).removeprefix("==") for name, pin in zip(names, pinned, strict=True)}


def _asked(extras: tuple[str, ...]) -> Iterator[Requirement]:
    """Yield our dependencies with those of the extras, and of the extras that these name."""
    own = [text for extra in extras for text in PROJECT["optional-dependencies"][extra]]
    for requirement in map(Requirement, own):
        if requirement.name == PROJECT["name"]:
            yield from _asked(tuple(requirement.extras))
        else:
            yield requirement
    yield from map(Requirement, PROJECT["dependencies"])


@pytest.mark.parametrize(("system", "python"), MACHINES)
def test_the_lock_file_pins_what_is_asked_for(system: str, python: str) -> None:
    environment = _environment(system, python)
    locked = _locked("requirements.lock", environment)
    for requirement in _asked(("cpu", "imagenet", "onnx", "cvat", "label-studio", "dev")):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), requirement
    assert len({name for name in locked if name in {"tensorflow", "tensorflow-cpu"}}) == 1, "they share one folder"


def test_the_lock_file_of_the_tpu_has_the_tested_versions() -> None:
    environment = _environment("Linux", "3.11")
    here, there = _locked("requirements.lock", environment), _locked("requirements-tpu.lock", environment)
    for requirement in _asked(("tpu", "imagenet")):
        assert requirement.specifier.contains(there[canonicalize_name(requirement.name)]), requirement
    assert {name for name in there if name.startswith("tensorflow")} == {"tensorflow-tpu"}, (
        "two TensorFlows would share one folder"
    )
    other = {name for name in there if name in here and here[name] != there[name]}
    assert other == {"tensorboard"}, "tensorboard follows TensorFlow; the other versions are the tested ones"


def test_the_lock_file_of_the_tpu_for_xla_has_jax_beside_tensorflow_for_the_cpu() -> None:
    environment = _environment("Linux", "3.11")
    here, there = _locked("requirements.lock", environment), _locked("requirements-tpu-xla.lock", environment)
    for requirement in _asked(("cpu", "xla-tpu", "imagenet")):
        assert (
            requirement.marker is not None and not requirement.marker.evaluate(environment)
        ) or requirement.specifier.contains(there[canonicalize_name(requirement.name)]), requirement
    assert {name for name in there if name.startswith("tensorflow")} == {"tensorflow-cpu"}
    assert there["libtpu"].startswith("0.0.42"), "jax[tpu] asks for it"
    assert {name for name in there if name in here and here[name] != there[name]} == set(), "all are the tested ones"


def test_the_supported_pythons_are_the_same_everywhere() -> None:
    listed = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if text.startswith("Programming Language")]
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
    assert tuple(listed) == PYTHONS
    assert f"supported=({' '.join(reversed(PYTHONS))})" in (ROOT / "scripts" / "setup.sh").read_text()
