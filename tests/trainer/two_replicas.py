"""Prints, as JSON, what one replica and two make of the same batches: losses, detections (run by test_run).

With the word ``synchronised`` behind the data set, the images of a batch differ and --sync_batch_norm is on. With the
word ``xla``, it compares two replicas of TensorFlow with the two devices of XLA that XLA_FLAGS demands (run by
test_runtimes).
"""

import json
import sys

import tensorflow as tf

from trainer import evaluate
from trainer.data import records
from trainer.data.augmentation import Augmentation
from trainer.loop import schedule
from trainer.loop.runtimes import make_runtime
from trainer.network import build
from trainer.presets import make_config


def figures(
    dataset: str, strategy: tf.distribute.Strategy, *, synchronised: bool, runtime: str = "tensorflow"
) -> list[float]:
    # Unless BatchNorm is synchronised, the batch repeats one image, so that every replica sees the same statistics.
    config = make_config(
        "tiny",
        {
            "image_size": "128",
            "pyramid_channels": 16,
            "head_depth": 1,
            "score_threshold": 0.001,
            "eval_batch_size": 4,
            "sync_batch_norm": synchronised,
            "runtime": runtime,
        },
    )
    manifest = records.read_dataset_manifest(dataset)
    split = records.find_split(dataset, manifest, "train")
    batch = next(
        iter(
            records.training_batches(
                split,
                canvas=(96, 128),
                batch_size=4 if synchronised else 1,
                max_instances=2,
                augmentation=Augmentation(),
                seed=0,
                first_step=1,
            )
        )
    )
    repeated = tf.data.Dataset.from_tensors(batch).unbatch().repeat().batch(4, drop_remainder=True)
    with strategy.scope():
        net = build.build_network(config, manifest)
        optimizer = schedule.make_optimizer(
            "sgd",
            schedule=schedule.cosine_schedule(peak=1e-6, warmup_steps=0, total_steps=100),
            weight_decay=0.0,
            backbone_rate=0.5,
        )
        optimizer.build(net.model.trainable_variables)
    runner = make_runtime(config, net, optimizer, strategy)
    batches = runner.distribute(repeated)
    values = [runner.run(batches, 1) for _ in range(3)]
    losses = [value[name] for value in values for name in ("class_loss", "box_loss", "gradient_norm")]
    runner.fetch()
    found = evaluate.Evaluator(config=config, manifest=manifest, network=net, strategy=strategy, split=split).detect()
    return [*losses, len(found), *(sum(entry["bbox"]) + entry["score"] for entry in found[::50])]


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    synchronised = "synchronised" in sys.argv[2:]
    one, two = tf.distribute.OneDeviceStrategy("/CPU:0"), tf.distribute.MirroredStrategy(["/CPU:0", "/CPU:1"])
    compared = (
        [(two, "tensorflow"), (one, "xla")] if "xla" in sys.argv[2:] else [(one, "tensorflow"), (two, "tensorflow")]
    )
    print(
        json.dumps(
            [
                figures(sys.argv[1], strategy, synchronised=synchronised, runtime=runtime)
                for strategy, runtime in compared
            ]
        )
    )
