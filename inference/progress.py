"""How far the job is: a line every few seconds for people, and Beam's counters."""

import logging
import threading
import time
from collections.abc import Iterable
from datetime import timedelta

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared

from detection.predictions import OK, PredictionRow

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_PROGRESS = 5.0


class Progress:
    """Counts the rows of one process and logs a line every few seconds.

    It knows of no other process: where several share the work, it takes its share for an equal one.
    """

    def __init__(self, total: int, processes: int) -> None:
        self._total = -(-total // processes)
        self._whose = "" if processes == 1 else f" of one of {processes} processes"
        self._done = self._failed = 0
        self._lock = threading.Lock()
        self._start = self._last = time.monotonic()

    def add(self, row: PredictionRow) -> None:
        """Counts a row; threads may call at once."""
        with self._lock:
            self._done += 1
            self._failed += row.status != OK
            now = time.monotonic()
            if now - self._last >= SECONDS_BETWEEN_PROGRESS:
                self._last = now
                logger.info("%s", self._line(now - self._start))

    def _line(self, seconds: float) -> str:
        rate = self._done / seconds
        left = timedelta(seconds=round(max(self._total - self._done, 0) / rate))
        of = f"{self._done} of {self._total} images{self._whose}"
        return f"{of}, {self._failed} failed, {rate:.1f} images/s, {left} left"


class CountRows(beam.DoFn):
    """Passes rows on; counts them for Beam's metrics and for the progress line, one per process."""

    def __init__(self, total: int, processes: int) -> None:
        self._total, self._processes = total, processes
        self._shared = Shared()

    def setup(self) -> None:
        self._progress = self._shared.acquire(lambda: Progress(self._total, self._processes))

    def process(self, row: PredictionRow) -> Iterable[PredictionRow]:
        self._progress.add(row)
        Metrics.counter("inference", row.status).inc()
        if row.reason:
            Metrics.counter("inference", f"failed_{row.reason}").inc()
        yield row
