"""Exports a trained network. Begin with `saved_model.export_model`.

saved_model  the export folder, and model.json, which is written last
signatures   the graph of the SavedModel
reference    features of training images, with which scoring compares images
tflite_onnx  TFLite and ONNX files, for programs without TensorFlow
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from trainer.export.saved_model import export_model
    from trainer.export.tflite_onnx import to_onnx, to_tflite

__all__ = ["export_model", "to_onnx", "to_tflite"]

# Imported on first use, because TensorFlow takes seconds to import.
_MODULES = {"export_model": "saved_model", "to_onnx": "tflite_onnx", "to_tflite": "tflite_onnx"}

__getattr__ = lazy_exports(__name__, _MODULES)
