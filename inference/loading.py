"""A model from its folder into memory; TensorFlow is imported when that happens and not before."""

import os
from typing import Any

from detection.errors import ContractError
from detection.lean import start_lean
from inference.detector import Detector
from inference.foreign import ForeignDetector
from inference.model_folder import foreign_manifest, read_manifest
from inference.model_options import ModelOptions
from inference.scorer import Scorer
from inference.signature_map import SignatureMap

_KERAS_2 = "TF_USE_LEGACY_KERAS"


def load_model(
    folder: str, *, model_hash: str, with_pixels: bool = False, signature_map: SignatureMap | None = None
) -> Detector | ForeignDetector:
    """Loads the SavedModel of an export folder.

    Args:
      folder: local or gs://.
      model_hash: ModelManifest.model_hash as the launcher saw it.
      with_pixels: score_pixels will be called.
      signature_map: what a model of another program takes and gives; None for one of ours.

    Raises:
      ContractError: another model lies there by now, or the SavedModel lacks a signature that is needed.
    """
    manifest = read_manifest(folder) if signature_map is None else foreign_manifest(folder, signature_map)
    found = manifest.model_hash
    if found != model_hash:
        raise ContractError(f"{folder} holds model {found[:12]}…, but the run began with {model_hash[:12]}…")
    loaded = _load_saved_model(folder)
    if signature_map is not None:
        return ForeignDetector(loaded, signature_map, folder=folder)
    return Detector(loaded, folder=folder, with_pixels=with_pixels)


def load_scorer(
    folder: str, *, model_hash: str, options: ModelOptions, nms_iou: float, signature_map: SignatureMap | None
) -> Scorer:
    """The model of load_model, to be asked as the options say; nms_iou as in Scorer.

    Raises:
      ContractError: as load_model.
    """
    has_tiles = options.tiling is not None
    model = load_model(folder, model_hash=model_hash, with_pixels=has_tiles, signature_map=signature_map)
    return Scorer(model, name=folder, options=options, nms_iou=nms_iou)


def _import_tensorflow() -> Any:
    """TensorFlow without Keras, which no SavedModel needs: nearly half a second less in every process.

    TensorFlow imports Keras at its own end if it is there, and Keras 2 in its place where this variable says so. Later
    uses of tf.keras must find the one that the user has.
    """
    before = os.environ.get(_KERAS_2)
    os.environ[_KERAS_2] = "1"
    try:
        import tensorflow as tf
    finally:
        if before is None:
            del os.environ[_KERAS_2]
        else:
            os.environ[_KERAS_2] = before
    return tf


def _load_saved_model(folder: str) -> Any:
    """Loads a SavedModel, with TensorFlow told to take no more of a GPU than it needs.

    Raises:
      ContractError: TensorFlow cannot load it.
    """
    # TensorFlow's C++ notes about this machine's CPU are no news to a person who scores images.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    start_lean()  # here too, for workers are not started by a program of ours
    tf = _import_tensorflow()
    # Several processes may share a GPU: take memory as it is needed, not all of it at once.
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    try:
        return tf.saved_model.load(folder)
    except (OSError, tf.errors.OpError) as error:
        raise ContractError(f"{folder} holds no SavedModel that this TensorFlow can load: {error}") from error
