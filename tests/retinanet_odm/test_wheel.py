"""The wheels that workers on Beam's stock image install without internet access."""

import importlib.metadata
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from retinanet_odm.errors import UsageError
from retinanet_odm.wheel import MISSING, build_wheel, build_worker_wheels
from tests.retinanet_odm.packages import PURE, write_index

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _brought_by(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> set[str]:
    """Names of a package and of all that it needs, by the metadata of what is installed here."""
    if (name, extras) in seen:
        return set()
    seen.add((name, extras))
    found = {name}
    try:
        texts = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return found  # of another platform
    for requirement in map(Requirement, texts):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in (*extras, "")):
            found |= _brought_by(canonicalize_name(requirement.name), frozenset(requirement.extras), seen)
    return found


def test_the_wheels_are_all_that_the_stock_image_lacks():
    """The image holds apache-beam[gcp] with all that it needs; pip must find nothing else missing."""
    brought = _brought_by("apache-beam", frozenset({"gcp"}), set())
    needed = {canonicalize_name(Requirement(text).name) for text in PROJECT["project"]["dependencies"]}
    assert needed - brought == set(MISSING)


def test_the_search_for_dependencies_finds_missing_ones():
    assert "lxml" not in _brought_by("apache-beam", frozenset({"gcp"}), set()) >= {"pillow", "google-cloud-storage"}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    write_index(folder)
    return folder


@pytest.fixture
def only_index(monkeypatch, index: Path) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))


@pytest.mark.usefixtures("only_index")
def test_wheels_for_the_workers_and_then_ours_with_every_module(tmp_path):
    folder = tmp_path / "wheels"
    (folder / "old").mkdir(parents=True)
    (folder / "old" / "retinanet_odm-0.0.0-py3-none-any.whl").touch()
    *missing, ours = build_worker_wheels(folder, root=ROOT)
    assert [path.name.partition("-")[0] for path in missing] == list(MISSING)
    assert ["manylinux" in path.name for path in missing] == [name not in PURE for name in MISSING]
    assert sorted(folder.rglob("*.whl")) == sorted([*missing, ours]), "nothing of an earlier time"
    inside = {name for name in zipfile.ZipFile(ours).namelist() if ".dist-info/" not in name}
    packages = [ROOT / name.replace(".", "/") for name in PROJECT["tool"]["setuptools"]["packages"]]
    modules = {path.relative_to(ROOT).as_posix() for package in packages for path in package.glob("*.py*")}
    folders = ("retinanet_odm/reports/templates", "inference/review_page/static")
    data = {path.relative_to(ROOT).as_posix() for folder in folders for path in (ROOT / folder).iterdir()}
    typed = {f"{program}/py.typed" for program in ("retinanet_odm", "trainer", "inference")}
    assert inside == {*modules, *data, *typed, "retinanet_odm/dataset/example.proto"}


def test_a_package_that_cannot_be_downloaded_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UsageError, match=r"pip download lxml==.*No matching distribution") as caught:
        build_worker_wheels(tmp_path / "wheels", root=ROOT)
    assert "\n" not in str(caught.value)


def test_the_wheel_holds_the_packages_and_no_tests(tmp_path):
    names = set(zipfile.ZipFile(build_wheel(tmp_path)).namelist())
    assert {"trainer/tpu/supervisor.py", "trainer/main.py", "retinanet_odm/dataset/examples.py"} <= names
    assert not [name for name in names if name.startswith("tests")]


def test_without_a_checkout_there_is_nothing_to_copy(tmp_path):
    with pytest.raises(UsageError, match="from a checkout"):
        build_wheel(tmp_path, root=tmp_path / "nowhere")
