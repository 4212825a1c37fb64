"""The file of decisions, review.jsonl: lines are only appended, and are on the disk before anybody relies on them."""

import logging
import os
import threading
from collections import Counter
from pathlib import Path
from types import TracebackType

from inference.review_page.decisions import Decision, parse_decisions, replay
from retinanet_odm.errors import UsageError
from retinanet_odm.wording import plural

_logger = logging.getLogger(__name__)


class DecisionLog:
    """The decisions of a review, by image, and the open file that new ones are appended to. Threads may share it.

    Attributes:
      path: the file.
      states: by name of the image, its last decision.
      versions: number of decisions about each image.

    Raises:
      UsageError: the file cannot be read or written.
      ContractError: a line but the last is not one of a review.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            data = Path(path).read_bytes() if Path(path).exists() else b""
            # Before the file is opened for writing: a file of another program must not change.
            decisions, torn = parse_decisions(data, source=path)
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered, so that a line is one write.
            self._file = Path(path).open("ab", buffering=0)  # noqa: SIM115 - closed by __exit__
            self._recover(data, torn)
        except OSError as error:
            raise UsageError(f"--decisions: cannot write {path}: {error}") from error
        self.states, self.versions = replay(decisions), Counter(decision.image for decision in decisions)

    def _recover(self, data: bytes, torn: bytes) -> None:
        """Make the file end with a complete line: a kill in the middle of a write may have cut the last one."""
        if torn:
            _logger.info(
                "%s: the last line was cut after %d %s and is dropped: the decision before it is the last one",
                self.path,
                len(torn),
                plural("byte", len(torn)),
            )
            self._file.truncate(len(data) - len(torn))
        elif data and not data.endswith(b"\n"):
            self._file.write(b"\n")

    def append(self, decision: Decision, *, after: int) -> int:
        """Append a decision, wait until the disk has it, and return the number of decisions about its image.

        Args:
          decision: about an image.
          after: number of decisions that were known when it was made.

        Raises:
          StaleDecisionError: there are more by now, such as from another window.
          OSError: it cannot be written; the file is as before.
        """
        with self._lock:
            if self.versions[decision.image] != after:
                raise StaleDecisionError(f"{decision.image} was changed in another window")
            self._write(decision.to_line())
            self.states[decision.image] = decision
            self.versions[decision.image] += 1
            return self.versions[decision.image]

    def _write(self, line: bytes) -> None:
        size = os.fstat(self._file.fileno()).st_size
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(f"only {written} of {len(line)} bytes could be written")
            os.fsync(self._file.fileno())
        except OSError:
            # A half line in the middle of the file would make it unreadable.
            self._file.truncate(size)
            raise

    def __enter__(self) -> "DecisionLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_empty = not os.fstat(self._file.fileno()).st_size
        self._file.close()
        if is_empty:  # nothing was decided
            Path(self.path).unlink()


class StaleDecisionError(Exception):
    """A decision was made about a state of an image that is no longer its state."""
