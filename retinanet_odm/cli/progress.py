"""A line that says how far a local run is: images, images a second, rejected, time left."""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator

_logger = logging.getLogger(__name__)

_EVERY = 10.0  # seconds between lines in a log file
_EVERY_ON_SCREEN = 0.5  # on a terminal the line is written over itself


class ProgressReporter:
    """How many images are planned, done and rejected; counted by the threads of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._planned = self._done = self._rejected = 0
        self._began = time.monotonic()

    def plan(self, images: int) -> None:
        """Now so many images are to be read; the time of a run's planning does not count."""
        with self._lock:
            self._planned = images
            self._began = time.monotonic()

    def skip(self, images: int) -> None:
        """So many of the planned images need not be read."""
        with self._lock:
            self._planned -= images

    def add(self, *, rejected: bool) -> None:
        """One image is done."""
        with self._lock:
            self._done += 1
            self._rejected += rejected

    def line(self) -> str:
        """Such as "1,200 of 2,000 images, 310 images/s, 3 rejected, 3 s left"; "" before anything was done."""
        with self._lock:
            done, planned, rejected = self._done, self._planned, self._rejected
            seconds = time.monotonic() - self._began
        if not done or not seconds:
            return ""
        left = max(0, planned - done) * seconds / done
        return (
            f"{done:,} of {planned:,} images, {done / seconds:.0f} images/s, {rejected:,} rejected, {_span(left)} left"
        )

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Shows the line from time to time while the body runs."""
        self._reset()
        stop = threading.Event()
        thread = threading.Thread(target=self._show, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _show(self, stop: threading.Event) -> None:
        on_screen = sys.stderr.isatty()
        shown = 0
        while not stop.wait(_EVERY_ON_SCREEN if on_screen else _EVERY):
            line = self.line()
            if on_screen and line:
                sys.stderr.write(f"\r{line:{shown}}")
                sys.stderr.flush()
                shown = len(line)
            elif line:
                _logger.info("%s", line)
        if shown:
            sys.stderr.write("\r" + " " * shown + "\r")


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


# One a process: Beam hands no object of the launcher's to a worker, but locally worker and launcher are one process.
PROGRESS = ProgressReporter()
