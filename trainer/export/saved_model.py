"""Exports a SavedModel: encoded images in, boxes in their own pixels out. Begin with `export_model`.

`retinanet_odm.exported_model` is the contract, `trainer.export.signatures` the graph.
"""

import dataclasses
import hashlib
import json
import logging
import re
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from retinanet_odm import __version__, exported_model, novelty
from retinanet_odm.dataset.anchor_coverage import PYRAMID_LEVELS
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.storage import files
from retinanet_odm.storage.file_kinds import is_left_by_system
from retinanet_odm.storage.file_names import escape_glob, name_below
from retinanet_odm.storage.local import final_name
from trainer.config import TrainConfig
from trainer.export import signatures, tflite_onnx
from trainer.export.reference import held_out_splits, measure_reference
from trainer.network.build import Network

_LOGGER = logging.getLogger(__name__)

# To be increased when the same weights and settings give other detections or features.
_GRAPH_VERSION = 1

# What Keras' ExportArchive and this module write into the folder.
_SAVED_MODEL = {"saved_model.pb", "fingerprint.pb", "variables", "assets"}
_PORTABLE = {name for name, _ in tflite_onnx.FILES.values()}
_EXPORTED = _SAVED_MODEL | _PORTABLE | {novelty.FILE, ModelManifest.FILE}
_TEMPORARY = re.compile(r"\.tmp[0-9a-f]{32}$")  # of a file that TensorFlow had not finished when it was killed


def export_model(
    config: TrainConfig,
    manifest: DatasetManifest,
    network: Network,
    *,
    metrics: dict[str, Any],
    step: int,
    devices: tf.distribute.Strategy | None = None,
    training: dict[str, Any] | None = None,
) -> str:
    """Write MODEL_DIR/export: the SavedModel, the portable formats, and last model.json, the commit mark.

    Args:
      config: Of the run.
      manifest: Of the data set on which the model was trained.
      network: With the weights to export.
      metrics: Of an eval.json (`trainer.evaluate`), or empty.
      step: Of the weights.
      devices: Of the network; None for those of the moment.
      training: Of model.json (`ModelManifest.training`); None if nothing is known.

    Returns:
      The folder.
    """
    folder = check_folder(config.run.model_dir)
    identity = identify_model(config, manifest, network)
    if _is_there(config, folder, manifest, metrics=metrics, identity=identity):
        _LOGGER.info("the export has these weights and settings already, and is left as it is")
        return folder
    # Before anything is deleted: it fails if a shard is missing.
    reference = measure_reference(config, manifest, network, devices or tf.distribute.get_strategy())
    # The order matters: without model.json, which is deleted first and written last, a folder is no export.
    files.delete([f"{folder}/{ModelManifest.FILE}"])
    if tf.io.gfile.exists(folder):
        tf.io.gfile.rmtree(folder)
    signatures.write_saved_model(config, network, folder)
    if reference:
        with files.write_atomic(f"{folder}/{novelty.FILE}") as file:
            file.write(reference.to_bytes())
    for name, convert in (tflite_onnx.FILES[kind] for kind in config.evaluation.portable_formats()):
        with files.write_atomic(f"{folder}/{name}") as file:
            file.write(convert(config, network))
    model = _describe(config, manifest, network, metrics=metrics, step=step, digests=_digests(folder))
    model = dataclasses.replace(model, identity=identity, training=training or {})
    files.write_text(f"{folder}/{ModelManifest.FILE}", model.to_json())
    return folder


def identify_model(config: TrainConfig, manifest: DatasetManifest, network: Network) -> str:
    """Return the hex SHA-256 over the weights and over what else decides the rows of an export."""
    images = config.evaluation.reference_images
    # Not its values, which a device may round differently, but what decides them.
    reference = [images, manifest.fingerprint, *held_out_splits(config, manifest)] if images else []
    settings = {
        **network.identity,
        **config.evaluation.suppression(),
        "reference": reference,
        "precision": config.network.precision,
        "code_version": __version__,
        "graph_version": _GRAPH_VERSION,
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    # In their order: Keras numbers the names of layers over all networks of a process.
    for variable in network.model.weights:
        value = np.ascontiguousarray(variable.numpy())
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _is_there(
    config: TrainConfig, folder: str, manifest: DatasetManifest, *, metrics: dict[str, Any], identity: str
) -> bool:
    """Return whether an export would only repeat the one that is there: it is whole, and of equal weights."""
    path = f"{folder}/{ModelManifest.FILE}"
    if not files.is_file(path):
        return False
    try:
        there = ModelManifest.from_json(files.read_text(path), source=path)
    except ContractError:
        return False  # of another version
    # An evaluation of the same weights and images may differ in the last digits, which is no reason to export again.
    is_evaluated = not metrics or all(there.metrics.get(name) == metrics[name] for name in ("step", "split"))
    portable = {name for name, _ in (tflite_onnx.FILES[kind] for kind in config.evaluation.portable_formats())}
    return (
        there.identity == identity
        and there.signatures == list(exported_model.SIGNATURES)  # earlier versions had fewer
        and there.dataset_fingerprint == manifest.fingerprint
        and is_evaluated
        and portable <= there.files.keys()
        and there.files == {name: digest for name, digest in _digests(folder).items() if name != ModelManifest.FILE}
    )


def check_folder(model_dir: str) -> str:
    """Return the export folder of a run, which an export replaces.

    Raises:
      UsageError: It holds a file that no export of ours has written.
    """
    folder = f"{model_dir.rstrip('/')}/export"
    # By TensorFlow, like the export itself; the name of a folder may end with a slash.
    names = tf.io.gfile.listdir(folder) if tf.io.gfile.exists(folder) else []
    # rmtree above deletes everything below the folder, so what it holds must be ours.
    own = (name for name in names if not is_left_by_system(name))
    foreign = sorted(name for name in own if final_name(_TEMPORARY.sub("", name.rstrip("/"))) not in _EXPORTED)
    if foreign:
        raise UsageError(f"--model_dir: {folder} holds {foreign[0]}, which this program did not write: move it away")
    return folder


def _describe(
    config: TrainConfig,
    manifest: DatasetManifest,
    network: Network,
    *,
    metrics: dict[str, Any],
    step: int,
    digests: dict[str, str],
) -> ModelManifest:
    return ModelManifest(
        labels=manifest.labels,
        image_size=network.canvas,
        anchors={
            "min_level": min(PYRAMID_LEVELS),
            "max_level": max(PYRAMID_LEVELS),
            "anchor_scale": config.network.anchor_scale,
            "num_scales": config.network.num_scales,
            "aspect_ratios": list(config.network.aspect_ratio_values()),
            "grid": config.network.anchor_grid,
        },
        **config.evaluation.suppression(),
        thresholds=metrics.get("thresholds", {}),
        dataset_fingerprint=manifest.fingerprint,
        dataset={
            "name": config.data.dataset.rstrip("/").rpartition("/")[2],
            "splits": {
                name: {"images": split.examples, "boxes": split.boxes} for name, split in manifest.splits.items()
            },
        },
        versions={"tensorflow": tf.__version__, "keras": keras.__version__},
        # The details are tables and curves, which only eval.json holds.
        metrics={name: value for name, value in metrics.items() if name != "details"},
        config={**config.to_json(), "steps": step},
        tile=config.data.tiles,
        files=digests,
        code_version=__version__,
        signatures=list(exported_model.SIGNATURES),
    )


def _digests(folder: str) -> dict[str, str]:
    """Return the hex SHA-256 of every file of an export, by its path relative to the folder."""
    paths = files.iter_matches(f"{escape_glob(folder)}/**")
    return {name_below(folder, path): files.find_digest(path) or "" for path in paths if not is_left_by_system(path)}
