"""The phases of a run on a TPU VM: performs the action of each with gcloud, and returns its result as an event.

`PhaseActions.perform` has one branch for each phase. When to perform which, and what follows from the result, is
decided by trainer.tpu.state_machine.
"""

from collections.abc import Callable, Sequence

from trainer.tpu import gcloud_commands, gcloud_output
from trainer.tpu.gcloud import NO_RESPONSE, Cloud, CommandResult, Tunnel
from trainer.tpu.gcloud_output import GcloudErrorKind, Observation, ResourceState
from trainer.tpu.options import RunRequest, TpuTarget
from trainer.tpu.platforms import make_platform
from trainer.tpu.state_machine import Event, Phase, PhaseResult

# Timeouts of gcloud in seconds. Creating a TPU, copying and installing take minutes; ssh itself retries for one.
_SHORT_TIMEOUT, _LONG_TIMEOUT = 300.0, 1800.0
# A trainer that starts when --max_hours has nearly elapsed gets this long.
_MIN_TRAINING_SECONDS = 60.0


class PhaseActions:
    """Performs the actions; see trainer.tpu.driver.RunController for the arguments."""

    def __init__(
        self,
        target: TpuTarget,
        cloud: Cloud,
        *,
        run_id: str | None,
        files: Sequence[str],
        notify: Callable[[str], None],
        write_log: Callable[[str], None],
    ) -> None:
        self._target = target
        self._platform = make_platform(target)
        self._cloud = cloud
        self._run_id = run_id
        self._files = files
        self._notify = notify
        self._write_log = write_log
        self._observation = Observation(state=ResourceState.ABSENT)  # the last one of AWAIT
        self._log_offset = 0
        self._tunnel: Tunnel | None = None

    def perform(self, phase: Phase, *, seconds_left: float) -> Event:
        """Perform the action of a phase.

        Args:
          seconds_left: until --max_hours has elapsed.
        """
        # END is never performed: trainer.tpu.driver stops before.
        match phase:
            case Phase.CREATE:
                return self._create(self.request, seconds_left)
            case Phase.AWAIT:
                return self._await()
            case Phase.COPY:
                return self._copy()
            case Phase.INSTALL:
                return self._install()
            case Phase.DOCTOR:
                return self._run_doctor(self.request)
            case Phase.START:
                return self._start(self.request, seconds_left)
            case Phase.WATCH:
                return self._watch(self.request)
            case _:
                return self._remove()

    def observe(self) -> Observation:
        """Return the state of the TPU."""
        return self._platform.observe(self._gcloud, self._run_id)

    @property
    def request(self) -> RunRequest:
        """Returns the request of a run. The commands that only observe or remove a TPU have none."""
        if not isinstance(self._target, RunRequest):
            raise TypeError(f"only a run passes the phases before {Phase.REMOVE}")
        return self._target

    def _create(self, request: RunRequest, seconds_left: float) -> Event:
        self._notify(f"requesting {request.accelerator_type} {request.name!r} in {request.zone}")
        command = self._platform.create(request, self._run_id or "", seconds=seconds_left)
        done = self._gcloud(command, _LONG_TIMEOUT)
        if not done.status:
            # What is created in the background may not be visible yet, so one observation does not prove its absence.
            return Event(result=PhaseResult.DONE, acknowledged=not self._platform.creates_in_background)
        kind, reason = gcloud_output.classify_error(done), gcloud_output.error_reason(done)
        # Ours, if an earlier request succeeded without a response.
        if kind is GcloudErrorKind.ALREADY_EXISTS:
            return self._name_conflict() if self._is_foreign() else Event(result=PhaseResult.DONE)
        return self._refused(kind, reason) or Event(
            result=PhaseResult.TRANSIENT, detail=reason, acknowledged=done.status != NO_RESPONSE
        )

    def _refused(self, kind: GcloudErrorKind, reason: str) -> Event | None:
        """Return the event for a request that Google has refused; None if another attempt may succeed."""
        match kind:
            case GcloudErrorKind.NO_CAPACITY:
                self._notify(f"no capacity, retrying: {reason}")
                return Event(result=PhaseResult.PREEMPTED)  # so that the delay before the next request grows
            case GcloudErrorKind.PERMANENT | GcloudErrorKind.NOT_FOUND:
                return Event(result=PhaseResult.PERMANENT, detail=reason)
            case _:
                return None

    def _is_foreign(self) -> bool:
        return self.observe().state is ResourceState.FOREIGN

    def _name_conflict(self) -> Event:
        detail = (
            f"--name: {self._target.name} in {self._target.zone} exists and does not belong to this run; choose another"
            " name, or see the commands status and stop"
        )
        return Event(result=PhaseResult.NAME_CONFLICT, detail=detail)

    def _await(self) -> Event:
        previous, self._observation = self._observation, self.observe()
        now = self._observation
        # One line for each change of state, not for each poll.
        if now.detail != previous.detail:
            self._notify(f"{self._target.name}: {now.detail or 'absent'}")
        match now.state:
            case ResourceState.READY:
                return Event(result=PhaseResult.DONE)
            case ResourceState.PENDING:
                return Event(result=PhaseResult.WAIT)
            case ResourceState.UNKNOWN:
                return Event(result=PhaseResult.TRANSIENT, detail=now.detail)
            case ResourceState.ABSENT if now.detail:  # why its creation failed in the background
                return self._refused(gcloud_output.classify_message(now.detail), now.detail) or _preempted(now)
            case _:
                return _preempted(now)

    def _copy(self) -> Event:
        self._notify("copying the package")
        done = self._gcloud(self._platform.copy(self._files), _LONG_TIMEOUT)
        return self._unreachable(done) if done.status else Event(result=PhaseResult.DONE)

    def _install(self) -> Event:
        self._notify("installing Python 3.11 and the locked packages")
        wheel, requirements = (path.rsplit("/", 1)[-1] for path in self._files)
        script = gcloud_commands.install_script(wheel, requirements)
        done = self._gcloud(self._platform.remote(script, everywhere=True), _LONG_TIMEOUT)
        return self._script_event(Phase.INSTALL, done, on_failure=PhaseResult.TRANSIENT)

    def _run_doctor(self, request: RunRequest) -> Event:
        self._notify("checking the TPU VM:")
        script = gcloud_commands.doctor_script(request, self._observation.hosts)
        done = self._gcloud(self._platform.remote(script), _LONG_TIMEOUT)
        self._write_log(gcloud_output.remote_text(done))
        return self._script_event(Phase.DOCTOR, done)

    def _start(self, request: RunRequest, seconds_left: float) -> Event:
        hours = max(seconds_left, _MIN_TRAINING_SECONDS) / 3600
        hosts, resource = self._observation.hosts, self._observation.resource
        script = gcloud_commands.start_script(request, hosts=hosts, resource=resource, hours=hours)
        self._log_offset = 0  # another TPU begins another log
        return self._script_event(Phase.START, self._gcloud(self._platform.remote(script), _LONG_TIMEOUT))

    def _watch(self, request: RunRequest) -> Event:
        self._keep_tunnel(request)
        done = self._gcloud(self._platform.remote(gcloud_commands.show_script(self._log_offset)))
        status = gcloud_output.parse_status(gcloud_output.remote_text(done))
        if gcloud_output.remote_status(done) != 0 or status is None:
            return self._unreachable(done)
        self._write_log(status.log)
        # The next response begins where this one has ended: a line is logged once.
        self._log_offset = status.offset
        match status.state:
            case "finished":
                return Event(result=PhaseResult.DONE, detail=f"trained: {request.config.run.model_dir}")
            case "failed":
                reason = f"the trainer failed with exit status {status.code}; see its log"
                return Event(result=PhaseResult.PERMANENT, detail=reason)
            case "overtime":
                return Event(result=PhaseResult.PERMANENT, detail="--max_hours has elapsed")
            case "running":
                return Event(result=PhaseResult.WAIT)
            case _:
                stopped = Event(result=PhaseResult.STOPPED, detail="the trainer does not run: restarting it")
                return self._unless_preempted(stopped)

    def _remove(self) -> Event:
        """Delete the TPU if it exists and belongs to this run; only an observation that it is absent ends REMOVE."""
        now = self.observe()
        match now.state:
            case ResourceState.ABSENT:
                return Event(result=PhaseResult.ABSENT)
            case ResourceState.UNKNOWN:
                return Event(result=PhaseResult.TRANSIENT, detail=now.detail)
            case ResourceState.FOREIGN:
                reason = f"{self._target.name} exists, but lacks the label of this run"
                return Event(result=PhaseResult.NAME_CONFLICT, detail=reason)
        self._notify(f"removing {self._target.name}")
        done = self._gcloud(self._platform.delete(now.resource), _LONG_TIMEOUT)
        detail = gcloud_output.error_reason(done) if done.status else "it still exists after its deletion"
        return Event(result=PhaseResult.WAIT, detail=detail)

    def _script_event(
        self, phase: Phase, done: CommandResult, *, on_failure: PhaseResult = PhaseResult.PERMANENT
    ) -> Event:
        """Return the event for a script that ran on the TPU VM."""
        status = gcloud_output.remote_status(done)
        if status is None:
            return self._unreachable(done)
        if status:
            reason = gcloud_output.error_reason(done) if done.err.strip() else f"exit status {status}"
            return Event(result=on_failure, detail=f"{phase} failed on the TPU VM: {reason}")
        return Event(result=PhaseResult.DONE)

    def _unreachable(self, done: CommandResult) -> Event:
        detail = f"no connection to the TPU VM: {gcloud_output.error_reason(done)}"
        return self._unless_preempted(Event(result=PhaseResult.TRANSIENT, detail=detail))

    def _unless_preempted(self, event: Event) -> Event:
        """Return the event, unless the TPU turns out to be preempted or deleted."""
        # A failed connection is often the first sign of a preemption.
        now = self.observe()
        lost = now.state in (ResourceState.PREEMPTED, ResourceState.ABSENT, ResourceState.FOREIGN)
        return _preempted(now) if lost else event

    def _keep_tunnel(self, request: RunRequest) -> None:
        """Open the tunnel to TensorBoard, again if it has ended."""
        if not request.tensorboard_port or (self._tunnel and self._tunnel.alive()):
            return
        if not self._tunnel:
            self._notify(f"TensorBoard: http://localhost:{request.tensorboard_port}")
        # A tunnel ends with its connection, and is opened again at the next poll.
        self._tunnel = self._cloud.open(self._platform.tunnel(request.tensorboard_port))

    def close_tunnel(self) -> None:
        """End the tunnel to TensorBoard, if there is one."""
        if self._tunnel:
            self._tunnel.close()
            self._tunnel = None

    def _gcloud(self, command: Sequence[str], timeout: float = _SHORT_TIMEOUT) -> CommandResult:
        return self._cloud.run(command, timeout=timeout)


def _preempted(now: Observation) -> Event:
    detail = f"the TPU is {now.detail or 'gone'}: creating another, which resumes from the last checkpoint"
    return Event(result=PhaseResult.PREEMPTED, detail=detail)
