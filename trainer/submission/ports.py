"""The world outside: gcloud as a process, the clock; and what stands in for them in a dry run."""

import contextlib
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

NO_ANSWER = 124  # the exit status of timeout(1)


@dataclass(frozen=True, kw_only=True)
class Done:
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

    def run(self, command: Sequence[str], *, timeout: float) -> Done:
        """Runs to the end. After timeout seconds it is cut off, with status NO_ANSWER."""

    def open(self, command: Sequence[str]) -> Tunnel:
        """Starts in the background."""


class Clock(Protocol):
    """Seconds since some moment, and waiting."""

    def now(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


class Gcloud:
    """The gcloud on PATH. Ctrl-C does not reach it: whoever called it decides what becomes of it."""

    def run(self, command: Sequence[str], *, timeout: float) -> Done:
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
            return Done(status=NO_ANSWER, err=f"no answer in {timeout:.0f} s: {shlex.join(command[:5])}")
        except FileNotFoundError:
            return Done(
                status=127, err=f"{command[0]}: not found on PATH; see https://cloud.google.com/sdk/docs/install"
            )
        return Done(status=ended.returncode, out=ended.stdout, err=ended.stderr)

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
