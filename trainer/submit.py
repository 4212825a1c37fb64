"""Trains on a TPU VM that is made for the run and removed after it, whatever happens.

  python -m trainer.submit run --zone=us-west4-a --spot --max_hours=12 -- \\
      --preset=retinanet_r50 --dataset=gs://BUCKET/dataset --model_dir=gs://BUCKET/model

What stands after -- is for python -m trainer. While it trains, its log is shown here and TensorBoard at
http://localhost:6006. A TPU that is taken away is made again, and the training goes on from its last checkpoint.
Ctrl-C, an error and --max_hours remove it too. From another terminal:

  python -m trainer.submit status --zone=us-west4-a
  python -m trainer.submit logs --zone=us-west4-a
  python -m trainer.submit stop --zone=us-west4-a

Needs gcloud, logged in, and a checkout of the repository. docs/tpu.md says more.
"""

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
from retinanet_odm.wheel import CHECKOUT, build_wheel
from trainer.tpu import gcloud_commands, gcloud_output
from trainer.tpu.driver import RunController
from trainer.tpu.gcloud import DRY_RUN_WHEEL, Clock, Cloud, DryRunClient, FakeClock, GcloudClient, SystemClock
from trainer.tpu.gcloud_output import GcloudError, ResourceState
from trainer.tpu.options import RunRequest, TpuTarget, parse_submit_flags
from trainer.tpu.state_machine import RunResult


def main(argv: Sequence[str] | None = None) -> int:
    """Carries out a command; returns the exit status (see retinanet_odm.cli.program).

    1 also where something that costs money may be left.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal must not cost money
        signal.signal(number, _interrupt)
    return run_main(_run_command, argv, explain=_explain)


def _run_command(argv: Sequence[str]) -> int:
    command, place = parse_submit_flags(argv, __doc__ or "")
    verdict = _carry_out(command, place)
    _say(f"error: {verdict.line}" if verdict.status in (1, 2) else verdict.line)
    return verdict.status


def _explain(error: BaseException) -> Ending | None:
    ending = explain_request(error)
    if ending and ending.status == 130:
        return Ending(status=130, line=f"{ending.line}: nothing was made")
    return ending


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signal module's interface
    raise KeyboardInterrupt


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _write(text: str) -> None:
    print(text, end="", flush=True)  # noqa: T201 - what the trainer says is the output


def _carry_out(command: str, place: TpuTarget) -> RunResult:
    run_id = secrets.token_hex(4)
    if place.dry_run:
        rehearsal = DryRunClient(place, run_id, lambda line: print(line, flush=True))  # noqa: T201
        if command != "run":
            rehearsal.exist()
        return _dispatch(command, place, rehearsal, FakeClock(), run_id)
    return _dispatch(command, place, GcloudClient(), SystemClock(), run_id)


def _dispatch(command: str, place: TpuTarget, cloud: Cloud, clock: Clock, run_id: str) -> RunResult:
    if isinstance(place, RunRequest):
        return _run(place, cloud, clock, run_id)
    driver = RunController(place, cloud, clock, run_id=None, say=_say)
    sight = driver.look()
    if sight.being is ResourceState.UNKNOWN:
        raise UsageError(sight.state)
    if sight.being is ResourceState.ABSENT:
        return RunResult(status=0 if command == "stop" else 1, line=f"{place.name}: not there in {place.zone}")
    if sight.being is ResourceState.FOREIGN:
        raise UsageError(f"{place.name} in {place.zone}: not made by this program; it is left alone")
    if command == "stop":
        return driver.remove()
    if command == "status":
        _say(f"{place.name}: {sight.state}")
    return _show(place, cloud, with_log=command == "logs")


def _run(request: RunRequest, cloud: Cloud, clock: Clock, run_id: str) -> RunResult:
    _check_dataset(request, cloud)
    with tempfile.TemporaryDirectory(prefix="retinanet-tpu-") as folder:
        files = (
            [DRY_RUN_WHEEL, gcloud_commands.REQUIREMENTS_FILE]
            if request.dry_run
            else [str(build_wheel(Path(folder))), str(CHECKOUT / gcloud_commands.REQUIREMENTS_FILE)]
        )
        driver = RunController(request, cloud, clock, run_id=run_id, files=files, say=_say, write=_write)
        _say(f"should this program be killed, remove the TPU by\n  {driver.delete_line()}")
        return driver.train()


def _check_dataset(request: RunRequest, cloud: Cloud) -> None:
    """Raises UsageError where gcloud does not work or the data set is not there: before anything costs money."""
    path = f"{request.config.dataset.rstrip('/')}/dataset.json"
    done = cloud.run(gcloud_commands.list_file(path), timeout=120)
    if done.status:
        absent = gcloud_output.classify_error(done) is GcloudError.ABSENT
        raise UsageError(f"--dataset: there is no {path}" if absent else gcloud_output.error_reason(done))


def _show(place: TpuTarget, cloud: Cloud, *, with_log: bool) -> RunResult:
    offset = 0
    while True:
        done = cloud.run(gcloud_commands.remote(place, gcloud_commands.show_script(offset)), timeout=300)
        seen = gcloud_output.parse_status(gcloud_output.remote_text(done))
        if seen is None:
            return RunResult(
                status=1, line=f"{place.name}: no answer from the trainer: {gcloud_output.error_reason(done)}"
            )
        if not with_log or seen.offset == offset:
            return RunResult(
                status=0, line=f"trainer: {seen.state}, exit status {seen.code}, {seen.restarts} restart(s)"
            )
        _write(seen.log)
        offset = seen.offset


if __name__ == "__main__":
    sys.exit(main())
