"""Checkpoints of a run: model, optimizer and step, under MODEL_DIR/checkpoints, and which network they are of."""

import json
import logging
import tempfile
import time
from typing import Any

import keras
import tensorflow as tf

from retinanet_odm.errors import ContractError
from retinanet_odm.storage import files
from trainer.network.build import Network
from trainer.tf_errors import first_line

FILE = "network.json"  # beside the checkpoints: of which network they are
_KEPT = 3
# What the optimizer's variables depend on.
_OPTIMIZER_KEYS = ("freeze", "freeze_batch_norm", "optimizer", "averages")
# What holds where network.json was written before it said so; None where it cannot be known.
_BEFORE = {
    "freeze": "none",
    "freeze_batch_norm": "no",
    "head_norm": "batch",
    "optimizer": None,
    "averages": "no",
}
_LOGGER = logging.getLogger(__name__)


class Checkpoints:
    """Saves now and then, restores the newest.

    Of several hosts all must save, because they add up what each knows; only the chief's files are kept.
    """

    def __init__(
        self,
        model_dir: str,
        network: Network,
        optimizer: keras.optimizers.Optimizer | None = None,
        *,
        rate_factor: tf.Variable | None = None,
        minutes: float = 0.0,
        is_chief: bool = True,
    ) -> None:
        self._is_chief = is_chief
        self._folder = f"{model_dir.rstrip('/')}/checkpoints"
        self._identity, self._origin = network.identity, network.origin
        self._trains = optimizer is not None
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        kept = {"model": network.model, "step": self._step, "optimizer": optimizer, "rate_factor": rate_factor}
        tracked = {name: value for name, value in kept.items() if value is not None}
        self._aside = None if is_chief else tempfile.TemporaryDirectory()
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(**tracked), self._aside.name if self._aside else self._folder, max_to_keep=_KEPT
        )
        self._seconds = minutes * 60
        self._last_save = time.monotonic()

    def restore(self) -> int:
        """Restores the newest checkpoint, if there is one; returns its step, else 0.

        Raises:
          ContractError: the checkpoints are of another network, or damaged.
        """
        path = tf.train.latest_checkpoint(self._folder)
        if path is None:
            return 0
        self._check_identity(files.read_json(self._identity_path))
        _restore(self._manager.checkpoint, path)
        return int(self._step.numpy())

    def save(self, step: int) -> None:
        """Saves unconditionally."""
        if self._is_chief:
            written = {**self._identity, **self._origin}
            files.write_text(self._identity_path, json.dumps(written, indent=2, ensure_ascii=False) + "\n")
        self._step.assign(step)
        self._manager.save(checkpoint_number=step)
        self._last_save = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the time between checkpoints has passed; the chief's clock tells."""
        return self._is_chief and time.monotonic() - self._last_save >= self._seconds

    @property
    def _identity_path(self) -> str:
        return f"{self._folder}/{FILE}"

    def _check_identity(self, stored: dict[str, Any]) -> None:
        optimized = {name: self._origin[name] for name in _OPTIMIZER_KEYS} if self._trains else {}
        check_identity(self._folder, stored, {**self._identity, **optimized})
        fingerprint, now = stored.get("dataset_fingerprint"), self._origin["dataset_fingerprint"]
        if fingerprint not in (None, now):  # None: written before this was kept
            _LOGGER.info(
                "note: the checkpoints in %s are of another data set (fingerprint %.12s, now %.12s)",
                self._folder,
                fingerprint,
                now,
            )


def check_identity(folder: str, stored: dict[str, Any], expected: dict[str, Any]) -> None:
    """Weights of another canvas or other anchors would load without complaint and give wrong boxes.

    Raises:
      ContractError: what is stored of a network is not what is expected.
    """
    for name, value in expected.items():
        found = stored.get(name, _BEFORE.get(name))
        if found != value and not (name == "optimizer" and found is None):
            raise ContractError(
                f"--model_dir: the checkpoints in {folder} are of another network:"
                f" {name} is {found} there, {value} now; use a new folder or the old settings"
            )


class Best:
    """The weights with the highest AP of all evaluations of a split in a run, under MODEL_DIR/best."""

    FILE = "best.json"  # written last: of which step, split, data set and network, and how good

    def __init__(self, model_dir: str, network: Network, *, split: str, is_chief: bool = True) -> None:
        self._is_chief = is_chief
        self._folder = f"{model_dir.rstrip('/')}/best"
        self._network, self._split = network, split
        # Two are kept, so that those that best.json names are there until it names others.
        self._aside = None if is_chief else tempfile.TemporaryDirectory()
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(model=network.model),
            self._aside.name if self._aside else self._folder,
            max_to_keep=2,
            checkpoint_name="weights",
        )

    def is_beaten_by(self, metrics: dict[str, Any]) -> bool:
        """Whether no stored weights are better; those found on another split or data set are no measure."""
        stored = self._stored()
        comparable = all(stored.get(name) == value for name, value in self._about().items())
        return not comparable or (stored["AP"] or 0.0) <= (metrics["AP"] or 0.0)

    def save(self, step: int, metrics: dict[str, Any]) -> None:
        """Puts the network's weights in the place of the stored ones."""
        self._manager.save(checkpoint_number=step)
        if self._is_chief:
            written = {"step": step, "AP": metrics["AP"], "AP50": metrics["AP50"], **self._about()}
            files.write_text(f"{self._folder}/{self.FILE}", json.dumps(written, indent=2, ensure_ascii=False) + "\n")

    def restore(self) -> int:
        """Restores the weights, if there are any; returns their step, else 0.

        Raises:
          ContractError: they are of another network, or damaged.
        """
        stored = self._stored()
        if not stored:
            return 0
        check_identity(self._folder, stored, self._network.identity)
        _restore(self._manager.checkpoint, f"{self._folder}/weights-{stored['step']}")
        return int(stored["step"])

    def _about(self) -> dict[str, Any]:
        return {"split": self._split, **self._network.identity, **self._network.origin}

    def _stored(self) -> dict[str, Any]:
        path = f"{self._folder}/{self.FILE}"
        return files.read_json(path) if files.is_file(path) else {}


def _restore(checkpoint: tf.train.Checkpoint, path: str) -> None:
    try:
        status = checkpoint.restore(path)
    except (tf.errors.OpError, ValueError, IndexError) as error:  # IndexError: a data file that is cut
        raise ContractError(f"--model_dir: the checkpoint {path} is damaged: {first_line(error)}") from error
    try:
        status.assert_existing_objects_matched()
    except AssertionError as error:
        raise ContractError(
            f"--model_dir: the checkpoint {path} lacks what this version keeps: use a new folder, and"
            " --init_from for its weights"
        ) from error
    status.expect_partial()  # evaluation restores the model without the optimizer
