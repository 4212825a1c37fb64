"""RetinaNet itself: the network, its anchors, targets, losses and post-processing.

Begin with `build.build_network`, which a run uses, or with `model.build_model` for the layers:

  build        a network from a configuration: model, anchors, frozen layers
  model        feature pyramid and heads; `backbones` and `efficientnet_lite` have the feature extractors
  batch_norm   batch normalisation in one operation
  anchors      the grid of reference boxes
  targets      what each anchor should predict
  losses       focal loss, Huber loss, GIoU loss
  postprocess  raw predictions to detections
  features     features of complete images, with which scoring compares images
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from trainer.network.anchors import make_anchors
    from trainer.network.build import Network, build_network
    from trainer.network.losses import focal_loss, giou_loss, huber_loss
    from trainer.network.model import build_model
    from trainer.network.postprocess import suppress, top_candidates
    from trainer.network.targets import assign_targets, decode_boxes, encode_boxes

__all__ = [
    "Network",
    "assign_targets",
    "build_model",
    "build_network",
    "decode_boxes",
    "encode_boxes",
    "focal_loss",
    "giou_loss",
    "huber_loss",
    "make_anchors",
    "suppress",
    "top_candidates",
]

# Imported on first use, because TensorFlow takes seconds to import.
_MODULES = {
    "Network": "build",
    "assign_targets": "targets",
    "build_model": "model",
    "build_network": "build",
    "decode_boxes": "targets",
    "encode_boxes": "targets",
    "focal_loss": "losses",
    "giou_loss": "losses",
    "huber_loss": "losses",
    "make_anchors": "anchors",
    "suppress": "postprocess",
    "top_candidates": "postprocess",
}

__getattr__ = lazy_exports(__name__, _MODULES)
