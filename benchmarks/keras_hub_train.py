"""Trains KerasHub's RetinaNet for a time and evaluates it, in the environment that benchmarks/keras_hub.py makes.

    python -m benchmarks.keras_hub_train DATASET --until=SECONDS_OF_THE_EPOCH [--rate=1e-3]

Prints JSON. KerasHub is used as documented, without changes: images resized and padded by its converter,
mirrored by Keras' RandomFlip, trained by fit, detected by predict; only the metrics are computed by our code.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from benchmarks.keras_hub_step import CLIP_NORM, their_model
from retinanet_odm.dataset.examples import decode_example
from retinanet_odm.evaluation import coco_metrics
from retinanet_odm.predictions.formats import coco
from trainer.config import canvas_size
from trainer.data import preprocess, records
from trainer.data.parsing import parse_record
from trainer.presets import make_config

BATCH = 8  # ours
WARM_UP = 0.05  # share of the time
WEIGHT_DECAY = 1e-4  # ours


class TimedCosine(keras.callbacks.Callback):
    """Linear warm-up, then half a cosine to zero at the time when training stops.

    Attributes:
      until: in seconds of the epoch (time.time).
    """

    def __init__(self, *, until: float, peak: float) -> None:
        super().__init__()
        self.until, self.peak = until, peak
        self.steps = 0

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002 - Keras calls it so
        self.start = time.time()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        share = min((time.time() - self.start) / (self.until - self.start), 1.0)
        if share < WARM_UP:
            rate = self.peak * (0.1 + 0.9 * share / WARM_UP)
        else:
            rate = self.peak * 0.5 * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP)))
        self.model.optimizer.learning_rate = rate

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        self.steps += 1
        self.model.stop_training = time.time() >= self.until


def their_training_data(split: Any, max_boxes: int) -> tf.data.Dataset:
    """Make batches of images of one size, and their boxes in pixels, mirrored at random both ways."""
    flip = keras.layers.RandomFlip("horizontal_and_vertical", bounding_box_format="yxyx")

    def load(record: Any) -> tuple[Any, dict[str, Any]]:
        values = parse_record(record)
        image = tf.io.decode_jpeg(values["encoded"], channels=3)
        edges = tf.tile(tf.cast(tf.shape(image)[:2], tf.float32), [2])
        missing = [[0, max_boxes - tf.shape(values["labels"])[0]]]
        boxes = tf.pad(values["boxes"] * edges, [*missing, [0, 0]], constant_values=-1.0)
        labels = tf.pad(tf.cast(values["labels"] - 1, tf.float32), missing, constant_values=-1.0)
        return image, {"boxes": tf.ensure_shape(boxes, [max_boxes, 4]), "labels": tf.ensure_shape(labels, [max_boxes])}

    def augment(images: Any, boxes: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        found = flip({"images": images, "bounding_boxes": boxes}, training=True)
        return found["images"], found["bounding_boxes"]

    return (
        tf.data.TFRecordDataset(list(split.paths))
        .shuffle(split.examples, seed=0)
        .repeat()
        .map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(BATCH, drop_remainder=True)
        .map(augment, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def their_results(model: Any, split: Any, canvas: tuple[int, int]) -> list[dict[str, Any]]:
    """Return COCO results for every image of a split, boxes in pixels of the image."""
    examples = [decode_example(record) for record in tf.data.TFRecordDataset(list(split.paths)).as_numpy_iterator()]
    images = tf.data.Dataset.from_tensor_slices([example.encoded for example in examples]).map(
        lambda data: tf.io.decode_jpeg(data, channels=3)
    )
    # One at a time: predict needs batches of a static size.
    found = model.predict(images.batch(1, drop_remainder=True), verbose=0)
    return [
        coco.result_entry(
            example.source_id,
            int(found["labels"][row, rank]) + 1,
            float(found["confidence"][row, rank]),
            to_image_pixels(found["boxes"][row, rank], (example.height, example.width), canvas),
        )
        for row, example in enumerate(examples)
        for rank in range(int(found["num_detections"][row]))
    ]


def to_image_pixels(box: np.ndarray, size: tuple[int, int], canvas: tuple[int, int]) -> np.ndarray:
    """Return a box in pixels of the image, clipped: Keras' Resizing puts the image in the middle of the canvas."""
    unit = max(side / room for side, room in zip(size, canvas, strict=True))
    origin = [(room * unit - side) / 2 for side, room in zip(size, canvas, strict=True)]
    return np.clip(box * unit - np.tile(origin, 2), 0, np.tile(size, 2))


def train_and_evaluate(flags: argparse.Namespace) -> dict[str, Any]:
    """Train until the given time, then evaluate on the split val."""
    keras.utils.set_random_seed(0)
    manifest = records.read_dataset_manifest(flags.dataset)
    config = make_config("tiny", {})
    canvas = canvas_size(config.network.image_size, manifest.aspect_ratio_min, manifest.aspect_ratio_max)
    deviations = [deviation / 255 for deviation in (58.395, 57.12, 57.375)]
    converter = keras_hub.layers.RetinaNetImageConverter(
        image_size=canvas,
        crop_to_aspect_ratio=False,
        pad_to_aspect_ratio=True,
        bounding_box_format="yxyx",
        scale=[1 / 255 / deviation for deviation in deviations],
        offset=[-mean / 255 / deviation for mean, deviation in zip(preprocess.MEAN_RGB, deviations, strict=True)],
    )
    model = their_model(
        canvas,
        backbone="tiny",
        classes=manifest.num_classes,
        head_depth=config.network.head_depth,
        anchor_size=config.network.anchor_scale,
        converter=converter,
    )
    optimizer = keras.optimizers.AdamW(flags.rate, weight_decay=WEIGHT_DECAY, global_clipnorm=CLIP_NORM)
    model.compile(optimizer=optimizer)
    split = records.find_split(flags.dataset, manifest, "train")
    timer = TimedCosine(until=flags.until, peak=flags.rate)
    data = their_training_data(split, manifest.max_boxes_per_image)
    history = model.fit(data, steps_per_epoch=10**9, epochs=1, callbacks=[timer], verbose=0)
    ended = time.time()
    results = their_results(model, records.find_split(flags.dataset, manifest, "val"), canvas)
    truth = json.loads((Path(flags.dataset) / "val.json").read_text())
    found = coco_metrics.coco_metrics(truth, results)
    return {
        "ended": ended,
        "AP": found["AP"],
        "AP50": found["AP50"],
        "epochs": timer.steps * BATCH / split.examples,
        "parameters": model.count_params(),
        "loss": [float(value) for value in history.history.get("loss", [])][-1:],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--until", type=float, required=True, help="when training ends, as time.time() has it")
    parser.add_argument("--rate", type=float, default=1e-3, help="peak of the learning rate")
    print(json.dumps(train_and_evaluate(parser.parse_args())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
