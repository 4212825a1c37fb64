"""The progress line of a long run: images done, images per second, failures, time left."""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator

_logger = logging.getLogger(__name__)

_SECONDS_IN_LOG = 5.0  # between two lines of a log file
_SECONDS_ON_SCREEN = 0.5  # a terminal's line is overwritten


class ProgressReporter:
    """Counts the images that the threads of one process have planned, finished and failed.

    A process that runs the whole job wraps it in `shown()`. A worker process, which sees only its own images, calls
    `log_when_due()` after each of them.
    """

    def __init__(self, planned: int = 0, *, processes: int = 1, failures: str = "rejected") -> None:
        """Start the clock.

        Args:
          planned: number of images of the job; `plan` sets it later where it is not known yet.
          processes: number of processes that share the job. This one is assumed to get an equal part.
          failures: what the line calls images that failed.
        """
        # Images are counted by several threads, and read by the one that shows the line.
        self._lock = threading.Lock()
        self._processes, self._failures = processes, failures
        self._reset(-(-planned // processes))  # rounded up

    def _reset(self, planned: int) -> None:
        self._planned, self._done, self._failed = planned, 0, 0
        self._started = self._logged = time.monotonic()

    def plan(self, images: int) -> None:
        """Set the number of images to read, and restart the clock: planning is not part of the speed."""
        with self._lock:
            self._planned = images
            self._started = time.monotonic()

    def skip(self, images: int) -> None:
        """Remove images from the plan that need not be read."""
        with self._lock:
            self._planned -= images

    def add(self, *, failed: bool) -> None:
        """Count one finished image."""
        with self._lock:
            self._done += 1
            self._failed += failed

    def line(self) -> str:
        """Return a line such as "1,200 of 2,000 images, 310.5 images/s, 3 rejected, 3 s left".

        It is empty until the first image is done.
        """
        with self._lock:
            done, planned, failed = self._done, self._planned, self._failed
            seconds = time.monotonic() - self._started
        if not done or not seconds:
            return ""  # no speed yet
        part = f" of one of {self._processes} processes" if self._processes > 1 else ""
        left = _format_seconds(max(0, planned - done) * seconds / done)
        failures = f"{failed:,} {self._failures}"
        return f"{done:,} of {planned:,} images{part}, {done / seconds:.1f} images/s, {failures}, {left} left"

    def log_when_due(self) -> None:
        """Log the line, unless one was logged within the last seconds."""
        with self._lock:
            now = time.monotonic()
            if now - self._logged < _SECONDS_IN_LOG:
                return
            self._logged = now
        _logger.info("%s", self.line())

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show the line from time to time while the body runs."""
        self._reset(0)  # counts of an earlier run in the same process
        stop = threading.Event()
        # A daemon, so that it never keeps a process alive that ends by an error.
        thread = threading.Thread(target=self._show, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _show(self, stop: threading.Event) -> None:
        on_screen = sys.stderr.isatty()
        width = 0
        while not stop.wait(_SECONDS_ON_SCREEN if on_screen else _SECONDS_IN_LOG):
            line = self.line()
            if on_screen and line:
                # Padded to the width of the line before, so that no characters of it stay behind.
                sys.stderr.write(f"\r{line:{width}}")
                sys.stderr.flush()
                width = len(line)
            elif line:
                _logger.info("%s", line)
        if width:
            sys.stderr.write("\r" + " " * width + "\r")


def _format_seconds(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    # Seconds only below an hour: the estimate is not better than that.
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


# One per process: Beam passes no object of the launcher to a worker, but a local worker runs in the launcher's process.
PROGRESS = ProgressReporter()
