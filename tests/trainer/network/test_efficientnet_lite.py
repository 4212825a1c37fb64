"""EfficientNet-Lite0 against an implementation in NumPy, from the published strings that define its blocks."""

import re

import keras
import numpy as np

from trainer.data import preprocess
from trainer.network.efficientnet_lite import extract_lite0_features

# tensorflow/tpu, efficientnet/lite/efficientnet_lite_builder.py: repeats, kernel, strides, expansion, input, output.
BLOCKS = """
r1_k3_s11_e1_i32_o16 r2_k3_s22_e6_i16_o24 r2_k5_s22_e6_i24_o40 r3_k3_s22_e6_i40_o80 r3_k5_s11_e6_i80_o112
r4_k5_s22_e6_i112_o192 r1_k3_s11_e6_i192_o320
"""
SIZE = (32, 64)


def windows(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """Returns [H / stride, W / stride, channels, kernel, kernel]; of the padding the odd pixel is below and right."""
    pads = [max(kernel - stride, 0)] * 2
    x = np.pad(x, [*((total // 2, total - total // 2) for total in pads), (0, 0)])
    return np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(0, 1))[::stride, ::stride]


class Lite0:
    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.weights = weights

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        gamma, beta, mean, variance = (
            self.weights[f"{name}_norm/{kind}"] for kind in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    def block(self, x: np.ndarray, name: str, kernel: int, stride: int, expansion: int) -> np.ndarray:
        y = x
        if expansion != 1:
            y = np.clip(self.norm(y @ self.weights[f"{name}_expand_conv/kernel"][0, 0], f"{name}_expand"), 0, 6)
        depthwise = self.weights[f"{name}_depthwise_conv/kernel"][..., 0]
        y = np.einsum("hwcyx,yxc->hwc", windows(y, kernel, stride), depthwise)
        y = np.clip(self.norm(y, f"{name}_depthwise"), 0, 6)
        y = self.norm(y @ self.weights[f"{name}_project_conv/kernel"][0, 0], f"{name}_project")
        return x + y if x.shape == y.shape else y

    def features(self, image: np.ndarray) -> list[np.ndarray]:
        x = (image.astype(np.float64) - 127) / 128
        x = np.einsum("hwcyx,yxco->hwo", windows(x, 3, 2), self.weights["stem_conv/kernel"])
        x = np.clip(self.norm(x, "stem"), 0, 6)
        by_stride, size, number = {}, 2, 0
        for text in BLOCKS.split():
            repeats, kernel, strides, expansion, _, output = map(int, re.findall(r"\d+", text))
            for repeat in range(repeats):
                number += 1
                stride = strides // 10 if repeat == 0 else 1
                x = self.block(x, f"block{number}", kernel, stride, expansion)
                size *= stride
            assert x.shape[-1] == output
            by_stride[size] = x
        return [by_stride[stride] for stride in (8, 16, 32)]


def test_features_are_those_of_an_independent_implementation() -> None:
    """Random weights and averages, so that every one of them counts."""
    images = keras.Input((*SIZE, 3))
    model = keras.Model(images, extract_lite0_features(images))
    rng = np.random.default_rng(0)
    for variable in model.weights:
        shape, kind = tuple(variable.shape), variable.path.rpartition("/")[2]
        if kind == "kernel":
            # The variance of the sums stays about 1, or ReLU6 would hide differences.
            fan = shape[0] * shape[1] * (1 if "depthwise" in variable.path else shape[2])
            variable.assign(rng.normal(0, np.sqrt(2 / fan), shape))
        else:
            variable.assign(
                rng.uniform(0.5, 1.5, shape) if kind in ("gamma", "moving_variance") else rng.normal(0, 0.3, shape)
            )
    pixels = rng.integers(0, 256, (1, *SIZE, 3), np.uint8)
    oracle = Lite0({variable.path: variable.numpy().astype(np.float64) for variable in model.weights})
    for found, expected in zip(model(preprocess.normalise(pixels)), oracle.features(pixels[0]), strict=True):
        np.testing.assert_allclose(found[0], expected, rtol=0, atol=2e-4 * np.abs(expected).max())
        assert expected.std() > 0.1
