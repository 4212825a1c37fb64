"""Checks on a machine without a TPU whether a training fits one (--mode=tpu_fit).

Compiles for the chips of a topology exactly what --runtime=xla runs: the training step of one replica, with the sums
over replicas and the variables replaced in place. The input pipeline is no part of it: it stays on the host. Begin
reading at `report_fit`.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import UsageError
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.xla import ChipMemoryError, CompilationError
from trainer.config import TrainConfig
from trainer.loop import schedule
from trainer.loop.lowering import lower_step
from trainer.network import build
from trainer.tpu import compiler
from trainer.tpu.chips import GIB, Chip, find_chip

_LOGGER = logging.getLogger(__name__)
# Boxes of one image without a data set: the number to which tensorflow/tpu's RetinaNet pads.
_MAX_INSTANCES = 100
# Largest batch to try, as a multiple of the requested one: the compilation of a larger batch would take too long.
_MAX_BATCH_FACTOR = 8
# Compilations after the first one.
_MAX_TRIALS = 4


@dataclass(frozen=True, kw_only=True)
class ReplicaStep:
    """The training step of a configuration, to be compiled for devices of one kind.

    Attributes:
      devices: one for each replica, see compiler.find_devices.
      max_instances: number of boxes of one image, including padding.
      partial_classes: number of classes of a data set with partial labels; 0 for others.
    """

    config: TrainConfig
    network: build.Network
    chip: Chip
    devices: Sequence[Any]
    max_instances: int
    partial_classes: int = 0

    def compile(self, batch_size: int) -> compiler.CompiledProgram:
        """Compile the step.

        Args:
          batch_size: number of images on each chip.

        Raises:
          ChipMemoryError: it needs more memory than a chip has.
          CompilationError: it does not compile.
        """
        # The number of steps is only a constant of the program, so any number will do. The real schedule and optimizer:
        # their variables take memory on the chip, too.
        optimizer, _ = schedule.build_optimizer(
            self.config.schedule, self.network.model, total_steps=2 * self.config.schedule.warmup_steps + 1
        )
        batch = {
            "image": tf.TensorSpec((batch_size, *self.network.canvas, 3), tf.uint8),
            "boxes": tf.TensorSpec((batch_size, self.max_instances, 4), tf.float32),
            "labels": tf.TensorSpec((batch_size, self.max_instances), tf.int32),
        }
        if self.partial_classes:
            batch["not_exhaustive"] = tf.TensorSpec((batch_size, self.partial_classes), tf.float32)
        lowered = lower_step(self.config, self.network, optimizer, batch, replicas=len(self.devices))
        return compiler.compile_for(self.devices, lowered)


def report_fit(config: TrainConfig, manifest: DatasetManifest) -> int:
    """Log whether the training step runs on the chips of the topology, and the largest batch that fits.

    Args:
      manifest: of the data set to train on, or synthetic_manifest.

    Returns:
      The exit status: 0 if it fits, 1 if it does not compile or needs too much memory.

    Raises:
      UsageError: the request is invalid, or the compiler is not installed.
    """
    # One program for all chips: the step of a replica, on its share of the batch.
    step = make_replica_step(config, manifest)
    chips = len(step.devices)
    if config.schedule.train_batch_size % chips:
        raise UsageError(
            f"--train_batch_size: must be a multiple of the {chips} {step.chip.device}s of {config.run.tpu_topology},"
            f" found {config.schedule.train_batch_size}"
        )
    batch_size = config.schedule.train_batch_size // chips
    try:
        compiled = _compile(step, batch_size)
    except CompilationError as reason:
        _LOGGER.info("compiles: no: %s", reason)
        return 1
    for line in fit_lines(compiled, step.chip, batch_size=batch_size, chips=chips):
        _LOGGER.info("%s", line)
    fits, too_large = find_largest_batch(
        lambda size: _required_hbm(step, size),
        {batch_size: compiled.hbm},
        capacity=step.chip.hbm,
        ceiling=_MAX_BATCH_FACTOR * batch_size,
    )
    _LOGGER.info("%s", largest_batch_line(fits, too_large, step.chip, chips=chips))
    return 0 if compiled.hbm <= step.chip.hbm else 1


def make_replica_step(config: TrainConfig, manifest: DatasetManifest) -> ReplicaStep:
    """Make the step of a configuration for the chips of its topology, with random weights.

    Raises:
      UsageError: the request is invalid, or the compiler is not installed.
    """
    # Cheap checks first: building the network takes seconds.
    chip = find_chip(config.run.tpu_topology)
    compiler.check_packages()
    devices = compiler.find_devices(config.run.tpu_topology, **chip.settings)
    return ReplicaStep(
        config=config,
        network=build.build_network(config, manifest, replicas=len(devices)),
        chip=chip,
        devices=devices,
        max_instances=config.data.boxes_per_image(manifest.max_boxes_per_image),
        partial_classes=manifest.num_classes if manifest.is_partial else 0,
    )


def synthetic_manifest(num_classes: int) -> DatasetManifest:
    """Return the manifest of an imaginary data set of square images, in place of a real one.

    Raises:
      UsageError: the number of classes is not given.
    """
    if not num_classes:
        raise UsageError("--mode=tpu_fit: needs --dataset, or --num_classes in its place; found neither")
    # Only the classes, the shape of images and the number of boxes decide the graph; all else is empty.
    return DatasetManifest(
        labels=LabelMap.from_names([f"class {number}" for number in range(1, num_classes + 1)]),
        splits={},
        max_boxes_per_image=_MAX_INSTANCES,
        aspect_ratio_min=1.0,
        aspect_ratio_max=1.0,
        images_in=0,
        rejected=0,
        rejected_by_reason={},
        objects_dropped={},
        options={},
        code_version="",
    )


def _compile(step: ReplicaStep, batch_size: int) -> compiler.CompiledProgram | ChipMemoryError:
    """Compile the step. Returns the error if it is too large: program and error both have the memory that it needs."""
    unit = step.chip.device
    _LOGGER.info("compiling for %d images a %s; this takes minutes for a large network", batch_size, unit)
    start = time.monotonic()
    try:
        result: compiler.CompiledProgram | ChipMemoryError = step.compile(batch_size)
    except ChipMemoryError as too_large:
        result = too_large
    _LOGGER.info("compiled in %.0f s: %s a %s", time.monotonic() - start, _amount(result.hbm), unit)
    return result


def _required_hbm(step: ReplicaStep, batch_size: int) -> float:
    try:
        return _compile(step, batch_size).hbm
    except CompilationError:  # another size does compile, so this one is not usable, whatever the reason
        return math.inf


def min_step_seconds(program: compiler.CompiledProgram, chip: Chip) -> float:
    """Return a lower bound of the seconds of a step: its operations at the chip's peak. Measured times are longer."""
    return program.flops / chip.peak


def fit_lines(
    program: compiler.CompiledProgram | ChipMemoryError, chip: Chip, *, batch_size: int, chips: int
) -> list[str]:
    """Return the result for one batch as lines for the user."""
    # A program that is too large has no other numbers: the compiler gave up.
    fits = "fits" if program.hbm <= chip.hbm else "does not fit"
    memory = f"memory: {_amount(program.hbm)} of a {chip.device}'s {_amount(chip.hbm)}: {fits}"
    if isinstance(program, ChipMemoryError):
        return [memory]
    seconds = min_step_seconds(program, chip)
    return [
        f"compiles: yes, {batch_size} images on each of {chips} {chip.device}s",
        memory,
        f"work: {program.flops / 1e9:,.1f} GFLOP a step on each {chip.device}",
        f"time: at least {seconds * 1e3:.3g} ms a step, so at most {batch_size * chips / seconds:,.0f} images/s"
        f" (at the {chip.device}'s peak, {chip.peak / 1e12:.0f} TFLOP/s, which no program reaches)",
    ]


def largest_batch_line(fits: int, too_large: int | None, chip: Chip, *, chips: int) -> str:
    """Return the result of find_largest_batch as a line for the user; chips is the number of devices."""
    above = f"{too_large} do not fit" if too_large else "larger ones were not tried"
    if not fits:
        return f"largest batch: none was found to fit; {above}"
    return f"largest batch: {fits} images a {chip.device} fit (--train_batch_size={fits * chips}); {above}"


def find_largest_batch(
    hbm_of: Callable[[int], float], known: dict[int, float], *, capacity: float, ceiling: int, trials: int = _MAX_TRIALS
) -> tuple[int, int | None]:
    """Search for the largest batch that fits, with few compilations, because each takes minutes.

    Memory grows nearly linearly with the batch. So the next batch to try is where the line through the two sizes
    nearest to the capacity reaches it. The search ends when the two numbers that it returns are within an eighth.

    Args:
      hbm_of: returns the bytes that a batch needs, possibly infinite.
      known: these bytes for one batch or more.
      capacity: the bytes of a chip.
      ceiling: the largest batch to try.
      trials: how often hbm_of may be called.

    Returns:
      The largest batch known to fit, or 0, and the smallest known not to fit, or None.

    Example:
      >>> find_largest_batch(lambda batch: 100 + 10 * batch, {8: 180}, capacity=500, ceiling=64)
      (40, 45)
    """
    sizes = dict(known)
    for _ in range(trials):
        fits, too_large = _bracket(sizes, capacity)
        step = max(1, fits // 8)
        high = too_large - 1 if too_large else ceiling
        if fits + step > high:
            break
        guess = _interpolate(sizes, capacity)
        batch = (fits + high) // 2 if guess is None else guess
        # At least a step above what fits, so that every trial brings the two bounds closer.
        batch = min(max(batch, fits + step), high)
        sizes[batch] = hbm_of(batch)
    return _bracket(sizes, capacity)


def _bracket(sizes: dict[int, float], capacity: float) -> tuple[int, int | None]:
    fits = max((batch for batch, hbm in sizes.items() if hbm <= capacity), default=0)
    return fits, min((batch for batch, hbm in sizes.items() if hbm > capacity), default=None)


def _interpolate(sizes: dict[int, float], capacity: float) -> int | None:
    """Return the batch at which a line through the finite sizes nearest to the capacity reaches it, or None."""
    nearest = sorted((abs(hbm - capacity), batch, hbm) for batch, hbm in sizes.items() if math.isfinite(hbm))[:2]
    if not nearest:
        return None
    _, batch, hbm = nearest[0]
    # With one known size, the line through the origin. It counts the weights as images, so its guess is too small.
    _, other_batch, other_hbm = nearest[1] if len(nearest) == 2 else (0.0, 0, 0.0)
    slope = (hbm - other_hbm) / (batch - other_batch)
    return int(batch + (capacity - hbm) / slope) if slope > 0 else None


def _amount(size: float) -> str:
    return f"{size / GIB:.2f} GiB" if math.isfinite(size) else "an unknown amount"
