from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.trainer.tpu.fake_gcloud import FAULTS, STEPS
from tests.trainer.tpu.worlds import World

ENDS = [
    ("no fault", [], 0, "trained: gs://b/m", 1),
    ("no quota is reported and not retried", ["quota"], 1, "Quota limit", 0),
    ("no permission", ["denied"], 1, "PERMISSION_DENIED", 0),
    ("capacity comes later", ["capacity", "ok", "capacity"], 0, "trained", 1),
    ("created in spite of an error: used", ["half"], 0, "trained", 1),
    ("no response, and created later", ["late"], 0, "trained", 1),
    ("preempted during the creation", ["ok", "preempted"], 0, "trained", 2),
    ("preempted before the copy", ["ok"] * 3 + ["preempted"], 0, "trained", 2),
    ("preempted before the installation", ["ok"] * 4 + ["preempted"], 0, "trained", 2),
    ("preempted before the doctor", ["ok"] * 5 + ["preempted"], 0, "trained", 2),
    ("preempted before the start", ["ok"] * 6 + ["preempted"], 0, "trained", 2),
    ("preempted in training", ["ok"] * 8 + ["preempted"], 0, "trained", 2),
    ("SIGTERM does not end a training", ["ok"] * 8 + ["stopped", "preempted"], 0, "trained", 2),
    ("the trainer was stopped, but the TPU still exists", ["ok"] * 8 + ["stopped"], 0, "trained", 1),
    ("SSH works later", ["ok"] * 3 + ["refused", "ok", "refused", "ok"], 0, "trained", 1),
    ("SSH never works", ["ok"] * 3 + ["refused", "ok"] * 9, 1, "given up after 6 attempts: no connection", 1),
    ("the installation fails once", ["ok"] * 4 + ["remote"], 0, "trained", 1),
    ("the doctor finds a fault", ["ok"] * 5 + ["remote"], 1, "doctor failed on the TPU VM", 1),
    ("Ctrl-C before any request", ["interrupt"], 130, "interrupted", 0),
    ("Ctrl-C in training", ["ok"] * 8 + ["interrupt"], 130, "interrupted", 1),
    ("Ctrl-C during the creation", ["interrupt_after"], 130, "interrupted", 1),
    ("a deletion is refused at first", ["ok"] * 11 + ["stuck"] + ["ok", "network"] * 3, 0, "trained", 1),
]


# An observation takes two commands: create, four of two observations, scp, install, doctor, start, show.
QUEUED_ENDS = [
    ("no fault", [], 0, "trained: gs://b/m", 1),
    ("no quota", ["quota"], 1, "Quota limit", 0),
    ("created in spite of an error", ["half"], 0, "trained", 1),
    ("no response, and created later", ["late"], 0, "trained", 1),
    ("suspended before the copy", ["ok"] * 5 + ["preempted"], 0, "trained", 2),
    ("suspended in training", ["ok"] * 10 + ["preempted"], 0, "trained", 2),
    ("Ctrl-C in the queue", ["ok"] * 2 + ["interrupt"], 130, "interrupted", 1),
]
# An absent VM takes a second command, for its operation: create, describe, list, three times describe, scp, install,
# doctor, start, show.
COMPUTE_ENDS = [
    ("no fault", [], 0, "trained: gs://b/m", 1),
    ("no quota, which only the operation tells", ["quota"], 1, "QUOTA_EXCEEDED: Quota 'TPUS_PER_TPU_FAMILY'", 0),
    ("no permission", ["denied"], 1, "PERMISSION_DENIED", 0),
    ("capacity comes later", ["capacity"], 0, "trained", 1),
    ("created in spite of an error: used", ["half"], 0, "trained", 1),
    ("no response, and created later", ["late"], 0, "trained", 1),
    ("gcloud fails before it lists the operations", ["ok", "ok", "network"], 0, "trained", 1),
    ("preempted while it starts", ["ok"] * 5 + ["preempted"], 0, "trained", 2),
    ("preempted before the copy", ["ok"] * 6 + ["preempted"], 0, "trained", 2),
    ("preempted before the doctor", ["ok"] * 8 + ["preempted"], 0, "trained", 2),
    ("preempted in training", ["ok"] * 10 + ["preempted"], 0, "trained", 2),
    ("deleted in training, as when its time is over", ["ok"] * 11 + ["gone"], 0, "trained", 2),
    ("SSH never works", ["ok"] * 6 + ["refused", "ok"] * 9, 1, "given up after 6 attempts: no connection", 1),
    ("the doctor finds a fault", ["ok"] * 8 + ["remote"], 1, "doctor failed on the TPU VM", 1),
    ("Ctrl-C before any request", ["interrupt"], 130, "interrupted", 0),
    ("Ctrl-C during the request", ["interrupt_after"], 130, "interrupted", 1),
    ("Ctrl-C before the VM is visible", ["ok", "interrupt"], 130, "interrupted", 1),
    ("Ctrl-C in training", ["ok"] * 10 + ["interrupt"], 130, "interrupted", 1),
    ("a deletion is refused at first", ["ok"] * 14 + ["stuck"] + ["ok", "network"] * 3, 0, "trained", 1),
]
ROWS = [
    *(({}, *row) for row in ENDS),
    *(({"queued": True}, *row) for row in QUEUED_ENDS),
    *(({"platform": "compute"}, *row) for row in COMPUTE_ENDS),
]
IDS = [f"{' '.join(map(str, row[0].values())) or 'TPU VM'}: {row[1]}" for row in ROWS]


@pytest.mark.parametrize(("kind", "reason", "faults", "status", "message", "made"), ROWS, ids=IDS)
def test_how_it_ends(
    kind: dict[str, Any], reason: str, faults: Sequence[str], status: int, message: str, made: int
) -> None:
    world = World(faults=faults, **kind)
    result = world.train()
    assert (result.status, message in result.message, world.fake.data["made"]) == (status, True, made), (reason, result)
    assert world.remaining() == [], reason


def test_the_commands_of_a_run_without_faults() -> None:
    world = World()
    world.train()
    verbs = [command[4] for command in world.fake.data["commands"] if "-L" not in command]
    assert verbs == [
        *("create", "describe", "describe", "scp", "ssh", "ssh", "ssh"),
        *("ssh", "ssh", "ssh", "describe", "delete", "describe"),
    ]
    assert "".join(world.log).count("step ") == STEPS and world.log[0].startswith("pass  devices")


def test_the_commands_of_a_run_on_compute_engine() -> None:
    world = World(platform="compute")
    world.train()
    groups = [" ".join(command[2:4]) for command in world.fake.data["commands"] if "-L" not in command]
    seen = ["instances describe", "operations list"]
    assert groups[:6] == ["instances create", *seen, *["instances describe"] * 3], "it is pending until it is visible"
    assert [group.split()[0] for group in groups[6:13]] == ["scp", *["ssh"] * 6]
    assert groups[13:15] == ["instances describe", "instances delete"]
    assert groups[15:] == seen, "the VM was seen, so its absence proves the deletion"


def test_a_training_that_exceeds_max_hours_is_removed() -> None:
    world = World(faults=["ok"] * 7 + ["refused", "ok"] * 15, max_hours=0.1)
    result = world.train()
    assert result.status == 1 and "--max_hours has elapsed" in result.message and world.remaining() == []


KINDS: list[dict[str, Any]] = [{}, {"queued": True}, {"platform": "compute"}]


def _where(kind: dict[str, Any]) -> str:
    """Returns where the fake cloud keeps what a run requests."""
    return "instances" if "platform" in kind else "queued" if "queued" in kind else "nodes"


@pytest.mark.parametrize("kind", KINDS)
def test_a_tpu_of_another_run_is_left_unchanged(kind: dict[str, Any]) -> None:
    world = World(**kind)
    world.fake._make(_where(kind), "retinanet", ["retinanet-odm", "another run"])
    result = world.train()
    assert result.status == 2 and "exists and does not belong to this run" in result.message
    assert all({"create", "describe"} & set(command) for command in world.fake.data["commands"])
    assert world.fake.data[_where(kind)]["retinanet"]["labels"] == {"retinanet-odm": "another run"}


@pytest.mark.parametrize("platform", ["tpu_vm", "compute"])
def test_a_cloud_that_no_longer_responds(platform: str) -> None:
    """If the removal fails, the user is shown the command for it."""
    world = World(faults=["ok"] * 8 + ["network"] * 500, platform=platform)
    assert world.train().status == 1
    assert world.remaining() and world.is_reported()


def test_a_second_ctrl_c_leaves_the_tpu_and_reports_it() -> None:
    world = World(faults=["ok"] * 8 + ["interrupt", "interrupt"])
    assert "interrupted twice" in world.train().message
    assert world.remaining() and world.is_reported()


LOCAL_FAULTS = ("interrupt", "interrupt_after", "crash")


@settings(max_examples=500, deadline=None)
@given(
    faults=st.lists(st.sampled_from(FAULTS) | st.just("ok") | st.sampled_from(LOCAL_FAULTS), max_size=30),
    kind=st.sampled_from(KINDS),
    max_hours=st.sampled_from([0.05, 0.5, 24.0]),
    foreign=st.booleans(),
)
@example(
    faults=["late", "interrupt"], kind={}, max_hours=24.0, foreign=False
)  # created after an observation found nothing
@example(faults=["late", "denied"], kind={}, max_hours=24.0, foreign=False)  # a later request was answered
# An error during the removal too.
@example(faults=["ok", "crash", "crash"], kind={"queued": True}, max_hours=24.0, foreign=False)
@example(faults=["ok", "interrupt"], kind={"platform": "compute"}, max_hours=24.0, foreign=False)  # not yet visible
def test_nothing_remains_unless_it_is_reported(
    faults: list[str], kind: dict[str, Any], max_hours: float, foreign: bool
) -> None:
    world = World(faults=faults, max_hours=max_hours, **kind)
    if foreign:
        world.fake._make(_where(kind), "retinanet", ["retinanet-odm", "another run"])
        world.faults = [fault for fault in faults if fault not in ("gone", "preempted")]
    status = None
    try:
        status = world.train().status
    except RuntimeError:
        assert "crash" in faults
    if foreign:
        assert world.remaining(), "a TPU of another run stays"
        assert status != 0
        return
    assert not world.remaining() or world.is_reported()
    if sum(fault in LOCAL_FAULTS for fault in faults) <= 1:
        assert world.remaining() == [], "fewer failures than attempts: nothing remains"
    if status == 0:
        assert world.fake.data["steps"] >= STEPS, "success means that the training has finished"
