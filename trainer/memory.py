"""Estimates the memory of a training before its first step, which the system would otherwise end without a word.

Begin with `check_step_memory`. The estimate counts the variables, what the optimizer and the gradients add, and the
outputs of the layers that are kept for the backward pass. benchmarks.memory compares it with measured peaks.
"""

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from retinanet_odm.cli.free_memory import free_memory
from retinanet_odm.errors import UsageError
from trainer import strategy
from trainer.config import TrainConfig
from trainer.data import records
from trainer.network.build import Network, build_network, part_of

_LOGGER = logging.getLogger(__name__)

# Measured on CPUs with benchmarks.memory: the slopes over batches, classes and networks, and what remains.
_OUTPUT_FACTOR = 0.6  # bytes at the peak by bytes of all layers' outputs: some are freed at once
_LOSS_COPIES = 16  # arrays like the class logits that the loss and its gradient hold
_PROGRAM_BYTES = 350 << 20  # TensorFlow's graph and its threads, beyond what it holds when the network is built
# Refused only where even this share of the estimate is not free: it may be too high.
_CERTAIN = 0.75


@dataclass(frozen=True, kw_only=True)
class MemoryNeed:
    """What a training will allocate, in bytes, beyond the variables, which exist already.

    Attributes:
      fixed: Whatever the batch: the optimizer's variables, the gradients, the program.
      image: For each image of a replica's batch.
    """

    fixed: int
    image: int

    def of_batch(self, images: int) -> int:
        """Return the bytes of a batch."""
        return self.fixed + images * self.image

    def fitting_batch(self, free: int) -> int:
        """Return the largest batch for which so many bytes are enough; 0 if there is none.

        Example:
          >>> MemoryNeed(fixed=100, image=10).fitting_batch(155)
          5
        """
        return max(0, (free - self.fixed) // self.image)


def check_step_memory(config: TrainConfig, network: Network, devices: tf.distribute.Strategy) -> str:
    """Compare the estimate with what is free, and return both in one line.

    What a GPU or a TPU has is not known before it is full: for these the line has the estimate alone.

    Args:
      config: Of the run.
      network: Its network.
      devices: Of the network.

    Raises:
      UsageError: The machine certainly has too little, and --ignore_memory was not given; the message names a batch
        that fits.
    """
    replicas = strategy.count_replicas(devices, config.run.runtime)
    on_cpu = not strategy.has_accelerator(use_tpu=config.run.use_tpu, runtime=config.run.runtime)
    need = estimate_need(config, network, on_cpu=on_cpu)
    batch, machines = config.schedule.train_batch_size, max(len(config.run.hosts()), 1)
    if not on_cpu:
        return f"a step of {batch} images takes about {_gb(need.of_batch(batch // replicas))} on each device"
    wanted, free = need.of_batch(batch // machines), free_memory()
    if free is None:
        return f"a step of {batch} images takes about {_gb(wanted)}"
    line = f"a step of {batch} images takes about {_gb(wanted)} of memory, and {_gb(free)} are free"
    if wanted > free:
        fitting = need.fitting_batch(free) * machines // replicas * replicas
        line = f"{line}: {_remedy(config, fitting)}"
    if _CERTAIN * wanted > free and not config.run.ignore_memory:
        raise UsageError(f"{line}, or --ignore_memory to train nevertheless")
    if wanted > free:
        _LOGGER.warning("warning: the system may end the run: %s", line)
    return line


def probe_memory(config: TrainConfig) -> str:
    """Build the network of a run, and return what `check_step_memory` says of it.

    Raises:
      UsageError: As `check_step_memory`; or the data set cannot be read.
    """
    manifest = records.read_dataset_manifest(config.data.dataset)
    runtime = config.run.runtime
    devices = strategy.make_strategy(use_tpu=config.run.use_tpu, tpu=config.run.tpu, runtime=runtime)
    with devices.scope():
        network = build_network(config, manifest, replicas=strategy.count_replicas(devices, runtime))
        return check_step_memory(config, network, devices)


def _remedy(config: TrainConfig, fitting: int) -> str:
    if not fitting:
        return "give a smaller --image_size, or --preset=tiny"
    # The rate in proportion, as for recipes (trainer.presets.RATE_BATCH).
    rate = config.schedule.learning_rate * fitting / config.schedule.train_batch_size
    return f"give --train_batch_size={fitting} --learning_rate={rate:.3g}"


def estimate_need(config: TrainConfig, network: Network, *, on_cpu: bool = True) -> MemoryNeed:
    """Estimate the memory of a training step, on a CPU or on each device."""
    model, settings = network.model, config.schedule
    trainable = sum(math.prod(variable.shape) for variable in model.trainable_variables) * 4
    # AdamW keeps two averages of each gradient, SGD one; a moving average of the weights is one more. The gradients
    # exist twice while they are clipped.
    copies = (2 if settings.optimizer == "adamw" else 1) + bool(settings.ema_decay) + 2
    loss = len(network.anchors) * (network.num_classes + 4) * 4 * _LOSS_COPIES
    # In the input pipeline: batches that wait, as bytes.
    waiting = math.prod(network.canvas) * 3 * 4
    # Of a frozen backbone no output is kept: no gradient passes through it.
    is_frozen = config.weights.freeze == "backbone"
    layers = [layer for layer in model.layers if not (is_frozen and part_of(layer.name) == "backbone")]
    image = round(_output_bytes(layers, on_cpu=on_cpu) * _OUTPUT_FACTOR) + loss + waiting
    return MemoryNeed(fixed=_PROGRAM_BYTES + copies * trainable, image=image)


def _output_bytes(layers: Iterable[Any], *, on_cpu: bool) -> int:
    """Return the bytes of the outputs of layers for one image."""
    # CPUs compute bfloat16 by way of float32: measured, it takes no less memory.
    tensors = [tensor for layer in layers for tensor in _flatten(layer.output)]
    halves = {"bfloat16": 4 if on_cpu else 2}
    return sum(math.prod(tensor.shape[1:]) * halves.get(tensor.dtype, 4) for tensor in tensors)


def _flatten(output: Any) -> list[Any]:
    if isinstance(output, dict):
        return list(output.values())
    return list(output) if isinstance(output, list | tuple) else [output]


def _gb(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
