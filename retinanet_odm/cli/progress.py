"""The progress of a long run: a bar where standard error is a terminal, otherwise lines of the log.

`PROGRESS` counts images over all processes of a job on this machine; `BAR` is the bar of every program.
"""

import contextlib
import logging
import os
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

_logger = logging.getLogger(__name__)

_SECONDS_OF_SPEED, _SHARE_OF_SPEED = 10.0, 0.05  # one of them must have passed before the time left is shown
_SECONDS_IN_LOG = 5.0  # between two lines of a log file
_SECONDS_ON_SCREEN = 0.5  # between two states of the bar, and between two reports of a worker process
_DEFAULT_COLUMNS = 100
# The folder in which worker processes report; they inherit the environment of the process that shows the progress.
_FOLDER_VARIABLE = "RETINANET_ODM_PROGRESS"


class TerminalBar:
    """The one bar at the bottom of the terminal. Log lines are written above it (`retinanet_odm.cli.program`)."""

    def __init__(self) -> None:
        # Drawn by one thread, while others log.
        self._lock = threading.RLock()
        self._bar: Any = None
        # While paused: whether standard error was a terminal before.
        self._paused: bool | None = None

    def draw(self, done: int, total: int, text: str) -> bool:
        """Draw the bar; return False, and do nothing, where standard error is no terminal.

        Args:
          done: how much of the total.
          total: at least 1.
          text: what follows the bar; its end is cut if it is too long for the line.
        """
        with self._lock:
            if self._paused is not None:
                return self._paused
            if not _is_terminal():
                return False
            if self._bar is None:
                self._bar = _make_bar(done, total, text)  # which draws it
            else:
                self._bar.n, self._bar.total, self._bar.desc = done, total, text
                self._bar.ncols = _columns()
                self._bar.refresh()
            return True

    def close(self) -> None:
        """Remove the bar from the screen, if there is one."""
        with self._lock:
            if self._bar is not None:
                self._bar.close()
            self._bar = None

    @contextlib.contextmanager
    def above(self) -> Iterator[None]:
        """Hide the bar while the body writes lines to standard error, and draw it again below them."""
        with self._lock:
            if self._bar is not None:
                self._bar.clear()
            yield
            if self._bar is not None:
                self._bar.refresh()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Draw nothing while the body runs. The lock is not held: other threads may log."""
        with self._lock:
            self.close()
            self._paused = _is_terminal()
        try:
            yield
        finally:
            self._paused = None


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _make_bar(done: int, total: int, text: str) -> Any:
    from tqdm import tqdm  # only on a terminal: a worker or a log file does not wait for it

    tqdm.monitor_interval = 0  # no thread of its own: the bar is drawn on request only
    layout = "{percentage:3.0f}% |{bar}| {desc}"
    size = {"ncols": _columns(), "nrows": 2}  # tqdm draws nothing on a terminal that does not tell its size
    return tqdm(file=sys.stderr, bar_format=layout, leave=False, total=total, initial=done, desc=text, **size)


def _columns() -> int:
    """Return the width of the terminal, less one: a line as wide as the terminal would wrap on some."""
    with contextlib.suppress(OSError):
        if columns := os.get_terminal_size(sys.stderr.fileno()).columns:
            return columns - 1
    return _DEFAULT_COLUMNS


# One per process, because a terminal has one last line.
BAR = TerminalBar()


class _Counts(NamedTuple):
    planned: int = 0
    done: int = 0
    failed: int = 0


_PARTIAL = ".tmp"  # suffix of a report that is being written
_FORMAT = struct.Struct(f"<{len(_Counts._fields)}q")


class ProgressReporter:
    """Counts the images that all threads and worker processes have planned, finished and failed.

    The process that starts the job wraps it in `shown()`. Worker processes on this machine, which inherit its
    environment, report their own counts to it from time to time.
    """

    def __init__(self) -> None:
        """Report to the process that shows the progress, if this is one of its workers."""
        # Images are counted by several threads, and read by the one that shows them.
        self._lock = threading.Lock()
        folder = os.environ.get(_FOLDER_VARIABLE)
        self._report_path = Path(folder, str(os.getpid())) if folder else None
        self._is_reporting = False
        self._reset("rejected")

    def _reset(self, failures: str) -> None:
        self._counts, self._failures = _Counts(), failures
        self._started = time.monotonic()

    def plan(self, images: int) -> None:
        """Set the number of images to read, and restart the clock: planning is not part of the speed."""
        with self._lock:
            self._counts = self._counts._replace(planned=images)
            self._started = time.monotonic()
            self._start_reporting()

    def skip(self, images: int) -> None:
        """Remove images from the plan that need not be read."""
        with self._lock:
            self._counts = self._counts._replace(planned=self._counts.planned - images)
            self._start_reporting()

    def add(self, *, failed: bool) -> None:
        """Count one finished image."""
        with self._lock:
            planned, done, failures = self._counts
            self._counts = _Counts(planned, done + 1, failures + failed)
            self._start_reporting()

    def state(self) -> tuple[int, int, str]:
        """Return what the bar shows: images that are done, images in all, and a line that describes them.

        The line is like "1,200 of 2,000 images, 310.5 images/s, 3 rejected, 3 s left". It is empty until the first
        image is done; the time left is there as soon as it means something.
        """
        total = self._total()
        return min(total.done, total.planned), max(1, total.planned), self._describe(total)

    def _describe(self, total: _Counts) -> str:
        seconds = time.monotonic() - self._started
        if not total.done or not seconds:
            return ""  # no speed yet
        # The first images also wait for what starts: a speed of few of them, or of a moment, predicts nothing.
        is_known = seconds >= _SECONDS_OF_SPEED or total.done >= _SHARE_OF_SPEED * total.planned
        left = f", {format_seconds(max(0, total.planned - total.done) * seconds / total.done)} left" if is_known else ""
        counted = f"{total.done:,} of {total.planned:,} images, {total.done / seconds:.1f} images/s"
        return f"{counted}, {total.failed:,} {self._failures}{left}"

    # --- In the process that starts the job ---

    @contextlib.contextmanager
    def shown(self, *, failures: str = "rejected") -> Iterator[None]:
        """Show the progress of this process and of its workers while the body runs.

        Args:
          failures: what the line calls images that failed.
        """
        self._reset(failures)  # counts of an earlier run in the same process
        stop = threading.Event()
        # A daemon, so that it never keeps a process alive that ends by an error.
        thread = threading.Thread(target=self._show, args=(stop,), daemon=True)
        with tempfile.TemporaryDirectory(prefix="retinanet-progress-", ignore_cleanup_errors=True) as folder:
            os.environ[_FOLDER_VARIABLE] = folder
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join()
                del os.environ[_FOLDER_VARIABLE]
                BAR.close()

    def _show(self, stop: threading.Event) -> None:
        logged = time.monotonic()
        while not stop.wait(min(_SECONDS_ON_SCREEN, _SECONDS_IN_LOG)):
            done, total, line = self.state()
            if not line or BAR.draw(done, total, line):
                continue
            if time.monotonic() - logged >= _SECONDS_IN_LOG:
                logged = time.monotonic()
                _logger.info("%s", line)

    def _total(self) -> _Counts:
        """Return the counts of this process and of its workers."""
        with self._lock:
            counts = self._counts
        reports = _read_reports(os.environ.get(_FOLDER_VARIABLE))
        if not counts.planned and not counts.done and not any(report.planned for report in reports):
            self._started = time.monotonic()  # a worker plans, and has not done so yet
        return _Counts(*map(sum, zip(counts, *reports, strict=True)))

    # --- In a worker process ---

    def _start_reporting(self) -> None:
        if self._report_path and not self._is_reporting:
            self._is_reporting = True
            threading.Thread(target=self._report, args=(self._report_path,), daemon=True).start()

    def _report(self, path: Path) -> None:
        # By a thread, not when an image is finished: the last images of a worker that then waits count too.
        with contextlib.suppress(OSError):  # the job has ended, or the disk is full: no reason to fail
            while True:
                time.sleep(_SECONDS_ON_SCREEN)
                with self._lock:
                    counts = self._counts
                # Replaced, because the launcher may read at any moment: it must not find the file empty.
                partial = path.with_suffix(_PARTIAL)
                partial.write_bytes(_FORMAT.pack(*counts))
                with contextlib.suppress(PermissionError):  # on Windows while it is read: the next one comes soon
                    partial.replace(path)


def _read_reports(folder: str | None) -> list[_Counts]:
    paths = [path for path in Path(folder).iterdir() if path.suffix != _PARTIAL] if folder else []
    return [_Counts(*_FORMAT.unpack(path.read_bytes())) for path in paths]


def format_seconds(seconds: float) -> str:
    """Format a duration for people.

    Example:
      >>> format_seconds(7.4), format_seconds(125), format_seconds(3725)
      ('7 s', '2 min 5 s', '1 h 2 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    # Seconds only below an hour: the estimate is not better than that.
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


# One per process: Beam passes no object of the launcher to a worker, but a local worker runs in the launcher's process.
PROGRESS = ProgressReporter()
