"""The last step of a run with --max_hours or --patience; seconds are those of a clock that the tests set."""

import dataclasses
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from trainer.data import records
from trainer.loop import limits
from trainer.loop.course import Course
from trainer.loop.limits import StepClock, TrainingState
from trainer.presets import make_config

# 800 steps in 80 epochs; an evaluation after every 100 steps.
SPLIT = records.RecordSplit(paths=(), examples=80)
SETTINGS = {"num_epochs": 80, "eval_every_epochs": 10, "train_batch_size": 8, "warmup_steps": 50}
ONE = tf.distribute.get_strategy()


class Clock:
    """Seconds since the run was started."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def make_course(clock: Clock, *, evaluated: int = 0, stored: dict[str, Any] | None = None, **settings: Any) -> Course:
    course = Course(make_config("tiny", {**SETTINGS, **settings}), SPLIT, ONE, evaluated)
    course.resume(0, stored or {})
    course.clock = StepClock((stored or {}).get("seconds", 0.0), now=clock)
    return course


def run(course: Course, clock: Clock, *, step: int = 0, seconds_a_step: float = 1.0, evaluation: float = 0.0) -> int:
    """Go through the steps of a course; the first loop takes 20 seconds more. Returns the last step."""
    clock.seconds += 20
    while step < course.total_steps:
        count = course.count_next(step)
        clock.seconds += count * seconds_a_step
        step += count
        course.record_steps(step, count)
        if step in course.evaluation_steps:
            course.clock.restart()
            clock.seconds += evaluation
            course.record_evaluation(step, {"AP": 0.5})
            course.clock.restart()
    return step


HOURS = [
    ("without a limit, every step", 0.0, 1.0, 0.0, 800, 800),
    ("more time than needed", 1.0, 1.0, 0.0, 800, 800),
    ("half of the time", 400 / 3600, 1.0, 0.0, 370, 400),
    ("evaluations take their part", 400 / 3600, 1.0, 20.0, 280, 340),
    ("a limit that the start has spent", 5 / 3600, 1.0, 0.0, 1, 1),
]


@pytest.mark.parametrize(("why", "hours", "speed", "evaluation", "low", "high"), HOURS, ids=[row[0] for row in HOURS])
def test_a_run_ends_in_time(why: str, hours: float, speed: float, evaluation: float, low: int, high: int) -> None:
    clock = Clock()
    course = make_course(clock, max_hours=hours, evaluated=8 if evaluation else 0)
    last = run(course, clock, seconds_a_step=speed, evaluation=evaluation)
    assert low <= last <= high, why
    assert not hours or last == 1 or clock.seconds <= 3600 * hours + 20, "within a loop of steps"
    state = course.state_at(last)
    assert (state.ended_by == limits.MAX_HOURS) == (last < 800)
    if course.pace and 1 < last < 800:
        assert float(course.pace(last)) == pytest.approx(800), "the schedule has ended with it"


@given(st.floats(0.2, 5.0), st.floats(0.2, 5.0), st.integers(100, 3000))
def test_a_run_whose_speed_changes_ends_in_time(first: float, second: float, seconds: int) -> None:
    clock = Clock()
    course = make_course(clock, max_hours=seconds / 3600)
    step = 0
    while step < course.total_steps:
        count = course.count_next(step)
        speed = first if step < 60 else second
        clock.seconds += count * speed
        step += count
        course.record_steps(step, count)
        assert step <= course.total_steps <= 800
    # At most one loop of 20 steps was begun in vain, which takes up to five times what was measured before.
    assert clock.seconds <= seconds + 20 * max(first, second)


def test_time_that_was_spent_counts() -> None:
    clock = Clock()
    whole = make_course(clock, max_hours=400 / 3600)
    step = 0
    for _ in range(11):
        count = whole.count_next(step)
        clock.seconds, step = clock.seconds + count, step + count
        whole.record_steps(step, count)
    stored = whole.state_at(step).to_json()
    assert stored["seconds"] == 201 and step == 201
    again = Clock()
    resumed = make_course(again, max_hours=400 / 3600)
    resumed.resume(step, stored)
    resumed.clock = StepClock(stored["seconds"], now=again)
    assert resumed.total_steps == whole.total_steps and resumed.pace and whole.pace
    assert resumed.pace.knots == whole.pace.knots
    assert run(resumed, again, step=step) == pytest.approx(380, abs=10), "20 seconds of the second start"


def test_a_checkpoint_after_the_time_ends_at_once() -> None:
    course = Course(make_config("tiny", {**SETTINGS, "max_hours": 1.0}), SPLIT, ONE, 0)
    course.resume(240, {"seconds": 3601.0, "planned_steps": 800})
    assert course.total_steps == 240 and course.state_at(240).ended_by == limits.MAX_HOURS


PATIENCE = [
    ("each is better", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], 2, 800),
    ("two are not", [0.1, 0.3, 0.2, 0.3], 2, 400),
    ("one is not, then another is", [0.3, 0.2, 0.4, 0.1, 0.2], 2, 500),
    ("nothing is found at all", [None, 0.0, None], 2, 300),
    ("without patience it never ends", [0.3] * 8, 0, 800),
    ("a run that is over anyway", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.1], 1, 800),
]


@pytest.mark.parametrize(("why", "values", "patience", "last"), PATIENCE, ids=[row[0] for row in PATIENCE])
def test_patience(why: str, values: list[float | None], patience: int, last: int) -> None:
    course = make_course(Clock(), evaluated=8, patience=patience)
    for step, value in enumerate(values, 1):
        assert 100 * step in course.evaluation_steps
        course.record_evaluation(100 * step, {"AP": value})
    state = course.state_at(last)
    assert course.total_steps == last, why
    assert state.ended_by == (limits.PATIENCE if last < 800 else "")


def test_an_earlier_last_step_is_evaluated() -> None:
    course = make_course(Clock(), evaluated=8)
    course.total_steps = 250
    assert course.evaluation_steps == {100, 200, 250}


SPENT = TrainingState(ended_by="max_hours", limit=2.0)
TIRED = TrainingState(ended_by="patience", limit=3, best_ap=0.4)
ENDED = [
    ("a run that nothing ended", TrainingState(), {"max_hours": 2.0}, False),
    ("the same limit", SPENT, {"max_hours": 2.0}, True),
    ("a smaller one", SPENT, {"max_hours": 1.0}, True),
    ("more time", SPENT, {"max_hours": 3.0}, False),
    ("no limit any more", SPENT, {}, False),
    ("the same patience", TIRED, {"patience": 3}, True),
    ("more patience", TIRED, {"patience": 4}, False),
    ("another limit", TIRED, {"max_hours": 1.0}, False),
]


@pytest.mark.parametrize(("why", "state", "given", "expected"), ENDED, ids=[row[0] for row in ENDED])
def test_whether_a_run_has_ended(why: str, state: TrainingState, given: dict[str, Any], expected: bool) -> None:
    assert limits.has_ended(state, make_config("tiny", given)) is expected, why


SUMMARIES = [
    ("an old checkpoint knows nothing", None, 100, ""),
    ("to its end", TrainingState(planned_steps=100, seconds=1800.0), 100, "num_epochs"),
    ("killed", TrainingState(planned_steps=100), 60, ""),
    ("by its time", dataclasses.replace(SPENT, planned_steps=100), 60, "max_hours"),
]


@pytest.mark.parametrize(("why", "state", "step", "ended_by"), SUMMARIES, ids=[row[0] for row in SUMMARIES])
def test_what_the_manifest_says(why: str, state: TrainingState | None, step: int, ended_by: str) -> None:
    found = limits.summarise_training(state.to_json() if state else {}, step)
    if state is None:
        assert found == {}, why
        return
    assert found["ended_by"] == ended_by and found["steps"] == step and found["planned_steps"] == 100, why
    assert found["hours"] == state.seconds / 3600 and found["reason"]
    assert TrainingState.from_json(state.to_json()) == state
