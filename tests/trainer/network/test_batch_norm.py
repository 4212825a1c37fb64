"""Our BatchNorm against Keras' layer as the oracle."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.network.batch_norm import BatchNorm

SETTINGS = {"momentum": 0.9, "epsilon": 1e-3}
# Reason, shape of the input, training, trainable, dtype policy, synchronized.
INPUTS = (
    ("a batch in training", (4, 6, 5, 3), True, True, "float32", False),
    ("P7 of one image: a single value of each channel has no variance", (1, 1, 1, 3), True, True, "float32", False),
    ("a frozen layer in training keeps its averages", (4, 6, 5, 3), True, False, "float32", False),
    ("outside of training", (4, 6, 5, 3), False, True, "float32", False),
    ("bfloat16, which Keras computes in float32", (4, 6, 5, 3), True, True, "mixed_bfloat16", False),
    ("statistics over all replicas", (4, 6, 5, 3), True, True, "float32", True),
)


def run(kind: type[keras.Layer], x: np.ndarray, training: bool, trainable: bool, policy: str, synchronized: bool):
    """Return output, gradients and averages of a layer after one call, with the same variables each time."""
    layer = kind(**SETTINGS, dtype=policy, synchronized=synchronized)
    layer.build(x.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.uniform(0.5, 2.0, weight.shape) for weight in layer.weights])
    layer.trainable = trainable
    inputs = tf.constant(x, layer.compute_dtype)
    weights = tf.constant(rng.normal(size=x.shape), tf.float32)
    sources = [inputs, layer.gamma.value, layer.beta.value]

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch(sources)
            output = layer(inputs, training=training)
            loss = tf.reduce_sum(tf.cast(output, tf.float32) ** 2 * weights)
        return output, *tape.gradient(loss, sources)

    values = [tf.cast(value, tf.float32).numpy() for value in step()]
    return [*values, layer.moving_mean.numpy(), layer.moving_variance.numpy()]


@pytest.mark.parametrize(("shape", "training", "trainable", "policy", "synchronized"), [row[1:] for row in INPUTS])
def test_equals_keras(shape, training, trainable, policy, synchronized):
    x = np.random.default_rng(0).normal(3.0, 2.0, shape).astype(np.float32)
    arguments = (x, training, trainable, policy, synchronized)
    for ours, theirs in zip(run(BatchNorm, *arguments), run(keras.layers.BatchNormalization, *arguments), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * (1 + np.abs(theirs).max()))
