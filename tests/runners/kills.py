"""Processes of a cluster that are killed while a job runs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.runners.services import REPOSITORY

# By runner, what a process of each kind has in its command line.
VICTIMS = {
    "spark": {"executor": "CoarseGrainedExecutorBackend", "SDK worker": "SdkHarness("},
    "flink": {"task manager": "TaskManagerRunner", "SDK worker": "SdkHarness("},
}
JOB_SERVER = "JobServerDriver"
_TIMEOUT = 600  # seconds
_PATIENCE = 0.5  # seconds between two looks


def find_processes(word: str = "") -> list[int]:
    """Returns the processes below this one, or those of them that have a word in their command line."""
    columns = ["ps", "-ww", "-e", "-o", "pid=,ppid=,args="]
    listed = subprocess.run(columns, capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=2) for line in listed.splitlines()]
    parents = {int(pid): int(parent) for pid, parent, *_ in lines}
    found = [int(pid) for pid, _, *words in lines if word in "".join(words)]
    return [pid for pid in found if pid != os.getpid() and _is_below(pid, parents)]


def _has_connected(pid: int) -> bool:
    try:
        return any(str(file.readlink()).startswith("socket:") for file in Path(f"/proc/{pid}/fd").iterdir())
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return False


def _is_below(pid: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != os.getpid():
        pid = parents[pid]
    return pid == os.getpid()


def run_and_kill(command: Sequence[object], log: Path, *, word: str, seconds: float, draw: Random) -> tuple[int, bool]:
    """Runs a command of a program and kills one process with this word, some seconds after the start.

    A process is killed once it has connected: Beam waits without end for an SDK worker of an external pool that dies
    before.

    Returns:
      The exit status, and whether a process was killed while the command ran. What it printed is in the log.

    Raises:
      subprocess.TimeoutExpired: the command has not ended in time; it is killed.
    """
    killed = False
    with log.open("wb") as file:
        words = [sys.executable, "-m", *map(str, command)]
        process = subprocess.Popen(words, cwd=REPOSITORY, stdout=file, stderr=file)
        try:
            time.sleep(seconds)
            while process.poll() is None and not killed:
                found = [pid for pid in find_processes(word) if _has_connected(pid)]
                for pid in draw.sample(found, k=min(1, len(found))):
                    os.kill(pid, signal.SIGKILL)
                    killed = True
                time.sleep(_PATIENCE)
            return process.wait(_TIMEOUT), killed
        finally:
            process.kill()
