"""The run of a rented machine as a state machine: what happened in, what to do next out. No clock, no cloud.

    CREATE ─▶ AWAIT ─▶ COPY ─▶ INSTALL ─▶ DOCTOR ─▶ START ─▶ WATCH ─ trained ─▶ REMOVE ─▶ END
      ▲         └─────────┴───── machine lost ─┴────────┴───────┴──────────────────▶ │
      └──────────────── a lost machine is removed, then another is made ─────────────┘

Whatever ends a run passes through REMOVE, and REMOVE ends when nothing is there any more, or in a verdict that says
what may be left.
"""

import dataclasses
import enum
from dataclasses import dataclass


class Phase(enum.StrEnum):
    """What is done next."""

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
    """How it went."""

    DONE = enum.auto()  # go on
    WAIT = enum.auto()  # not yet: ask again
    PASSING = enum.auto()  # failed, and may do better the next time
    FINAL = enum.auto()  # failed, and would again
    LOST = enum.auto()  # the machine is gone or going
    STOPPED = enum.auto()  # the machine is there, the trainer does not run
    TAKEN = enum.auto()  # what bears the name is not ours
    ABSENT = enum.auto()  # nothing bears the name


@dataclass(frozen=True, kw_only=True)
class Event:
    """How the action of a phase went; answered is False where a request was sent and no answer came."""

    outcome: PhaseResult
    detail: str = ""
    answered: bool = True


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How the run ends: exit status and one line for the person."""

    status: int
    line: str


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Where a run stands.

    Attributes:
      asked: a request to create was sent for the present machine, so that something may exist.
      answered: the answer to it came.
      failures: in a row, of this phase; while removing, all its tries.
      absences: looks in a row that found nothing, while removing.
      lost: machines in a row that were lost before the trainer ran.
      verdict: how it will end; None while it goes on.
      left: the end was reached without having seen that nothing is left.
    """

    phase: Phase = Phase.CREATE
    asked: bool = False
    answered: bool = True
    failures: int = 0
    absences: int = 0
    lost: int = 0
    verdict: RunResult | None = None
    left: bool = False


# Failures in a row after which a phase is given up. New SSH keys and addresses take a minute or two to be accepted.
_LIMITS = {Phase.CREATE: 4, Phase.AWAIT: 20, Phase.INSTALL: 3, Phase.WATCH: 20}
_LIMIT = 6
# A deletion takes a minute or two; REMOVE comes back every 10 to 60 seconds.
_REMOVE_LIMIT = 40
# A request that was cut off may still come to pass: nothing is there only if it stays so for half a minute.
_SETTLED = 4


def asking(run: RunState) -> RunState:
    """The state in which a request to create is sent: from now on something may exist."""
    return dataclasses.replace(run, asked=True, answered=False)


def conclude(run: RunState, verdict: RunResult) -> RunState:
    """Ends the run for a reason from outside, such as Ctrl-C: at once if nothing was made, else by removing it."""
    if not run.asked:
        return dataclasses.replace(run, phase=Phase.END, verdict=verdict)
    if run.phase is Phase.REMOVE:
        return dataclasses.replace(run, verdict=run.verdict or verdict)
    return _enter(run, Phase.REMOVE, verdict)


def advance(run: RunState, event: Event) -> RunState:
    """The state after the action of its phase."""
    if run.phase is Phase.REMOVE:
        return _removed(run, event)
    if run.phase is Phase.CREATE:
        run = dataclasses.replace(run, answered=event.answered)
    match event.outcome:
        case PhaseResult.DONE if run.phase is Phase.WATCH:
            return _enter(run, Phase.REMOVE, RunResult(status=0, line=event.detail))
        case PhaseResult.DONE:
            return _enter(run, _NEXT[run.phase])
        case PhaseResult.WAIT:
            lost = 0 if run.phase is Phase.WATCH else run.lost
            return dataclasses.replace(run, failures=0, lost=lost)
        case PhaseResult.PASSING:
            return _failed(run, event)
        case PhaseResult.FINAL:
            return _enter(run, Phase.REMOVE, RunResult(status=1, line=event.detail))
        case PhaseResult.STOPPED:
            return _enter(run, Phase.START)
        case PhaseResult.TAKEN:
            return dataclasses.replace(run, phase=Phase.END, verdict=RunResult(status=2, line=event.detail))
        case _:
            return _enter(dataclasses.replace(run, lost=run.lost + 1), Phase.REMOVE)


def _enter(run: RunState, phase: Phase, verdict: RunResult | None = None) -> RunState:
    return dataclasses.replace(run, phase=phase, failures=0, absences=0, verdict=verdict)


def _failed(run: RunState, event: Event) -> RunState:
    failures = run.failures + 1
    if failures < _LIMITS.get(run.phase, _LIMIT):
        return dataclasses.replace(run, failures=failures)
    if (
        run.phase is Phase.WATCH
    ):  # it may be training, but nobody can see it: another machine goes on from its checkpoint
        return _enter(run, Phase.REMOVE)
    return _enter(run, Phase.REMOVE, RunResult(status=1, line=f"given up after {failures} times: {event.detail}"))


def _removed(run: RunState, event: Event) -> RunState:
    if event.outcome is PhaseResult.ABSENT:
        absences = run.absences + 1
        if absences < (1 if run.answered else _SETTLED):
            return dataclasses.replace(run, absences=absences)
        return dataclasses.replace(
            run,
            phase=Phase.END if run.verdict else Phase.CREATE,
            asked=False,
            answered=True,
            failures=0,
            absences=0,
        )
    tries = run.failures + 1
    if event.outcome is PhaseResult.TAKEN or tries >= _REMOVE_LIMIT:
        return give_up(dataclasses.replace(run, phase=Phase.REMOVE), event.detail)
    # What has been seen has been made, so that its absence will be believed at once.
    return dataclasses.replace(
        run, failures=tries, absences=0, answered=run.answered or event.outcome is PhaseResult.WAIT
    )


def give_up(run: RunState, reason: str) -> RunState:
    """Ends without having seen that nothing is left."""
    line = f"{run.verdict.line}; {reason}" if run.verdict else reason
    return dataclasses.replace(run, phase=Phase.END, left=True, verdict=RunResult(status=1, line=line))


def delay(run: RunState) -> float:
    """Seconds before the action of this state."""
    match run.phase:
        case Phase.END:
            return 0.0
        case Phase.CREATE if run.lost:
            return min(30.0 * 2**run.lost, 600.0)
        case Phase.REMOVE if run.failures <= 1 and not run.absences:  # the first look, and that after the deletion
            return 0.0
        case Phase.REMOVE:
            return 10.0
        case _ if run.failures:
            return min(5.0 * 2**run.failures, 60.0)
        case Phase.AWAIT | Phase.WATCH:
            return 15.0
        case _:
            return 0.0
