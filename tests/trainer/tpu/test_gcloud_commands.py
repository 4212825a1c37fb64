"""The command lines, tested by the parser of a real gcloud and by bash, and what is installed on the TPU VM."""

import dataclasses
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.trainer.tpu.worlds import TRAINING
from trainer.tpu import gcloud_commands, gcloud_output
from trainer.tpu.gcloud import CommandResult
from trainer.tpu.options import RunRequest

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


def _all_commands() -> list[list[str]]:
    queued = dataclasses.replace(REQUEST, queued=True)
    return [
        gcloud_commands.create(REQUEST, "r1", 24.0),
        gcloud_commands.create(queued, "r1", 24.0),
        gcloud_commands.describe_node(REQUEST),
        gcloud_commands.describe_queued(queued),
        gcloud_commands.delete_node(REQUEST),
        gcloud_commands.delete_queued(queued),
        gcloud_commands.copy(REQUEST, [__file__]),
        gcloud_commands.remote(REQUEST, "true", worker="all"),
        gcloud_commands.tunnel(REQUEST),
        gcloud_commands.list_file("gs://b/d/dataset.json"),
    ]


GCLOUD = shutil.which("gcloud")


@pytest.mark.skipif(GCLOUD is None, reason="no gcloud on PATH")
def test_the_parser_of_gcloud_accepts_every_command(tmp_path: Path) -> None:
    """Without an account gcloud stops after it has parsed the command line, before it sends a request."""
    config = tmp_path / "config"
    config.mkdir()
    quiet = {"CLOUDSDK_CORE_DISABLE_PROMPTS": "1", "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false"}
    environment = {**os.environ, "CLOUDSDK_CONFIG": str(config), "HOME": str(tmp_path), **quiet}

    def stderr_of(command: list[str]) -> str:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode
        return done.stderr

    wrong = [*gcloud_commands.delete_node(REQUEST), "--forse"]
    with ThreadPoolExecutor(4) as pool:
        *outputs, wrong_output = pool.map(stderr_of, [*_all_commands(), wrong])
    assert "unrecognized arguments" in wrong_output, "a wrong flag would be found"
    for command, text in zip(_all_commands(), outputs, strict=True):
        assert "active account" in text and "unrecognized" not in text, (command, text)


def test_a_script_passes_unchanged_through_two_shells() -> None:
    """gcloud passes the command to ssh, which passes it to a shell."""
    command = gcloud_commands.remote(REQUEST, 'set -e\necho "it\'s $((1 + 1))"; exit 3')[-1].removeprefix("--command=")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert gcloud_output.remote_status(CommandResult(out=done.stdout)) == 3
    assert gcloud_output.remote_text(CommandResult(out=done.stdout)) == "it's 2\n"


def test_a_pod_is_addressed_by_its_name() -> None:
    single = gcloud_commands.start_script(REQUEST, hosts=1, resource="projects/x", hours=1)
    pod = gcloud_commands.start_script(REQUEST, hosts=4, resource="projects/x", hours=1)
    assert "--use_tpu --tpu=local " in single and "TPU_LOAD_LIBRARY" not in single
    assert "--use_tpu --tpu=retinanet " in pod and pod.startswith("TPU_LOAD_LIBRARY=0 ")


def test_the_lock_file_is_all_that_is_installed() -> None:
    assert "--no-deps" in gcloud_commands.install_script("x.whl")
