r"""Trains on a TPU VM that is created for the run and removed after it, however the run ends.

  python -m trainer.submit run --zone=us-west4-a --spot --max_hours=12 -- \
      --preset=retinanet_r50 --dataset=gs://BUCKET/dataset --model_dir=gs://BUCKET/model

The flags after -- are those of python -m trainer. During the training its log is shown here, and TensorBoard at
http://localhost:6006. If the TPU is preempted, another one is created and resumes from the last checkpoint. Ctrl-C, an
error and --max_hours remove the TPU too. From another terminal:

  python -m trainer.submit status --zone=us-west4-a
  python -m trainer.submit logs --zone=us-west4-a
  python -m trainer.submit stop --zone=us-west4-a

With --accelerator_type=ct6e-standard-8t, or another machine type, the TPU is a VM of Compute Engine. Needs gcloud,
logged in, and a checkout of the repository. For details see docs/tpu.md.
"""

import dataclasses
import secrets
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from retinanet_odm.cli.program import Ending, explain_request, run_main
from retinanet_odm.errors import UsageError
from retinanet_odm.systems import ENDING_SIGNALS
from retinanet_odm.wheel import CHECKOUT, build_wheel
from trainer.tpu import gcloud_commands, gcloud_output
from trainer.tpu.accelerators import COMPUTE_ENGINE, PLATFORMS, TPU_VM
from trainer.tpu.driver import RunController
from trainer.tpu.gcloud import DRY_RUN_WHEEL, Clock, Cloud, DryRunClient, FakeClock, GcloudClient, SystemClock
from trainer.tpu.gcloud_output import GcloudErrorKind, Observation, ResourceState
from trainer.tpu.options import RunRequest, TpuTarget, parse_submit_flags
from trainer.tpu.platforms import make_platform
from trainer.tpu.state_machine import RunResult


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status (see retinanet_odm.cli.program).

    The status is 1 also if something that costs money may remain.
    """
    for number in ENDING_SIGNALS:  # a closed terminal must not cost money
        signal.signal(number, _interrupt)
    return run_main(_run_command, argv, explain=_explain)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signal module's interface
    raise KeyboardInterrupt


def _explain(error: BaseException) -> Ending | None:
    ending = explain_request(error)
    if isinstance(error, KeyboardInterrupt) and ending:  # the controller handles Ctrl-C as soon as something may exist
        return Ending(status=ending.status, line=f"{ending.line}: nothing was created")
    return ending


def _run_command(argv: Sequence[str]) -> int:
    command, target = parse_submit_flags(argv, __doc__ or "")
    # The value of the TPU's label: a run touches only what carries its own id.
    run_id = secrets.token_hex(4)
    cloud, clock = _make_cloud(command, target, run_id)
    if isinstance(target, RunRequest):
        result = _train(target, cloud, clock, run_id)
    else:
        result = _inspect_or_stop(command, target, cloud, clock)
    _notify(f"error: {result.message}" if result.status in (1, 2) else result.message)
    return result.status


def _make_cloud(command: str, target: TpuTarget, run_id: str) -> tuple[Cloud, Clock]:
    if not target.dry_run:
        return GcloudClient(), SystemClock()
    return DryRunClient(target, run_id, _print_line, exists=command != "run"), FakeClock()


def _print_line(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the output of a dry run


def _notify(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress for the user


def _write_log(text: str) -> None:
    print(text, end="", flush=True)  # noqa: T201 - the log of the trainer is the output


def _train(request: RunRequest, cloud: Cloud, clock: Clock, run_id: str) -> RunResult:
    # The cheapest request that tells whether gcloud works at all.
    _check_dataset(request, cloud)
    with tempfile.TemporaryDirectory(prefix="retinanet-tpu-") as folder:
        files = _files_to_copy(request, Path(folder))
        controller = RunController(
            request, cloud, clock, run_id=run_id, files=files, notify=_notify, write_log=_write_log
        )
        _notify(f"if this program is killed, delete the TPU with:\n  {controller.delete_line()}")
        return controller.train()


def _check_dataset(request: RunRequest, cloud: Cloud) -> None:
    """Raise UsageError if gcloud does not work or the data set does not exist, before anything costs money."""
    path = f"{request.config.data.dataset.rstrip('/')}/dataset.json"
    done = cloud.run(gcloud_commands.list_file(path), timeout=120)
    if done.status:
        absent = gcloud_output.classify_error(done) is GcloudErrorKind.NOT_FOUND
        raise UsageError(f"--dataset: there is no {path}" if absent else gcloud_output.error_reason(done))


def _files_to_copy(request: RunRequest, folder: Path) -> list[str]:
    requirements = gcloud_commands.requirements_file(request)
    if request.dry_run:
        return [DRY_RUN_WHEEL, requirements]
    return [str(build_wheel(folder)), str(CHECKOUT / requirements)]


def _inspect_or_stop(command: str, target: TpuTarget, cloud: Cloud, clock: Clock) -> RunResult:
    # Observed first: nothing is deleted that this program did not create.
    target, now = _find(target, cloud)
    if now.state is ResourceState.ABSENT:
        return RunResult(
            status=0 if command == "stop" else 1, message=f"{target.name}: does not exist in {target.zone}"
        )
    if now.state is ResourceState.FOREIGN:
        raise UsageError(f"{target.name} in {target.zone}: not created by this program, so it is left unchanged")
    if command == "stop":
        return RunController(target, cloud, clock, run_id=None, notify=_notify).remove()
    if command == "status":
        _notify(f"{target.name}: {now.detail}")
    return _show_training(target, cloud, with_log=command == "logs")


def _find(target: TpuTarget, cloud: Cloud) -> tuple[TpuTarget, Observation]:
    """Return the TPU with its platform, and its state. Without --platform it is looked for on both.

    Raises:
      UsageError: The state is unknown, or both platforms have a TPU of this name and program.
    """
    targets = [dataclasses.replace(target, platform=name) for name in PLATFORMS if target.platform in ("", name)]
    found = [(place, _observe(place, cloud)) for place in targets]
    unknown = [now for _, now in found if now.state is ResourceState.UNKNOWN]
    ours = [pair for pair in found if pair[1].state not in _NOT_OURS]
    if len(ours) > 1:
        raise UsageError(
            f"{target.name}: exists on both platforms; pass --platform={TPU_VM} or --platform={COMPUTE_ENGINE}"
        )
    # A platform that this account cannot see does not matter as soon as the TPU is found on the other.
    if not ours and unknown:
        hint = "" if target.platform else "; --platform restricts the search to one platform"
        raise UsageError(f"{unknown[0].detail}{hint}")
    foreign = [pair for pair in found if pair[1].state is ResourceState.FOREIGN]
    return (*ours, *foreign, *found)[0]


_NOT_OURS = (ResourceState.ABSENT, ResourceState.UNKNOWN, ResourceState.FOREIGN)


def _observe(target: TpuTarget, cloud: Cloud) -> Observation:
    return make_platform(target).observe(lambda command: cloud.run(command, timeout=300), None)


def _show_training(target: TpuTarget, cloud: Cloud, *, with_log: bool) -> RunResult:
    offset = 0
    while True:  # one response has a limited part of the log; the state needs only the first response
        done = cloud.run(make_platform(target).remote(gcloud_commands.show_script(offset)), timeout=300)
        status = gcloud_output.parse_status(gcloud_output.remote_text(done))
        # The supervisor prints its state first: without it, there was no answer.
        if status is None:
            reason = gcloud_output.error_reason(done)
            return RunResult(status=1, message=f"{target.name}: no response from the trainer: {reason}")
        if not with_log or status.offset == offset:
            message = f"trainer: {status.state}, exit status {status.code}, {status.restarts} restart(s)"
            return RunResult(status=0, message=message)
        _write_log(status.log)
        offset = status.offset


if __name__ == "__main__":
    sys.exit(main())
