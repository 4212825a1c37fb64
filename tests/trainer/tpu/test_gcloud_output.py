"""Parsing of the output of gcloud and of scripts on the TPU VM."""

import json

import pytest

from trainer.tpu.gcloud import CommandResult
from trainer.tpu.gcloud_output import (
    GcloudErrorKind,
    ResourceState,
    classify_error,
    error_reason,
    parse_creation,
    parse_instance,
    parse_node,
    remote_status,
)

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
    (
        "ERROR: (gcloud.compute.instances.describe) Could not fetch resource:\n - The resource"
        " 'projects/p/zones/z/instances/n' was not found",
        GcloudErrorKind.NOT_FOUND,
    ),
    (
        "ERROR: (gcloud.compute.instances.create) Could not fetch resource:\n - Required 'compute.instances.create'"
        " permission for 'projects/p/zones/z/instances/n'",
        GcloudErrorKind.PERMANENT,
    ),
    ("ZONE_RESOURCE_POOL_EXHAUSTED: The zone 'z' does not have enough resources", GcloudErrorKind.NO_CAPACITY),
    ("QUOTA_EXCEEDED: Quota 'TPUS_PER_TPU_FAMILY' exceeded.  Limit: 0.0 in region r.", GcloudErrorKind.PERMANENT),
    (
        "ERROR: (gcloud.compute.instances.create) argument --provisioning-model: Invalid choice: 'FLEX_START'.",
        GcloudErrorKind.PERMANENT,
    ),
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


INSTANCES = [
    ("waits for capacity as a flex-start VM", "PENDING", ResourceState.PENDING),
    ("boots", "STAGING", ResourceState.PENDING),
    ("runs", "RUNNING", ResourceState.READY),
    ("is being preempted", "STOPPING", ResourceState.PREEMPTED),
    ("was stopped by another user", "TERMINATED", ResourceState.PREEMPTED),
]


@pytest.mark.parametrize(("reason", "status", "expected"), INSTANCES, ids=[row[0] for row in INSTANCES])
def test_parse_instance(reason: str, status: str, expected: ResourceState) -> None:
    link = "https://www.googleapis.com/compute/v1/projects/p/zones/z/instances/n"
    described = json.dumps({"selfLink": link, "status": status, "labels": {"retinanet-odm": "r1"}})
    now = parse_instance(CommandResult(out=described), "r1")
    assert (now.state, now.resource) == (expected, "projects/p/zones/z/instances/n"), reason
    assert parse_instance(CommandResult(out=described), "r2").state is ResourceState.FOREIGN


CREATIONS = [
    ("no request was made", CommandResult(out="[]"), ResourceState.ABSENT, ""),
    ("the request is carried out", CommandResult(out='[{"status": "PENDING"}]'), ResourceState.PENDING, "requested"),
    ("it was carried out, and the VM deleted", CommandResult(out='[{"status": "DONE"}]'), ResourceState.ABSENT, ""),
    (
        "it failed",
        CommandResult(out='[{"status": "DONE", "error": {"errors": [{"code": "A", "message": "b\\nc"}]}}]'),
        ResourceState.ABSENT,
        "A: b c",
    ),
    ("gcloud fails", CommandResult(status=1, err="ERROR: no"), ResourceState.UNKNOWN, "no"),
    ("half an answer", CommandResult(out="[{"), ResourceState.UNKNOWN, "the output of gcloud is not JSON"),
]


@pytest.mark.parametrize(("reason", "done", "state", "detail"), CREATIONS, ids=[row[0] for row in CREATIONS])
def test_parse_creation(reason: str, done: CommandResult, state: ResourceState, detail: str) -> None:
    now = parse_creation(done)
    assert (now.state, now.detail) == (state, detail), reason


def test_the_reason_of_compute_engine_is_on_the_second_line() -> None:
    text = "ERROR: (gcloud.compute.instances.describe) Could not fetch resource:\n - Required 'x' permission\n"
    assert error_reason(CommandResult(status=1, err=text)).endswith("Could not fetch resource: Required 'x' permission")
