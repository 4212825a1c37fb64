"""The step of a replica in StableHLO."""

from pathlib import Path

import pytest
import tensorflow as tf

from retinanet_odm.xla import explain_lowering_error
from tests.trainer.loop.small_networks import make_small_network
from trainer.loop import lowering, schedule
from trainer.presets import make_config

SYNCHRONISED_SUMS = 5


def test_an_operation_without_translation_is_named() -> None:
    @tf.function(jit_compile=True)
    def step(image: tf.Tensor) -> tf.Tensor:
        return tf.io.encode_jpeg(image)

    with pytest.raises(ValueError, match="EncodeJpeg") as error:
        step.experimental_get_compiler_ir(tf.TensorSpec((8, 8, 3), tf.uint8))(stage="stablehlo")
    reason = explain_lowering_error(str(error.value))
    assert reason.startswith("no translation for EncodeJpeg, made at ") and f"{Path(__file__).name}:" in reason


def test_the_step_is_that_of_one_of_several_replicas() -> None:
    """Its sums over replicas are in the program, over all of them, and no operation needs a machine of its own."""
    config = make_config("tiny", {"sync_batch_norm": True})
    network = make_small_network(config)
    optimizer, rate_factor = schedule.build_optimizer(config.schedule, network.model, total_steps=9)
    batch = {
        "image": tf.TensorSpec((2, 64, 64, 3), tf.uint8),
        "boxes": tf.TensorSpec((2, 5, 4), tf.float32),
        "labels": tf.TensorSpec((2, 5), tf.int32),
    }
    lowered = lowering.lower_step(config, network, optimizer, batch, replicas=4)
    # One sum for the positives, two for the gradient of each variable (the optimizer sums once more), four for the
    # metrics; two for the averages of the one BatchNorm, three for what it normalises by, two for their gradients.
    sums = 1 + 2 * len(network.model.trainable_variables) + 4 + 2 + SYNCHRONISED_SUMS
    assert lowered.text.count('"stablehlo.all_reduce"') == sums
    assert "custom_call" not in lowered.text
    assert "tensor<2x64x64x3xui8>" in lowered.text and "tensor<2x5x4xf32>" in lowered.text
    changed = {id(lowered.variables[index]) for index in lowered.changed}
    known = [*network.model.variables, *optimizer.variables]
    assert changed == {id(variable.value) for variable in known}
    assert [lowered.variables[index] is rate_factor for index in lowered.kept] == [True], "the host sets it"


@pytest.mark.parametrize(
    ("reduction", "replicas", "want"),
    [
        ("SUM", 2, '"stablehlo.all_reduce"'),
        (tf.distribute.ReduceOp.MEAN, 2, "stablehlo.divide"),
    ],
)
def test_a_replica_reduces_as_a_strategy_does(reduction: str, replicas: int, want: str) -> None:
    @tf.function(jit_compile=True)
    def reduce(value: tf.Tensor) -> tf.Tensor:
        with lowering.TracedReplica(replicas):
            context = tf.distribute.get_replica_context()
            assert context.num_replicas_in_sync == replicas
            return context.all_reduce(reduction, {"a": value})

    text = reduce.experimental_get_compiler_ir(tf.TensorSpec((3,), tf.float32))(stage="stablehlo")
    assert want in text and ("divide" in text) == (reduction != "SUM")
