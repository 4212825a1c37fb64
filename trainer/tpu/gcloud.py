"""The world outside: gcloud as a process, the clock; and what stands in for them in a dry run."""

import contextlib
import json
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from trainer.tpu.gcloud_commands import EXIT_MARK, RUN_LABEL
from trainer.tpu.options import TpuTarget

NO_ANSWER = 124  # the exit status of timeout(1)


@dataclass(frozen=True, kw_only=True)
class CommandResult:
    """A command that has ended: exit status, standard output and standard error."""

    status: int = 0
    out: str = ""
    err: str = ""


class Tunnel(Protocol):
    """A command that goes on in the background."""

    def alive(self) -> bool: ...
    def close(self) -> None: ...


class Cloud(Protocol):
    """What runs gcloud's command lines."""

    def run(self, command: Sequence[str], *, timeout: float) -> CommandResult:
        """Runs to the end. After timeout seconds it is cut off, with status NO_ANSWER."""

    def open(self, command: Sequence[str]) -> Tunnel:
        """Starts in the background."""


class Clock(Protocol):
    """Seconds since some moment, and waiting."""

    def now(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


class GcloudClient:
    """The gcloud on PATH. Ctrl-C does not reach it: whoever called it decides what becomes of it."""

    def run(self, command: Sequence[str], *, timeout: float) -> CommandResult:
        try:
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            return CommandResult(status=NO_ANSWER, err=f"no answer in {timeout:.0f} s: {shlex.join(command[:5])}")
        except FileNotFoundError:
            return CommandResult(
                status=127, err=f"{command[0]}: not found on PATH; see https://cloud.google.com/sdk/docs/install"
            )
        return CommandResult(status=ended.returncode, out=ended.stdout, err=ended.stderr)

    def open(self, command: Sequence[str]) -> Tunnel:
        quiet = subprocess.DEVNULL
        return _Process(subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True))


class _Process:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)


class SystemClock:
    """The real one."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


# In the place of what is known only later.
DRY_RUN_WHEEL = "retinanet_odm-VERSION-py3-none-any.whl"


class DryRunClient:
    """A cloud in which nothing is there until it is asked for, and everything is at once."""

    def __init__(self, place: TpuTarget, run_id: str, say: Callable[[str], None]) -> None:
        self._place = place
        self._labels = {RUN_LABEL: run_id}
        self._say = say
        self._exists = False

    def exist(self) -> None:
        """From now on the TPU is there."""
        self._exists = True

    def run(self, command: Sequence[str], *, timeout: float) -> CommandResult:  # noqa: ARG002 - the interface of Cloud
        self._say(shlex.join(command))
        if {"create", "delete"} & set(command):
            self._exists = "create" in command
        if "describe" in command:
            return self._describe("queued-resources" in command)
        progress = json.dumps({"state": "finished", "code": 0, "restarts": 0, "offset": 0})
        said = f"{progress}\n" if "supervisor show" in command[-1] else ""
        return CommandResult(out=f"{said}{EXIT_MARK}0\n" if "ssh" in command else "")

    def open(self, command: Sequence[str]) -> Tunnel:
        self._say(f"{shlex.join(command)} &")
        return _FakeTunnel()

    def _describe(self, queued: bool) -> CommandResult:
        if not self._exists:
            return CommandResult(status=1, err="NOT_FOUND")
        folder = f"projects/{self._place.project or 'PROJECT'}/locations/{self._place.zone}"
        if queued:
            spec = {"node": {"labels": self._labels}}
            name = f"{folder}/queuedResources/{self._place.name}"
            return CommandResult(
                out=json.dumps({"name": name, "state": {"state": "ACTIVE"}, "tpu": {"nodeSpec": [spec]}})
            )
        name = f"{folder}/nodes/{self._place.name}"
        return CommandResult(out=json.dumps({"name": name, "state": "READY", "labels": self._labels}))


class _FakeTunnel:
    def alive(self) -> bool:
        return True

    def close(self) -> None:
        pass


class FakeClock:
    """No time passes."""

    def now(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        pass
