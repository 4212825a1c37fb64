"""One frozen dataclass holds every setting of a training run: its default, its help and its check, written once."""

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

from retinanet_odm.dataset.anchor_coverage import (
    ANCHOR_SCALE,
    ASPECT_RATIOS,
    CANVAS_MULTIPLE,
    NEGATIVE_IOU,
    NUM_SCALES,
    POSITIVE_IOU,
)
from retinanet_odm.errors import UsageError

MODES = ("train", "eval", "train_and_eval", "export", "doctor", "tpu_fit")
RESNETS = ("resnet50", "resnet101")
KERAS_PREFIX = "keras/"
# Those of keras.applications that trainer.network.backbones knows how to cut into stages.
_KERAS_NAMES = (
    *("ResNet50", "ResNet101", "ResNet152", "DenseNet121", "MobileNetV2"),
    *("EfficientNetV2B0", "EfficientNetV2B1", "EfficientNetV2B2", "EfficientNetV2B3", "EfficientNetV2S"),
)
BACKBONES = ("tiny", *RESNETS, *(KERAS_PREFIX + name for name in _KERAS_NAMES))
HEAD_NORMS = ("batch", "group", "none")
PORTABLE_FORMATS = ("tflite", "onnx")  # those of trainer.export.tflite_onnx


def _option(default: Any, text: str, *, choices: tuple[str, ...] = ()) -> Any:
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of one run; see each field's help.

    Raises:
      UsageError: a value is out of its range or two values contradict each other.
    """

    mode: str = _option("train_and_eval", "what to do", choices=MODES)
    dataset: str = _option("", "folder of the data set (holds dataset.json), local or gs://")
    model_dir: str = _option("", "folder for checkpoints, TensorBoard events, eval.json and export/")
    local_copy: str = _option(
        "", "folder on this machine to which a --dataset on gs:// is copied first, or what of it is not there yet"
    )
    seed: int = _option(0, "seed of the weights, the order of the records and the augmentation")

    backbone: str = _option("tiny", "feature extractor", choices=BACKBONES)
    image_size: str = _option(
        "320",
        "canvas in pixels: HEIGHTxWIDTH, or one number for the longest side, the other then fitting the data set's "
        f"photographs; multiples of {CANVAS_MULTIPLE}",
    )
    pyramid_channels: int = _option(64, "channels of the feature pyramid and the heads")
    head_depth: int = _option(2, "3x3 convolutions in each head before the prediction")
    head_norm: str = _option(
        "batch", "normalisation of pyramid and heads; group does not depend on the batch", choices=HEAD_NORMS
    )
    anchors: str = _option(
        "fixed",
        "anchor_scale, num_scales and aspect_ratios as given, or chosen for the boxes of the training split instead",
        choices=("fixed", "auto"),
    )
    anchor_scale: float = _option(ANCHOR_SCALE, "side of the smallest anchor in strides of its pyramid level")
    num_scales: int = _option(NUM_SCALES, "anchor sizes an octave")
    aspect_ratios: str = _option(",".join(f"{ratio:g}" for ratio in ASPECT_RATIOS), "height / width of the anchors")

    init_from: str = _option(
        "", "start from the weights of another run: its model_dir, one of its checkpoints, or an export"
    )
    resnet_checkpoint: str = _option("", "start a ResNet backbone from one of tensorflow/tpu: its TF1 checkpoint")
    backbone_weights: str = _option(
        "", "start a backbone keras/NAME from a file of Keras' weights without its top, or from imagenet, downloaded"
    )
    freeze: str = _option(
        "none",
        "part of the network that keeps its weights and BatchNorm averages; stem: the first convolution",
        choices=("none", "stem", "backbone"),
    )
    freeze_batch_norm: str = _option(
        "auto",
        "the backbone's BatchNorms keep scale, offset and averages; auto: when first weights are given and a replica"
        " has fewer than 8 images",
        choices=("auto", "yes", "no"),
    )
    backbone_rate: float = _option(1.0, "learning rate of the backbone, as a fraction of --learning_rate")
    sync_batch_norm: bool = _option(False, "BatchNorm by the statistics of the images of all replicas, not of its own")
    num_epochs: int = _option(60, "passes over the training split")
    train_batch_size: int = _option(8, "images a step, over all replicas")
    optimizer: str = _option("adamw", "update rule", choices=("adamw", "sgd"))
    learning_rate: float = _option(2e-3, "peak rate, reached after the warm-up")
    lr_schedule: str = _option(
        "cosine",
        "what follows: half a cosine down to zero, or steps to a tenth at each of --lr_drops",
        choices=("cosine", "step"),
    )
    lr_drops: str = _option("0.667,0.889", "for --lr_schedule=step: shares of the run after which the rate drops")
    warmup_steps: int = _option(100, "steps of linear warm-up")
    weight_decay: float = _option(1e-4, "decay of convolution kernels: decoupled for adamw, L2 in the loss for sgd")
    clip_norm: float = _option(10.0, "largest global norm of the gradients; 0 does not clip them")
    ema_decay: float = _option(
        0.0, "evaluate and export the moving average of the weights, of which each step keeps this share; 0 for none"
    )
    focal_alpha: float = _option(0.25, "focal loss: weight of positives")
    focal_gamma: float = _option(2.0, "focal loss: focusing exponent")
    box_loss: str = _option("giou", "regression loss", choices=("giou", "huber"))
    box_loss_weight: float = _option(1.0, "weight of the box loss against the class loss")
    positive_iou: float = _option(POSITIVE_IOU, "anchors with at least this overlap are positives")
    negative_iou: float = _option(
        NEGATIVE_IOU, "anchors below this overlap are negatives; between the two they are ignored"
    )
    horizontal_flip: bool = _option(True, "mirror half of the training images left-right")
    vertical_flip: bool = _option(False, "mirror half of the training images top-bottom (cameras that look down)")
    scale_min: float = _option(0.8, "smallest random scale of a training image against the canvas")
    scale_max: float = _option(1.25, "largest random scale; what leaves the canvas is cropped")
    rot90: bool = _option(False, "turn training images by 0, 90, 180 or 270 degrees at random (cameras that look down)")
    photometric: float = _option(
        0.0, "strength, 0 to 1, of random brightness, contrast, saturation and hue of a training image"
    )
    min_visible: float = _option(
        0.3, "a box of which a smaller part stays on the canvas is left out of training, 0 to 1"
    )
    mosaic: float = _option(
        0.0, "how likely, 0 to 1, a training image is made of four of its batch at half their scale"
    )
    mosaic_close_epochs: int = _option(10, "the last epochs, without mosaics")
    max_instances: int = _option(
        0, "boxes kept of one image; 0 takes the largest number in the data set, with --mosaic four times that"
    )
    precision: str = _option("float32", "compute type of the layers", choices=("float32", "mixed_bfloat16"))

    eval_split: str = _option("val", "split to evaluate on")
    eval_every_epochs: int = _option(
        10, "--mode=train_and_eval: evaluate after so many epochs, and after the last; 0 for the last alone"
    )
    weights: str = _option(
        "best",
        "evaluate and export those with the highest AP of all evaluations in training, or those of the last step",
        choices=("best", "last"),
    )
    eval_batch_size: int = _option(8, "images a step of evaluation, over all replicas")
    score_threshold: float = _option(0.05, "detections below this score are not reported")
    nms_iou: float = _option(0.5, "of two boxes of a class that overlap more than this, the lower score goes")
    max_detections: int = _option(100, "detections reported of one image")
    export_formats: str = _option(
        "savedmodel", f"what an export holds: savedmodel, and with commas any of {', '.join(PORTABLE_FORMATS)}"
    )

    use_tpu: bool = _option(False, "train on a TPU; else on every GPU found, else on the CPU")
    tpu: str = _option("local", "TPU to connect to: local on a TPU VM, or its name or address; implies --use_tpu")
    worker_hosts: str = _option(
        "", "train on several machines: host:port of each, with commas between, the same list on all of them"
    )
    task_index: int = _option(0, "which of --worker_hosts this machine is, from 0 on; 0 writes --model_dir")
    steps_per_loop: int = _option(20, "steps run on the device between looks at the loss")
    checkpoint_minutes: float = _option(5.0, "time between checkpoints; the last step always gets one")
    max_rollbacks: int = _option(
        3, "how often a run that diverges goes back to its newest checkpoint, with half the rate, before it gives up"
    )
    tpu_topology: str = _option(
        "v5e:2x2", "--mode=tpu_fit: chips to compile for, such as v4:2x2x1, v5e:2x4, v5p:2x2x1, v6e:2x2"
    )
    num_classes: int = _option(0, "classes, background not counted, for --mode=tpu_fit; a data set must have as many")

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            choices = spec.metadata["choices"]
            value = getattr(self, spec.name)
            if choices and value not in choices:
                raise UsageError(f"--{spec.name}: expected one of {', '.join(choices)}; found {value!r}")
        for name in _POSITIVE:
            if not 0 < getattr(self, name) < math.inf:  # also refuses nan
                raise UsageError(f"--{name}: expected a number above 0, found {getattr(self, name)}")
        for name in _NOT_NEGATIVE:
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"--{name}: expected 0 or more, found {getattr(self, name)}")
        for name in _FRACTIONS:
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"--{name}: expected a number from 0 to 1, found {getattr(self, name)}")
        if not 0 <= self.ema_decay < 1:
            raise UsageError(f"--ema_decay: expected 0 or more and less than 1, found {self.ema_decay}")
        if not 0 < self.negative_iou <= self.positive_iou < 1:
            raise UsageError(
                f"expected 0 < --negative_iou <= --positive_iou < 1, found {self.negative_iou} and {self.positive_iou}"
            )
        if not 0 < self.scale_min <= self.scale_max < math.inf:
            raise UsageError(f"expected 0 < --scale_min <= --scale_max, found {self.scale_min} and {self.scale_max}")
        if self.mosaic and self.mosaic_close_epochs >= self.num_epochs:
            raise UsageError(
                f"--mosaic_close_epochs: expected less than the {self.num_epochs} of --num_epochs, or there is no "
                f"mosaic; found {self.mosaic_close_epochs}"
            )
        if self.mosaic and self.train_batch_size < 4:
            raise UsageError(f"--mosaic: takes a --train_batch_size of at least 4, found {self.train_batch_size}")
        if set("[*?") & set(self.model_dir):
            # TensorFlow would save checkpoints there, but takes the name for a pattern when it restores them.
            raise UsageError(f"--model_dir: expected a name without [, * and ?, found {self.model_dir}")
        first = [name for name in _FIRST_WEIGHTS if getattr(self, name)]
        if len(first) > 1:
            raise UsageError(f"--{first[0]} and --{first[1]}: expected one of them, found both")
        if self.resnet_checkpoint and self.backbone not in RESNETS:
            raise UsageError(f"--resnet_checkpoint: is for --backbone={' or '.join(RESNETS)}, found {self.backbone}")
        if self.backbone_weights and not self.backbone.startswith(KERAS_PREFIX):
            raise UsageError(f"--backbone_weights: is for --backbone={KERAS_PREFIX}NAME, found {self.backbone}")
        if self.portable_formats() and self.precision != "float32":
            raise UsageError(
                f"--export_formats: {' and '.join(self.portable_formats())} would not run in {self.precision}: leave it"
                " out, and when the model is trained export with --mode=export --precision=float32 and the other flags"
                " of the training"
            )
        parse_image_size(self.image_size)
        self.hosts()
        self.aspect_ratio_values()
        self.lr_drop_values()

    def hosts(self) -> tuple[str, ...]:
        """The machines to train on, host:port each; none for this one alone."""
        hosts = tuple(part.strip() for part in self.worker_hosts.split(",") if part.strip())
        for host in hosts:
            if not re.fullmatch(r".+:\d+", host):
                raise UsageError(f"--worker_hosts: expected host:port, found {host!r}")
        if len(set(hosts)) != len(hosts):
            raise UsageError(f"--worker_hosts: expected each host once, found {self.worker_hosts}")
        if not 0 <= self.task_index < max(len(hosts), 1):
            raise UsageError(f"--task_index: expected a place in --worker_hosts, from 0 on, found {self.task_index}")
        if hosts and self.use_tpu:
            raise UsageError("--worker_hosts is for CPUs and GPUs; a TPU of several hosts is one --tpu: leave it out")
        return hosts

    def portable_formats(self) -> tuple[str, ...]:
        """What an export holds beside the SavedModel."""
        first, *others = (part.strip() for part in self.export_formats.split(","))
        if first != "savedmodel" or not set(others) <= set(PORTABLE_FORMATS) or len(set(others)) < len(others):
            raise UsageError(
                f"--export_formats: expected savedmodel, and with commas any of {', '.join(PORTABLE_FORMATS)};"
                f" found {self.export_formats!r}"
            )
        return tuple(others)

    def boxes_per_image(self, largest: int) -> int:
        """Boxes of a training image, padding included, where the data set has at most so many in a photograph."""
        return self.max_instances or max(largest, 1) * (4 if self.mosaic else 1)

    def has_first_weights(self) -> bool:
        """Whether a run starts from the weights of something trained before."""
        return any(getattr(self, name) for name in _FIRST_WEIGHTS)

    def aspect_ratio_values(self) -> tuple[float, ...]:
        """Height / width of each anchor shape."""
        return self._numbers("aspect_ratios")

    def lr_drop_values(self) -> tuple[float, ...]:
        """Shares of the run after which a step schedule lowers the rate."""
        return self._numbers("lr_drops")

    def _numbers(self, name: str) -> tuple[float, ...]:
        text = getattr(self, name)
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            values = ()
        if not values or not all(0 < value < math.inf for value in values):
            raise UsageError(f"--{name}: expected numbers above 0 such as {_DEFAULTS[name]}; found {text!r}")
        return values


_FIRST_WEIGHTS = ("init_from", "resnet_checkpoint", "backbone_weights")
_DEFAULTS = {spec.name: spec.default for spec in dataclasses.fields(TrainConfig)}
_POSITIVE = (
    "pyramid_channels",
    "anchor_scale",
    "num_scales",
    "num_epochs",
    "train_batch_size",
    "learning_rate",
    "backbone_rate",
    "eval_batch_size",
    "max_detections",
    "steps_per_loop",
    "checkpoint_minutes",
)
_NOT_NEGATIVE = (
    "head_depth",
    "warmup_steps",
    "weight_decay",
    "clip_norm",
    "focal_gamma",
    "box_loss_weight",
    "max_instances",
    "mosaic_close_epochs",
    "num_classes",
    "max_rollbacks",
    "eval_every_epochs",
)
_FRACTIONS = ("focal_alpha", "score_threshold", "nms_iou", "photometric", "min_visible", "mosaic")


def parse_image_size(text: str) -> tuple[int, int] | int:
    """Reads ``HEIGHTxWIDTH`` into a pair, or one number for the longest side."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    sides = tuple(int(side) for side in match.groups() if side) if match else ()
    if not sides or any(side < CANVAS_MULTIPLE or side % CANVAS_MULTIPLE for side in sides):
        raise UsageError(
            f"--image_size: expected a number or HEIGHTxWIDTH, multiples of {CANVAS_MULTIPLE}; found {text!r}"
        )
    return (sides[0], sides[1]) if len(sides) == 2 else sides[0]


def canvas_size(image_size: str, aspect_min: float, aspect_max: float) -> tuple[int, int]:
    """The canvas (height, width) in pixels on which every photograph fits with the longest side given.

    Args:
      image_size: the setting of that name.
      aspect_min, aspect_max: smallest and largest width / height of the data set's photographs.
    """
    size = parse_image_size(image_size)
    if isinstance(size, tuple):
        return size

    def shorter(fraction: float) -> int:
        return min(size, CANVAS_MULTIPLE * max(1, -(-round(size * fraction) // CANVAS_MULTIPLE)))

    height = size if aspect_min < 1 else shorter(1 / aspect_min)
    width = size if aspect_max > 1 else shorter(aspect_max)
    return height, width
