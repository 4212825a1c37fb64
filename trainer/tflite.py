"""The network as a TFLite model for small machines: one canvas in, boxes on the canvas out; built-in operations alone.

TFLite has no decoders: whoever calls it decodes a photograph and lays it on the canvas as trainer.preprocess.letterbox
does, and takes the boxes back as trainer.postprocess.to_photograph does.
"""

from typing import Any

import keras
import tensorflow as tf

from detection import signatures
from trainer import postprocess, preprocess
from trainer.config import TrainConfig
from trainer.network import Network

Tensor = Any


def convert(config: TrainConfig, network: Network) -> bytes:
    """The content of a TFLite file; its contract is in detection.signatures. Needs a network of float32."""
    # A copy, so that the variables are plain ones, under whatever strategy the network was built.
    model = keras.models.clone_model(network.model)
    model.set_weights(network.model.get_weights())
    specification = tf.TensorSpec([1, *network.canvas, 3], tf.uint8, name=signatures.CANVAS)

    @tf.function(input_signature=[specification])
    def detect(canvas: Tensor) -> dict[str, Tensor]:
        outputs = model(preprocess.normalise(canvas), training=False)
        found = postprocess.suppress_xla(
            postprocess.top_candidates(outputs, network.anchors),
            num_classes=network.num_classes,
            score_threshold=config.score_threshold,
            nms_iou=config.nms_iou,
            max_detections=config.max_detections,
        )
        return dict(zip(_OUTPUTS, found, strict=True))

    # The converter takes the values of those variables alone that hang on the object it is given as TensorFlow's own.
    holder = tf.Module()
    holder.kept = [variable.value for variable in model.variables]
    return tf.lite.TFLiteConverter.from_concrete_functions([detect.get_concrete_function()], holder).convert()


# In the order of postprocess.Detections.
_OUTPUTS = (signatures.BOXES, signatures.SCORES, signatures.CLASSES, signatures.COUNT)
