"""The names of backbones: values of --backbone, and what decides which weights fit them."""

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
