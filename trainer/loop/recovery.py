"""When a run diverges, and what happens then: back to the newest checkpoint with half the rate, a few times."""

import logging
import math
import signal
from collections.abc import Sequence
from types import FrameType, TracebackType

from retinanet_odm.errors import UsageError

_LOGGER = logging.getLogger(__name__)

# A mean loss of a loop so many times the usual one is no fluctuation; a multiple of less than the floor may be one.
_BLOW_UP = 10.0
_FLOOR = 0.1
_MEMORY = 0.9  # share of the usual loss that each loop keeps


class DivergenceMonitor:
    """Judges the mean loss of each loop, and counts how often a run has gone back."""

    def __init__(self, *, max_rollbacks: int) -> None:
        self._max_rollbacks = max_rollbacks
        self._rollbacks = 0
        self._usual: float | None = None

    def has_diverged(self, loss: float) -> bool:
        """Whether a loss is not finite or far above the usual one, which it else becomes a part of."""
        usual = self._usual
        if not math.isfinite(loss) or (usual is not None and loss > _BLOW_UP * max(usual, _FLOOR)):
            return True
        self._usual = loss if usual is None else _MEMORY * usual + (1 - _MEMORY) * loss
        return False

    def go_back(self, *, loss: float, first: int, last: int, source_ids: Sequence[int], rate: float) -> None:
        """Tells of a divergence, and that the run goes back.

        Args:
          loss: the mean over the steps first to last, both counted from 1.
          source_ids: of the images of the first step whose loss is not finite, or of the last step.
          rate: what the learning rate is to be multiplied with from now on.

        Raises:
          UsageError: it has done so often enough.
        """
        what = f"diverged: loss {loss:g} in steps {first} to {last}; source ids of the batch: {_listed(source_ids)}"
        self._rollbacks += 1
        if self._rollbacks > self._max_rollbacks:
            raise UsageError(
                f"training {what}; given up after {self._max_rollbacks} returns to a checkpoint (--max_rollbacks):"
                " look at these images, lower --learning_rate or --clip_norm"
            )
        self._usual = None
        _LOGGER.warning(
            "warning: training %s; going on from the newest checkpoint with %g of the learning rate (return %d of %d)",
            what,
            rate,
            self._rollbacks,
            self._max_rollbacks,
        )


def _listed(source_ids: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(source_ids)))


class PreemptedError(Exception):
    """The run was asked to stop, and has saved what it did."""


class PreemptionHandler:
    """While it is entered, SIGTERM sets ``requested`` and does not end the process."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> "PreemptionHandler":
        self._previous = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGTERM, self._previous)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module's interface
        self.requested = True
