"""Features of complete images, by which scoring compares images with those of the training (`retinanet_odm.novelty`).

Begin with `with_maps`, then `pool_features`. The layers and weights are those of the network: training is not affected.

Shapes: B images on canvases of H × W pixels; a map of stride s has H / s × W / s cells; D features, the channels of all
maps.
"""

from collections.abc import Sequence

import keras
from keras import ops

from trainer.typing import Tensor

# The layers of the pyramid that read C3, C4 and C5 of any backbone.
_READERS = ("lateral3", "lateral4", "lateral5")
MAPS = "maps"


def with_maps(model: keras.Model) -> keras.Model:
    """Return a model of the same layers whose outputs also hold the backbone's maps, as a list MAPS."""
    return keras.Model(model.input, {**model.output, MAPS: [model.get_layer(name).input for name in _READERS]})


def pool_features(maps: Sequence[Tensor], placed: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Average each channel of the maps over the image, without the padding of its canvas.

    With the padding, images would differ by their shape more than by what they show.

    Args:
      maps: Of `with_maps`, [B, H / s, W / s, channels] each.
      placed: float32 [B, 2], (height, width) of the image on the canvas.
      canvas: (H, W).

    Returns:
      float32 [B, D].
    """
    pooled = []
    for features in maps:
        weights = _covered(features, placed, canvas)[..., None]  # [B, H / s, W / s, 1]
        # In float32, because bfloat16 cannot add so many values.
        total = ops.sum(ops.cast(features, "float32") * weights, axis=(1, 2))
        pooled.append(total / ops.sum(weights, axis=(1, 2)))
    return ops.concatenate(pooled, axis=-1)


def _covered(features: Tensor, placed: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Return 1.0 for the cells whose centre lies in the image, and for the first, and else 0.0: [B, H / s, W / s]."""
    sides = []
    for axis in (0, 1):
        cells = features.shape[axis + 1]
        stride = canvas[axis] / cells
        centres = (ops.arange(cells, dtype="float32") + 0.5) * stride
        # Also of an image smaller than half a cell, one is left.
        sides.append(ops.cast(centres < ops.maximum(placed[:, axis, None], stride), "float32"))  # [B, cells]
    return sides[0][:, :, None] * sides[1][:, None, :]
