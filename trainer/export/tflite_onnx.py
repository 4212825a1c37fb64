"""Exports TFLite and ONNX files, for programs without TensorFlow: one canvas in, boxes on the canvas out.

These formats have no image decoders: the caller decodes an image, places it on the canvas as
`trainer.data.preprocess.letterbox` does (the padding tells where the image ends), and converts the boxes back as
`trainer.network.postprocess.to_image_pixels` does. `retinanet_odm.exported_model` is the contract. Both need float32.
"""

import importlib.util
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from retinanet_odm import exported_model
from retinanet_odm.errors import UsageError
from trainer.config import TrainConfig
from trainer.data import preprocess
from trainer.network import postprocess
from trainer.network.build import Network
from trainer.typing import Tensor

# The newest version that tf2onnx 1.17 writes; ONNX Runtime reads it since 1.14 (2023).
_OPSET = 18
# In the order of postprocess.DetectionBatch.
_OUTPUTS = (exported_model.BOXES, exported_model.SCORES, exported_model.CLASSES, exported_model.COUNT)


def check_installed(formats: tuple[str, ...]) -> None:
    """Check that the converters of formats are installed.

    Raises:
      UsageError: One is not.
    """
    if "onnx" in formats and not importlib.util.find_spec("tf2onnx"):
        raise UsageError("--export_formats: onnx needs tf2onnx, which is not installed: pip install '.[onnx]'")


def to_tflite(config: TrainConfig, network: Network) -> bytes:
    """Return the content of a TFLite file, of built-in operations only."""
    detect, holder = _detector(config, network)
    return tf.lite.TFLiteConverter.from_concrete_functions([detect.get_concrete_function()], holder).convert()


def to_onnx(config: TrainConfig, network: Network) -> bytes:
    """Return the content of an ONNX file, of ONNX's own operations only."""
    import tf2onnx  # imported here, because it is an extra

    detect, _ = _detector(config, network)
    model, _ = tf2onnx.convert.from_function(detect, input_signature=detect.input_signature, opset=_OPSET)
    return model.SerializeToString()


def _detector(config: TrainConfig, network: Network) -> tuple[Any, tf.Module]:
    """Return a tf.function from a canvas to its detections, and an object that holds its variables."""
    # A copy, because the variables of a network under a strategy may be distributed ones.
    model = keras.models.clone_model(network.model)
    model.set_weights(network.model.get_weights())
    # Static shapes, because `suppress_xla` needs them.
    specification = tf.TensorSpec([1, *network.canvas, 3], tf.uint8, name=exported_model.CANVAS)

    @tf.function(input_signature=[specification])
    def detect(canvas: Tensor) -> dict[str, Tensor]:
        outputs = model(preprocess.normalise(canvas), training=False)
        placed = preprocess.find_placed(canvas)
        found = postprocess.suppress_xla(
            # The size of the image itself is not known here: its pixels are those of the canvas.
            postprocess.top_candidates(outputs, network.anchors, placed, placed),
            num_classes=network.num_classes,
            **config.evaluation.suppression(),
        )
        return dict(zip(_OUTPUTS, found, strict=True))

    # TFLite's converter reads the values only of variables that are attributes of a tf.Module.
    holder = tf.Module()
    holder.kept = [variable.value for variable in model.variables]
    return detect, holder


# By the name of the format: the file name, and the function that makes its content.
FILES: dict[str, tuple[str, Callable[[TrainConfig, Network], bytes]]] = {
    "tflite": ("model.tflite", to_tflite),
    "onnx": ("model.onnx", to_onnx),
}
