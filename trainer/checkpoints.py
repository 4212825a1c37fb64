"""Checkpoints of a run: model, optimizer and step, under MODEL_DIR/checkpoints, and which network they are of."""

import json
import logging
import time
from typing import Any

import keras
import tensorflow as tf

from detection.errors import ContractError
from trainer.files import first_line, read_json, write_text
from trainer.network import Network

FILE = "network.json"  # beside the checkpoints: of which network they are
_KEPT = 3
_FROZEN = ("freeze", "freeze_batch_norm")
# What checkpoints are that were written before these were kept.
_BEFORE = {"freeze": "none", "freeze_batch_norm": "no", "head_norm": "batch"}
_LOGGER = logging.getLogger(__name__)


class Checkpoints:
    """Saves now and then, restores the newest."""

    def __init__(
        self,
        model_dir: str,
        network: Network,
        optimizer: keras.optimizers.Optimizer | None = None,
        *,
        minutes: float = 0.0,
    ) -> None:
        self._folder = f"{model_dir.rstrip('/')}/checkpoints"
        self._identity, self._origin = network.identity, network.origin
        self._trains = optimizer is not None
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        tracked = {"model": network.model, "step": self._step} | ({"optimizer": optimizer} if optimizer else {})
        self._manager = tf.train.CheckpointManager(tf.train.Checkpoint(**tracked), self._folder, max_to_keep=_KEPT)
        self._seconds = minutes * 60
        self._last_save = time.monotonic()

    def restore(self) -> int:
        """Restores the newest checkpoint, if there is one; returns its step, else 0.

        Raises:
          ContractError: the checkpoints are of another network, or damaged.
        """
        path = self._manager.latest_checkpoint
        if path is None:
            return 0
        self._check_identity(read_json(self._identity_path))
        try:
            status = self._manager.checkpoint.restore(path)
        except (tf.errors.OpError, ValueError, IndexError) as error:  # IndexError: a data file that is cut
            raise ContractError(f"--model_dir: the checkpoint {path} is damaged: {first_line(error)}") from error
        status.assert_existing_objects_matched()
        status.expect_partial()  # evaluation restores the model without the optimizer
        return int(self._step.numpy())

    def save(self, step: int) -> None:
        """Saves unconditionally."""
        written = {**self._identity, **self._origin}
        write_text(self._identity_path, json.dumps(written, indent=2, ensure_ascii=False) + "\n")
        self._step.assign(step)
        self._manager.save(checkpoint_number=step)
        self._last_save = time.monotonic()

    def save_when_due(self, step: int) -> None:
        """Saves when the time between checkpoints has passed."""
        if time.monotonic() - self._last_save >= self._seconds:
            self.save(step)

    @property
    def _identity_path(self) -> str:
        return f"{self._folder}/{FILE}"

    def _check_identity(self, stored: dict[str, Any]) -> None:
        """Weights of another canvas or other anchors would load without complaint and give wrong boxes."""
        expected = {**self._identity, **({name: self._origin[name] for name in _FROZEN} if self._trains else {})}
        for name, value in expected.items():
            # The optimizer keeps numbers for the variables that train only.
            found = stored.get(name, _BEFORE.get(name))
            if found != value:
                raise ContractError(
                    f"--model_dir: the checkpoints in {self._folder} are of another network:"
                    f" {name} is {found} there, {value} now; use a new folder or the old settings"
                )
        fingerprint, now = stored.get("dataset_fingerprint"), self._origin["dataset_fingerprint"]
        if fingerprint not in (None, now):  # None: written before this was kept
            _LOGGER.info(
                "note: the checkpoints in %s are of another data set (fingerprint %.12s, now %.12s)",
                self._folder,
                fingerprint,
                now,
            )
