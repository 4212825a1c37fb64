from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.trainer.tpu.fake_gcloud import FAULTS, STEPS
from tests.trainer.tpu.worlds import World

ENDS = [
    ("all goes well", [], 0, "trained: gs://b/m", 1),
    ("no quota is told and not tried again", ["quota"], 1, "Quota limit", 0),
    ("no permission", ["denied"], 1, "PERMISSION_DENIED", 0),
    ("capacity comes later", ["capacity", "ok", "capacity"], 0, "trained", 1),
    ("half-created, but there: used", ["half"], 0, "trained", 1),
    ("no answer, and there later", ["late"], 0, "trained", 1),
    ("preempted while it is made", ["ok", "preempted"], 0, "trained", 2),
    ("preempted before the copy", ["ok"] * 3 + ["preempted"], 0, "trained", 2),
    ("preempted before the installation", ["ok"] * 4 + ["preempted"], 0, "trained", 2),
    ("preempted before the doctor", ["ok"] * 5 + ["preempted"], 0, "trained", 2),
    ("preempted before the start", ["ok"] * 6 + ["preempted"], 0, "trained", 2),
    ("preempted in training", ["ok"] * 8 + ["preempted"], 0, "trained", 2),
    ("SIGTERM is not the end of a training", ["ok"] * 8 + ["stopped", "preempted"], 0, "trained", 2),
    ("a trainer that was stopped on a machine that is still there", ["ok"] * 8 + ["stopped"], 0, "trained", 1),
    ("SSH takes a while", ["ok"] * 3 + ["refused", "ok", "refused", "ok"], 0, "trained", 1),
    ("SSH never", ["ok"] * 3 + ["refused", "ok"] * 9, 1, "given up after 6 times: no connection", 1),
    ("one fault of the installation passes", ["ok"] * 4 + ["remote"], 0, "trained", 1),
    ("the doctor finds something", ["ok"] * 5 + ["remote"], 1, "doctor failed on the TPU VM", 1),
    ("Ctrl-C before anything is asked for", ["interrupt"], 130, "interrupted", 0),
    ("Ctrl-C in training", ["ok"] * 8 + ["interrupt"], 130, "interrupted", 1),
    ("Ctrl-C while it is made", ["interrupt_after"], 130, "interrupted", 1),
    ("a deletion that is refused at first", ["ok"] * 11 + ["stuck"] + ["ok", "network"] * 3, 0, "trained", 1),
]


# Two commands for a look: create, four of two looks, scp, install, doctor, start, show.
QUEUED_ENDS = [
    ("all goes well", [], 0, "trained: gs://b/m", 1),
    ("no quota", ["quota"], 1, "Quota limit", 0),
    ("half-created", ["half"], 0, "trained", 1),
    ("no answer, and there later", ["late"], 0, "trained", 1),
    ("suspended before the copy", ["ok"] * 5 + ["preempted"], 0, "trained", 2),
    ("suspended in training", ["ok"] * 10 + ["preempted"], 0, "trained", 2),
    ("Ctrl-C in the queue", ["ok"] * 2 + ["interrupt"], 130, "interrupted", 1),
]
ROWS = [(False, *row) for row in ENDS] + [(True, *row) for row in QUEUED_ENDS]
IDS = [f"{'queued' if row[0] else 'TPU VM'}: {row[1]}" for row in ROWS]


@pytest.mark.parametrize(("queued", "why", "faults", "status", "line", "made"), ROWS, ids=IDS)
def test_how_it_ends(queued: bool, why: str, faults: Sequence[str], status: int, line: str, made: int) -> None:
    world = World(faults=faults, queued=queued)
    verdict = world.train()
    assert (verdict.status, line in verdict.line, world.fake.data["made"]) == (status, True, made), (why, verdict)
    assert world.left() == [], why


def test_the_steps_of_a_calm_run() -> None:
    world = World()
    world.train()
    verbs = [command[4] for command in world.fake.data["commands"] if "-L" not in command]
    assert verbs == [
        *("create", "describe", "describe", "scp", "ssh", "ssh", "ssh"),
        *("ssh", "ssh", "ssh", "describe", "delete", "describe"),
    ]
    assert "".join(world.log).count("step ") == STEPS and world.log[0].startswith("pass  devices")


def test_a_training_that_outlives_max_hours_is_removed() -> None:
    world = World(faults=["ok"] * 7 + ["refused", "ok"] * 15, max_hours=0.1)
    verdict = world.train()
    assert verdict.status == 1 and "--max_hours are over" in verdict.line and world.left() == []


@pytest.mark.parametrize("queued", [False, True])
def test_a_name_that_is_taken_is_left_alone(queued: bool) -> None:
    world = World(queued=queued)
    world.fake._make("queued" if queued else "nodes", "retinanet", ["retinanet-odm", "another run"])
    verdict = world.train()
    assert verdict.status == 2 and "exists and is not of this run" in verdict.line
    assert {command[4] for command in world.fake.data["commands"]} <= {"create", "describe"}
    assert world.fake.data["nodes"]["retinanet"]["labels"] == {"retinanet-odm": "another run"}


def test_a_cloud_that_does_not_answer_any_more() -> None:
    """Whoever cannot remove it says by which command a person can."""
    world = World(faults=["ok"] * 8 + ["network"] * 500)
    assert world.train().status == 1
    assert world.left() and world.told()


def test_a_second_ctrl_c_leaves_it_and_says_so() -> None:
    world = World(faults=["ok"] * 8 + ["interrupt", "interrupt"])
    assert "interrupted twice" in world.train().line
    assert world.left() and world.told()


HERE = ("interrupt", "interrupt_after", "crash")


@settings(max_examples=500, deadline=None)
@given(
    faults=st.lists(st.sampled_from(FAULTS) | st.just("ok") | st.sampled_from(HERE), max_size=30),
    queued=st.booleans(),
    max_hours=st.sampled_from([0.05, 0.5, 24.0]),
    taken=st.booleans(),
)
@example(
    faults=["late", "interrupt"], queued=False, max_hours=24.0, taken=False
)  # there only after a look found nothing
@example(faults=["ok", "crash", "crash"], queued=True, max_hours=24.0, taken=False)  # in the removal after an error too
def test_nothing_is_left_behind_unless_it_is_told(
    faults: list[str], queued: bool, max_hours: float, taken: bool
) -> None:
    world = World(faults=faults, queued=queued, max_hours=max_hours)
    if taken:
        world.fake._make("queued" if queued else "nodes", "retinanet", ["retinanet-odm", "another run"])
        world.faults = [fault for fault in faults if fault != "gone"]
    status = None
    try:
        status = world.train().status
    except RuntimeError:
        assert "crash" in faults
    if taken:
        assert world.left(), "what is not ours stays"
        assert status != 0
        return
    assert not world.left() or world.told()
    if sum(fault in HERE for fault in faults) <= 1:
        assert world.left() == [], "fewer failures than tries: nothing is left"
    if status == 0:
        assert world.fake.data["steps"] >= STEPS, "success is a training that has finished"
