"""Carries out what the state machine says, by gcloud, and tells the person."""

import shlex
from collections.abc import Callable, Sequence

from trainer.submission import answers, commands
from trainer.submission.answers import Being, Sight, Why
from trainer.submission.machine import (
    Event,
    Outcome,
    Phase,
    Run,
    Verdict,
    advance,
    asking,
    conclude,
    delay,
    give_up,
)
from trainer.submission.options import Place, RunRequest
from trainer.submission.ports import NO_ANSWER, Clock, Cloud, Done, Tunnel

# Seconds after which gcloud is given up: making a TPU, copying and installing take minutes, ssh tries for one itself.
_SHORT, _LONG = 300.0, 1800.0
_INTERRUPTED = 130


class Driver:
    """Takes one TPU through its run, or only through its removal.

    Args:
      run_id: the value of the label; None for what any run of this program has made.
      files: what is copied; the wheel is the first.
      say: takes lines for the person.
      write: takes what the trainer says.
    """

    def __init__(
        self,
        place: Place,
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
        self._run = Run()
        self._sight = Sight(being=Being.ABSENT)
        self._offset = 0
        self._tunnel: Tunnel | None = None
        self._deadline = float("inf")
        self._interrupts = 0

    def train(self) -> Verdict:
        """Makes the TPU, trains, removes it; Ctrl-C removes it at once, a second one leaves it."""
        assert isinstance(self._place, RunRequest)
        self._deadline = self._clock.now() + self._place.max_hours * 3600
        return self._finish()

    def remove(self) -> Verdict:
        """Removes what is there."""
        self._run = conclude(asking(Run()), Verdict(status=0, line=f"{self._place.name} is removed"))
        self._run = advance(self._run, Event(outcome=Outcome.WAIT))  # whether a request is under way is not ours to ask
        return self._finish()

    def look(self) -> Sight:
        """What there is under the name."""
        node = answers.see_node(self._ask(commands.describe_node(self._place)), self._run_id)
        if not self._place.queued:
            return node
        queued = answers.see_queued(self._ask(commands.describe_queued(self._place)), self._run_id)
        if queued.being is Being.ABSENT:
            return node
        if queued.being is not Being.READY or node.being is Being.FOREIGN:
            return queued
        waiting = Being.PENDING if node.being is Being.ABSENT else node.being
        return Sight(being=waiting, state=node.state, hosts=node.hosts, resource=queued.resource)

    def delete_line(self) -> str:
        """The command by which a person removes everything."""
        return shlex.join(commands.delete(self._place))

    def _finish(self) -> Verdict:
        try:
            self._until_end()
        finally:  # whatever error of this program it is, it must not cost money
            try:
                if self._run.phase is not Phase.END:
                    self._run = conclude(self._run, Verdict(status=1, line="an error of this program"))
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
        self._run = conclude(self._run, Verdict(status=_INTERRUPTED, line="interrupted"))

    def _step(self) -> None:
        self._clock.sleep(delay(self._run))
        if self._run.verdict is None and self._clock.now() >= self._deadline:
            self._run = conclude(self._run, Verdict(status=1, line="--max_hours are over"))
            return
        before = self._run
        if before.phase is Phase.CREATE:
            self._run = asking(before)
        event = self._act(before.phase)
        self._run = advance(self._run, event)
        if event.outcome in (Outcome.PASSING, Outcome.LOST, Outcome.STOPPED) and event.detail:
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
                return self._from_done(self._ask(commands.copy(request, self._files), _LONG))
            case Phase.INSTALL:
                self._say("installing Python 3.11 and the locked packages")
                script = commands.install_script(self._files[0].rsplit("/", 1)[-1])
                return self._on_vm(commands.remote(request, script, worker="all"), failed=Outcome.PASSING)
            case Phase.DOCTOR:
                self._say("the doctor, on the TPU VM:")
                script = commands.doctor_script(request, self._sight.hosts)
                return self._on_vm(commands.remote(request, script), shown=True)
            case Phase.START:
                return self._start(request)
            case _:
                return self._watch(request)

    def _create(self, request: RunRequest) -> Event:
        hours = (self._deadline - self._clock.now()) / 3600
        self._say(f"asking for {request.accelerator_type} {request.name!r} in {request.zone}")
        done = self._ask(commands.create(request, self._run_id or "", hours), _LONG)
        if not done.status:
            return Event(outcome=Outcome.DONE)
        told = answers.reason(done)
        match answers.why(done):
            case Why.EXISTS if self.look().being is Being.FOREIGN:
                return Event(outcome=Outcome.TAKEN, detail=self._taken())
            case Why.EXISTS:
                return Event(outcome=Outcome.DONE)
            case Why.CAPACITY:
                self._say(f"no capacity, asking again: {told}")
                return Event(outcome=Outcome.LOST)
            case Why.FINAL | Why.ABSENT:
                return Event(outcome=Outcome.FINAL, detail=told)
            case _:
                return Event(outcome=Outcome.PASSING, detail=told, answered=done.status != NO_ANSWER)

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
            case Being.READY:
                return Event(outcome=Outcome.DONE)
            case Being.PENDING:
                return Event(outcome=Outcome.WAIT)
            case Being.UNKNOWN:
                return Event(outcome=Outcome.PASSING, detail=sight.state)
            case _:
                return Event(outcome=Outcome.LOST, detail=self._lost(sight))

    def _lost(self, sight: Sight) -> str:
        return f"the TPU is {sight.state or 'gone'}: making another, which goes on from the last checkpoint"

    def _start(self, request: RunRequest) -> Event:
        hours = max(self._deadline - self._clock.now(), 60.0) / 3600
        sight = self._sight
        script = commands.start_script(request, hosts=sight.hosts, resource=sight.resource, hours=hours)
        self._offset = 0
        return self._on_vm(commands.remote(request, script))

    def _watch(self, request: RunRequest) -> Event:
        if request.tensorboard_port and not (self._tunnel and self._tunnel.alive()):
            if not self._tunnel:
                self._say(f"TensorBoard: http://localhost:{request.tensorboard_port}")
            self._tunnel = self._cloud.open(commands.tunnel(request))
        done = self._ask(commands.remote(request, commands.show_script(self._offset)))
        seen = answers.progress(answers.remote_text(done))
        if answers.remote_status(done) != 0 or seen is None:
            return self._unreached(answers.reason(done))
        self._write(seen.log)
        self._offset = seen.offset
        match seen.state:
            case "finished":
                return Event(outcome=Outcome.DONE, detail=f"trained: {request.config.model_dir}")
            case "failed":
                told = f"the trainer failed, exit status {seen.code}; see its log"
                return Event(outcome=Outcome.FINAL, detail=told)
            case "overtime":
                return Event(outcome=Outcome.FINAL, detail="--max_hours are over")
            case "running":
                return Event(outcome=Outcome.WAIT)
            case _:
                stopped = Event(outcome=Outcome.STOPPED, detail="the trainer does not run: starting it again")
                return self._unless_lost(stopped)

    def _remove(self) -> Event:
        """Deletes what is there and ours; only a look that finds nothing is the end of it."""
        sight = self.look()
        match sight.being:
            case Being.ABSENT:
                return Event(outcome=Outcome.ABSENT)
            case Being.UNKNOWN:
                return Event(outcome=Outcome.PASSING, detail=sight.state)
            case Being.FOREIGN:
                return Event(
                    outcome=Outcome.TAKEN, detail=f"{self._place.name} exists, but without the mark of this run"
                )
        self._say(f"removing {self._place.name}")
        queued = self._place.queued and "/nodes/" not in sight.resource
        done = self._ask((commands.delete_queued if queued else commands.delete_node)(self._place), _LONG)
        told = answers.reason(done) if done.status else "still there after its deletion"
        return Event(outcome=Outcome.WAIT, detail=told)

    def _on_vm(self, command: Sequence[str], *, shown: bool = False, failed: Outcome = Outcome.FINAL) -> Event:
        done = self._ask(command, _LONG)
        if shown:
            self._write(answers.remote_text(done))
        status = answers.remote_status(done)
        if status is None:
            return self._unreached(answers.reason(done))
        if status:
            told = answers.reason(done) if done.err.strip() else f"exit status {status}"
            return Event(outcome=failed, detail=f"{self._run.phase} failed on the TPU VM: {told}")
        return Event(outcome=Outcome.DONE)

    def _from_done(self, done: Done) -> Event:
        return self._unreached(answers.reason(done)) if done.status else Event(outcome=Outcome.DONE)

    def _unreached(self, told: str) -> Event:
        return self._unless_lost(Event(outcome=Outcome.PASSING, detail=f"no connection to the TPU VM: {told}"))

    def _unless_lost(self, event: Event) -> Event:
        """The event, if a look does not show that the TPU is gone."""
        sight = self.look()
        if sight.being in (Being.LOST, Being.ABSENT, Being.FOREIGN):
            return Event(outcome=Outcome.LOST, detail=self._lost(sight))
        return event

    def _ask(self, command: Sequence[str], timeout: float = _SHORT) -> Done:
        return self._cloud.run(command, timeout=timeout)

    def _close_tunnel(self) -> None:
        if self._tunnel:
            self._tunnel.close()
            self._tunnel = None
