"""Runs on the TPU VM: keeps the trainer running, says how it goes, and at last removes the TPU if nobody else has.

The one who rents (``python -m trainer.submit run``) starts it, reads ``show`` every few seconds and removes the TPU at
the end. If that computer is gone, the training goes on, and this program asks for the removal itself: for that the
service account of the TPU VM needs the role TPU Admin.
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

# Exit status of the trainer for a bad request: the same flags will not do better.
_BAD_REQUEST = 2
_STATE = "state.json"
_LOG = "train.log"
_LOCK = "lock"
# What show gives at once; more comes with the next one.
_PIECE = 1 << 18


@dataclass(frozen=True, kw_only=True)
class SupervisedJob:
    """What to keep running and for how long; times in seconds.

    Attributes:
      folder: holds state.json, train.log and a lock; one supervisor at a time.
      quick: a run that fails sooner than this counts as another failure in a row.
      attempts: failures in a row after which it is given up.
      grace: how long the end is left to be seen before the TPU is removed from here.
    """

    command: Sequence[str]
    folder: Path
    max_seconds: float
    resource: str = ""
    side: Sequence[str] = ()
    quick: float = 600.0
    attempts: int = 5
    pause: float = 10.0
    grace: float = 1800.0


@dataclass(frozen=True, kw_only=True)
class SupervisorState:
    """How it goes.

    Attributes:
      state: ``running``; ``finished``; ``failed``; ``overtime``; ``stopped`` by SIGTERM, as when the machine is taken
        away; and from show ``dead``, when the supervisor is gone, or ``none``, when there never was one.
      code: the trainer's last exit status.
    """

    state: str
    code: int = 0
    restarts: int = 0


class Supervisor:
    """One supervised training."""

    def __init__(self, plan: SupervisedJob) -> None:
        self._plan = plan
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()
        self._end = time.monotonic() + plan.max_seconds

    def run(self) -> SupervisorState:
        """Runs the command until it succeeds, is given up, is stopped or its time is over."""
        signal.signal(signal.SIGTERM, self._stop)
        with (self._plan.folder / _LOG).open("ab", buffering=0) as log, self._beside(log.fileno()):
            state = self._keep_running(log.fileno())
            log.write(f"supervisor: {state.state}, exit status {state.code}\n".encode())
            self._write(state)
            grace = 0 if state.state == "overtime" else self._plan.grace
            if self._plan.resource and not self._stopped.wait(grace):
                log.write(f"supervisor: {remove(self._plan.resource)}\n".encode())
        return state

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module's interface
        self._stopped.set()
        if self._child:
            self._child.terminate()

    @contextlib.contextmanager
    def _beside(self, log: int) -> Iterator[None]:
        """TensorBoard; a run does not need it, so that nothing is made of its end."""
        if not self._plan.side:
            yield
            return
        # It imports TensorFlow, which would take the TPU from the trainer.
        alone = {**os.environ, "TPU_LOAD_LIBRARY": "0"}
        side = subprocess.Popen(self._plan.side, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=alone)
        try:
            yield
        finally:
            side.terminate()

    def _keep_running(self, log: int) -> SupervisorState:
        restarts = failures = 0
        while True:
            self._write(SupervisorState(state="running", restarts=restarts))
            began = time.monotonic()
            code = self._run_once(log)
            if self._stopped.is_set():
                return SupervisorState(state="stopped", code=code, restarts=restarts)
            if time.monotonic() >= self._end:
                return SupervisorState(state="overtime", code=code, restarts=restarts)
            if code == 0:
                return SupervisorState(state="finished", restarts=restarts)
            failures = failures + 1 if time.monotonic() - began < self._plan.quick else 1
            if code == _BAD_REQUEST or failures >= self._plan.attempts:
                return SupervisorState(state="failed", code=code, restarts=restarts)
            self._stopped.wait(self._plan.pause)
            restarts += 1

    def _run_once(self, log: int) -> int:
        if self._stopped.is_set():
            return 0
        self._child = subprocess.Popen(self._plan.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            return self._child.wait(timeout=max(self._end - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            self._child.terminate()  # the trainer saves a checkpoint first
            return self._child.wait()

    def _write(self, state: SupervisorState) -> None:
        path = self._plan.folder / _STATE
        part = path.with_suffix(".part")
        part.write_text(json.dumps(dataclasses.asdict(state)))
        part.replace(path)


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[bool]:
    """Holds the folder; gives False if another supervisor does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def show(folder: Path, offset: int) -> tuple[dict[str, object], bytes]:
    """The state, with the offset to go on from, and whole lines of the log from a byte on."""
    path = folder / _STATE
    if not path.exists():
        return {**dataclasses.asdict(SupervisorState(state="none")), "offset": offset}, b""
    with only_one(folder) as is_free:
        state = json.loads(path.read_text())
    if is_free and state["state"] == "running":
        state["state"] = "dead"
    with (folder / _LOG).open("rb") as log:
        log.seek(offset)
        piece = log.read(_PIECE)
    if state["state"] == "running":
        piece = piece[: piece.rfind(b"\n") + 1] or piece[: _PIECE if len(piece) == _PIECE else 0]
    return {**state, "offset": offset + len(piece)}, piece


def remove(resource: str) -> str:
    """Asks Google to delete this TPU, as the machine's service account; returns a line that says how it went.

    Args:
      resource: projects/P/locations/Z/nodes/N or …/queuedResources/N.
    """
    metadata = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    service = os.environ.get("RETINANET_TPU_API", "https://tpu.googleapis.com")
    force = "?force=true" if "/queuedResources/" in resource else ""
    try:
        ask = urllib.request.Request(
            f"http://{metadata}/computeMetadata/v1/instance/service-accounts/default/token",
            headers={"Metadata-Flavor": "Google"},
        )
        with urllib.request.urlopen(ask, timeout=30) as answer:
            token = json.load(answer)["access_token"]
        delete = urllib.request.Request(
            f"{service}/v2/{resource}{force}", method="DELETE", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(delete, timeout=60):
            return f"{resource}: its removal has begun"
    except (OSError, KeyError, ValueError) as error:
        return f"{resource}: could not be removed from here ({error}); it costs money until you delete it"


def main(argv: Sequence[str] | None = None) -> int:
    """``run --folder --max_hours -- FLAGS`` or ``show --folder --offset``; returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(prog="python -m trainer.tpu.supervisor", description=__doc__)
    parser.add_argument("command", choices=("run", "show"))
    parser.add_argument("--folder", type=Path, required=True, help="where state and log are kept")
    parser.add_argument("--offset", type=int, default=0, help="show: bytes of the log that are known")
    parser.add_argument("--max_hours", type=float, default=24.0, help="run: stop the trainer after so many hours")
    parser.add_argument("--resource", default="", help="run: full name of the TPU to delete at last")
    parser.add_argument("--tensorboard", default="", help="run: folder that TensorBoard shows")
    args = parser.parse_args(words[:cut])
    if args.command == "show":
        head, piece = show(args.folder, args.offset)
        sys.stdout.write(json.dumps(head) + "\n" + piece.decode(errors="replace"))
        return 0
    board = [sys.executable, "-m", "tensorboard.main", f"--logdir={args.tensorboard}", "--host=localhost"]
    plan = SupervisedJob(
        command=[sys.executable, "-m", "trainer", *words[cut + 1 :]],
        folder=args.folder,
        max_seconds=args.max_hours * 3600,
        resource=args.resource,
        side=board if args.tensorboard else (),
    )
    with only_one(args.folder) as is_free:
        if is_free:
            Supervisor(plan).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
