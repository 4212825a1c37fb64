"""A program as a process of its own: its output is that of this process, and a request to stop reaches it."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from types import FrameType

from retinanet_odm.systems import ENDING_SIGNALS

INTERRUPTED = 130


def start_program(words: Sequence[str]) -> int:
    """Run Python with some words and return the exit status, INTERRUPTED if this process was asked to stop meanwhile.

    The program is never killed: it saves what it has, and ends by itself. The status is negative where a signal that
    this process has not seen ended it, such as that of a kernel without memory.
    """
    interrupted = False
    process = subprocess.Popen([sys.executable, *words])  # noqa: S603 - this interpreter, without a shell
    with _forwarding_signals(process) as forwarded:
        while True:
            try:
                status = process.wait()
                break
            except KeyboardInterrupt:  # the terminal has sent it to the program, too
                interrupted = True
    return INTERRUPTED if interrupted or forwarded else status


@contextlib.contextmanager
def _forwarding_signals(process: "subprocess.Popen[bytes]") -> Iterator[list[int]]:
    """Send the signals that would end this process to another one, while the body runs; yield those that were sent."""
    forwarded: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        forwarded.append(number)
        process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in ENDING_SIGNALS}
    try:
        yield forwarded
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
