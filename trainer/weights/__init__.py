"""Weights on disk. Begin with `checkpoints.Checkpoints`, which a run saves and restores.

checkpoints       model, optimizer and step of a run; its best weights
checkpoint_files  which checkpoints in a folder are whole; writing and rotation
initialise        initial weights: from another run or program, or of a backbone
transfer          which weights fit a network, by name and shape
pretrained        weights of a backbone from PyTorch, Keras or tensorflow/tpu
importers         networks of torchvision and Detectron2; `program_layouts` and `coco_classes` are their names
tensor_files      tensors of files of other programs: `torch_files`, `safetensors_files`, `numpy_pickles`
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from trainer.weights.checkpoints import Best, Checkpoints
    from trainer.weights.initialise import load_initial_weights
    from trainer.weights.transfer import transfer_weights

__all__ = ["Best", "Checkpoints", "load_initial_weights", "transfer_weights"]

# Imported on first use, because TensorFlow takes seconds to import.
_MODULES = {
    "Best": "checkpoints",
    "Checkpoints": "checkpoints",
    "load_initial_weights": "initialise",
    "transfer_weights": "transfer",
}

__getattr__ = lazy_exports(__name__, _MODULES)
