"""Interruptions of a training: divergence, which returns a run to its newest checkpoint, and preemption (SIGTERM)."""

import logging
import math
import signal
from collections.abc import Sequence
from types import FrameType, TracebackType

from retinanet_odm.errors import UsageError

_LOGGER = logging.getLogger(__name__)

# A mean loss above this multiple of the usual one is a divergence; below the minimum, losses may multiply.
_DIVERGENCE_FACTOR = 10.0
_MIN_USUAL_LOSS = 0.1
_MEMORY = 0.9  # decay of the moving average that is the usual loss


class DivergenceMonitor:
    """Judges the mean loss of every loop of steps, and counts how often a run has returned to a checkpoint."""

    def __init__(self, *, max_rollbacks: int) -> None:
        self._max_rollbacks = max_rollbacks
        self._rollbacks = 0
        self._usual: float | None = None

    def has_diverged(self, loss: float) -> bool:
        """Return whether a loss is not finite or far above the usual one, of which it otherwise becomes a part."""
        # The first loss of a run is compared with nothing; it becomes the usual one.
        usual = self._usual
        if not math.isfinite(loss):
            return True
        # A diverging loss must not raise the usual one, or the next would pass.
        if usual is not None and loss > _DIVERGENCE_FACTOR * max(usual, _MIN_USUAL_LOSS):
            return True
        self._usual = loss if usual is None else _MEMORY * usual + (1 - _MEMORY) * loss
        return False

    def record_rollback(self, *, loss: float, first: int, last: int, source_ids: Sequence[int], rate: float) -> None:
        """Log a divergence, and that the run returns to a checkpoint.

        Args:
          loss: Mean over the steps first to last.
          first: Counted from 1.
          last: Counted from 1.
          source_ids: Of the images of the first step whose loss is not finite, or of the last step.
          rate: Factor of the learning rate from now on.

        Raises:
          UsageError: The run has returned as often as it may.
        """
        # Source ids: id_map.csv of the data set names their images.
        ids = ", ".join(map(str, sorted(source_ids)))
        event = f"diverged: loss {loss:g} in steps {first} to {last}; source ids of the batch: {ids}"
        self._rollbacks += 1
        if self._rollbacks > self._max_rollbacks:
            raise UsageError(
                f"training {event}; given up after {self._max_rollbacks} returns to a checkpoint (--max_rollbacks):"
                " look at these images, lower --learning_rate or --clip_norm"
            )
        # The usual loss belongs to the weights that were given up; it is learned again.
        self._usual = None
        _LOGGER.warning(
            "warning: training %s; resuming from the newest checkpoint with %g of the learning rate (return %d of %d)",
            event,
            rate,
            self._rollbacks,
            self._max_rollbacks,
        )


class PreemptedError(Exception):
    """SIGTERM stopped the run, and a checkpoint was saved."""


class PreemptionHandler:
    """Context in which SIGTERM sets ``requested`` and does not end the process."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> "PreemptionHandler":
        self._previous = signal.signal(signal.SIGTERM, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGTERM, self._previous)

    def _request(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module's interface
        self.requested = True
