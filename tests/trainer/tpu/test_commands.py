"""The command lines: by the parser of a real gcloud, and by bash; what is installed on the VM."""

import dataclasses
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from retinanet_odm.errors import UsageError
from tests.trainer.tpu.worlds import TRAINING
from trainer.tpu import gcloud_commands, gcloud_output
from trainer.tpu.gcloud import CommandResult
from trainer.tpu.gcloud_output import GcloudError, ResourceState
from trainer.tpu.options import RunRequest, TpuTarget

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


@pytest.mark.skipif(GCLOUD is None, reason="there is no gcloud on PATH")
def test_the_parser_of_gcloud_accepts_every_command(tmp_path: Path) -> None:
    """Without an account gcloud stops after it has read the command line, and before it asks anybody anything."""
    config = tmp_path / "config"
    config.mkdir()
    quiet = {"CLOUDSDK_CORE_DISABLE_PROMPTS": "1", "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false"}
    environment = {**os.environ, "CLOUDSDK_CONFIG": str(config), "HOME": str(tmp_path), **quiet}

    def told(command: list[str]) -> str:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode
        return done.stderr

    wrong = [*gcloud_commands.delete_node(REQUEST), "--forse"]
    with ThreadPoolExecutor(4) as pool:
        *said, of_wrong = pool.map(told, [*_all_commands(), wrong])
    assert "unrecognized arguments" in of_wrong, "what is wrong would be found"
    for command, text in zip(_all_commands(), said, strict=True):
        assert "active account" in text and "unrecognized" not in text, (command, text)


def test_a_script_comes_whole_through_two_shells() -> None:
    """gcloud hands the command to ssh, which hands it to a shell."""
    command = gcloud_commands.remote(REQUEST, 'set -e\necho "it\'s $((1 + 1))"; exit 3')[-1].removeprefix("--command=")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert gcloud_output.remote_status(CommandResult(out=done.stdout)) == 3
    assert gcloud_output.remote_text(CommandResult(out=done.stdout)) == "it's 2\n"


STATUSES = [
    ("one worker", "retinanet-exit=0\n", 0),
    ("one of four failed", "retinanet-exit=0\nretinanet-exit=0\nE\nretinanet-exit=1\nretinanet-exit=0\n", 1),
    ("nobody was reached", "", None),
    ("a mark in the middle of a line is the trainer's business", "see retinanet-exit=4\n", None),
]


@pytest.mark.parametrize(("why", "out", "expected"), STATUSES, ids=[row[0] for row in STATUSES])
def test_status_on_the_vm(why: str, out: str, expected: int | None) -> None:
    assert gcloud_output.remote_status(CommandResult(out=out)) == expected, why


REASONS = [
    ("ERROR: (gcloud.compute.tpus.tpu-vm.create) ALREADY_EXISTS: Resource 'x' already exists", GcloudError.EXISTS),
    ("ERROR: NOT_FOUND: Resource 'projects/p/locations/z/nodes/n' was not found", GcloudError.ABSENT),
    (
        "ERROR: RESOURCE_EXHAUSTED: Quota limit 'TPUV5sLitepodPerProjectPerZone' has been exceeded. Limit: 0",
        GcloudError.FINAL,
    ),
    ('ERROR: {"code": 8, "message": "There is no more capacity in the zone \\"us-west4-a\\""}', GcloudError.CAPACITY),
    ("ERROR: PERMISSION_DENIED: Permission 'tpu.nodes.get' denied on 'n' (or it may not exist).", GcloudError.FINAL),
    ("ERROR: (gcloud.x) You do not currently have an active account selected.", GcloudError.FINAL),
    ("ERROR: Cloud TPU API has not been used in project 1 before or it is disabled", GcloudError.FINAL),
    ("ERROR: gcloud crashed (ConnectionError): Connection refused", GcloudError.PASSING),
    ("", GcloudError.PASSING),
]


@pytest.mark.parametrize(("text", "expected"), REASONS)
def test_why(text: str, expected: GcloudError) -> None:
    assert gcloud_output.classify_error(CommandResult(status=1, err=text)) is expected


NODES = [
    ('{"state": "READY", "labels": {"retinanet-odm": "r1"}}', "r1", ResourceState.READY),
    ('{"state": "CREATING", "labels": {"retinanet-odm": "r1"}}', "r1", ResourceState.PENDING),
    ('{"state": "PREEMPTED", "labels": {"retinanet-odm": "r1"}}', "r1", ResourceState.LOST),
    ('{"state": "A_NEW_ONE", "labels": {"retinanet-odm": "r1"}}', "r1", ResourceState.LOST),
    ('{"state": "READY", "labels": {"retinanet-odm": "r2"}}', "r1", ResourceState.FOREIGN),
    ('{"state": "READY", "labels": {"retinanet-odm": "r2"}}', None, ResourceState.READY),
    ('{"state": "READY"}', None, ResourceState.FOREIGN),
    ("half a ", "r1", ResourceState.UNKNOWN),
]


@pytest.mark.parametrize(("text", "run_id", "expected"), NODES)
def test_what_there_is(text: str, run_id: str | None, expected: ResourceState) -> None:
    assert gcloud_output.parse_node(CommandResult(out=text), run_id).being is expected


def test_a_pod_is_driven_by_its_name() -> None:
    alone = gcloud_commands.start_script(REQUEST, hosts=1, resource="projects/x", hours=1)
    pod = gcloud_commands.start_script(REQUEST, hosts=4, resource="projects/x", hours=1)
    assert "--use_tpu --tpu=local " in alone and "TPU_LOAD_LIBRARY" not in alone
    assert "--use_tpu --tpu=retinanet " in pod and pod.startswith("TPU_LOAD_LIBRARY=0 ")


RUNTIMES = [("v5litepod-8", "v2-alpha-tpuv5-lite"), ("v6e-8", "v2-alpha-tpuv6e"), ("v3-8", "tpu-ubuntu2204-base")]


@pytest.mark.parametrize(("accelerator", "expected"), RUNTIMES)
def test_the_image_follows_the_accelerator(accelerator: str, expected: str) -> None:
    assert dataclasses.replace(REQUEST, accelerator_type=accelerator).runtime == expected


def _locked(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {re.sub("[-_.]+", "-", package).lower(): version for package, version in pairs}


def test_the_lock_file_of_the_tpu() -> None:
    here, there = _locked("requirements.lock"), _locked(gcloud_commands.REQUIREMENTS_FILE)
    assert {name for name in there if name.startswith("tensorflow")} == {"tensorflow-tpu"}, "two own one folder"
    assert (there["tensorflow-tpu"], there["libtpu"]) == ("2.20.0", "0.0.21")
    other = {name for name in there if name in here and here[name] != there[name]}
    assert other == {"tensorboard"}, "which goes with TensorFlow; the rest is what is tested"
    assert "--no-deps" in gcloud_commands.install_script("x.whl")


def test_a_place_needs_a_name() -> None:
    with pytest.raises(UsageError, match="--name"):
        TpuTarget(zone="z", name="a" * 41)
