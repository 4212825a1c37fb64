"""Checkpoints of a run: model, optimizer and step, under MODEL_DIR/checkpoints."""

import time

import keras
import tensorflow as tf

from detection.errors import ContractError

_KEPT = 3


class Checkpoints:
    """Saves now and then, restores the newest.

    Attributes:
      step: tf.Variable int64, optimizer steps done; stored with the model.
    """

    def __init__(
        self, model_dir: str, model: keras.Model, optimizer: keras.optimizers.Optimizer | None, *, minutes: float = 0.0
    ) -> None:
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        tracked = {"model": model, "step": self.step} | ({"optimizer": optimizer} if optimizer else {})
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(**tracked), f"{model_dir.rstrip('/')}/checkpoints", max_to_keep=_KEPT
        )
        self._seconds = minutes * 60
        self._last_save = time.monotonic()

    def restore(self) -> int:
        """Restores the newest checkpoint, if there is one; returns its step, else 0.

        Raises:
          ContractError: the checkpoint is of another model.
        """
        path = self._manager.latest_checkpoint
        if path is None:
            return 0
        try:
            status = self._manager.checkpoint.restore(path)
            status.assert_existing_objects_matched()
        except (AssertionError, ValueError) as error:
            raise ContractError(
                f"--model_dir: {path} is of another model (backbone, classes or image size differ):"
                " use a new folder or the old settings"
            ) from error
        status.expect_partial()  # evaluation restores the model without the optimizer
        return int(self.step.numpy())

    def save(self, step: int) -> None:
        """Saves unconditionally."""
        self.step.assign(step)
        self._manager.save(checkpoint_number=step)
        self._last_save = time.monotonic()

    def save_when_due(self, step: int) -> None:
        """Saves when the time between checkpoints has passed."""
        if time.monotonic() - self._last_save >= self._seconds:
            self.save(step)
