"""The command retinanet-odm: subcommands, what is missing, and completions as a shell asks for them."""

import importlib.util
import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from retinanet_odm.cli import console

ROOT = Path(__file__).parents[3]
HEAVY = ("numpy", "absl", "argcomplete", "apache_beam", "tensorflow")


@pytest.mark.parametrize("command", console.SUBCOMMANDS)
def test_words_after_the_subcommand_go_to_its_program(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Sequence[str]] = []
    monkeypatch.setattr(f"{console.SUBCOMMANDS[command].module}.main", lambda argv: calls.append(argv) or 7)
    assert console.main([command, "--help", "score", "--", "-x"]) == 7, "the exit status is the program's"
    assert calls == [[*console.SUBCOMMANDS[command].flags, "--help", "score", "--", "-x"]]


def test_it_stands_for_all_other_commands() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts.pop("retinanet-odm") == "retinanet_odm.cli.console:main"
    mains = {f"{program.module}:main" for program in console.SUBCOMMANDS.values()}
    assert mains == {*scripts.values(), "retinanet_odm.samples.command:main", "retinanet_odm.workflow.command:main"}


HELP = [
    pytest.param([], 0, "doctor", id="no word: the help"),
    pytest.param(["--help"], 0, "doctor", id="help"),
    pytest.param(["--version"], 0, "retinanet-odm 0", id="version"),
]


@pytest.mark.parametrize(("words", "status", "text"), HELP)
def test_help_is_light(words: list[str], status: int, text: str) -> None:
    script = (
        "import sys\nfrom retinanet_odm.cli.console import main\ntry:\n  main(sys.argv[1:])\n"
        f"finally:\n  print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert done.returncode == status and done.stderr == ""
    assert text in done.stdout and done.stdout.endswith("[]\n"), "no heavy package is loaded"


def test_a_wrong_subcommand_is_a_bad_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.main(["prepare"]) == 2
    assert capsys.readouterr().err.startswith("error: retinanet-odm: argument COMMAND: invalid choice: 'prepare'")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "trainer.main", None)  # its import fails
    assert console.main(["train"]) == 2
    assert capsys.readouterr().err.startswith("error: train: no package trainer.main; retinanet-odm doctor shows")


def test_doctor_works_without_the_packages_of_the_trainer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "absl" else found(name))
    assert console.main(["doctor"]) in (0, 1)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("pass  numpy: ") for line in lines) and not any("devices" in line for line in lines)


COMPLETIONS = [
    pytest.param("d", {"data", "doctor"}, id="subcommands"),
    pytest.param("data ", {"prepare", "check", "labels", "export", "-h", "--help"}, id="commands of a program"),
    pytest.param("data prepare --num_s", {"--num_shards"}, id="a flag"),
    pytest.param("data prepare --verify ", {"full", "header"}, id="choices"),
    pytest.param("score detect --dr", {"--draw"}, id="a flag of another program"),
    pytest.param("train --preset=ti", {"tiny"}, id="choices of a flag of the trainer"),
    pytest.param("train --learning_r", {"--learning_rate"}, id="a flag of the trainer, which absl reads"),
    pytest.param("train --nous", {"--nouse_tpu"}, id="the other form of a flag that is on or off"),
    pytest.param("doctor --model_d", {"--model_dir"}, id="the doctor has the flags of the trainer"),
    pytest.param("sample --see", {"--seed"}, id="a flag of the sample"),
    pytest.param("run --num_e", {"--num_epochs"}, id="a flag of a run"),
    pytest.param("tpu run --max_h", {"--max_hours"}, id="a flag of the TPU program"),
    pytest.param("data check --labels no_fi", {"no_file.txt"}, id="files, where a flag takes any text"),
]


@pytest.mark.parametrize(("typed", "expected"), COMPLETIONS)
def test_completion(typed: str, expected: set[str], tmp_path: Path) -> None:
    (tmp_path / "no_file.txt").touch()
    line, answer = f"retinanet-odm {typed}", tmp_path / "answer"
    # As the function that register-python-argcomplete prints for bash.
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\013", "_ARGCOMPLETE_SHELL": "bash", "COMP_TYPE": "9"}
    asked |= {"_ARGCOMPLETE_COMP_WORDBREAKS": " \t\n=:"}
    asked |= {"COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **asked}
    command = [sys.executable, "-m", "retinanet_odm.cli.console"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == done.stderr == ""
    assert {word.strip() for word in answer.read_text().split("\013")} == expected
