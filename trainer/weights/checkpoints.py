"""Checkpoints of a run: model, optimizer and step under MODEL_DIR/checkpoints, the best weights under MODEL_DIR/best.

Beside each is a JSON file that records of which network the weights are (`Network.identity` and `Network.origin`). The
checkpoints store the same, and are found without it: see `trainer.weights.checkpoint_files`.
"""

import json
import logging
import posixpath
import tempfile
import time
from typing import Any

import keras
import tensorflow as tf

from retinanet_odm.errors import ContractError
from retinanet_odm.storage import files
from trainer.network.build import Network
from trainer.tf_errors import first_line
from trainer.weights.checkpoint_files import CheckpointFolder, find_damage, read_description, read_record

IDENTITY_FILE = "network.json"  # beside the checkpoints
_NAME = "ckpt"
_RUN_STATE = "run"  # key in the description of a checkpoint
# Parts of `Network.origin` that the optimizer's variables depend on.
_OPTIMIZER_KEYS = ("freeze", "freeze_batch_norm", "optimizer", "averages")
# Values of keys that older versions did not write; None if the value is unknown.
_OLD_DEFAULTS = {
    "freeze": "none",
    "freeze_batch_norm": "no",
    "head_norm": "batch",
    "conv_style": "tensorflow",
    "pyramid_norm": "same",
    "p6_source": "p5",
    "anchor_grid": "centre",
    "optimizer": None,
    "averages": "no",
    "tile": "none",
}
_LOGGER = logging.getLogger(__name__)


class Checkpoints:
    """Saves checkpoints from time to time, and restores the newest.

    Of several hosts all must save, because TensorFlow sums what each holds; only the chief's files are kept.

    Attributes:
      run_state: The course of the run, a JSON object that the restored checkpoint holds beside the weights; or empty.
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
        self._tracked = {name: value for name, value in kept.items() if value is not None}
        self._discarded = None if is_chief else tempfile.TemporaryDirectory()
        self._seconds = minutes * 60
        self._last_save = time.monotonic()
        self.run_state: dict[str, Any] = {}

    def restore(self) -> int:
        """Restore the newest checkpoint, if there is one; return its step, otherwise 0.

        Raises:
          ContractError: The checkpoints are of another network, or damaged.
        """
        stored = run_checkpoints(self._folder)
        step = stored.newest_whole()
        if step is None:
            return 0
        # The order matters: weights of another canvas have the same shapes, and would load without an error.
        self._check_identity(identity_of(stored.prefix(step)))
        _restore(self._tracked, stored.prefix(step))
        self.run_state = _run_state(stored.prefix(step))
        return int(self._step.numpy())

    def save(self, step: int, run_state: dict[str, Any] | None = None) -> None:
        """Save a checkpoint now, with the course of the run if it is given."""
        identity = {**self._identity, **self._origin}
        if self._is_chief:
            # Before the checkpoint: the weights would fit other networks too.
            files.write_text(self._identity_path, json.dumps(identity, indent=2, ensure_ascii=False) + "\n")
        self._step.assign(step)
        folder = self._discarded.name if self._discarded else self._folder
        described = {**identity, _RUN_STATE: run_state} if run_state else identity
        run_checkpoints(folder).save(self._tracked, step, description=described)
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
        # Tiles and whole images show objects at different sizes.
        scale = {"tile": self._origin.get("tile", _OLD_DEFAULTS["tile"])}
        check_identity(self._folder, stored, {**self._identity, **scale, **optimizer_keys})
        fingerprint, now = stored.get("dataset_fingerprint"), self._origin["dataset_fingerprint"]
        if fingerprint not in (None, now):  # older versions did not write it
            _LOGGER.info(
                "note: the checkpoints in %s are of another data set (fingerprint %.12s, now %.12s)",
                self._folder,
                fingerprint,
                now,
            )


def run_checkpoints(folder: str, *, flag: str = "--model_dir") -> CheckpointFolder:
    """Return the checkpoints of a run in their folder, MODEL_DIR/checkpoints."""
    return CheckpointFolder(folder=folder, name=_NAME, keep=3, flag=flag)


def stored_identity(folder: str) -> dict[str, Any]:
    """Return what is recorded of the network whose checkpoints a folder holds; empty if there are none.

    Raises:
      ContractError: No checkpoint is whole, or the network is not recorded.
    """
    if stored := read_record(f"{folder}/{IDENTITY_FILE}"):
        return stored
    step = run_checkpoints(folder).newest_whole()
    return {} if step is None else identity_of(run_checkpoints(folder).prefix(step))


def newest_run_state(folder: str) -> tuple[int, dict[str, Any]]:
    """Return the step of the newest checkpoint in a folder and the course of the run that it holds; 0, {} without one.

    Raises:
      ContractError: No checkpoint is whole.
    """
    stored = run_checkpoints(folder)
    step = stored.newest_whole()
    return (0, {}) if step is None else (step, _run_state(stored.prefix(step)))


def _run_state(prefix: str) -> dict[str, Any]:
    return dict(read_description(prefix).get(_RUN_STATE, {}))  # earlier versions did not write it


def identity_of(prefix: str, *, flag: str = "--model_dir") -> dict[str, Any]:
    """Return what network.json beside a checkpoint or, if it is lost, the checkpoint itself records of its network.

    Raises:
      ContractError: Both record nothing; checkpoints of older versions need network.json.
    """
    path = f"{posixpath.dirname(prefix)}/{IDENTITY_FILE}"
    if stored := read_record(path) or read_description(prefix):
        return stored
    raise ContractError(f"{flag}: {path} is missing or damaged, and {prefix} does not hold it either")


def check_identity(folder: str, stored: dict[str, Any], expected: dict[str, Any]) -> None:
    """Check that weights are of the expected network: with another canvas or other anchors they would load silently.

    Raises:
      ContractError: A recorded value differs.
    """
    for name, value in expected.items():
        found = _stored_value(stored, name)
        if found != value and not (name == "optimizer" and found is None):
            raise ContractError(
                f"--model_dir: the checkpoints in {folder} are of another network:"
                f" {name} is {found} there, {value} now; use a new folder or the old settings"
            )


def _stored_value(stored: dict[str, Any], name: str) -> Any:
    return stored.get(name, _OLD_DEFAULTS.get(name))


class Best:
    """The weights with the highest AP of all evaluations of a split in a run, under MODEL_DIR/best."""

    FILE = "best.json"  # written last: the step, split, data set and network, and the metrics

    def __init__(self, model_dir: str, network: Network, *, split: str, is_chief: bool = True) -> None:
        self._is_chief = is_chief
        self._folder = f"{model_dir.rstrip('/')}/best"
        self._network, self._split = network, split
        self._tracked = {"model": network.model}
        self._discarded = None if is_chief else tempfile.TemporaryDirectory()

    def is_beaten_by(self, metrics: dict[str, Any]) -> bool:
        """Return whether no stored weights are better; weights of another split or data set do not count."""
        try:
            stored = self._stored()
        except ContractError as error:
            _LOGGER.warning("warning: %s; replacing them", error)
            stored = {}
        comparable = all(_stored_value(stored, name) == value for name, value in self._origin().items())
        # An evaluation without a value counts as 0; of equal ones the later is kept.
        return not comparable or (stored.get("AP") or 0.0) <= (metrics["AP"] or 0.0)

    def save(self, step: int, metrics: dict[str, Any]) -> None:
        """Replace the stored weights by those of the network."""
        values = {"step": step, "AP": metrics["AP"], "AP50": metrics["AP50"], **self._origin()}
        folder = self._discarded.name if self._discarded else self._folder
        _best_weights(folder).save(self._tracked, step, description=values)
        if self._is_chief:
            files.write_text(f"{self._folder}/{self.FILE}", json.dumps(values, indent=2, ensure_ascii=False) + "\n")

    def restore(self) -> int:
        """Restore the weights, if there are any; return their step, otherwise 0.

        Raises:
          ContractError: They are of another network, or damaged.
        """
        stored = self._stored()
        if not stored:
            return 0
        check_identity(self._folder, stored, self._network.identity)
        _restore(self._tracked, _best_weights(self._folder).prefix(stored["step"]))
        return int(stored["step"])

    def _origin(self) -> dict[str, Any]:
        return {"split": self._split, **self._network.identity, **self._network.origin}

    def _stored(self) -> dict[str, Any]:
        """Return best.json if the weights that it names are whole, else what the newest whole ones store."""
        stored, weights = read_record(f"{self._folder}/{self.FILE}"), _best_weights(self._folder)
        step = stored.get("step")
        if isinstance(step, int) and not find_damage(weights.prefix(step)):
            return stored
        newest = weights.newest_whole(expected=[step] if isinstance(step, int) else [])
        if newest is None:
            return {}
        _LOGGER.warning(
            "note: %s/%s is missing, damaged or names other weights; using weights-%d", self._folder, self.FILE, newest
        )
        found = read_description(weights.prefix(newest)) or stored_identity(
            f"{posixpath.dirname(self._folder)}/checkpoints"
        )
        return {"step": newest, **found}


def _best_weights(folder: str) -> CheckpointFolder:
    # Two are kept, so that the weights which best.json names exist until it names others.
    return CheckpointFolder(folder=folder, name="weights", keep=2)


def _restore(tracked: dict[str, Any], path: str) -> None:
    try:
        status = tf.train.Checkpoint(**tracked).read(path)
    except ValueError as error:
        raise ContractError(f"--model_dir: the checkpoint {path} does not fit: {first_line(error)}") from error
    try:
        status.assert_existing_objects_matched()
    except AssertionError as error:
        raise ContractError(
            f"--model_dir: the checkpoint {path} lacks variables of this version: use a new folder, and --init_from for"
            " its weights"
        ) from error
    status.expect_partial()  # evaluation restores the model without the optimizer
