"""Features of images: means over what lies in the image, of maps that leave the network as it is."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.network.features import MAPS, pool_features, with_maps
from trainer.network.model import build_model

CANVAS = (64, 96)

PLACED = [
    ("the whole canvas", (64, 96), (8, 12), (2, 3)),
    ("a wide image: the padding below does not count", (33, 96), (4, 12), (1, 3)),
    ("a cell whose centre is just outside", (64, 84), (8, 10), (2, 3)),
    ("… and just inside", (64, 85), (8, 11), (2, 3)),
    ("one pixel: the first cell", (1, 1), (1, 1), (1, 1)),
]


@pytest.mark.parametrize(("why", "placed", "fine", "coarse"), PLACED, ids=[row[0] for row in PLACED])
def test_pooling(why: str, placed: tuple[int, int], fine: tuple[int, int], coarse: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    maps = [rng.random((1, 8, 12, 5), np.float32), rng.random((1, 2, 3, 4), np.float32)]
    found = pool_features([tf.constant(values) for values in maps], tf.constant([placed], tf.float32), CANVAS)
    expected = [
        values[0, :rows, :columns].mean(axis=(0, 1))
        for values, (rows, columns) in zip(maps, (fine, coarse), strict=True)
    ]
    np.testing.assert_allclose(found[0], np.concatenate(expected), rtol=1e-5, err_msg=why)


@pytest.mark.parametrize("backbone", ["tiny", "keras/MobileNetV2"])
def test_the_network_stays_as_it_is(backbone: str) -> None:
    model = build_model(
        image_size=CANVAS,
        num_classes=2,
        anchors_per_cell=3,
        backbone=backbone,
        pyramid_channels=16,
        head_depth=1,
        head_norm="batch",
    )
    extended = with_maps(model)
    assert [id(variable) for variable in extended.weights] == [id(variable) for variable in model.weights]
    images = tf.constant(np.random.default_rng(2).random((1, *CANVAS, 3), np.float32))
    outputs = extended(images, training=False)
    for name, values in model(images, training=False).items():
        np.testing.assert_array_equal(outputs[name], values, err_msg=name)
    assert [tuple(level.shape[1:3]) for level in outputs[MAPS]] == [(8, 12), (4, 6), (2, 3)]
