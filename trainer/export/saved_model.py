"""The exported model: photographs in, boxes in their own pixels out; retinanet_odm.exported_model is its contract."""

import functools
import hashlib
import posixpath
from typing import Any

import keras
import tensorflow as tf

from retinanet_odm import __version__, exported_model
from retinanet_odm.dataset import examples
from retinanet_odm.dataset.anchor_coverage import PYRAMID_LEVELS
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import UsageError
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.storage import files
from retinanet_odm.storage.glob_patterns import final_name
from trainer.config import TrainConfig
from trainer.data import preprocess
from trainer.export import tflite_onnx
from trainer.network import postprocess
from trainer.network.build import Network

Tensor = Any
_BLOCK = 1 << 20
# What Keras' ExportArchive and this module write into the folder.
_SAVED_MODEL = {"saved_model.pb", "fingerprint.pb", "variables", "assets"}
_PORTABLE = {name for name, _ in tflite_onnx.FILES.values()}
_EXPORTED = _SAVED_MODEL | _PORTABLE | {ModelManifest.FILE}


def export_model(
    config: TrainConfig, manifest: DatasetManifest, network: Network, *, metrics: dict[str, Any], step: int
) -> str:
    """Writes MODEL_DIR/export: the SavedModel, the portable files asked for, and last model.json, the commit mark.

    Args:
      metrics: of an eval.json (trainer.evaluate), or empty.

    Returns:
      The folder.
    """
    folder = check_folder(config.run.model_dir)
    if tf.io.gfile.exists(f"{folder}/{ModelManifest.FILE}"):
        tf.io.gfile.remove(f"{folder}/{ModelManifest.FILE}")
    if tf.io.gfile.exists(folder):
        tf.io.gfile.rmtree(folder)
    archive = keras.export.ExportArchive()
    archive.track(network.model)
    # One function that the signatures call: a SavedModel would hold the network once for each, and load as slowly.
    answer = tf.function(functools.partial(_answer, config, network), autograph=False)
    for name, (specification, read) in _INPUTS.items():
        archive.add_endpoint(name, _serving_function(answer, network.canvas, read), input_signature=[specification])
    archive.write_out(folder, verbose=False)
    for name, convert in (tflite_onnx.FILES[kind] for kind in config.evaluation.portable_formats()):
        with files.write_atomic(f"{folder}/{name}") as file:
            file.write(convert(config, network))
    model = ModelManifest(
        labels=manifest.labels,
        image_size=network.canvas,
        anchors={
            "min_level": min(PYRAMID_LEVELS),
            "max_level": max(PYRAMID_LEVELS),
            "anchor_scale": config.network.anchor_scale,
            "num_scales": config.network.num_scales,
            "aspect_ratios": list(config.network.aspect_ratio_values()),
        },
        score_threshold=config.evaluation.score_threshold,
        nms_iou=config.evaluation.nms_iou,
        max_detections=config.evaluation.max_detections,
        thresholds=metrics.get("thresholds", {}),
        dataset_fingerprint=manifest.fingerprint,
        metrics={name: value for name, value in metrics.items() if name != "details"},
        config={**config.to_json(), "steps": step},
        files=_digests(folder),
        code_version=__version__,
    )
    files.write_text(f"{folder}/{ModelManifest.FILE}", model.to_json())
    return folder


def check_folder(model_dir: str) -> str:
    """The export folder of a run, which an export replaces.

    Raises:
      UsageError: it holds something that no export of ours has written.
    """
    folder = f"{model_dir.rstrip('/')}/export"
    names = tf.io.gfile.listdir(folder) if tf.io.gfile.exists(folder) else []
    foreign = sorted(name for name in names if final_name(name.rstrip("/")) not in _EXPORTED)
    if foreign:
        raise UsageError(f"--model_dir: {folder} holds {foreign[0]}, which this program did not write: move it away")
    return folder


def _serving_function(answer: Any, canvas: tuple[int, int], read: preprocess.Read) -> Any:
    def serve(items: Tensor) -> dict[str, Tensor]:
        answers = answer(preprocess.load_batch(items, canvas, read))
        return {name: values[: tf.shape(items)[0]] for name, values in answers.items()}

    return serve


def _answer(config: TrainConfig, network: Network, batch: preprocess.DecodedBatch) -> dict[str, Tensor]:
    """The outputs of every signature."""
    outputs = network.model(preprocess.normalise(batch.images), training=False)
    found = postprocess.suppress(
        postprocess.top_candidates(outputs, network.anchors),
        num_classes=network.num_classes,
        score_threshold=config.evaluation.score_threshold,
        nms_iou=config.evaluation.nms_iou,
        max_detections=config.evaluation.max_detections,
    )
    count = tf.where(batch.decoded, found.count, 0)
    real = tf.sequence_mask(count, config.evaluation.max_detections)
    return {
        exported_model.BOXES: postprocess.to_image_pixels(found.boxes, batch.placed, batch.sizes),
        exported_model.SCORES: tf.where(real, found.scores, 0.0),
        exported_model.CLASSES: tf.where(real, found.classes, 0),
        exported_model.COUNT: count,
        exported_model.IMAGE_SIZE: batch.sizes,
        exported_model.STATUS: tf.where(batch.decoded, exported_model.STATUS_OK, exported_model.STATUS_NOT_DECODABLE),
    }


def _decode_example(record: Tensor, canvas: tuple[int, int]) -> preprocess.DecodedImage:
    """The image of one serialized tf.train.Example; fails where it is none or lacks the key."""
    feature = tf.io.FixedLenFeature([], tf.string)
    return preprocess.decode_image_bytes(
        tf.io.parse_single_example(record, {examples.ENCODED: feature})[examples.ENCODED], canvas
    )


# Each signature's input and how one item of it becomes a photograph for the canvas.
_INPUTS: dict[str, tuple[Any, preprocess.Read]] = {
    exported_model.SERVING: (
        tf.TensorSpec([None], tf.string, name=exported_model.IMAGE_BYTES),
        preprocess.decode_image_bytes,
    ),
    exported_model.TF_EXAMPLE: (tf.TensorSpec([None], tf.string, name=exported_model.EXAMPLES), _decode_example),
    exported_model.IMAGE_TENSOR: (
        tf.TensorSpec([None, None, None, 3], tf.uint8, name=exported_model.IMAGES),
        lambda pixels, _: preprocess.from_pixels(pixels),
    ),
}


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
