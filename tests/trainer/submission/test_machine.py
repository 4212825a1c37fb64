import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.submission.machine import Event, Outcome, Phase, Run, Verdict, advance, asking, conclude, delay

VERDICT = Verdict(status=130, line="interrupted")
WATCHING = dataclasses.replace(asking(Run()), phase=Phase.WATCH, answered=True)
REMOVING = conclude(WATCHING, VERDICT)
UNANSWERED = conclude(asking(Run()), VERDICT)

STEPS = [
    ("a machine that is lost is removed before another is made", WATCHING, Outcome.LOST, Phase.REMOVE),
    ("and then another is made", dataclasses.replace(REMOVING, verdict=None), Outcome.ABSENT, Phase.CREATE),
    ("at the end none is made", REMOVING, Outcome.ABSENT, Phase.END),
    ("a deletion is not an end, only what is seen", REMOVING, Outcome.WAIT, Phase.REMOVE),
    ("one look is not enough after a request cut off", UNANSWERED, Outcome.ABSENT, Phase.REMOVE),
    ("a trainer that does not run is started on the same machine", WATCHING, Outcome.STOPPED, Phase.START),
    ("what is not ours is not removed", asking(Run()), Outcome.TAKEN, Phase.END),
]


@pytest.mark.parametrize(("why", "run", "outcome", "phase"), STEPS, ids=[row[0] for row in STEPS])
def test_steps(why: str, run: Run, outcome: Outcome, phase: Phase) -> None:
    assert advance(run, Event(outcome=outcome)).phase is phase, why


def test_nothing_asked_nothing_to_remove() -> None:
    assert conclude(Run(), VERDICT).phase is Phase.END


@given(outcomes=st.lists(st.sampled_from(Outcome), max_size=200), interrupt_at=st.integers(0, 200))
def test_laws_of_the_machine(outcomes: list[Outcome], interrupt_at: int) -> None:
    run = Run()
    for place, outcome in enumerate(outcomes):
        if run.phase is Phase.END:
            break
        if place == interrupt_at:
            run = conclude(run, VERDICT)
            continue
        before = asking(run) if run.phase is Phase.CREATE else run
        run = advance(before, Event(outcome=outcome))
        if run.phase is Phase.END:
            seen = before.phase is Phase.REMOVE and outcome is Outcome.ABSENT
            assert seen or run.left or outcome is Outcome.TAKEN, "the end is reached by seeing nothing, or is told"
        assert 0 <= delay(run) <= 600
    assert run.phase is not Phase.END or run.verdict is not None


@pytest.mark.parametrize("outcome", [Outcome.WAIT, Outcome.PASSING, Outcome.DONE])
def test_a_removal_does_not_go_on_for_ever(outcome: Outcome) -> None:
    run = REMOVING
    for _ in range(100):
        if run.phase is not Phase.END:
            run = advance(run, Event(outcome=outcome, detail="still there"))
    assert run.left and run.verdict == Verdict(status=1, line="interrupted; still there")
