"""Carries out a run: steps through the state machine, and performs the action of each phase.

Begin reading at `RunController.train`. Nothing that costs money may remain: the order of the statements in `_finish`
and `_step` guarantees that a request to create a TPU is always followed by REMOVE. The actions of the phases are in
trainer.tpu.phases.
"""

import shlex
from collections.abc import Callable, Sequence

from trainer.tpu.gcloud import Clock, Cloud
from trainer.tpu.options import TpuTarget
from trainer.tpu.phases import PhaseActions
from trainer.tpu.platforms import make_platform
from trainer.tpu.state_machine import (
    Event,
    Phase,
    PhaseResult,
    RunResult,
    RunState,
    advance,
    conclude,
    delay_before,
    give_up,
    record_request,
)

_INTERRUPTED = RunResult(status=130, message="interrupted")
_INTERNAL_ERROR = RunResult(status=1, message="internal error")


class RunController:
    """Takes one TPU through a run, or only through its removal.

    Args:
      run_id: the value of the label; None accepts a TPU of any run of this program.
      files: the files to copy; the wheel is the first.
      notify: takes lines for the user.
      write_log: takes the output of the trainer.
    """

    def __init__(
        self,
        target: TpuTarget,
        cloud: Cloud,
        clock: Clock,
        *,
        run_id: str | None,
        files: Sequence[str] = (),
        notify: Callable[[str], None],
        write_log: Callable[[str], None] = lambda text: None,  # noqa: ARG005 - the signature of write_log
    ) -> None:
        self._target = target
        self._clock = clock
        self._notify = notify
        self._actions = PhaseActions(target, cloud, run_id=run_id, files=files, notify=notify, write_log=write_log)
        self._run = RunState()
        # Set by `train`; a removal has none.
        self._deadline = float("inf")
        self._interrupts = 0

    def train(self) -> RunResult:
        """Create the TPU, train and remove it. Ctrl-C removes it at once; a second Ctrl-C leaves it."""
        self._deadline = self._clock.now() + self._actions.request.max_hours * 3600
        return self._finish()

    def remove(self) -> RunResult:
        """Remove the TPU."""
        removed = RunResult(status=0, message=f"{self._target.name} is removed")
        # As if a request had been sent: only then does the state machine pass through REMOVE.
        run = conclude(record_request(RunState()), removed)
        # No request of this process is pending, so one observation that finds nothing is enough.
        self._run = advance(run, Event(result=PhaseResult.WAIT))
        return self._finish()

    def delete_line(self) -> str:
        """Return the command line with which the user can remove everything."""
        return shlex.join(make_platform(self._target).delete())

    def _finish(self) -> RunResult:
        try:
            self._run_until_end()
        finally:  # a programming error must not leave a TPU that costs money
            try:
                # Reached by an error in this program: the run is concluded, so that REMOVE follows.
                if self._run.phase is not Phase.END:
                    self._run = conclude(self._run, _INTERNAL_ERROR)
                    self._run_until_end()
            finally:
                if self._run.may_remain or self._run.phase is not Phase.END:
                    self._notify(
                        f"error: a TPU may remain, and cost money; check, and delete it with:\n  {self.delete_line()}"
                    )
        return self._run.result or _INTERNAL_ERROR

    def _run_until_end(self) -> None:
        while self._run.phase is not Phase.END:
            try:
                self._step()
            except KeyboardInterrupt:
                self._handle_interrupt()

    def _handle_interrupt(self) -> None:
        self._interrupts += 1
        if self._interrupts > 1:
            self._run = give_up(self._run, "interrupted twice before the removal was confirmed")
            return
        self._notify("interrupted: removing the TPU (press Ctrl-C again to leave it)")
        self._actions.close_tunnel()
        # This does not remove the TPU yet: the loop goes on with the phase REMOVE.
        self._run = conclude(self._run, _INTERRUPTED)

    def _step(self) -> None:
        # Ctrl-C during the wait or the action ends up in `_run_until_end`.
        self._clock.sleep(delay_before(self._run))
        if self._run.result is None and self._clock.now() >= self._deadline:
            self._run = conclude(self._run, RunResult(status=1, message="--max_hours has elapsed"))
            return
        before = self._run
        if before.phase is Phase.CREATE:  # before the request is sent: it may be interrupted at any moment
            self._run = record_request(before)
        event = self._actions.perform(before.phase, seconds_left=self._deadline - self._clock.now())
        self._run = advance(self._run, event)
        if event.result in (PhaseResult.TRANSIENT, PhaseResult.PREEMPTED, PhaseResult.STOPPED) and event.detail:
            self._notify(f"{before.phase}: {event.detail}")
        if self._run.phase is not Phase.WATCH:
            self._actions.close_tunnel()
