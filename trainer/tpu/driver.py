"""Carries out what the state machine says, by gcloud, and tells the person."""

import shlex
from collections.abc import Callable, Sequence

from trainer.tpu import gcloud_commands, gcloud_output
from trainer.tpu.gcloud import NO_ANSWER, Clock, Cloud, CommandResult, Tunnel
from trainer.tpu.gcloud_output import GcloudError, Observation, ResourceState
from trainer.tpu.options import RunRequest, TpuTarget
from trainer.tpu.state_machine import (
    Event,
    Phase,
    PhaseResult,
    RunResult,
    RunState,
    advance,
    asking,
    conclude,
    delay,
    give_up,
)

# Seconds after which gcloud is given up: making a TPU, copying and installing take minutes, ssh tries for one itself.
_SHORT, _LONG = 300.0, 1800.0
_INTERRUPTED = 130


class RunController:
    """Takes one TPU through its run, or only through its removal.

    Args:
      run_id: the value of the label; None for what any run of this program has made.
      files: what is copied; the wheel is the first.
      say: takes lines for the person.
      write: takes what the trainer says.
    """

    def __init__(
        self,
        place: TpuTarget,
        cloud: Cloud,
        clock: Clock,
        *,
        run_id: str | None,
        files: Sequence[str] = (),
        say: Callable[[str], None],
        write: Callable[[str], None] = lambda text: None,  # noqa: ARG005
    ) -> None:
        self._place = place
        self._cloud = cloud
        self._clock = clock
        self._run_id = run_id
        self._files = files
        self._say = say
        self._write = write
        self._run = RunState()
        self._sight = Observation(being=ResourceState.ABSENT)
        self._offset = 0
        self._tunnel: Tunnel | None = None
        self._deadline = float("inf")
        self._interrupts = 0

    def train(self) -> RunResult:
        """Makes the TPU, trains, removes it; Ctrl-C removes it at once, a second one leaves it."""
        assert isinstance(self._place, RunRequest)
        self._deadline = self._clock.now() + self._place.max_hours * 3600
        return self._finish()

    def remove(self) -> RunResult:
        """Removes what is there."""
        self._run = conclude(asking(RunState()), RunResult(status=0, line=f"{self._place.name} is removed"))
        self._run = advance(
            self._run, Event(outcome=PhaseResult.WAIT)
        )  # whether a request is under way is not ours to ask
        return self._finish()

    def look(self) -> Observation:
        """What there is under the name."""
        node = gcloud_output.parse_node(self._ask(gcloud_commands.describe_node(self._place)), self._run_id)
        if not self._place.queued:
            return node
        queued = gcloud_output.parse_queued(self._ask(gcloud_commands.describe_queued(self._place)), self._run_id)
        if queued.being is ResourceState.ABSENT:
            return node
        if queued.being is not ResourceState.READY or node.being is ResourceState.FOREIGN:
            return queued
        waiting = ResourceState.PENDING if node.being is ResourceState.ABSENT else node.being
        return Observation(being=waiting, state=node.state, hosts=node.hosts, resource=queued.resource)

    def delete_line(self) -> str:
        """The command by which a person removes everything."""
        return shlex.join(gcloud_commands.delete_command(self._place))

    def _finish(self) -> RunResult:
        try:
            self._until_end()
        finally:  # whatever error of this program it is, it must not cost money
            try:
                if self._run.phase is not Phase.END:
                    self._run = conclude(self._run, RunResult(status=1, line="an error of this program"))
                    self._until_end()
            finally:
                if self._run.left or self._run.phase is not Phase.END:
                    self._say(f"error: what may be left costs money: look, and delete it with\n  {self.delete_line()}")
        assert self._run.verdict
        return self._run.verdict

    def _until_end(self) -> None:
        while self._run.phase is not Phase.END:
            try:
                self._step()
            except KeyboardInterrupt:
                self._interrupted()

    def _interrupted(self) -> None:
        self._interrupts += 1
        if self._interrupts > 1:
            self._run = give_up(self._run, "interrupted twice, before the removal was seen to be done")
            return
        self._say("interrupted: removing what was made (Ctrl-C again leaves it)")
        self._close_tunnel()
        self._run = conclude(self._run, RunResult(status=_INTERRUPTED, line="interrupted"))

    def _step(self) -> None:
        self._clock.sleep(delay(self._run))
        if self._run.verdict is None and self._clock.now() >= self._deadline:
            self._run = conclude(self._run, RunResult(status=1, line="--max_hours are over"))
            return
        before = self._run
        if before.phase is Phase.CREATE:
            self._run = asking(before)
        event = self._act(before.phase)
        self._run = advance(self._run, event)
        if event.outcome in (PhaseResult.PASSING, PhaseResult.LOST, PhaseResult.STOPPED) and event.detail:
            self._say(f"{before.phase}: {event.detail}")
        if self._run.phase is not Phase.WATCH:
            self._close_tunnel()

    def _act(self, phase: Phase) -> Event:
        if phase is Phase.REMOVE:
            return self._remove()
        request = self._place
        assert isinstance(request, RunRequest)
        match phase:
            case Phase.CREATE:
                return self._create(request)
            case Phase.AWAIT:
                return self._await()
            case Phase.COPY:
                self._say("copying the package")
                return self._from_done(self._ask(gcloud_commands.copy(request, self._files), _LONG))
            case Phase.INSTALL:
                self._say("installing Python 3.11 and the locked packages")
                script = gcloud_commands.install_script(self._files[0].rsplit("/", 1)[-1])
                return self._on_vm(gcloud_commands.remote(request, script, worker="all"), failed=PhaseResult.PASSING)
            case Phase.DOCTOR:
                self._say("the doctor, on the TPU VM:")
                script = gcloud_commands.doctor_script(request, self._sight.hosts)
                return self._on_vm(gcloud_commands.remote(request, script), shown=True)
            case Phase.START:
                return self._start(request)
            case _:
                return self._watch(request)

    def _create(self, request: RunRequest) -> Event:
        hours = (self._deadline - self._clock.now()) / 3600
        self._say(f"asking for {request.accelerator_type} {request.name!r} in {request.zone}")
        done = self._ask(gcloud_commands.create(request, self._run_id or "", hours), _LONG)
        if not done.status:
            return Event(outcome=PhaseResult.DONE)
        told = gcloud_output.error_reason(done)
        match gcloud_output.classify_error(done):
            case GcloudError.EXISTS if self.look().being is ResourceState.FOREIGN:
                return Event(outcome=PhaseResult.TAKEN, detail=self._taken())
            case GcloudError.EXISTS:
                return Event(outcome=PhaseResult.DONE)
            case GcloudError.CAPACITY:
                self._say(f"no capacity, asking again: {told}")
                return Event(outcome=PhaseResult.LOST)
            case GcloudError.FINAL | GcloudError.ABSENT:
                return Event(outcome=PhaseResult.FINAL, detail=told)
            case _:
                return Event(outcome=PhaseResult.PASSING, detail=told, answered=done.status != NO_ANSWER)

    def _taken(self) -> str:
        return (
            f"--name: {self._place.name} in {self._place.zone} exists and is not of this run; give another name, or see"
            " the commands status and stop"
        )

    def _await(self) -> Event:
        sight = self.look()
        if sight.state != self._sight.state:
            self._say(f"{self._place.name}: {sight.state or 'not there'}")
        self._sight = sight
        match sight.being:
            case ResourceState.READY:
                return Event(outcome=PhaseResult.DONE)
            case ResourceState.PENDING:
                return Event(outcome=PhaseResult.WAIT)
            case ResourceState.UNKNOWN:
                return Event(outcome=PhaseResult.PASSING, detail=sight.state)
            case _:
                return Event(outcome=PhaseResult.LOST, detail=self._lost(sight))

    def _lost(self, sight: Observation) -> str:
        return f"the TPU is {sight.state or 'gone'}: making another, which goes on from the last checkpoint"

    def _start(self, request: RunRequest) -> Event:
        hours = max(self._deadline - self._clock.now(), 60.0) / 3600
        sight = self._sight
        script = gcloud_commands.start_script(request, hosts=sight.hosts, resource=sight.resource, hours=hours)
        self._offset = 0
        return self._on_vm(gcloud_commands.remote(request, script))

    def _watch(self, request: RunRequest) -> Event:
        if request.tensorboard_port and not (self._tunnel and self._tunnel.alive()):
            if not self._tunnel:
                self._say(f"TensorBoard: http://localhost:{request.tensorboard_port}")
            self._tunnel = self._cloud.open(gcloud_commands.tunnel(request))
        done = self._ask(gcloud_commands.remote(request, gcloud_commands.show_script(self._offset)))
        seen = gcloud_output.parse_status(gcloud_output.remote_text(done))
        if gcloud_output.remote_status(done) != 0 or seen is None:
            return self._unreached(gcloud_output.error_reason(done))
        self._write(seen.log)
        self._offset = seen.offset
        match seen.state:
            case "finished":
                return Event(outcome=PhaseResult.DONE, detail=f"trained: {request.config.model_dir}")
            case "failed":
                told = f"the trainer failed, exit status {seen.code}; see its log"
                return Event(outcome=PhaseResult.FINAL, detail=told)
            case "overtime":
                return Event(outcome=PhaseResult.FINAL, detail="--max_hours are over")
            case "running":
                return Event(outcome=PhaseResult.WAIT)
            case _:
                stopped = Event(outcome=PhaseResult.STOPPED, detail="the trainer does not run: starting it again")
                return self._unless_lost(stopped)

    def _remove(self) -> Event:
        """Deletes what is there and ours; only a look that finds nothing is the end of it."""
        sight = self.look()
        match sight.being:
            case ResourceState.ABSENT:
                return Event(outcome=PhaseResult.ABSENT)
            case ResourceState.UNKNOWN:
                return Event(outcome=PhaseResult.PASSING, detail=sight.state)
            case ResourceState.FOREIGN:
                return Event(
                    outcome=PhaseResult.TAKEN, detail=f"{self._place.name} exists, but without the mark of this run"
                )
        self._say(f"removing {self._place.name}")
        queued = self._place.queued and "/nodes/" not in sight.resource
        done = self._ask((gcloud_commands.delete_queued if queued else gcloud_commands.delete_node)(self._place), _LONG)
        told = gcloud_output.error_reason(done) if done.status else "still there after its deletion"
        return Event(outcome=PhaseResult.WAIT, detail=told)

    def _on_vm(self, command: Sequence[str], *, shown: bool = False, failed: PhaseResult = PhaseResult.FINAL) -> Event:
        done = self._ask(command, _LONG)
        if shown:
            self._write(gcloud_output.remote_text(done))
        status = gcloud_output.remote_status(done)
        if status is None:
            return self._unreached(gcloud_output.error_reason(done))
        if status:
            told = gcloud_output.error_reason(done) if done.err.strip() else f"exit status {status}"
            return Event(outcome=failed, detail=f"{self._run.phase} failed on the TPU VM: {told}")
        return Event(outcome=PhaseResult.DONE)

    def _from_done(self, done: CommandResult) -> Event:
        return self._unreached(gcloud_output.error_reason(done)) if done.status else Event(outcome=PhaseResult.DONE)

    def _unreached(self, told: str) -> Event:
        return self._unless_lost(Event(outcome=PhaseResult.PASSING, detail=f"no connection to the TPU VM: {told}"))

    def _unless_lost(self, event: Event) -> Event:
        """The event, if a look does not show that the TPU is gone."""
        sight = self.look()
        if sight.being in (ResourceState.LOST, ResourceState.ABSENT, ResourceState.FOREIGN):
            return Event(outcome=PhaseResult.LOST, detail=self._lost(sight))
        return event

    def _ask(self, command: Sequence[str], timeout: float = _SHORT) -> CommandResult:
        return self._cloud.run(command, timeout=timeout)

    def _close_tunnel(self) -> None:
        if self._tunnel:
            self._tunnel.close()
            self._tunnel = None
