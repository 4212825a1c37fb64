"""A training step of ours or of KerasHub's, in the environment that benchmarks/keras_hub.py makes. Prints JSON.

    python -m benchmarks.keras_hub_step {ours,theirs} [--backbone resnet50] [--size 320] [--batch 4] [--profile]

--profile prints which share of a step's time each kind of TensorFlow's operations takes, instead.

KerasHub is used as documented, without changes: its ResNetBackbone, RetinaNetBackbone and detector with its
default losses, and fit. Its pyramid and heads always have 256 channels. Both read the same data from memory.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from benchmarks.measures import seconds
from benchmarks.operation_times import operation_times
from trainer import strategy
from trainer.data import preprocess
from trainer.loop import schedule, steps
from trainer.network import build
from trainer.presets import make_config
from trainer.tpu.fit import synthetic_manifest

CLASSES = 3
BOXES = 20  # an image of the step
BACKBONES: dict[str, dict[str, Any]] = {
    "resnet50": {
        "stackwise_num_filters": [64, 128, 256, 512],
        "stackwise_num_blocks": [3, 4, 6, 3],
        "block_type": "bottleneck_block",
    },
    # The widths and blocks of our tiny backbone, as far as KerasHub allows.
    "tiny": {
        "stackwise_num_filters": [64, 64, 128, 192],
        "stackwise_num_blocks": [1, 2, 2, 2],
        "block_type": "basic_block",
    },
}
CLIP_NORM = 10.0  # ours
SCORE, NMS_IOU, DETECTIONS = 0.05, 0.5, 100  # ours


def their_model(
    canvas: tuple[int, int], *, backbone: str, classes: int, head_depth: int, anchor_size: float, converter: Any = None
) -> Any:
    encoder = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_strides=[1, 2, 2, 2],
        **BACKBONES[backbone],
    )
    pyramid = keras_hub.models.RetinaNetBackbone(
        image_encoder=encoder, min_level=3, max_level=7, use_p5=False, image_shape=(*canvas, 3)
    )
    return keras_hub.models.RetinaNetObjectDetector(
        backbone=pyramid,
        num_classes=classes,
        bounding_box_format="yxyx",
        anchor_generator=keras_hub.layers.AnchorGenerator(
            "yxyx", min_level=3, max_level=7, num_scales=3, aspect_ratios=[0.5, 1.0, 2.0], anchor_size=anchor_size
        ),
        pre_logits_num_conv_layers=head_depth,
        preprocessor=converter and keras_hub.models.RetinaNetObjectDetectorPreprocessor(image_converter=converter),
        # Classes suppress each other: KerasHub has no other mode.
        prediction_decoder=keras_hub.layers.NonMaxSuppression(
            "yxyx",
            from_logits=True,
            iou_threshold=NMS_IOU,
            confidence_threshold=SCORE,
            max_detections=DETECTIONS,
        ),
    )


def step_batch(size: int, batch: int) -> dict[str, np.ndarray]:
    """Make noise with boxes: uint8 images, boxes in pixels, labels from 1."""
    rng = np.random.default_rng(0)
    sides = rng.uniform(0.05, 0.5, (batch, BOXES, 2)) * size
    corners = rng.uniform(0, size - sides)
    return {
        "image": rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8),
        "boxes": np.concatenate([corners, corners + sides], axis=2).astype(np.float32),
        "labels": rng.integers(1, CLASSES + 1, (batch, BOXES), dtype=np.int32),
    }


# Runs a number of steps and returns the seconds of each; the first ones build the graph.
Run = Callable[[int], list[float]]


def our_steps(flags: argparse.Namespace) -> Run:
    config = make_config(
        "tiny",
        {
            "backbone": flags.backbone,
            "image_size": f"{flags.size}x{flags.size}",
            "pyramid_channels": 256,
            "head_depth": 4,
            "head_norm": flags.head_norm,
            "train_batch_size": flags.batch,
            "optimizer": "sgd",
            "weight_decay": 0.0,
            "precision": "float32",
        },
    )
    where = strategy.make_strategy(use_tpu=False, tpu="local")
    with where.scope():
        net = build.build_network(config, synthetic_manifest(CLASSES))
        optimizer, _ = schedule.build_optimizer(config.schedule, net.model, total_steps=1000)
    run_steps = steps.make_loop(config, net, optimizer, where)
    batch = {**step_batch(flags.size, flags.batch), "boxes_truncated": np.zeros(flags.batch, np.int32)}
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    iterator = iter(where.experimental_distribute_dataset(dataset))
    print(f"ours: {net.model.count_params() / 1e6:.1f} M parameters", file=sys.stderr)
    return lambda count: [seconds(lambda: float(run_steps(iterator, tf.constant(1))["loss"])) for _ in range(count)]


class Stopwatch(keras.callbacks.Callback):
    """Records the time at the end of each step of fit."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = [time.perf_counter()]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras calls it so
        self.ends.append(time.perf_counter())


def their_steps(flags: argparse.Namespace) -> Run:
    """Measure the steps of fit: train_on_batch of 0.32.0 accepts no dict of boxes and labels."""
    model = their_model(
        (flags.size, flags.size), backbone=flags.backbone, classes=CLASSES, head_depth=4, anchor_size=4.0
    )
    model.compile(optimizer=keras.optimizers.SGD(1e-4, momentum=0.9, global_clipnorm=CLIP_NORM))
    batch = step_batch(flags.size, flags.batch)
    images = preprocess.normalise(batch["image"])
    targets = {"boxes": batch["boxes"], "labels": batch["labels"].astype(np.float32) - 1}
    print(f"theirs: {model.count_params() / 1e6:.1f} M parameters", file=sys.stderr)
    dataset = tf.data.Dataset.from_tensors((images, targets)).repeat()

    def run(count: int) -> list[float]:
        watch = Stopwatch()
        model.fit(dataset, steps_per_epoch=count, callbacks=[watch], verbose=0)
        return [end - start for start, end in itertools.pairwise(watch.ends)]

    return run


def measure_step(flags: argparse.Namespace) -> dict[str, Any]:
    run = our_steps(flags) if flags.side == "ours" else their_steps(flags)
    run(flags.warm_up)
    return operation_times(lambda: run(1)) if flags.profile else {"seconds": run(flags.count)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", choices=("ours", "theirs"))
    parser.add_argument("--backbone", choices=tuple(BACKBONES), default="resnet50")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--head_norm", default="none")
    parser.add_argument("--warm_up", type=int, default=2)
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="print the operations' shares of the time instead")
    print(json.dumps(measure_step(parser.parse_args())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
