"""Runs gcloud and reads the clock; a dry run replaces both by fakes.

`Cloud` and `Clock` are the interfaces that trainer.tpu.driver needs. GcloudClient and SystemClock are the real ones;
DryRunClient and FakeClock serve --dry_run.
"""

import contextlib
import json
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from trainer.tpu.gcloud_commands import EXIT_MARK, RUN_LABEL
from trainer.tpu.options import TpuTarget

NO_RESPONSE = 124  # the exit status of timeout(1)
_NOT_FOUND = 127  # the exit status of a shell for an unknown command
# Stands for the wheel in the commands of a dry run, which builds none.
DRY_RUN_WHEEL = "retinanet_odm-VERSION-py3-none-any.whl"


@dataclass(frozen=True, kw_only=True)
class CommandResult:
    """Exit status, standard output and standard error of a finished command."""

    status: int = 0
    out: str = ""
    err: str = ""


# Runs a command, and returns its result.
Gcloud: TypeAlias = Callable[[Sequence[str]], CommandResult]


class Tunnel(Protocol):
    """A command that runs in the background."""

    def alive(self) -> bool:
        """Return whether the command still runs."""

    def close(self) -> None:
        """End the command."""


class Cloud(Protocol):
    """Runs gcloud commands."""

    def run(self, command: Sequence[str], *, timeout: float) -> CommandResult:
        """Run a command to its end. After `timeout` seconds it is killed, with the status NO_RESPONSE."""

    def open(self, command: Sequence[str]) -> Tunnel:
        """Start a command in the background."""


class Clock(Protocol):
    """Measures time, and waits."""

    def now(self) -> float:
        """Return the seconds since an arbitrary moment."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class GcloudClient:
    """Runs the gcloud on PATH, each command in a session of its own.

    So Ctrl-C in the terminal does not interrupt a command half-way: the caller decides how to continue.
    """

    def run(self, command: Sequence[str], *, timeout: float) -> CommandResult:
        """Run a command to its end."""
        try:
            done = subprocess.run(  # noqa: S603 - gcloud, without a shell
                command,
                # gcloud must fail instead of waiting for an answer to a question.
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            return CommandResult(status=NO_RESPONSE, err=f"no response in {timeout:.0f} s: {shlex.join(command[:5])}")
        except FileNotFoundError:
            reason = f"{command[0]}: not found on PATH; see https://cloud.google.com/sdk/docs/install"
            return CommandResult(status=_NOT_FOUND, err=reason)
        return CommandResult(status=done.returncode, out=done.stdout, err=done.stderr)

    def open(self, command: Sequence[str]) -> Tunnel:
        """Start a command in the background."""
        # Its output would disturb the log of the trainer. The controller opens a tunnel again that has failed.
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(  # noqa: S603 - gcloud, without a shell
            command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
        return _Process(process)


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
    """The clock of this computer."""

    def now(self) -> float:
        """Return the seconds since an arbitrary moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class DryRunClient:
    """Prints each command and returns the response of a cloud in which everything succeeds at once.

    Args:
      print_line: takes the command lines.
      exists: whether the TPU exists before the first command.
    """

    def __init__(
        self, target: TpuTarget, run_id: str, print_line: Callable[[str], None], *, exists: bool = False
    ) -> None:
        self._target = target
        self._labels = {RUN_LABEL: run_id}
        self._print_line = print_line
        self._exists = exists

    def run(self, command: Sequence[str], *, timeout: float) -> CommandResult:  # noqa: ARG002 - the interface of Cloud
        """Print a command; return a response with which the run continues."""
        self._print_line(shlex.join(command))
        # The only commands that change what exists; all others leave the imaginary cloud as it is.
        if {"create", "delete"} & set(command):
            self._exists = "create" in command
        if "describe" in command:
            return self._describe(command)
        if "operations" in command:
            return CommandResult(out="[]")
        # The script is the last word of the command: see gcloud_commands.remote.
        return CommandResult(out=_remote_output(command[-1]) if "ssh" in command else "")

    def open(self, command: Sequence[str]) -> Tunnel:
        """Print a command that would run in the background."""
        self._print_line(f"{shlex.join(command)} &")
        return _FakeTunnel()

    def _describe(self, command: Sequence[str]) -> CommandResult:
        """Return the description as trainer.tpu.gcloud_output reads it."""
        # What gcloud answers for an unknown name: `classify_error` must recognise it.
        if not self._exists or ("instances" in command) != self._target.on_compute_engine:
            return CommandResult(status=1, err="NOT_FOUND")
        project, zone, name = self._target.project or "PROJECT", self._target.zone, self._target.name
        folder = f"projects/{project}/locations/{zone}"
        resource: dict[str, Any]
        if "instances" in command:
            link = f"https://www.googleapis.com/compute/v1/projects/{project}/zones/{zone}/instances/{name}"
            resource = {"selfLink": link, "status": "RUNNING", "labels": self._labels}
        elif "queued-resources" in command:
            spec = {"node": {"labels": self._labels}}
            full = f"{folder}/queuedResources/{name}"
            resource = {"name": full, "state": {"state": "ACTIVE"}, "tpu": {"nodeSpec": [spec]}}
        else:
            resource = {"name": f"{folder}/nodes/{name}", "state": "READY", "labels": self._labels}
        return CommandResult(out=json.dumps(resource))


def _remote_output(script: str) -> str:
    """Return what a script on the TPU VM would write; the supervisor reports a finished training."""
    status = json.dumps({"state": "finished", "code": 0, "restarts": 0, "offset": 0})
    return f"{status}\n{EXIT_MARK}0\n" if "supervisor show" in script else f"{EXIT_MARK}0\n"


class _FakeTunnel:
    def alive(self) -> bool:
        return True

    def close(self) -> None:
        pass


class FakeClock:
    """A clock that advances only by sleeping, which takes no time."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        """Return the seconds that were slept."""
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Advance the clock at once."""
        self.seconds += seconds
