"""The six commands of one machine run where Windows' rules hold (tests/windows), and nothing POSIX-only comes back."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.voc import format_voc
from tests.inference.fake_model import RED, make_image, write_model
from tests.windows.sitecustomize import ATTRIBUTES, MODULES, OURS

ROOT = Path(__file__).parents[1]
WINDOWS = ROOT / "tests" / "windows"
_STEMS = ("Mérou ω 1", "b [2]", "c", "d", "e", "f")


def _like_windows(*words: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Runs Python in a folder under the rules of Windows."""
    more = {
        "RETINANET_ODM_LIKE_WINDOWS": "1",
        "PYTHONPATH": os.pathsep.join(map(str, (WINDOWS, ROOT))),
        "PYTHONWARNDEFAULTENCODING": "1",
        "PYTHONIOENCODING": "cp1252",  # of a pipe in western Europe
    }
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, **more},
        capture_output=True,
        encoding="cp1252",
        check=False,
    )


def _write_input(folder: Path) -> None:
    for name in ("images", "annotations"):
        (folder / name).mkdir()
    for number, stem in enumerate(_STEMS):
        box = (4 + number, 4, 20 + number, 20)
        (folder / "images" / f"{stem}.png").write_bytes(make_image(40, 30, {RED: box}))
        (folder / "images" / "Thumbs.db").touch()
        annotation = ImageAnnotation(
            filename=f"{stem}.png",
            width=40,
            height=30,
            objects=(ObjectAnnotation(label="crab", box=tuple(map(float, box))),),
            source=stem,
        )
        (folder / "annotations" / f"{stem}.xml").write_bytes(format_voc(annotation))


def test_the_commands_run_by_the_rules_of_windows(tmp_path: Path) -> None:
    folder = tmp_path / "Ada Lovelace"
    folder.mkdir()
    _write_input(folder)
    write_model(folder / "model [1]" / "export")
    inputs = ["--images", r"images\*", "--annotations", r"annotations\*.xml"]
    prepare = ["beam_jobs", "prepare", *inputs, "--output", "data\\set\\", "--splits=train=0.5,val=0.5"]
    score = ["inference", "score", "--images", "images", "--model", r"model [1]\export", "--output", r"out\scored"]
    drawn = [rf"images\{_STEMS[0]}.png", r"images\c.png"]
    commands = [
        ["beam_jobs", "check", *inputs, "--output", r"data\set"],
        prepare,
        # Once more, over the files that are there, in processes of their own.
        [*prepare, "--resume", "--direct_running_mode=multi_processing", "--direct_num_workers=2"],
        score,
        [*score, "--tile=64", "--replace", "--formats=counts,report,parquet"],
        ["inference", "convert", r"out\scored", "--formats=csv,counts,coco,cvat,voc,viame,megadetector,parquet,report"],
        ["inference", "evaluate", r"out\scored", "--annotations", r"annotations\*.xml"],
        ["inference", "evaluate", r"out\scored", "--annotations", r"annotations\*.xml"],
        ["inference", "detect", *drawn, "--model", r"model [1]\export", "--draw", r"drawn\copies"],
    ]
    done = _like_windows(str(WINDOWS / "commands.py"), json.dumps(commands), folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("exit status 0") == len(commands)
    assert "\\u03c9" in done.stdout, "what cp1252 cannot encode is escaped"
    made = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert {"data/set/dataset.json", "data/set/check.html", "out/scored/summary.json", "out/scored/voc.zip"} <= made
    assert {"out/scored/evaluation.html", f"drawn/copies/{_STEMS[0]}.png", "drawn/copies/c.png"} <= made
    # The lock's file stays here, because filelock deletes it only where it finds Windows itself.
    assert not [name for name in made if "\\" in name or ".tmp-" in name]
    files = [path for path in folder.joinpath("data/set").rglob("*") if path.suffix in (".json", ".jsonl", ".csv")]
    assert not [path for path in files if b"\\\\" in path.read_bytes()], "names and paths that are written have slashes"


PROBES = [
    ("import fcntl", ModuleNotFoundError, "a module of POSIX"),
    ("import os; os.fork", AttributeError, "a function of POSIX"),
    ("from signal import SIGKILL", ImportError, "a signal of POSIX"),
    ("import pathlib; a = pathlib.Path('a'); a.touch(); a.rename('a')", FileExistsError, "a rename over a file"),
    ("import pathlib; a = pathlib.Path('a'); f = a.open('wb'); a.unlink()", PermissionError, "an open file"),
    ("import pathlib; pathlib.Path('a:b').write_bytes(b'')", OSError, "a colon in a name"),
    ("import pathlib; pathlib.Path('aux.txt').write_bytes(b'')", OSError, "a device"),
    ("import pathlib; pathlib.Path('l').symlink_to('a')", OSError, "a link without rights"),
    ("import pathlib; pathlib.Path('a').open()", EncodingWarning, "text of any encoding"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "error", "reason"), PROBES)
def test_the_rules_of_windows_are_felt(tmp_path: Path, code: str, error: type[Exception], reason: str) -> None:
    """A run that meets no obstacle must be able to meet one."""
    script = f"exec({code!r}, {{'__name__': 'inference.probe'}})"
    done = _like_windows("-c", script, folder=tmp_path)
    assert done.returncode == 1 and f"{error.__name__}" in done.stderr.splitlines()[-1], (reason, done.stderr)


# --- Nothing comes back ---


def test_ruff_refuses_what_only_posix_has(tmp_path: Path) -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    banned = config["flake8-tidy-imports"]["banned-api"]
    assert "TID251" in config["select"] and set(banned) >= MODULES
    probe = tmp_path / "probe.py"
    lines = [f"import {name}" if "." not in name else f"import {name.rpartition('.')[0]}\n{name}" for name in banned]
    probe.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [Path(sys.executable).with_name("ruff"), "check", "--no-cache", "--select=TID251", "--output-format=json"]
    done = subprocess.run(
        [*command, f"--config={ROOT / 'pyproject.toml'}", str(probe)], capture_output=True, check=False
    )
    found = {re.findall(r"`(.+?)` is banned", row["message"])[0] for row in json.loads(done.stdout)}
    assert found == set(banned), "each is refused when it is used"


def test_what_ruff_forbids_is_hidden_from_the_run() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    hidden = {f"{module.__name__}.{name}" for module, names in ATTRIBUTES.items() for name in names.split()} | MODULES
    posix = {name for name, rule in config["flake8-tidy-imports"]["banned-api"].items() if "POSIX only" in rule["msg"]}
    assert posix - {"os.link"} <= hidden, "os.link is there on Windows too, and the run refuses it"


# Methods that ruff cannot know; systems.py is where they belong.
_METHODS = {"rename", "symlink_to", "hardlink_to", "chmod", "lchmod"}


def _calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr


def test_no_method_of_paths_that_differs_by_system() -> None:
    sources = [path for package in OURS for path in (ROOT / package).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix(): sorted(_METHODS.intersection(_calls(path))) for path in sources}
    assert {name: calls for name, calls in found.items() if calls} == {"retinanet_odm/systems.py": ["symlink_to"]}
