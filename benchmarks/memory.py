"""Compares the estimate of trainer.memory with the measured peak of a few steps. Linux only.

    python -m benchmarks.memory

Each row is a process of its own: preset, side of the canvas, batch, classes; then in GB what the process held before
the first step, what the steps added at the peak, and the estimate of that.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_STEPS = 3
_BOXES = 10
# preset, side, batch, classes
_ROWS = (
    ("tiny", 320, 4, 3),
    ("tiny", 320, 16, 3),
    ("tiny", 320, 32, 3),
    ("tiny", 320, 16, 40),
    ("retinanet_r50", 256, 2, 3),
    ("retinanet_r50", 256, 6, 3),
)


def main() -> None:
    """Print a row for each configuration, or measure the one that is given."""
    if len(sys.argv) > 1:
        preset, side, batch, classes = sys.argv[1:]
        _measure(preset, int(side), int(batch), int(classes))
        return
    print("preset         side  batch  classes  before  added  estimate")
    for row in _ROWS:
        subprocess.run([sys.executable, "-m", "benchmarks.memory", *map(str, row)], check=True)


def _peak() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _measure(preset: str, side: int, batch: int, classes: int) -> None:
    import tensorflow as tf

    from trainer.loop import schedule
    from trainer.loop.steps import make_loop
    from trainer.memory import estimate_need
    from trainer.network.build import build_network
    from trainer.presets import make_config
    from trainer.tpu.fit import synthetic_manifest

    config = make_config(preset, {"image_size": f"{side}x{side}", "train_batch_size": batch})
    devices = tf.distribute.OneDeviceStrategy("/CPU:0")
    with devices.scope():
        network = build_network(config, synthetic_manifest(classes))
        before = _peak()
        optimizer, _ = schedule.build_optimizer(config.schedule, network.model, total_steps=_STEPS)
    signature = {
        "image": tf.TensorSpec((batch, side, side, 3), tf.uint8),
        "boxes": tf.TensorSpec((batch, _BOXES, 4), tf.float32),
        "labels": tf.TensorSpec((batch, _BOXES), tf.int32),
        "boxes_truncated": tf.TensorSpec((batch,), tf.int32),
    }
    batches = tf.data.Dataset.from_generator(lambda: _batches(batch, side, classes), output_signature=signature)
    iterator = iter(devices.experimental_distribute_dataset(batches))
    make_loop(config, network, optimizer, devices)(iterator, tf.constant(_STEPS))
    added, estimate = _peak() - before, estimate_need(config, network).of_batch(batch)
    values = "".join(f"{count / 1e9:8.2f}" for count in (before, added, estimate))
    print(f"{preset:14}{side:5}{batch:7}{classes:9}{values}", flush=True)


def _batches(batch: int, side: int, classes: int) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(0)
    for _ in range(_STEPS + 2):
        low = rng.uniform(0, 0.6 * side, (batch, _BOXES, 2))
        boxes = np.concatenate([low, low + rng.uniform(20, 0.4 * side, (batch, _BOXES, 2))], axis=-1)
        yield {
            "image": rng.integers(0, 256, (batch, side, side, 3), np.uint8),
            "boxes": boxes.astype(np.float32),
            "labels": rng.integers(1, classes + 1, (batch, _BOXES), np.int32),
            "boxes_truncated": np.zeros(batch, np.int32),
        }


if __name__ == "__main__":
    main()
