import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.tpu.state_machine import (
    Event,
    Phase,
    PhaseResult,
    RunResult,
    RunState,
    advance,
    conclude,
    delay_before,
    record_request,
)

INTERRUPTED = RunResult(status=130, message="interrupted")
WATCHING = dataclasses.replace(record_request(RunState()), phase=Phase.WATCH, acknowledged=True)
REMOVING = conclude(WATCHING, INTERRUPTED)
UNANSWERED = conclude(record_request(RunState()), INTERRUPTED)

STEPS = [
    ("a preempted TPU is removed before another is created", WATCHING, PhaseResult.PREEMPTED, Phase.REMOVE),
    ("and then another is created", dataclasses.replace(REMOVING, result=None), PhaseResult.ABSENT, Phase.CREATE),
    ("at the end none is created", REMOVING, PhaseResult.ABSENT, Phase.END),
    ("a deletion does not end the removal, only an observation does", REMOVING, PhaseResult.WAIT, Phase.REMOVE),
    ("one observation is not enough after a request without a response", UNANSWERED, PhaseResult.ABSENT, Phase.REMOVE),
    ("a trainer that does not run is restarted on the same TPU", WATCHING, PhaseResult.STOPPED, Phase.START),
    ("a TPU of another user is not deleted", record_request(RunState()), PhaseResult.NAME_CONFLICT, Phase.END),
]


@pytest.mark.parametrize(("reason", "run", "event_result", "phase"), STEPS, ids=[row[0] for row in STEPS])
def test_steps(reason: str, run: RunState, event_result: PhaseResult, phase: Phase) -> None:
    assert advance(run, Event(result=event_result)).phase is phase, reason


def test_without_a_request_there_is_nothing_to_remove() -> None:
    assert conclude(RunState(), INTERRUPTED).phase is Phase.END


@given(results=st.lists(st.sampled_from(PhaseResult), max_size=200), interrupt_at=st.integers(0, 200))
def test_laws_of_the_machine(results: list[PhaseResult], interrupt_at: int) -> None:
    run = RunState()
    for step, result in enumerate(results):
        if run.phase is Phase.END:
            break
        if step == interrupt_at:
            run = conclude(run, INTERRUPTED)
            continue
        before = record_request(run) if run.phase is Phase.CREATE else run
        run = advance(before, Event(result=result))
        if run.phase is Phase.END:
            confirmed = before.phase is Phase.REMOVE and result is PhaseResult.ABSENT
            assert confirmed or run.may_remain or result is PhaseResult.NAME_CONFLICT, (
                "the end is confirmed or reported"
            )
        assert 0 <= delay_before(run) <= 600
    assert run.phase is not Phase.END or run.result is not None


@pytest.mark.parametrize("result", [PhaseResult.WAIT, PhaseResult.TRANSIENT, PhaseResult.DONE])
def test_a_removal_ends(result: PhaseResult) -> None:
    run = REMOVING
    for _ in range(100):
        if run.phase is not Phase.END:
            run = advance(run, Event(result=result, detail="still there"))
    assert run.may_remain and run.result == RunResult(status=1, message="interrupted; still there")


def test_weeks_without_capacity_do_not_overflow() -> None:
    assert delay_before(RunState(preemptions=5000)) == 600
