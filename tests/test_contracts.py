"""Who may import whom: by import-linter on the source, and by what a fresh interpreter really loads."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_import_linter_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _modules(package: str) -> list[str]:
    """Every module of a package by name, but not __main__, which would run."""
    paths = sorted((ROOT / package).rglob("*.py"))
    parts = [path.relative_to(ROOT).with_suffix("").parts for path in paths if path.name != "__main__.py"]
    return [".".join(part for part in names if part != "__init__") for names in parts]


def _loaded(modules: list[str], heavy: set[str]) -> list[str]:
    """Which of the heavy packages a fresh interpreter holds after importing these modules."""
    script = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print(*sorted(name for name in {sorted(heavy)!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


# Not absl: apache_beam itself imports it; that our Beam programs do not is import-linter's to say.
_TENSORFLOW = {"tensorflow", "keras", "pycocotools", "tensorboard"}


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        pytest.param(
            "detection", {"apache_beam", "google.cloud.storage", "absl", *_TENSORFLOW}, id="detection: values only"
        ),
        pytest.param("evaluation", {"apache_beam", *_TENSORFLOW}, id="evaluation: pycocotools only once it is called"),
        pytest.param("buckets", {"apache_beam", *_TENSORFLOW}, id="buckets: for the trainer too"),
        pytest.param("beamio", _TENSORFLOW, id="beamio: light workers"),
        pytest.param("beam_jobs", _TENSORFLOW, id="beam_jobs: light workers on the stock image"),
        pytest.param("trainer", {"apache_beam"}, id="trainer: no Beam on a TPU machine"),
        pytest.param("inference", _TENSORFLOW, id="inference: TensorFlow only once a model is loaded"),
    ],
)
def test_importing_every_module_loads_nothing_heavy(package: str, forbidden: set[str]) -> None:
    assert _loaded(_modules(package), forbidden) == []


def test_the_probe_sees_what_is_loaded() -> None:
    """A test that finds nothing must be able to find something."""
    assert _loaded(["retinanet_odm.boxes"], {"numpy", "tensorflow"}) == ["numpy"]
