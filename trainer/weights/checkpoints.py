"""Checkpoints of a run: model, optimizer and step under MODEL_DIR/checkpoints, the best weights under MODEL_DIR/best.

Beside each is a JSON file that records of which network the weights are (`Network.identity` and `Network.origin`).
"""

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

IDENTITY_FILE = "network.json"  # beside the checkpoints
_MAX_CHECKPOINTS = 3
# Parts of `Network.origin` that the optimizer's variables depend on.
_OPTIMIZER_KEYS = ("freeze", "freeze_batch_norm", "optimizer", "averages")
# Values of keys that older versions did not write; None if the value is unknown.
_OLD_DEFAULTS = {
    "freeze": "none",
    "freeze_batch_norm": "no",
    "head_norm": "batch",
    "optimizer": None,
    "averages": "no",
}
_LOGGER = logging.getLogger(__name__)


class Checkpoints:
    """Saves checkpoints from time to time, and restores the newest.

    Of several hosts all must save, because TensorFlow sums what each holds; only the chief's files are kept.
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
        # The names are those in the files: renaming one makes older checkpoints unreadable.
        tracked = {name: value for name, value in kept.items() if value is not None}
        self._discarded = None if is_chief else tempfile.TemporaryDirectory()
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(**tracked),
            self._discarded.name if self._discarded else self._folder,
            max_to_keep=_MAX_CHECKPOINTS,
        )
        self._seconds = minutes * 60
        self._last_save = time.monotonic()

    def restore(self) -> int:
        """Restores the newest checkpoint, if there is one; returns its step, otherwise 0.

        Raises:
          ContractError: The checkpoints are of another network, or damaged.
        """
        path = tf.train.latest_checkpoint(self._folder)
        if path is None:
            return 0
        # The order matters: weights of another canvas have the same shapes, and would load without an error.
        self._check_identity(files.read_json(self._identity_path))
        _restore(self._manager.checkpoint, path)
        return int(self._step.numpy())

    def save(self, step: int) -> None:
        """Saves a checkpoint now."""
        if self._is_chief:
            # Before the checkpoint, which cannot be used without it.
            identity = {**self._identity, **self._origin}
            files.write_text(self._identity_path, json.dumps(identity, indent=2, ensure_ascii=False) + "\n")
        self._step.assign(step)
        self._manager.save(checkpoint_number=step)
        self._last_save = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the time between checkpoints has passed, by the chief's clock; never on another host."""
        return self._is_chief and time.monotonic() - self._last_save >= self._seconds

    @property
    def _identity_path(self) -> str:
        return f"{self._folder}/{IDENTITY_FILE}"

    def _check_identity(self, stored: dict[str, Any]) -> None:
        optimizer_keys = {name: self._origin[name] for name in _OPTIMIZER_KEYS} if self._trains else {}
        check_identity(self._folder, stored, {**self._identity, **optimizer_keys})
        fingerprint, now = stored.get("dataset_fingerprint"), self._origin["dataset_fingerprint"]
        if fingerprint not in (None, now):  # older versions did not write it
            _LOGGER.info(
                "note: the checkpoints in %s are of another data set (fingerprint %.12s, now %.12s)",
                self._folder,
                fingerprint,
                now,
            )


def check_identity(folder: str, stored: dict[str, Any], expected: dict[str, Any]) -> None:
    """Checks that weights are of the expected network: with another canvas or other anchors they would load silently.

    Raises:
      ContractError: A recorded value differs.
    """
    for name, value in expected.items():
        found = stored.get(name, _OLD_DEFAULTS.get(name))
        if found != value and not (name == "optimizer" and found is None):
            raise ContractError(
                f"--model_dir: the checkpoints in {folder} are of another network:"
                f" {name} is {found} there, {value} now; use a new folder or the old settings"
            )


class Best:
    """The weights with the highest AP of all evaluations of a split in a run, under MODEL_DIR/best."""

    FILE = "best.json"  # written last: the step, split, data set and network, and the metrics

    def __init__(self, model_dir: str, network: Network, *, split: str, is_chief: bool = True) -> None:
        self._is_chief = is_chief
        self._folder = f"{model_dir.rstrip('/')}/best"
        self._network, self._split = network, split
        self._discarded = None if is_chief else tempfile.TemporaryDirectory()
        # Two are kept, so that the weights which best.json names exist until it names others.
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(model=network.model),
            self._discarded.name if self._discarded else self._folder,
            max_to_keep=2,
            checkpoint_name="weights",
        )

    def is_beaten_by(self, metrics: dict[str, Any]) -> bool:
        """Returns whether no stored weights are better; weights of another split or data set do not count."""
        stored = self._stored()
        comparable = all(stored.get(name) == value for name, value in self._origin().items())
        # An evaluation without a value counts as 0; of equal ones the later is kept.
        return not comparable or (stored["AP"] or 0.0) <= (metrics["AP"] or 0.0)

    def save(self, step: int, metrics: dict[str, Any]) -> None:
        """Replaces the stored weights by those of the network."""
        self._manager.save(checkpoint_number=step)
        if self._is_chief:
            values = {"step": step, "AP": metrics["AP"], "AP50": metrics["AP50"], **self._origin()}
            files.write_text(f"{self._folder}/{self.FILE}", json.dumps(values, indent=2, ensure_ascii=False) + "\n")

    def restore(self) -> int:
        """Restores the weights, if there are any; returns their step, otherwise 0.

        Raises:
          ContractError: They are of another network, or damaged.
        """
        stored = self._stored()
        if not stored:
            return 0
        check_identity(self._folder, stored, self._network.identity)
        _restore(self._manager.checkpoint, f"{self._folder}/weights-{stored['step']}")
        return int(stored["step"])

    def _origin(self) -> dict[str, Any]:
        return {"split": self._split, **self._network.identity, **self._network.origin}

    def _stored(self) -> dict[str, Any]:
        path = f"{self._folder}/{self.FILE}"
        return files.read_json(path) if files.is_file(path) else {}


def _restore(checkpoint: tf.train.Checkpoint, path: str) -> None:
    try:
        # TensorFlow raises several classes for a file that is damaged in different places.
        status = checkpoint.restore(path)
    except (tf.errors.OpError, ValueError, IndexError) as error:  # IndexError: a truncated data file
        raise ContractError(f"--model_dir: the checkpoint {path} is damaged: {first_line(error)}") from error
    try:
        status.assert_existing_objects_matched()
    except AssertionError as error:
        raise ContractError(
            f"--model_dir: the checkpoint {path} lacks variables of this version: use a new folder, and --init_from for"
            " its weights"
        ) from error
    status.expect_partial()  # evaluation restores the model without the optimizer
