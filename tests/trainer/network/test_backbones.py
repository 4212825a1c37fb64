"""Feature extractors, ours and those of keras.applications: size, strides of their outputs, weights."""

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from retinanet_odm.errors import UsageError
from trainer.config.backbone_names import BACKBONES, KERAS_PREFIX
from trainer.data import preprocess
from trainer.network import backbones, build
from trainer.presets import make_config
from trainer.tpu import fit
from trainer.weights import initialise

# He et al. 2015, table 1: convolutions (the published depth less the classifier, plus four shortcuts), and weights of
# torchvision's resnet50 and resnet101, 25,557,032 and 44,549,160, less its classifier's 2048 * 1000 + 1000.
RESNETS = [
    ("blocks 3, 4, 6, 3", "resnet50", 50 - 1 + 4, 23_508_032),
    ("blocks 3, 4, 23, 3", "resnet101", 101 - 1 + 4, 42_500_160),
]


@pytest.mark.parametrize(("why", "name", "convolutions", "weights"), RESNETS, ids=[row[1] for row in RESNETS])
def test_a_resnet_is_as_large_as_published(why: str, name: str, convolutions: int, weights: int) -> None:
    images = keras.Input((64, 96, 3))
    features = backbones.extract_features(images, name)
    model = keras.Model(images, features)
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == convolutions, why
    assert sum(math.prod(variable.shape) for variable in model.trainable_variables) == weights, why
    assert [tuple(feature.shape[1:]) for feature in features] == [(8, 12, 512), (4, 6, 1024), (2, 3, 2048)]


STYLES = [
    ("TensorFlow pads a map of even sides at the right and below", "tensorflow", (1, 2), [0, 2, 4, 6, 8]),
    ("PyTorch pads it on all sides", "pytorch", (1, 2), [0, 1, 3, 5, 7]),
    ("as does the paper, which halves before the 3x3 convolution", "caffe", (2, 1), [0, 1, 3, 5, 7]),
]


@pytest.mark.parametrize(("why", "style", "strides", "read"), STYLES, ids=[row[1] for row in STYLES])
def test_styles(why: str, style: str, strides: tuple[int, int], read: list[int]) -> None:
    images = keras.Input((10, 10, 1))
    block = keras.Model(images, backbones._bottleneck(images, 1, 2, "b", style))
    assert tuple(block.get_layer(f"b_{step}_conv").strides[0] for step in (1, 2)) == strides, why
    columns = np.tile(np.arange(10, dtype=np.float32)[:, None], (1, 10, 1, 1))
    x, padding = backbones.pad_for_stride(columns, 3, 2, style, "x")
    # A kernel whose only number is at its left: it reads the columns at which windows begin.
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 0] = 1
    assert np.asarray(keras.ops.conv(x, kernel, 2, padding))[0, 1, :, 0].tolist() == read, why


def test_the_padding_of_a_canvas_is_zero_where_pytorch_is_meant() -> None:
    """But for that of one grey value, nothing changes: here the colour of the padding and its neighbours."""
    colours = np.array([[[124, 116, 104], [125, 116, 104], [124, 115, 104], [124, 116, 103]]], np.uint8)
    x = preprocess.normalise(colours[None])
    np.testing.assert_array_equal(backbones._zero_padding(x, "tensorflow"), x)
    found = np.asarray(backbones._zero_padding(x, "caffe"))[0, 0]
    assert not found[0].any()
    np.testing.assert_array_equal(found[1:], np.asarray(x)[0, 0, 1:])


def test_a_style_adds_no_input_to_the_graph() -> None:
    """A captured constant would be one: the ONNX file of such a network asked for it beside the canvas."""
    images = keras.Input((4, 4, 3))
    model = keras.Model(images, backbones._zero_padding(images, "pytorch"))
    graph = tf.function(model).get_concrete_function(tf.TensorSpec((1, 4, 4, 3)))
    assert len(graph.inputs) == 1 and not graph.captured_inputs


SIZE = (64, 96)


# One of each family, the smallest.
STAGES = [
    ("keras/ResNet50", (512, 1024, 2048)),
    ("keras/DenseNet121", (512, 1024, 1024)),
    ("keras/MobileNetV2", (32, 96, 160)),
    ("keras/EfficientNetV2B0", (48, 112, 192)),
]


@pytest.mark.parametrize(("backbone", "channels"), STAGES, ids=[row[0] for row in STAGES])
def test_stages_are_the_ends_of_their_strides(backbone: str, channels: tuple[int, ...]) -> None:
    found = backbones.extract_keras_features(keras.Input((*SIZE, 3)), backbone)
    expected = [(None, SIZE[0] // s, SIZE[1] // s, width) for s, width in zip((8, 16, 32), channels, strict=True)]
    assert [tuple(stage.shape) for stage in found] == expected


def test_every_name_is_one_of_keras() -> None:
    names = [name.removeprefix(KERAS_PREFIX) for name in BACKBONES if name.startswith(KERAS_PREFIX)]
    assert all(callable(getattr(keras.applications, name)) for name in names)


INPUTS = [
    ("keras/ResNet50", keras.applications.resnet50),
    ("keras/DenseNet121", keras.applications.densenet),
    ("keras/MobileNetV2", keras.applications.mobilenet_v2),
]


@pytest.mark.parametrize(("backbone", "module"), INPUTS, ids=[row[0] for row in INPUTS])
def test_images_reach_it_as_keras_own_preprocessing_makes_them(backbone: str, module: Any) -> None:
    """Their preprocess_input is the oracle; EfficientNetV2 takes 0 to 255 and has it inside."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3)).astype(np.uint8)
    name = backbone.removeprefix(KERAS_PREFIX)
    (family,) = [family for start, family in backbones.FAMILIES.items() if name.startswith(start)]
    found = family.adapt(preprocess.normalise(pixels))
    np.testing.assert_allclose(found, module.preprocess_input(pixels.astype(np.float32)), atol=2e-3)


def mobile(**given: Any) -> build.Network:
    settings = {"image_size": "64x64", "pyramid_channels": 16, "head_depth": 1, "backbone": "keras/MobileNetV2"}
    return build.build_network(make_config("tiny", {**settings, **given}), fit.synthetic_manifest(2))


def test_weights_fill_the_backbone_and_nothing_else(tmp_path: Path) -> None:
    path = str(tmp_path / "theirs.weights.h5")
    theirs = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(64, 64, 3))
    for variable in theirs.weights:
        variable.assign(np.full(variable.shape, 0.25, np.float32))
    theirs.save_weights(path)
    net = mobile()
    before = {variable.path: variable.numpy() for variable in net.model.weights}
    initialise.load_backbone(net.model, "keras/MobileNetV2", path)
    for variable in net.model.weights:
        in_backbone = build.part_of(variable.path) == "backbone"
        np.testing.assert_array_equal(
            variable.numpy(), np.full(variable.shape, 0.25) if in_backbone else before[variable.path], variable.path
        )
    with pytest.raises(UsageError, match=r"cannot load .*theirs.weights.h5 into keras/DenseNet121"):
        initialise.load_backbone(net.model, "keras/DenseNet121", path)
    with pytest.raises(UsageError, match=r"cannot load none.h5 into keras/MobileNetV2"):
        initialise.load_backbone(net.model, "keras/MobileNetV2", "none.h5")
