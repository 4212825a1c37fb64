"""The command lines, tested by the parser of a real gcloud and by bash, and what is installed on the TPU VM."""

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.trainer.tpu.worlds import TRAINING
from trainer.tpu import gcloud_commands, gcloud_output
from trainer.tpu.gcloud import CommandResult
from trainer.tpu.options import RunRequest
from trainer.tpu.platforms import make_platform

ROOT = Path(__file__).parents[3]
REQUEST = RunRequest(
    zone="us-west4-a",
    project="p",
    spot=True,
    internal_ips=True,
    network="n",
    subnetwork="s",
    service_account="a@p.iam.gserviceaccount.com",
    training=TRAINING,
)


COMPUTE = dataclasses.replace(REQUEST, platform="compute")
FLEX = dataclasses.replace(COMPUTE, spot=False, queued=True)


def _commands_of(request: RunRequest) -> list[list[str]]:
    """Returns every command for one TPU."""
    platform = make_platform(request)
    observing: list[list[str]] = []

    def refuse(command: Sequence[str]) -> CommandResult:
        observing.append(list(command))
        return CommandResult(status=1, err="NOT_FOUND")

    platform.observe(refuse, "r1")
    return [
        platform.create(request, "r1", seconds=86400.0),
        *observing,
        platform.delete(),
        platform.copy([__file__]),
        platform.remote("true", everywhere=True),
        platform.tunnel(6006),
    ]


def _all_commands(platform: str) -> list[list[str]]:
    """Returns each command of a platform once."""
    if platform == "tpu_vm":
        queued = dataclasses.replace(REQUEST, queued=True)
        commands = [*_commands_of(REQUEST), *_commands_of(queued), gcloud_commands.list_file("gs://b/d/dataset.json")]
    else:
        # The parser of SDK 528 does not know flex-start VMs yet; their other flags are those of a spot VM.
        flex = [word for word in _commands_of(FLEX)[0] if not word.startswith(_NEW_FLAGS)]
        commands = [*_commands_of(COMPUTE), flex]
    return [list(command) for command in dict.fromkeys(map(tuple, commands))]


_NEW_FLAGS = ("--provisioning-model=FLEX_START", "--request-valid-for-duration=")


GCLOUD = shutil.which("gcloud")


@pytest.mark.skipif(GCLOUD is None, reason="no gcloud on PATH")
@pytest.mark.parametrize("platform", [pytest.param("tpu_vm", marks=pytest.mark.long), "compute"])
def test_the_parser_of_gcloud_accepts_every_command(platform: str, tmp_path: Path) -> None:
    """Without an account gcloud stops after it has parsed the command line, before it sends a request."""
    config = tmp_path / "config"
    config.mkdir()
    quiet = {"CLOUDSDK_CORE_DISABLE_PROMPTS": "1", "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false"}
    environment = {**os.environ, "CLOUDSDK_CONFIG": str(config), "HOME": str(tmp_path), **quiet}

    def stderr_of(command: list[str]) -> str:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode
        return done.stderr

    wrong = [*make_platform(COMPUTE).delete(), "--forse"]
    with ThreadPoolExecutor(4) as pool:
        *outputs, wrong_output = pool.map(stderr_of, [*_all_commands(platform), wrong])
    assert "unrecognized arguments" in wrong_output, "a wrong flag would be found"
    for command, text in zip(_all_commands(platform), outputs, strict=True):
        assert "active account" in text and "unrecognized" not in text, (command, text)


def test_a_script_passes_unchanged_through_two_shells() -> None:
    """gcloud passes the command to ssh, which passes it to a shell."""
    command = gcloud_commands.remote_flag('set -e\necho "it\'s $((1 + 1))"; exit 3').removeprefix("--command=")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert gcloud_output.remote_status(CommandResult(out=done.stdout)) == 3
    assert gcloud_output.remote_text(CommandResult(out=done.stdout)) == "it's 2\n"


def test_a_pod_is_addressed_by_its_name() -> None:
    single = gcloud_commands.start_script(REQUEST, hosts=1, resource="projects/x", hours=1)
    pod = gcloud_commands.start_script(REQUEST, hosts=4, resource="projects/x", hours=1)
    assert "--use_tpu --tpu=local " in single and "TPU_LOAD_LIBRARY" not in single
    assert "--use_tpu --tpu=retinanet " in pod and pod.startswith("TPU_LOAD_LIBRARY=0 ")


def test_by_xla_a_run_has_no_tpu_of_tensorflow() -> None:
    request = dataclasses.replace(COMPUTE, training=(*TRAINING, "--runtime=xla"))
    script = gcloud_commands.start_script(request, hosts=1, resource="projects/x", hours=1)
    assert script.startswith("JAX_PLATFORMS=tpu,cpu "), "a TPU that is not found ends the run"
    assert "--runtime=xla" in script and "--use_tpu" not in script
    assert gcloud_commands.requirements_file(request) == "requirements-tpu-xla.lock"
    assert gcloud_commands.requirements_file(COMPUTE) == "requirements-tpu.lock"


def test_the_lock_file_is_all_that_is_installed() -> None:
    assert "--no-deps" in gcloud_commands.install_script("x.whl", "r.lock")


HOUR = 3600.0
LIFETIMES = [
    ("spot: the grace period follows the deadline", COMPUTE, 24 * HOUR, "SPOT", "--max-run-duration=87000s"),
    (
        "standard, if nothing else is asked for",
        dataclasses.replace(COMPUTE, spot=False),
        HOUR,
        "STANDARD",
        "--max-run-duration=4200s",
    ),
    ("flex-start: at most two hours of waiting", FLEX, 24 * HOUR, "FLEX_START", "--request-valid-for-duration=7200s"),
    ("flex-start: not longer than anyone waits", FLEX, HOUR, "FLEX_START", "--request-valid-for-duration=3600s"),
    ("flex-start: Google's minimum", FLEX, 5.0, "FLEX_START", "--request-valid-for-duration=90s"),
    ("flex-start: at most seven days", FLEX, 168 * HOUR, "FLEX_START", "--max-run-duration=604800s"),
]


@pytest.mark.parametrize(
    ("reason", "request_", "seconds", "model", "flag"), LIFETIMES, ids=[row[0] for row in LIFETIMES]
)
def test_google_deletes_a_vm_by_itself(
    reason: str, request_: RunRequest, seconds: float, model: str, flag: str
) -> None:
    command = make_platform(request_).create(request_, "r1", seconds=seconds)
    assert {f"--provisioning-model={model}", flag, "--instance-termination-action=DELETE"} <= set(command), reason


def test_the_request_for_a_vm() -> None:
    command = make_platform(COMPUTE).create(COMPUTE, "r1", seconds=HOUR)
    expected = ("--machine-type=ct5lp-hightpu-8t", "--labels=retinanet-odm=r1", "--async", "--no-address", "--subnet=s")
    assert set(expected) <= set(command)
    assert "--image-family=ubuntu-accel-2204-amd64-tpu-v5e-v5p-v6e" in command


@pytest.mark.parametrize("has_pip", [True, False])
def test_pip_is_installed_where_the_image_has_none(has_pip: bool, tmp_path: Path) -> None:
    """Runs the script with programs that only note how they were called."""
    home, programs, notes = tmp_path / "home", tmp_path / "bin", tmp_path / "notes"
    (home / ".local/bin").mkdir(parents=True)
    programs.mkdir()
    for program in (programs / "python3", programs / "sudo", home / ".local/bin/uv"):
        absent = "" if has_pip else 'case "$*" in "-m pip --version") exit 1;; esac\n'
        program.write_text(f'#!/bin/sh\necho "{program.name} $*" >> {notes}\n{absent}')
        program.chmod(0o755)
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(home)}
    script = gcloud_commands.install_script("x.whl", "r.lock")
    subprocess.run(["bash", "-c", script], cwd=home, env=environment, check=True)
    called = notes.read_text().splitlines()
    assert ("install --yes python3-pip" in "\n".join(called)) is not has_pip
    assert [line.split()[0] for line in called[-3:]] == ["python3", "uv", "uv"]
