"""Parsing of the output of gcloud and of scripts on the TPU VM."""

import pytest

from trainer.tpu.gcloud import CommandResult
from trainer.tpu.gcloud_output import GcloudErrorKind, ResourceState, classify_error, parse_node, remote_status

STATUSES = [
    ("one worker", "retinanet-exit=0\n", 0),
    ("one of four failed", "retinanet-exit=0\nretinanet-exit=0\nE\nretinanet-exit=1\nretinanet-exit=0\n", 1),
    ("no worker was reached", "", None),
    ("a mark in the middle of a line belongs to the trainer's output", "see retinanet-exit=4\n", None),
]


@pytest.mark.parametrize(("reason", "out", "expected"), STATUSES, ids=[row[0] for row in STATUSES])
def test_status_on_the_vm(reason: str, out: str, expected: int | None) -> None:
    assert remote_status(CommandResult(out=out)) == expected, reason


ERRORS = [
    (
        "ERROR: (gcloud.compute.tpus.tpu-vm.create) ALREADY_EXISTS: Resource 'x' already exists",
        GcloudErrorKind.ALREADY_EXISTS,
    ),
    ("ERROR: NOT_FOUND: Resource 'projects/p/locations/z/nodes/n' was not found", GcloudErrorKind.NOT_FOUND),
    (
        "ERROR: RESOURCE_EXHAUSTED: Quota limit 'TPUV5sLitepodPerProjectPerZone' has been exceeded. Limit: 0",
        GcloudErrorKind.PERMANENT,
    ),
    (
        'ERROR: {"code": 8, "message": "There is no more capacity in the zone \\"us-west4-a\\""}',
        GcloudErrorKind.NO_CAPACITY,
    ),
    (
        "ERROR: PERMISSION_DENIED: Permission 'tpu.nodes.get' denied on 'n' (or it may not exist).",
        GcloudErrorKind.PERMANENT,
    ),
    ("ERROR: (gcloud.x) You do not currently have an active account selected.", GcloudErrorKind.PERMANENT),
    ("ERROR: Cloud TPU API has not been used in project 1 before or it is disabled", GcloudErrorKind.PERMANENT),
    ("ERROR: gcloud crashed (ConnectionError): Connection refused", GcloudErrorKind.TRANSIENT),
    ("", GcloudErrorKind.TRANSIENT),
]


@pytest.mark.parametrize(("text", "expected"), ERRORS)
def test_classify_error(text: str, expected: GcloudErrorKind) -> None:
    assert classify_error(CommandResult(status=1, err=text)) is expected


NODES = [
    ('{"state": "READY", "labels": {"retinanet-odm": "r1"}}', "r1", ResourceState.READY),
    ('{"state": "CREATING", "labels": {"retinanet-odm": "r1"}}', "r1", ResourceState.PENDING),
    ('{"state": "PREEMPTED", "labels": {"retinanet-odm": "r1"}}', "r1", ResourceState.PREEMPTED),
    ('{"state": "A_NEW_ONE", "labels": {"retinanet-odm": "r1"}}', "r1", ResourceState.PREEMPTED),
    ('{"state": "READY", "labels": {"retinanet-odm": "r2"}}', "r1", ResourceState.FOREIGN),
    ('{"state": "READY", "labels": {"retinanet-odm": "r2"}}', None, ResourceState.READY),
    ('{"state": "READY"}', None, ResourceState.FOREIGN),
    ("half a ", "r1", ResourceState.UNKNOWN),
]


@pytest.mark.parametrize(("text", "run_id", "expected"), NODES)
def test_parse_node(text: str, run_id: str | None, expected: ResourceState) -> None:
    assert parse_node(CommandResult(out=text), run_id).state is expected
