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

from detection.errors import UsageError
from trainer.submission import answers, commands, parcel
from trainer.submission.answers import Being, Why
from trainer.submission.drive import Driver
from trainer.submission.machine import Verdict
from trainer.submission.options import Place, RunRequest, parse
from trainer.submission.ports import Clock, Cloud, Gcloud, SystemClock
from trainer.submission.rehearsal import WHEEL, Rehearsal, StillClock


def main(argv: Sequence[str] | None = None) -> int:
    """Carries out a command; returns the exit status.

    0 when it is done; 1 when the training or the TPU failed, or something may be left; 2 for a bad request; 130 for
    Ctrl-C.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal must not cost money
        signal.signal(number, _interrupt)
    try:
        command, place = parse(sys.argv[1:] if argv is None else argv, __doc__ or "")
        verdict = _carry_out(command, place)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.status
    except KeyboardInterrupt:
        print("interrupted: nothing was made", file=sys.stderr)  # noqa: T201
        return 130
    _say(f"error: {verdict.line}" if verdict.status in (1, 2) else verdict.line)
    return verdict.status


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signal module's interface
    raise KeyboardInterrupt


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _write(text: str) -> None:
    print(text, end="", flush=True)  # noqa: T201 - what the trainer says is the output


def _carry_out(command: str, place: Place) -> Verdict:
    run_id = secrets.token_hex(4)
    if place.dry_run:
        rehearsal = Rehearsal(place, run_id, lambda line: print(line, flush=True))  # noqa: T201
        if command != "run":
            rehearsal.exist()
        return _dispatch(command, place, rehearsal, StillClock(), run_id)
    return _dispatch(command, place, Gcloud(), SystemClock(), run_id)


def _dispatch(command: str, place: Place, cloud: Cloud, clock: Clock, run_id: str) -> Verdict:
    if isinstance(place, RunRequest):
        return _run(place, cloud, clock, run_id)
    driver = Driver(place, cloud, clock, run_id=None, say=_say)
    sight = driver.look()
    if sight.being is Being.UNKNOWN:
        raise UsageError(sight.state)
    if sight.being is Being.ABSENT:
        return Verdict(status=0 if command == "stop" else 1, line=f"{place.name}: not there in {place.zone}")
    if sight.being is Being.FOREIGN:
        raise UsageError(f"{place.name} in {place.zone}: not made by this program; it is left alone")
    if command == "stop":
        return driver.remove()
    if command == "status":
        _say(f"{place.name}: {sight.state}")
    return _show(place, cloud, with_log=command == "logs")


def _run(request: RunRequest, cloud: Cloud, clock: Clock, run_id: str) -> Verdict:
    _check_dataset(request, cloud)
    with tempfile.TemporaryDirectory(prefix="retinanet-tpu-") as folder:
        files = [WHEEL, commands.LOCK_FILE] if request.dry_run else [str(path) for path in parcel.pack(Path(folder))]
        driver = Driver(request, cloud, clock, run_id=run_id, files=files, say=_say, write=_write)
        _say(f"should this program be killed, remove the TPU by\n  {driver.delete_line()}")
        return driver.train()


def _check_dataset(request: RunRequest, cloud: Cloud) -> None:
    """Raises UsageError where gcloud does not work or the data set is not there: before anything costs money."""
    path = f"{request.config.dataset.rstrip('/')}/dataset.json"
    done = cloud.run(commands.list_file(path), timeout=120)
    if done.status:
        absent = answers.why(done) is Why.ABSENT
        raise UsageError(f"--dataset: there is no {path}" if absent else answers.reason(done))


def _show(place: Place, cloud: Cloud, *, with_log: bool) -> Verdict:
    offset = 0
    while True:
        done = cloud.run(commands.remote(place, commands.show_script(offset)), timeout=300)
        seen = answers.progress(answers.remote_text(done))
        if seen is None:
            return Verdict(status=1, line=f"{place.name}: no answer from the trainer: {answers.reason(done)}")
        if not with_log or seen.offset == offset:
            return Verdict(status=0, line=f"trainer: {seen.state}, exit status {seen.code}, {seen.restarts} restart(s)")
        _write(seen.log)
        offset = seen.offset


if __name__ == "__main__":
    sys.exit(main())
