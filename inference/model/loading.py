"""The exported model's folder, checked without TensorFlow before a job is started."""

import hashlib
import os
from typing import Any

from inference.model.options import ModelOptions
from inference.model.saved_model import Detector
from inference.model.scorer import Scorer
from inference.model.third_party import SignatureMap, ThirdPartyDetector
from retinanet_odm.cli.program import tune_gc
from retinanet_odm.errors import ContractError
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.storage import files
from retinanet_odm.storage.files import FileError
from retinanet_odm.storage.glob_patterns import escape_glob

SAVED_MODEL = "saved_model.pb"


def read_model_manifest(folder: str) -> ModelManifest:
    """Reads model.json.

    Raises:
      ContractError: the folder or model.json is missing, or model.json is not of this version.
    """
    path = files.join(folder, ModelManifest.FILE)
    if not files.exists(path):
        raise ContractError(f"--model: {_why_missing(folder)}")
    return ModelManifest.from_json(files.read_text(path, flag="--model"), source=path)


def find_model(folder: str, signature_map: SignatureMap | None) -> ModelManifest:
    """The checked manifest of a model of ours, or what stands for it where a map tells about another program's model.

    Raises:
      ContractError: as check_model and foreign_manifest; or a map is given for a model of ours.
    """
    if signature_map is None:
        return check_model(folder)
    if files.exists(files.join(folder, ModelManifest.FILE)):
        raise ContractError(f"--signature_map: {folder} holds a {ModelManifest.FILE} and needs no map")
    return third_party_manifest(folder, signature_map)


def third_party_manifest(folder: str, signature_map: SignatureMap) -> ModelManifest:
    """What there is to know about a model of another program; the map is a part of its identity.

    Raises:
      ContractError: there is no such folder, or no SavedModel in it.
    """
    if not files.exists(files.join(folder, SAVED_MODEL)):
        raise ContractError(f"--model: {folder} holds no {SAVED_MODEL}: it is not the folder of a SavedModel")
    paths = files.iter_matches(files.join(escape_glob(folder), "**"))
    digests = {files.name_below(folder, path): hashlib.sha256(files.read_bytes(path)).hexdigest() for path in paths}
    return ModelManifest(
        labels=signature_map.labels,
        image_size=(0, 0),
        anchors={},
        score_threshold=0.0,
        nms_iou=signature_map.nms_iou,
        max_detections=0,
        dataset_fingerprint="",
        metrics={},
        config={},
        files={**digests, "--signature_map": signature_map.digest},
        code_version="",
    )


def check_model(folder: str) -> ModelManifest:
    """Reads model.json and compares every file that it lists with its digest: a half-copied model must not look whole.

    Raises:
      ContractError: as read_manifest; or a file is missing or differs, or the list has no SavedModel.
    """
    manifest = read_model_manifest(folder)
    if SAVED_MODEL not in manifest.files:
        raise ContractError(f"--model: {folder}/{ModelManifest.FILE} lists no {SAVED_MODEL}: it is not a whole export")
    for name, digest in sorted(manifest.files.items()):
        _check_file(files.join(folder, name), digest)
    return manifest


def _check_file(path: str, digest: str) -> None:
    if not files.exists(path):
        raise ContractError(f"--model: {path} is missing, though {ModelManifest.FILE} lists it: copy the model again")
    try:
        found = hashlib.sha256(files.read_bytes(path)).hexdigest()
    except FileError as error:
        raise ContractError(f"--model: {error}") from error
    if found != digest:
        raise ContractError(
            f"--model: {path} differs from what was exported (SHA-256 {digest[:12]}… expected, found {found[:12]}…):"
            " copy the model again"
        )


def _why_missing(folder: str) -> str:
    if files.exists(files.join(folder, "export", ModelManifest.FILE)):
        return f"{folder} holds no {ModelManifest.FILE}; did you mean {files.join(folder, 'export')}?"
    if files.exists(files.join(folder, SAVED_MODEL)):
        return (
            f"{folder} holds no {ModelManifest.FILE}: it is not the folder of a finished export; if it is a model of"
            " another program, tell by --signature_map what it takes and gives"
        )
    if files.is_folder(folder):
        return f"{folder} holds no {ModelManifest.FILE}: it is not the folder of a finished export"
    return f"there is no folder {folder}"


_KERAS_2 = "TF_USE_LEGACY_KERAS"


def load_model(
    folder: str, *, model_hash: str, with_pixels: bool = False, signature_map: SignatureMap | None = None
) -> Detector | ThirdPartyDetector:
    """Loads the SavedModel of an export folder.

    Args:
      folder: local or gs://.
      model_hash: ModelManifest.model_hash as the launcher saw it.
      with_pixels: score_pixels will be called.
      signature_map: what a model of another program takes and gives; None for one of ours.

    Raises:
      ContractError: another model lies there by now, or the SavedModel lacks a signature that is needed.
    """
    manifest = read_model_manifest(folder) if signature_map is None else third_party_manifest(folder, signature_map)
    found = manifest.model_hash
    if found != model_hash:
        raise ContractError(f"{folder} holds model {found[:12]}…, but the run began with {model_hash[:12]}…")
    loaded = _load_saved_model(folder)
    if signature_map is not None:
        return ThirdPartyDetector(loaded, signature_map, folder=folder)
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
    tune_gc()  # here too, for workers are not started by a program of ours
    tf = _import_tensorflow()
    # Several processes may share a GPU: take memory as it is needed, not all of it at once.
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    try:
        return tf.saved_model.load(folder)
    except (OSError, tf.errors.OpError) as error:
        raise ContractError(f"{folder} holds no SavedModel that this TensorFlow can load: {error}") from error
