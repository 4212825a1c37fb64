"""SIGTERM, as it comes before a spot machine is reclaimed: the run saves a checkpoint and ends well."""

import signal
from types import FrameType, TracebackType


class Stopped(Exception):  # noqa: N818 - not an error
    """The run was asked to stop, and has saved what it did."""


class StopRequest:
    """While it is entered, SIGTERM sets ``requested`` and does not end the process."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> "StopRequest":
        self._previous = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGTERM, self._previous)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module's interface
        self.requested = True
