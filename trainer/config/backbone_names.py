"""The names of backbones and of the settings that decide which weights fit a network: values of flags."""

LITE0 = "efficientnet_lite0"
RESNETS = ("resnet50", "resnet101")
KERAS_PREFIX = "keras/"
# Those of keras.applications that trainer.network.backbones can cut into stages.
_KERAS_NAMES = (
    *("ResNet50", "ResNet101", "ResNet152", "DenseNet121", "MobileNetV2"),
    *("EfficientNetV2B0", "EfficientNetV2B1", "EfficientNetV2B2", "EfficientNetV2B3", "EfficientNetV2S"),
)
BACKBONES = ("tiny", LITE0, *RESNETS, *(KERAS_PREFIX + name for name in _KERAS_NAMES))
IMAGENET = "imagenet"  # a value of --backbone_weights

# Values of --conv_style, see trainer.network.backbones.
TENSORFLOW, PYTORCH, CAFFE = CONV_STYLES = ("tensorflow", "pytorch", "caffe")
# Values of --anchor_grid, see trainer.network.anchors.
CENTRE, CORNER, TORCHVISION = ANCHOR_GRIDS = ("centre", "corner", "torchvision")
