"""Weights on disk. Begin with `checkpoints.Checkpoints`, which a run saves and restores.

checkpoints       model, optimizer and step of a run; its best weights
checkpoint_files  which checkpoints in a folder are whole; writing and rotation
initialise        initial weights: from another run, or of a backbone
pretrained        weights of a backbone from PyTorch, Keras or tensorflow/tpu
torch_files       tensors of a PyTorch file, read without PyTorch
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from trainer.weights.checkpoints import Best, Checkpoints
    from trainer.weights.initialise import load_initial_weights, transfer_weights

__all__ = ["Best", "Checkpoints", "load_initial_weights", "transfer_weights"]

# Imported on first use, because TensorFlow takes seconds to import.
_MODULES = {
    "Best": "checkpoints",
    "Checkpoints": "checkpoints",
    "load_initial_weights": "initialise",
    "transfer_weights": "initialise",
}

__getattr__ = lazy_exports(__name__, _MODULES)
