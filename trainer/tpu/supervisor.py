"""Runs on the TPU VM: keeps the trainer running, reports its state, and finally deletes the TPU if nobody else has.

``python -m trainer.submit run`` starts it, polls ``show`` and removes the TPU at the end. If that computer is gone, the
training continues, and this program requests the deletion itself. For that the service account of the TPU VM needs the
role TPU Admin, or on Compute Engine Compute Instance Admin (v1). Standard library only, so that ``show`` starts at
once. Begin reading at `Supervisor.run`.
"""

import argparse
import contextlib
import dataclasses
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

# Exit status of the trainer for a bad request: it would fail again with the same flags.
_BAD_REQUEST = 2
_STATE_FILE = "state.json"
_LOG_FILE = "train.log"
_LOCK_FILE = "lock"
# Bytes of the log in one response; the caller polls again for more.
_MAX_LOG_BYTES = 1 << 18


@dataclass(frozen=True, kw_only=True)
class SupervisedJob:
    """A command to keep running. Times are in seconds.

    Attributes:
      folder: holds state.json, train.log and a lock; one supervisor at a time.
      max_seconds: the command is stopped after this time.
      resource: the TPU to delete at the end, see delete_tpu; empty for none.
      side_command: a command to run in parallel, such as TensorBoard.
      quick_failure: a run that fails earlier than this counts as another consecutive failure.
      max_failures: consecutive failures after which the job is given up.
      retry_pause: the wait before a restart.
      removal_delay: how long the caller has to remove the TPU before it is deleted from here.
    """

    command: Sequence[str]
    folder: Path
    max_seconds: float
    resource: str = ""
    side_command: Sequence[str] = ()
    quick_failure: float = 600.0
    max_failures: int = 5
    retry_pause: float = 10.0
    removal_delay: float = 1800.0


@dataclass(frozen=True, kw_only=True)
class SupervisorState:
    """State of the training, as state.json holds it.

    Attributes:
      state: ``running``; ``finished``; ``failed``; ``overtime``; ``stopped`` by SIGTERM, as on preemption.
        read_training also returns ``dead`` if the supervisor is gone, and ``none`` if there never was one.
      code: the last exit status of the trainer.
    """

    state: str
    code: int = 0
    restarts: int = 0


class Supervisor:
    """Supervises one training."""

    def __init__(self, job: SupervisedJob) -> None:
        self._job = job
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()
        self._end = time.monotonic() + job.max_seconds

    def run(self) -> SupervisorState:
        """Run the command until it succeeds, is given up or stopped, or its time is over."""
        signal.signal(signal.SIGTERM, self._stop)
        with (self._job.folder / _LOG_FILE).open("ab", buffering=0) as log, self._side_command(log.fileno()):
            state = self._keep_running(log.fileno())
            log.write(f"supervisor: {state.state}, exit status {state.code}\n".encode())
            self._write(state)
            # The order matters: the caller sees the final state, and then has time to remove the TPU itself.
            delay = 0 if state.state == "overtime" else self._job.removal_delay
            if self._job.resource and not self._stopped.wait(delay):
                log.write(f"supervisor: {delete_tpu(self._job.resource)}\n".encode())
        return state

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module's interface
        self._stopped.set()
        if self._child:
            self._child.terminate()

    @contextlib.contextmanager
    def _side_command(self, log: int) -> Iterator[None]:
        """Run TensorBoard in parallel. A training does not depend on it, so its failure is ignored."""
        if not self._job.side_command:
            yield
            return
        # It imports TensorFlow, which would open the TPU that the trainer needs.
        environment = {**os.environ, "TPU_LOAD_LIBRARY": "0"}
        command = self._job.side_command
        side = subprocess.Popen(  # noqa: S603 - TensorBoard, without a shell
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
        try:
            yield
        finally:
            side.terminate()

    def _keep_running(self, log: int) -> SupervisorState:
        restarts = failures = 0
        while True:
            self._write(SupervisorState(state="running", restarts=restarts))
            start = time.monotonic()
            code = self._run_once(log)
            # The order matters: the trainer exits with 0 on SIGTERM too, and then is not finished.
            if self._stopped.is_set():
                return SupervisorState(state="stopped", code=code, restarts=restarts)
            if time.monotonic() >= self._end:
                return SupervisorState(state="overtime", code=code, restarts=restarts)
            if code == 0:
                return SupervisorState(state="finished", restarts=restarts)
            # Only failures in quick succession are counted: a run of days may fail now and then.
            failures = failures + 1 if time.monotonic() - start < self._job.quick_failure else 1
            if code == _BAD_REQUEST or failures >= self._job.max_failures:
                return SupervisorState(state="failed", code=code, restarts=restarts)
            # Waiting for the event, not sleeping: SIGTERM ends the pause at once.
            self._stopped.wait(self._job.retry_pause)
            restarts += 1

    def _run_once(self, log: int) -> int:
        if self._stopped.is_set():
            return 0
        self._child = subprocess.Popen(  # noqa: S603 - the trainer, without a shell
            self._job.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            return self._child.wait(timeout=max(self._end - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            self._child.terminate()  # the trainer saves a checkpoint before it exits
            return self._child.wait()

    def _write(self, state: SupervisorState) -> None:
        path = self._job.folder / _STATE_FILE
        part = path.with_suffix(".part")
        part.write_text(json.dumps(dataclasses.asdict(state)))
        # Renamed, so that `show` never reads half a state.
        part.replace(path)


@contextlib.contextmanager
def lock_run_folder(folder: Path) -> Iterator[bool]:
    """Lock the folder of a run; yield False if another supervisor holds the lock."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def read_training(folder: Path, offset: int) -> tuple[dict[str, object], bytes]:
    """Read the state of a run and its log from an offset on.

    Returns:
      The fields of SupervisorState with the next offset, and complete lines of the log.
    """
    path = folder / _STATE_FILE
    if not path.exists():
        return {**dataclasses.asdict(SupervisorState(state="none")), "offset": offset}, b""
    # A supervisor holds the lock as long as it lives. If the lock is free, "running" is what a dead one has left
    # behind.
    with lock_run_folder(folder) as is_free:
        state = json.loads(path.read_text())
    if is_free and state["state"] == "running":
        state["state"] = "dead"
    with (folder / _LOG_FILE).open("rb") as log:
        log.seek(offset)
        part = log.read(_MAX_LOG_BYTES)
    if state["state"] == "running":
        # Whole lines while more may follow; a single line longer than a response is cut, or it would never be shown.
        part = part[: part.rfind(b"\n") + 1] or part[: _MAX_LOG_BYTES if len(part) == _MAX_LOG_BYTES else 0]
    return {**state, "offset": offset + len(part)}, part


def delete_tpu(resource: str) -> str:
    """Request the deletion of a TPU as the service account of the machine; return one line about the result.

    Args:
      resource: projects/P/locations/Z/nodes/N, …/queuedResources/N, or projects/P/zones/Z/instances/N.
    """
    if "/instances/" in resource:
        service, version = "https://compute.googleapis.com", "compute/v1"
    else:
        service, version = "https://tpu.googleapis.com", "v2"
    url = f"{os.environ.get('RETINANET_TPU_API', service)}/{version}/{resource}"
    force = "?force=true" if "/queuedResources/" in resource else ""
    try:
        headers = {"Authorization": f"Bearer {_access_token()}"}
        delete = urllib.request.Request(  # noqa: S310 - https, or what the environment of the machine sets
            f"{url}{force}", method="DELETE", headers=headers
        )
        with urllib.request.urlopen(delete, timeout=60):  # noqa: S310 - as above
            return f"{resource}: its deletion has begun"
    except (OSError, KeyError, ValueError) as error:
        return f"{resource}: could not be deleted from here ({error}); it costs money until you delete it"


def _access_token() -> str:
    """Return a token of the service account, from the metadata server of the machine."""
    metadata = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    url = f"http://{metadata}/computeMetadata/v1/instance/service-accounts/default/token"
    request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - always http
        return str(json.load(response)["access_token"])


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``run --folder --max_hours -- FLAGS`` or ``show --folder --offset``; return the exit status."""
    # What follows "--" is the trainer's command line, which argparse must not touch.
    words = list(sys.argv[1:] if argv is None else argv)
    separator = words.index("--") if "--" in words else len(words)
    flags = _make_parser().parse_args(words[:separator])
    if flags.command == "show":
        state, log = read_training(flags.folder, flags.offset)
        sys.stdout.write(json.dumps(state) + "\n" + log.decode(errors="replace"))
        return 0
    with lock_run_folder(flags.folder) as is_free:
        if is_free:
            Supervisor(_make_job(flags, words[separator + 1 :])).run()
    return 0


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trainer.tpu.supervisor", description=__doc__)
    parser.add_argument("command", choices=("run", "show"))
    parser.add_argument("--folder", type=Path, required=True, help="folder of the state and the log")
    parser.add_argument("--offset", type=int, default=0, help="show: bytes of the log to skip")
    parser.add_argument("--max_hours", type=float, default=24.0, help="run: stop the trainer after this many hours")
    parser.add_argument("--resource", default="", help="run: full name of the TPU to delete at the end")
    parser.add_argument("--tensorboard", default="", help="run: folder that TensorBoard shows")
    return parser


def _make_job(flags: argparse.Namespace, training: Sequence[str]) -> SupervisedJob:
    board = [sys.executable, "-m", "tensorboard.main", f"--logdir={flags.tensorboard}", "--host=localhost"]
    return SupervisedJob(
        command=[sys.executable, "-m", "trainer", *training],
        folder=flags.folder,
        max_seconds=flags.max_hours * 3600,
        resource=flags.resource,
        side_command=board if flags.tensorboard else (),
    )


if __name__ == "__main__":
    sys.exit(main())
