import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.tpu.state_machine import Event, Phase, PhaseResult, RunResult, RunState, advance, asking, conclude, delay

VERDICT = RunResult(status=130, line="interrupted")
WATCHING = dataclasses.replace(asking(RunState()), phase=Phase.WATCH, answered=True)
REMOVING = conclude(WATCHING, VERDICT)
UNANSWERED = conclude(asking(RunState()), VERDICT)

STEPS = [
    ("a machine that is lost is removed before another is made", WATCHING, PhaseResult.LOST, Phase.REMOVE),
    ("and then another is made", dataclasses.replace(REMOVING, verdict=None), PhaseResult.ABSENT, Phase.CREATE),
    ("at the end none is made", REMOVING, PhaseResult.ABSENT, Phase.END),
    ("a deletion is not an end, only what is seen", REMOVING, PhaseResult.WAIT, Phase.REMOVE),
    ("one look is not enough after a request cut off", UNANSWERED, PhaseResult.ABSENT, Phase.REMOVE),
    ("a trainer that does not run is started on the same machine", WATCHING, PhaseResult.STOPPED, Phase.START),
    ("what is not ours is not removed", asking(RunState()), PhaseResult.TAKEN, Phase.END),
]


@pytest.mark.parametrize(("why", "run", "outcome", "phase"), STEPS, ids=[row[0] for row in STEPS])
def test_steps(why: str, run: RunState, outcome: PhaseResult, phase: Phase) -> None:
    assert advance(run, Event(outcome=outcome)).phase is phase, why


def test_nothing_asked_nothing_to_remove() -> None:
    assert conclude(RunState(), VERDICT).phase is Phase.END


@given(outcomes=st.lists(st.sampled_from(PhaseResult), max_size=200), interrupt_at=st.integers(0, 200))
def test_laws_of_the_machine(outcomes: list[PhaseResult], interrupt_at: int) -> None:
    run = RunState()
    for place, outcome in enumerate(outcomes):
        if run.phase is Phase.END:
            break
        if place == interrupt_at:
            run = conclude(run, VERDICT)
            continue
        before = asking(run) if run.phase is Phase.CREATE else run
        run = advance(before, Event(outcome=outcome))
        if run.phase is Phase.END:
            seen = before.phase is Phase.REMOVE and outcome is PhaseResult.ABSENT
            assert seen or run.left or outcome is PhaseResult.TAKEN, "the end is reached by seeing nothing, or is told"
        assert 0 <= delay(run) <= 600
    assert run.phase is not Phase.END or run.verdict is not None


@pytest.mark.parametrize("outcome", [PhaseResult.WAIT, PhaseResult.PASSING, PhaseResult.DONE])
def test_a_removal_does_not_go_on_for_ever(outcome: PhaseResult) -> None:
    run = REMOVING
    for _ in range(100):
        if run.phase is not Phase.END:
            run = advance(run, Event(outcome=outcome, detail="still there"))
    assert run.left and run.verdict == RunResult(status=1, line="interrupted; still there")
