"""The layout of the code and its tests: who may import whom, what an import loads, one module for each public name."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("retinanet_odm", "beam_jobs", "trainer", "inference")


def test_import_linter_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _sources(package: str) -> list[Path]:
    """Returns the source files of a package, or of one module, by its path with dots."""
    path = ROOT.joinpath(*package.split("."))
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def _modules(*packages: str, without: tuple[str, ...] = ()) -> list[str]:
    """Returns the names of all modules of some packages, except __main__, which would run."""
    paths = [path.relative_to(ROOT).with_suffix("") for package in packages for path in _sources(package)]
    names = [".".join(part for part in path.parts if part != "__init__") for path in paths if path.name != "__main__"]
    return [name for name in names if not any(f"{name}.".startswith(f"{prefix}.") for prefix in without)]


def _loaded(modules: list[str], heavy: set[str]) -> list[str]:
    """Returns the heavy packages that a fresh interpreter holds after it has imported some modules."""
    script = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print(*sorted(name for name in {sorted(heavy)!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


_TENSORFLOW = {"tensorflow", "keras", "pycocotools", "tensorboard"}
# The only modules of the library that may load Beam.
_BEAM = ("retinanet_odm.beam", "retinanet_odm.dataflow.job_main")
# Bytes and values only: no storage, no cloud.
_PURE_ROOMS = tuple(
    f"retinanet_odm.{room}"
    for room in (
        *("annotations", "boxes", "csv_tables", "dataset", "errors", "evaluation", "exported_model", "imaging"),
        *("json_documents", "labels", "lazy_exports", "pickling", "predictions", "reports", "samples", "wording"),
    )
)

IMPORTS = [
    pytest.param(
        _modules("retinanet_odm", without=_BEAM), {"apache_beam", "absl", *_TENSORFLOW}, id="library: no Beam, no TF"
    ),
    pytest.param(_modules(*_PURE_ROOMS), {"google.cloud.storage", "urllib3"}, id="pure rooms: no cloud"),
    pytest.param(_modules(*_BEAM), _TENSORFLOW, id="Beam and Dataflow: light workers"),  # Beam itself imports absl
    pytest.param(_modules("beam_jobs"), _TENSORFLOW, id="beam_jobs: light workers on the stock image"),
    pytest.param(_modules("trainer"), {"apache_beam"}, id="trainer: no Beam on a TPU VM"),
    pytest.param(
        ["inference", "trainer", "beam_jobs", "retinanet_odm.annotations"],
        {"numpy", "PIL", "lxml", "apache_beam", *_TENSORFLOW},
        id="what Python programs import: nothing until it is used",
    ),
    pytest.param(_modules("inference"), _TENSORFLOW, id="inference: TensorFlow only once a model is loaded"),
]


@pytest.mark.parametrize(("modules", "forbidden"), IMPORTS)
def test_importing_every_module_loads_nothing_heavy(modules: list[str], forbidden: set[str]) -> None:
    assert len(modules) > 1 and _loaded(modules, forbidden) == []


def test_the_probe_sees_what_is_loaded() -> None:
    """A test that finds nothing must be able to find something."""
    assert _loaded(["retinanet_odm.boxes"], {"numpy", "tensorflow"}) == ["numpy"]


def test_every_package_is_listed() -> None:
    """setuptools and our builder of wheels read this list: a package that is missing in it would not be installed."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = [path.parent for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")]
    assert sorted(listed) == sorted(".".join(folder.relative_to(ROOT).parts) for folder in folders)
    modules = {".".join(path.parent.relative_to(ROOT).parts) for name in PACKAGES for path in _sources(name)}
    assert modules <= set(listed), "every folder with modules has an __init__.py"


def test_the_public_names_of_a_room_exist() -> None:
    rooms = [name for name in _modules(*PACKAGES) if ROOT.joinpath(*name.split("."), "__init__.py").exists()]
    for room in map(importlib.import_module, rooms):
        missing = [name for name in getattr(room, "__all__", ()) if not hasattr(room, name)]
        assert not missing, room.__name__


def test_a_commit_runs_the_checks_of_the_test_script() -> None:
    hooks = re.findall(r"entry: \.venv/bin/([a-z-]+(?: [a-z]+)?)", (ROOT / ".pre-commit-config.yaml").read_text())
    script = re.findall(r"^(ruff [a-z]+|mypy|lint-imports)\b", (ROOT / "scripts/test.sh").read_text(), re.MULTILINE)
    assert hooks == script != []


# Public names that several modules may define.
_SHARED_NAMES = {
    "main",  # the entry point of a program
}


def _public_names(path: Path) -> Iterator[str]:
    """Yields the public names that a module defines at its top level; imported names are not defined there."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                yield from () if name.startswith("_") else (name,)
            case ast.Assign(targets=targets):
                names = [target.id for target in targets if isinstance(target, ast.Name)]
                yield from (name for name in names if not name.startswith("_"))


def test_one_name_is_one_thing() -> None:
    """A reader who searches for a public name finds one definition."""
    where = defaultdict(list)
    for path in (path for package in PACKAGES for path in _sources(package) if not path.name.endswith("_pb2.py")):
        for name in set(_public_names(path)) - _SHARED_NAMES:
            where[name].append(str(path.relative_to(ROOT)))
    shared = [f"{name}: {' '.join(paths)}" for name, paths in sorted(where.items()) if len(paths) > 1]
    assert not shared, "\n".join(["defined in more than one module:", *shared])


def _is_mirrored(test: Path) -> bool:
    """Whether tests/ROOM/test_NAME.py has a module, package or script ROOM/NAME, or NAME adds an aspect to one."""
    parts = test.stem.removeprefix("test_").split("_")
    names = ["_".join(parts[:count]) for count in range(1, len(parts) + 1)]
    room = ROOT / test.parent.relative_to(ROOT / "tests")
    return any(
        (room / place).exists() for name in names for place in (f"{name}.py", f"{name}.sh", f"{name}/__init__.py")
    )


def test_tests_mirror_the_tree() -> None:
    """Exceptions: tests/*.py check the entire repository; tests/runners runs two programs on other Beam runners."""
    tests = [
        path
        for package in (*PACKAGES, "benchmarks", "scripts")
        for path in (ROOT / "tests" / package).rglob("test_*.py")
    ]
    assert tests and not [str(path.relative_to(ROOT)) for path in tests if not _is_mirrored(path)]
