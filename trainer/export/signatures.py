"""The graph of an export: its signatures, and the steps of which they consist. Begin with `write_saved_model`.

What a signature returns is ``suppress(propose(load(items)))``. The steps are signatures, too: a program that runs the
network by other means takes the other two from here, so that it cannot decode or suppress in another way.
`retinanet_odm.exported_model` is the contract: names, shapes and dtypes.

Shapes: N images in a request, C candidates, M = max_detections, H × W the canvas.
"""

import functools
from typing import Any

import keras
import tensorflow as tf

from retinanet_odm import exported_model
from retinanet_odm.dataset import example_keys
from trainer.config import TrainConfig
from trainer.data import preprocess
from trainer.network import features, postprocess
from trainer.network.build import Network
from trainer.typing import Tensor


def write_saved_model(config: TrainConfig, network: Network, folder: str) -> None:
    """Write the SavedModel of a network to a folder.

    Args:
      config: Its section evaluation is used.
      network: With the weights to export.
      folder: New or empty.
    """
    archive = keras.export.ExportArchive()
    # Keras' own export has one signature of tensors; the archive takes functions of any input.
    archive.track(network.model)
    model = features.with_maps(network.model)  # of the same variables, which the archive tracks
    # All signatures call the same functions; otherwise a SavedModel would hold the network once for each, and load
    # slowly.
    propose = tf.function(functools.partial(_propose, network, model), autograph=False)
    suppress = tf.function(functools.partial(_suppress, config, network), autograph=False)
    for name, (specification, read) in _INPUTS.items():
        load = functools.partial(_load, canvas=network.canvas, read=read)
        archive.add_endpoint(name, _serving_function(load, propose, suppress), input_signature=[specification])
        if step := _LOADING.get(name):
            archive.add_endpoint(step, _of_all(load), input_signature=[specification])
    loaded = _loaded_specs(network.canvas)
    proposed = propose.get_concrete_function(*loaded[:3]).structured_outputs
    found = [tf.TensorSpec(proposed[name].shape, proposed[name].dtype, name=name) for name in _PROPOSED]
    archive.add_endpoint(exported_model.PROPOSE, propose, input_signature=loaded[:3])
    archive.add_endpoint(exported_model.SUPPRESS, suppress, input_signature=[*loaded[1:], *found])
    archive.write_out(folder, verbose=False)


def _serving_function(load: Any, propose: Any, suppress: Any) -> Any:
    def serve(items: Tensor) -> dict[str, Tensor]:
        canvases, placed, image_size, status = load(items).values()
        proposed = propose(canvases, placed, image_size)
        found = suppress(placed, image_size, status, *(proposed[name] for name in _PROPOSED))
        return _first(found, items)

    return serve


def _of_all(load: Any) -> Any:
    return lambda items: _first(load(items), items)


def _first(values: dict[str, Tensor], items: Tensor) -> dict[str, Tensor]:
    """Return as many rows as there are items: load_batch has a row for N = 0."""
    return {name: value[: tf.shape(items)[0]] for name, value in values.items()}


# --- The steps ---


def _load(items: Tensor, canvas: tuple[int, int], read: preprocess.DecodeFunction) -> dict[str, Tensor]:
    """Decode and letterbox the items [N, ...] of a signature, in the order of `_loaded_specs`."""
    batch = preprocess.load_batch(items, canvas, read)
    return {
        exported_model.IMAGE_CANVASES: batch.images,
        exported_model.PLACED: batch.placed,
        exported_model.IMAGE_SIZE: batch.sizes,
        exported_model.STATUS: tf.where(batch.decoded, exported_model.STATUS_OK, exported_model.STATUS_NOT_DECODABLE),
    }


def _loaded_specs(canvas: tuple[int, int]) -> list[tf.TensorSpec]:
    return [
        tf.TensorSpec([None, *canvas, 3], tf.uint8, name=exported_model.IMAGE_CANVASES),
        tf.TensorSpec([None, 2], tf.float32, name=exported_model.PLACED),
        tf.TensorSpec([None, 2], tf.int32, name=exported_model.IMAGE_SIZE),
        tf.TensorSpec([None], tf.int32, name=exported_model.STATUS),
    ]


_PROPOSED = (
    exported_model.CANDIDATE_BOXES,
    exported_model.CANDIDATE_SCORES,
    exported_model.CANDIDATE_CLASSES,
    exported_model.FEATURES,
)


def _propose(
    network: Network, model: keras.Model, canvases: Tensor, placed: Tensor, image_size: Tensor
) -> dict[str, Tensor]:
    """Run the network, whose model is given with maps. Of operations that XLA compiles for any device."""
    outputs = model(preprocess.normalise(canvases), training=False)
    candidates = postprocess.top_candidates(outputs, network.anchors, placed, image_size)
    pooled = features.pool_features(outputs[features.MAPS], placed, network.canvas)  # [N, D]
    return dict(zip(_PROPOSED, (*candidates, pooled), strict=True))


def _suppress(
    config: TrainConfig,
    network: Network,
    placed: Tensor,
    image_size: Tensor,
    status: Tensor,
    boxes: Tensor,
    scores: Tensor,
    classes: Tensor,
    pooled: Tensor,
) -> dict[str, Tensor]:
    """Turn candidates into the outputs of a signature. On the host, with an operation that XLA does not know."""
    found = postprocess.suppress(
        postprocess.Candidates(boxes, scores, classes),
        num_classes=network.num_classes,
        **config.evaluation.suppression(),
    )
    # A blank canvas, in the place of an image that was not decoded, may still have detections.
    decoded = status == exported_model.STATUS_OK  # [N]
    count = tf.where(decoded, found.count, 0)
    real = tf.sequence_mask(count, config.evaluation.max_detections)  # bool [N, M]
    return {
        exported_model.BOXES: postprocess.to_image_pixels(found.boxes, placed, image_size),
        exported_model.SCORES: tf.where(real, found.scores, 0.0),
        exported_model.CLASSES: tf.where(real, found.classes, 0),
        exported_model.COUNT: count,
        exported_model.IMAGE_SIZE: image_size,
        exported_model.STATUS: status,
        exported_model.FEATURES: tf.where(decoded[:, None], pooled, 0.0),
    }


def _decode_example(record: Tensor, canvas: tuple[int, int]) -> preprocess.DecodedImage:
    """Decode the image of one serialized tf.train.Example; fails if it is none or lacks the key."""
    feature = tf.io.FixedLenFeature([], tf.string)
    return preprocess.decode_image_bytes(
        tf.io.parse_single_example(record, {example_keys.ENCODED: feature})[example_keys.ENCODED], canvas
    )


# The input of each signature for images, and how one item of it is decoded.
_INPUTS: dict[str, tuple[Any, preprocess.DecodeFunction]] = {
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
# Its first step, where that is a signature, too.
_LOADING = {exported_model.SERVING: exported_model.DECODE, exported_model.IMAGE_TENSOR: exported_model.PLACE}
