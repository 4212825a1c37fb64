"""Named sets of settings: presets for a network and a machine, recipes for a way of training.

Keys are the names of fields in trainer.config.sections and trainer.config.run_sections.
"""

from typing import Any

from retinanet_odm.dataset.anchor_coverage import PRESET_ANCHOR_SCALE, PRESET_IMAGE_SIZE
from retinanet_odm.errors import UsageError
from trainer.config import TrainConfig
from trainer.config.backbone_names import CAFFE, CORNER, IMAGENET, LITE0, PYTORCH, TORCHVISION
from trainer.config.network_sections import WeightsConfig
from trainer.config.sections import ScheduleConfig

# The batch size for which the learning rates of recipes are meant; for another they are scaled in proportion
# (Goyal et al. 2017, arXiv 1706.02677, section 2.1).
RATE_BATCH = 64

# RetinaNet-50 as torchvision and Detectron2 have it. Of images of 4:3, the shorter side gets 816 pixels, where they
# make it 800. The rate is that of the command which trained torchvision's v2 with AdamW (pytorch/vision, pull request
# 5756: --opt adamw --lr 0.0001).
_FOREIGN: dict[str, Any] = {
    "backbone": "resnet50",
    "image_size": "1088",
    "pyramid_channels": 256,
    "head_depth": 4,
    "head_norm": "none",
    "learning_rate": 1e-4,
}

PRESETS: dict[str, dict[str, Any]] = {
    # Trains from random weights on two CPU cores in minutes.
    "tiny": {"backbone": "tiny", "image_size": str(PRESET_IMAGE_SIZE), "anchor_scale": PRESET_ANCHOR_SCALE},
    # Fine-tunes weights of ImageNet on a CPU: for few labelled images.
    "small": {
        "backbone": LITE0,
        "backbone_weights": IMAGENET,
        "image_size": str(PRESET_IMAGE_SIZE),
        "anchor_scale": PRESET_ANCHOR_SCALE,
    },
    # RetinaNet-50 at 640 px as in tensorflow/tpu, with an ignore band of 0.4-0.5 and cosine decay.
    "retinanet_r50": {
        "backbone": "resnet50",
        "image_size": "640x640",
        "pyramid_channels": 256,
        "head_depth": 4,
        "num_epochs": 72,
        "train_batch_size": 64,
        "eval_batch_size": 64,
        "optimizer": "sgd",
        "learning_rate": 0.08,
        "warmup_steps": 500,
        "focal_gamma": 1.5,
        "scale_min": 0.8,
        "scale_max": 1.2,
        "precision": "mixed_bfloat16",
        "steps_per_loop": 100,
    },
    # Detectors of other programs, whose weights --init_from reads: each computes what that program does.
    "torchvision": {**_FOREIGN, "conv_style": PYTORCH, "anchor_grid": TORCHVISION},
    "torchvision_v2": {
        **_FOREIGN,
        "conv_style": PYTORCH,
        "anchor_grid": TORCHVISION,
        "head_norm": "group",
        "pyramid_norm": "none",
        "p6_source": "c5",
    },
    "detectron2": {**_FOREIGN, "conv_style": CAFFE, "anchor_grid": CORNER, "p6_source": "c5"},
}

RECIPES: dict[str, dict[str, Any]] = {
    # The defaults of tensorflow/tpu's retinanet_main.py.
    "legacy": {
        "num_epochs": 15,
        "optimizer": "sgd",
        "learning_rate": 0.08,
        "lr_schedule": "step",
        "lr_drops": "0.533333,0.733333",  # epochs 8 and 11 of 15
        "warmup_steps": 500,
        "clip_norm": 0.0,
        "focal_gamma": 1.5,
        "box_loss": "huber",
        "box_loss_weight": 12.5,  # 50 there, for the mean over a box's four numbers; here the loss is their sum
        "positive_iou": 0.5,
        "negative_iou": 0.5,
        "scale_min": 1.0,
        "scale_max": 1.0,
    },
    # Lin et al. 2017, section 4.1, as trained by Detectron: rate 0.01 for 16 images, drops after 60k and 80k of 90k.
    "retinanet": {
        "head_norm": "none",
        "optimizer": "sgd",
        "learning_rate": 0.04,
        "lr_schedule": "step",
        "lr_drops": "0.667,0.889",
        "warmup_steps": 500,
        "clip_norm": 0.0,
        "focal_gamma": 2.0,
        "box_loss": "huber",
        "box_loss_weight": 10.0,  # Huber loss with delta 0.1 is a tenth of the smooth L1 loss with beta 0.1
        "positive_iou": 0.5,
        "negative_iou": 0.4,
        "scale_min": 1.0,
        "scale_max": 1.0,
    },
    # Additions of later work: GroupNorm in the heads and GIoU as in torchvision's v2, large-scale jitter (Ghiasi et al.
    # 2020, arXiv 2012.07177, section 3), BatchNorm statistics over all replicas, averaged weights.
    "modern": {
        "head_norm": "group",
        "sync_batch_norm": True,
        "lr_schedule": "cosine",
        "clip_norm": 10.0,
        "ema_decay": 0.9998,
        "focal_gamma": 2.0,
        "box_loss": "giou",
        "box_loss_weight": 1.0,
        "positive_iou": 0.5,
        "negative_iou": 0.4,
        "scale_min": 0.1,
        "scale_max": 2.0,
    },
}


def make_config(preset: str, given: dict[str, Any], *, recipe: str = "") -> TrainConfig:
    """Make a configuration: given settings override those of the recipe, and these those of the preset.

    Args:
      preset: Name of a preset.
      given: Settings by name.
      recipe: Name of a recipe; "" for none.

    Raises:
      UsageError: There is no such preset or recipe, or the settings contradict each other.

    Example:
      >>> make_config("tiny", {"num_epochs": 3}).schedule.num_epochs
      3
    """
    _check("preset", preset, PRESETS)
    if recipe:
        _check("recipe", recipe, RECIPES)
    chosen = RECIPES.get(recipe, {})
    settings = {**_starting_weights(PRESETS[preset], given), **chosen, **given}
    # Only a recipe's rate is scaled: a rate that the user gives is meant for the batch that is used.
    if "learning_rate" in chosen and "learning_rate" not in given:
        batch_size = settings.get("train_batch_size", ScheduleConfig.train_batch_size)
        settings["learning_rate"] = chosen["learning_rate"] * batch_size / RATE_BATCH
    return TrainConfig.from_settings(settings)


def _starting_weights(preset: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return a preset without its initial weights, if the user gives others, or another backbone than theirs."""
    other_backbone = given.get("backbone", preset["backbone"]) != preset["backbone"]
    if other_backbone or any(given.get(name) for name in WeightsConfig.SOURCES):
        return {name: value for name, value in preset.items() if name not in WeightsConfig.SOURCES}
    return preset


def _check(flag: str, name: str, known: dict[str, dict[str, Any]]) -> None:
    if name not in known:
        raise UsageError(f"--{flag}: expected one of {', '.join(known)}; found {name!r}")
