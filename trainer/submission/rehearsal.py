"""The cloud and the clock of ``--dry_run``: prints each command and answers as if all went well."""

import json
import shlex
from collections.abc import Callable, Sequence

from trainer.submission.commands import EXIT_MARK, LABEL
from trainer.submission.options import Place
from trainer.submission.ports import Done, Tunnel

# In the place of what is known only later.
WHEEL = "retinanet_odm-VERSION-py3-none-any.whl"


class Rehearsal:
    """A cloud in which nothing is there until it is asked for, and everything is at once."""

    def __init__(self, place: Place, run_id: str, say: Callable[[str], None]) -> None:
        self._place = place
        self._labels = {LABEL: run_id}
        self._say = say
        self._exists = False

    def exist(self) -> None:
        """From now on the TPU is there."""
        self._exists = True

    def run(self, command: Sequence[str], *, timeout: float) -> Done:  # noqa: ARG002 - the interface of Cloud
        self._say(shlex.join(command))
        if {"create", "delete"} & set(command):
            self._exists = "create" in command
        if "describe" in command:
            return self._describe("queued-resources" in command)
        progress = json.dumps({"state": "finished", "code": 0, "restarts": 0, "offset": 0})
        said = f"{progress}\n" if "supervisor show" in command[-1] else ""
        return Done(out=f"{said}{EXIT_MARK}0\n" if "ssh" in command else "")

    def open(self, command: Sequence[str]) -> Tunnel:
        self._say(f"{shlex.join(command)} &")
        return _NoTunnel()

    def _describe(self, queued: bool) -> Done:
        if not self._exists:
            return Done(status=1, err="NOT_FOUND")
        folder = f"projects/{self._place.project or 'PROJECT'}/locations/{self._place.zone}"
        if queued:
            spec = {"node": {"labels": self._labels}}
            name = f"{folder}/queuedResources/{self._place.name}"
            return Done(out=json.dumps({"name": name, "state": {"state": "ACTIVE"}, "tpu": {"nodeSpec": [spec]}}))
        name = f"{folder}/nodes/{self._place.name}"
        return Done(out=json.dumps({"name": name, "state": "READY", "labels": self._labels}))


class _NoTunnel:
    def alive(self) -> bool:
        return True

    def close(self) -> None:
        pass


class StillClock:
    """No time passes."""

    def now(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        pass
