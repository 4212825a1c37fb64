"""The exported model: encoded bytes of photographs in, boxes in their own pixels out (detection.signatures)."""

import dataclasses
import hashlib
import posixpath
from typing import Any

import keras
import tensorflow as tf

from detection import __version__, signatures
from detection.errors import UsageError
from detection.manifests import DatasetManifest, ModelManifest
from trainer import postprocess, preprocess
from trainer.anchors import MAX_LEVEL, MIN_LEVEL
from trainer.config import TrainConfig
from trainer.files import write_text
from trainer.network import Network

Tensor = Any
_BLOCK = 1 << 20
# What Keras' ExportArchive and this module write into the folder.
_EXPORTED = {"saved_model.pb", "fingerprint.pb", "variables", "assets", ModelManifest.FILE, f"{ModelManifest.FILE}.tmp"}


def export_model(
    config: TrainConfig, manifest: DatasetManifest, network: Network, *, metrics: dict[str, Any], step: int
) -> str:
    """Writes MODEL_DIR/export: the SavedModel, then model.json, whose presence means that the export is whole.

    Args:
      metrics: of an eval.json (trainer.evaluate), or empty.

    Returns:
      The folder.
    """
    folder = check_folder(config.model_dir)
    if tf.io.gfile.exists(f"{folder}/{ModelManifest.FILE}"):
        tf.io.gfile.remove(f"{folder}/{ModelManifest.FILE}")
    if tf.io.gfile.exists(folder):
        tf.io.gfile.rmtree(folder)
    archive = keras.export.ExportArchive()
    archive.track(network.model)
    archive.add_endpoint(
        signatures.SERVING,
        _serving_function(config, network),
        input_signature=[tf.TensorSpec([None], tf.string, name=signatures.IMAGE_BYTES)],
    )
    archive.write_out(folder, verbose=False)
    model = ModelManifest(
        labels=manifest.labels,
        image_size=network.canvas,
        anchors={
            "min_level": MIN_LEVEL,
            "max_level": MAX_LEVEL,
            "anchor_scale": config.anchor_scale,
            "num_scales": config.num_scales,
            "aspect_ratios": list(config.aspect_ratio_values()),
        },
        score_threshold=config.score_threshold,
        nms_iou=config.nms_iou,
        max_detections=config.max_detections,
        thresholds=metrics.get("thresholds", {}),
        dataset_fingerprint=manifest.fingerprint,
        metrics={name: value for name, value in metrics.items() if name != "details"},
        config={**dataclasses.asdict(config), "steps": step},
        files=_digests(folder),
        code_version=__version__,
    )
    write_text(f"{folder}/{ModelManifest.FILE}", model.to_json())
    return folder


def check_folder(model_dir: str) -> str:
    """The export folder of a run, which an export replaces.

    Raises:
      UsageError: it holds something that no export of ours has written.
    """
    folder = f"{model_dir.rstrip('/')}/export"
    names = tf.io.gfile.listdir(folder) if tf.io.gfile.exists(folder) else []
    foreign = sorted(name for name in names if name.rstrip("/") not in _EXPORTED)
    if foreign:
        raise UsageError(f"--model_dir: {folder} holds {foreign[0]}, which this program did not write: move it away")
    return folder


def _serving_function(config: TrainConfig, network: Network) -> Any:
    def serve(image_bytes: Tensor) -> dict[str, Tensor]:
        batch = preprocess.decode_batch(image_bytes, network.canvas)
        outputs = network.model(preprocess.normalise(batch.images), training=False)
        found = postprocess.suppress(
            postprocess.top_candidates(outputs, network.anchors),
            num_classes=network.num_classes,
            score_threshold=config.score_threshold,
            nms_iou=config.nms_iou,
            max_detections=config.max_detections,
        )
        failed = tf.fill(tf.shape(batch.decoded), signatures.STATUS_NOT_DECODABLE)
        count = tf.where(batch.decoded, found.count, 0)
        real = tf.sequence_mask(count, config.max_detections)
        return {
            signatures.BOXES: postprocess.to_photograph(found.boxes, batch.placed, batch.sizes),
            signatures.SCORES: tf.where(real, found.scores, 0.0),
            signatures.CLASSES: tf.where(real, found.classes, 0),
            signatures.COUNT: count,
            signatures.IMAGE_SIZE: batch.sizes,
            signatures.STATUS: tf.where(batch.decoded, signatures.STATUS_OK, failed),
        }

    return serve


def _digests(folder: str) -> dict[str, str]:
    """Hex SHA-256 of every file below a folder, by its path there."""
    found = {}
    for parent, _, names in tf.io.gfile.walk(folder):
        for name in names:
            path = posixpath.join(parent, name)
            digest = hashlib.sha256()
            with tf.io.gfile.GFile(path, "rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
            found[posixpath.relpath(path, folder)] = digest.hexdigest()
    return dict(sorted(found.items()))
