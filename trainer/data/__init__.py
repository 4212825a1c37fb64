"""From shards to tensors: reading, preprocessing and augmentation.

Begin with `records`, which makes the batches of training and evaluation:

  records           shards to batches, in an order that depends on (seed, step) only
  parsing           one record to tensors
  decoded           the examples of a split as they are, for programs and notebooks
  preprocess        encoded bytes to a canvas; shared by training, evaluation and the exported model
  augmentation      random views of training images, and mosaics
  tiles             large images cut into records of their tiles
  derived_datasets  manifests of data sets that a run makes of another, such as tiles
  contact_sheets    images with boxes, for TensorBoard
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from trainer.data.augmentation import Augmentation, random_view
    from trainer.data.preprocess import decode_image_bytes, letterbox, normalise
    from trainer.data.records import evaluation_batches, find_split, read_dataset_manifest, training_batches

__all__ = [
    "Augmentation",
    "decode_image_bytes",
    "evaluation_batches",
    "find_split",
    "letterbox",
    "normalise",
    "random_view",
    "read_dataset_manifest",
    "training_batches",
]

# Imported on first use, because TensorFlow takes seconds to import.
_MODULES = {
    "Augmentation": "augmentation",
    "decode_image_bytes": "preprocess",
    "evaluation_batches": "records",
    "find_split": "records",
    "letterbox": "preprocess",
    "normalise": "preprocess",
    "random_view": "augmentation",
    "read_dataset_manifest": "records",
    "training_batches": "records",
}

__getattr__ = lazy_exports(__name__, _MODULES)
