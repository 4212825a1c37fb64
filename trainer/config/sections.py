"""The sections of what is learned, and how: one frozen dataclass for each room, checked where it is defined.

The sections of a run and its evaluation are in trainer.config.run_sections, those of the network and of its initial
weights in trainer.config.network_sections.

A field is also a flag of the same name (trainer.flags), a name in trainer.presets, and a key of ``config`` in
model.json: these names are public. What concerns two sections is checked in trainer.config.train_config.
"""

import math
from dataclasses import dataclass
from typing import Any

from retinanet_odm.dataset import anchor_coverage
from retinanet_odm.errors import UsageError
from retinanet_odm.imaging import tile_grid
from trainer.config.options import (
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    ConfigSection,
    option,
    parse_numbers,
)


@dataclass(frozen=True, kw_only=True)
class DataConfig(ConfigSection):
    """The data set, and the random views of its images in training (trainer.data)."""

    dataset: str = option("", "data set folder (with dataset.json), local or gs://")
    local_copy: str = option("", "local folder into which missing files of a --dataset on gs:// are copied first")
    num_classes: int = option(
        0, "number of classes without background, for --mode=tpu_fit; must match the data set", NOT_NEGATIVE
    )
    tile: int = option(
        0, "learn from overlapping tiles of this side in pixels, as score --tile cuts them; 0: from whole images"
    )
    tile_overlap: float = option(
        tile_grid.OVERLAP, "--tile: minimum overlap of adjacent tiles as a fraction of the side"
    )
    max_instances: int = option(
        0, "maximum boxes of an image; 0: the maximum of the data set, times four with --mosaic", NOT_NEGATIVE
    )
    horizontal_flip: bool = option(True, "mirror half of the training images left to right")
    vertical_flip: bool = option(False, "mirror half of the training images top to bottom (cameras that look down)")
    rot90: bool = option(False, "rotate training images by 0, 90, 180 or 270 degrees (cameras that look down)")
    scale_min: float = option(0.8, "minimum random scale of a training image relative to the canvas")
    scale_max: float = option(1.25, "maximum random scale; what exceeds the canvas is cropped")
    photometric: float = option(0.0, "strength of random brightness, contrast, saturation and hue, 0 to 1", FRACTION)
    min_visible: float = option(
        0.3, "an object of which a smaller fraction of the box is visible is no object, and no background", FRACTION
    )
    mosaic: float = option(
        0.0, "probability that a training image is composed of four images of its batch at half scale", FRACTION
    )
    mosaic_close_epochs: int = option(10, "number of final epochs without mosaics", NOT_NEGATIVE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tile:
            tile_grid.check_grid(self.tile, self.tile_overlap)
        if not 0 < self.scale_min <= self.scale_max < math.inf:
            raise UsageError(f"expected 0 < --scale_min <= --scale_max, found {self.scale_min} and {self.scale_max}")

    @property
    def tiles(self) -> dict[str, Any]:
        """The grid of tiles, as model.json holds it; empty for whole images."""
        return {"side": self.tile, "overlap": self.tile_overlap} if self.tile else {}

    def boxes_per_image(self, largest: int) -> int:
        """Return the box capacity of a training image, padding included.

        Args:
          largest: the largest number of boxes of one image in the data set.
        """
        return self.max_instances or max(largest, 1) * (4 if self.mosaic else 1)


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(ConfigSection):
    """Number of steps, learning rate and optimizer (trainer.loop.schedule)."""

    num_epochs: int = option(60, "passes over the training split", POSITIVE)
    max_hours: float = option(
        0.0,
        "shorten the run and its learning rate schedule to what fits into this many hours of training and evaluation,"
        " over all starts; 0: no limit",
        NOT_NEGATIVE,
    )
    train_batch_size: int = option(8, "images per step, over all replicas", POSITIVE)
    optimizer: str = option("adamw", "update rule", choices=("adamw", "sgd"))
    learning_rate: float = option(2e-3, "peak learning rate, reached after the warm-up", POSITIVE)
    lr_schedule: str = option(
        "cosine",
        "decay after the warm-up: half a cosine to zero, or a factor of 0.1 at each of --lr_drops",
        choices=("cosine", "step"),
    )
    lr_drops: str = option("0.667,0.889", "--lr_schedule=step: fractions of the run after which the rate drops")
    warmup_steps: int = option(100, "steps of linear warm-up", NOT_NEGATIVE)
    backbone_rate: float = option(1.0, "learning rate of the backbone relative to --learning_rate", POSITIVE)
    weight_decay: float = option(
        1e-4, "decay of convolution kernels: decoupled for adamw, L2 term of the loss for sgd", NOT_NEGATIVE
    )
    clip_norm: float = option(10.0, "maximum global norm of the gradients; 0 disables clipping", NOT_NEGATIVE)
    ema_decay: float = option(
        0.0, "evaluate and export the exponential moving average of the weights with this decay; 0 disables it"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.ema_decay < 1:
            raise UsageError(f"--ema_decay: expected 0 or more and less than 1, found {self.ema_decay}")
        self.lr_drop_values()

    def lr_drop_values(self) -> tuple[float, ...]:
        """Return the fractions of the run after which a step schedule lowers the rate."""
        return parse_numbers("lr_drops", self.lr_drops, example=ScheduleConfig.lr_drops)


@dataclass(frozen=True, kw_only=True)
class LossConfig(ConfigSection):
    """Assignment of anchors and the loss (trainer.network.targets, trainer.network.losses)."""

    positive_iou: float = option(anchor_coverage.POSITIVE_IOU, "minimum IoU of a positive anchor")
    negative_iou: float = option(
        anchor_coverage.NEGATIVE_IOU, "an anchor below this IoU is negative; anchors between the two are ignored"
    )
    focal_alpha: float = option(0.25, "focal loss: weight of positives", FRACTION)
    focal_gamma: float = option(2.0, "focal loss: focusing exponent", NOT_NEGATIVE)
    box_loss: str = option("giou", "box regression loss", choices=("giou", "huber"))
    box_loss_weight: float = option(1.0, "weight of the box loss relative to the class loss", NOT_NEGATIVE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.negative_iou <= self.positive_iou < 1:
            raise UsageError(
                f"expected 0 < --negative_iou <= --positive_iou < 1, found {self.negative_iou} and {self.positive_iou}"
            )
