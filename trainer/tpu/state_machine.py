"""State machine of a training run on a rented TPU: takes what happened, returns what to do next.

    CREATE ─▶ AWAIT ─▶ COPY ─▶ INSTALL ─▶ DOCTOR ─▶ START ─▶ WATCH ─ trained ─▶ REMOVE ─▶ END
      ▲         └─────────┴────── preempted ───┴────────┴───────┴──────────────────▶ │
      └─────────── a preempted TPU is removed, then another one is created ──────────┘

Every run passes through REMOVE, except one that has requested nothing yet. REMOVE ends when the TPU is seen to be
gone, or with a result that states what may remain. Pure: no clock and no cloud (see trainer.tpu.driver). Begin reading
at `advance`.
"""

import dataclasses
import enum
from dataclasses import dataclass


class Phase(enum.StrEnum):
    """The next action of a run."""

    CREATE = "create"
    AWAIT = "await"
    COPY = "copy"
    INSTALL = "install"
    DOCTOR = "doctor"
    START = "start"
    WATCH = "watch"
    REMOVE = "remove"
    END = "end"


_NEXT = {
    Phase.CREATE: Phase.AWAIT,
    Phase.AWAIT: Phase.COPY,
    Phase.COPY: Phase.INSTALL,
    Phase.INSTALL: Phase.DOCTOR,
    Phase.DOCTOR: Phase.START,
    Phase.START: Phase.WATCH,
}


class PhaseResult(enum.Enum):
    """Result of the action of a phase."""

    DONE = enum.auto()  # continue with the next phase
    WAIT = enum.auto()  # not finished: repeat the action later
    TRANSIENT = enum.auto()  # failed, but may succeed when repeated
    PERMANENT = enum.auto()  # failed, and would fail again
    PREEMPTED = enum.auto()  # the TPU was preempted or deleted, or there is no capacity for one
    STOPPED = enum.auto()  # the TPU is there, but the trainer does not run
    NAME_CONFLICT = enum.auto()  # the name belongs to a TPU that this run did not create
    ABSENT = enum.auto()  # no TPU has the name


@dataclass(frozen=True, kw_only=True)
class Event:
    """Result of an action.

    Attributes:
      detail: one line for the user.
      acknowledged: False if a request was sent and its response was not received, or only says that it was accepted.
    """

    result: PhaseResult
    detail: str = ""
    acknowledged: bool = True


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Final result of a run: exit status and one line for the user."""

    status: int
    message: str


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Progress of a run.

    Attributes:
      requested: a request to create the current TPU was sent, so it may exist.
      acknowledged: the response to that request was received.
      unanswered: an earlier request of this TPU got no response.
      failures: consecutive failures of this phase; in REMOVE, the number of attempts.
      absences: consecutive observations in REMOVE that found nothing.
      preemptions: consecutive TPUs that were lost, or refused for lack of capacity, before the trainer ran.
      result: how the run will end; None while it continues.
      may_remain: the run ended without an observation that the TPU is gone.
    """

    phase: Phase = Phase.CREATE
    requested: bool = False
    acknowledged: bool = True
    unanswered: bool = False
    failures: int = 0
    absences: int = 0
    preemptions: int = 0
    result: RunResult | None = None
    may_remain: bool = False


# Consecutive failures after which a phase is given up. New SSH keys and addresses take a minute or two to be accepted.
_MAX_FAILURES = {Phase.CREATE: 4, Phase.AWAIT: 20, Phase.INSTALL: 3, Phase.WATCH: 20}
_MAX_FAILURES_ELSEWHERE = 6
# A deletion takes a minute or two; REMOVE is repeated every 10 seconds.
_MAX_REMOVALS = 40
# A request without a response may still be carried out. So the TPU counts as absent only after half a minute.
_MIN_ABSENCES = 4


def record_request(run: RunState) -> RunState:
    """Return the state in which a request to create is being sent: from here on a TPU may exist."""
    return dataclasses.replace(run, requested=True, acknowledged=False)


def conclude(run: RunState, result: RunResult) -> RunState:
    """End a run for an external reason, such as Ctrl-C: at once if nothing was requested, else by removing the TPU."""
    if not run.requested:
        return dataclasses.replace(run, phase=Phase.END, result=result)
    if run.phase is Phase.REMOVE:
        return dataclasses.replace(run, result=run.result or result)
    return _enter(run, Phase.REMOVE, result)


def advance(run: RunState, event: Event) -> RunState:
    """Return the state that follows the action of the current phase.

    Example:
      >>> advance(RunState(phase=Phase.COPY), Event(result=PhaseResult.DONE)).phase
      <Phase.INSTALL: 'install'>
    """
    if run.phase is Phase.REMOVE:
        return _advance_removal(run, event)
    if run.phase is Phase.CREATE:
        # A request without a response may still create the TPU, even if a later one got its response.
        unanswered = run.unanswered or not event.acknowledged
        run = dataclasses.replace(run, unanswered=unanswered, acknowledged=not unanswered)
    match event.result:
        case PhaseResult.DONE if run.phase is Phase.WATCH:
            return _enter(run, Phase.REMOVE, RunResult(status=0, message=event.detail))
        case PhaseResult.DONE:
            return _enter(run, _NEXT[run.phase])
        case PhaseResult.WAIT:
            # A trainer that runs has proved the TPU: later losses begin with short delays again.
            preemptions = 0 if run.phase is Phase.WATCH else run.preemptions
            return dataclasses.replace(run, failures=0, preemptions=preemptions)
        case PhaseResult.TRANSIENT:
            return _retry_or_remove(run, event)
        case PhaseResult.PERMANENT:
            return _enter(run, Phase.REMOVE, RunResult(status=1, message=event.detail))
        case PhaseResult.STOPPED:
            return _enter(run, Phase.START)
        case PhaseResult.NAME_CONFLICT:
            return dataclasses.replace(run, phase=Phase.END, result=RunResult(status=2, message=event.detail))
        case _:
            return _enter(dataclasses.replace(run, preemptions=run.preemptions + 1), Phase.REMOVE)


def _enter(run: RunState, phase: Phase, result: RunResult | None = None) -> RunState:
    return dataclasses.replace(run, phase=phase, failures=0, absences=0, result=result)


def _retry_or_remove(run: RunState, event: Event) -> RunState:
    failures = run.failures + 1
    if failures < _MAX_FAILURES.get(run.phase, _MAX_FAILURES_ELSEWHERE):
        return dataclasses.replace(run, failures=failures)
    if run.phase is Phase.WATCH:  # it may be training, but is out of reach: another TPU resumes from the checkpoint
        return _enter(run, Phase.REMOVE)
    message = f"given up after {failures} attempts: {event.detail}"
    return _enter(run, Phase.REMOVE, RunResult(status=1, message=message))


def _advance_removal(run: RunState, event: Event) -> RunState:
    if event.result is PhaseResult.ABSENT:
        return _count_absence(run)
    attempts = run.failures + 1
    if event.result is PhaseResult.NAME_CONFLICT or attempts >= _MAX_REMOVALS:
        return give_up(run, event.detail)
    # A TPU that was observed was created, so a single observation that it is absent suffices later.
    acknowledged = run.acknowledged or event.result is PhaseResult.WAIT
    return dataclasses.replace(run, failures=attempts, absences=0, acknowledged=acknowledged)


def _count_absence(run: RunState) -> RunState:
    absences = run.absences + 1
    if absences < (1 if run.acknowledged else _MIN_ABSENCES):
        return dataclasses.replace(run, absences=absences)
    # A run without a result was preempted, so another TPU is created.
    phase = Phase.END if run.result else Phase.CREATE
    return dataclasses.replace(
        run, phase=phase, requested=False, acknowledged=True, unanswered=False, failures=0, absences=0
    )


def give_up(run: RunState, reason: str) -> RunState:
    """End a run without an observation that the TPU is gone."""
    message = f"{run.result.message}; {reason}" if run.result else reason
    return dataclasses.replace(run, phase=Phase.END, may_remain=True, result=RunResult(status=1, message=message))


def delay_before(run: RunState) -> float:
    """Return the seconds to wait before the action of this state.

    Example:
      >>> delay_before(RunState(phase=Phase.WATCH)), delay_before(RunState(preemptions=2))
      (15.0, 120.0)
    """
    match run.phase:
        case Phase.CREATE if run.preemptions:
            return _backoff(30.0, run.preemptions, longest=600.0)
        case Phase.REMOVE:
            # No wait before the first observation, nor before the one that follows the deletion.
            return 10.0 if run.failures > 1 or run.absences else 0.0
        case Phase.END:
            return 0.0
        case _ if run.failures:
            return _backoff(5.0, run.failures, longest=60.0)
        case Phase.AWAIT | Phase.WATCH:
            return 15.0
        case _:
            return 0.0


def _backoff(first: float, repetitions: int, *, longest: float) -> float:
    doublings = min(repetitions, 10)  # a larger power would overflow in a run of weeks
    return float(min(first * 2**doublings, longest))
