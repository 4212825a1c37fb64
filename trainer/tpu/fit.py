"""Will it run on a TPU? Answered by the TPU compiler, on a machine without one (--mode=tpu_fit).

The training step of one replica, with the sums over replicas in it, is compiled for the chips of a topology. Not
compiled: the input pipeline, which stays on the host, and the averaging of BatchNorm's statistics over replicas, which
TensorFlow adds only where there is a TPU.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import UsageError
from retinanet_odm.labels.label_map import LabelMap
from trainer.config import TrainConfig
from trainer.network import build
from trainer.tpu import compiler

_LOGGER = logging.getLogger(__name__)
GIB = 2**30
# Boxes of one image where no data set says them: what tensorflow/tpu's RetinaNet pads to.
_MAX_INSTANCES = 100
# No batch beyond so many times the one asked for is tried: its compilation would take too long.
_CEILING = 8


@dataclass(frozen=True, kw_only=True)
class Chip:
    """One generation of TPU chips.

    Attributes:
      hbm: bytes that a program may use: the chip's memory less what the runtime keeps for itself, as libtpu 0.0.52
        states it when a program is too large.
      peak: bfloat16 operations a second, from docs.cloud.google.com/tpu/docs/v4, v5e, v5p and v6e. Float32
        convolutions are made of bfloat16 ones, so it bounds them too.
      settings: what libtpu must be told beside the topology's name.
    """

    hbm: int
    peak: float
    settings: dict[str, str] = field(default_factory=dict)


CHIPS = {
    # Its two cores work as one device, with all of the chip's memory, as TensorFlow uses them.
    "v4": Chip(hbm=int(30.75 * GIB), peak=275e12, settings={"chip_config_name": "megacore"}),
    "v5e": Chip(hbm=int(15.75 * GIB), peak=197e12),
    "v5p": Chip(hbm=int(95.73 * GIB), peak=459e12),
    "v6e": Chip(hbm=int(31.24 * GIB), peak=918e12),
}


def find_chip(topology: str) -> Chip:
    """The kind of chip of a topology's name, such as ``v5e:2x2``.

    Raises:
      UsageError: the name is not of that form, or the chip is not known.
    """
    kind, _, shape = topology.partition(":")
    sides = shape.split("x")
    if kind not in CHIPS or not all(side.isascii() and side.isdigit() and int(side) for side in sides):
        raise UsageError(
            f"--tpu_topology: expected one of {', '.join(CHIPS)}, a colon and the grid of chips,"
            f" such as v5e:2x2 or v4:2x2x1; found {topology!r}"
        )
    return CHIPS[kind]


@dataclass(frozen=True, kw_only=True)
class CompiledStep:
    """What is compiled: the training step of a configuration on each of some devices of one kind.

    Attributes:
      devices: those of tpu_compiler.find_devices, one for each replica.
      max_instances: boxes of one image, padding included.
    """

    config: TrainConfig
    net: build.Network
    chip: Chip
    devices: Sequence[Any]
    max_instances: int

    def compile(self, batch_size: int) -> compiler.Program:
        """Compiles the step for that many images on each chip.

        Raises:
          TooLarge: a chip has not the memory for it.
          Refused: it does not compile.
        """
        text = compiler.lower_step(
            self.config,
            self.net,
            batch_size=batch_size,
            max_instances=self.max_instances,
            replicas=len(self.devices),
        )
        return compiler.compile_for(self.devices, text)


def fit_report(config: TrainConfig, manifest: DatasetManifest) -> int:
    """Says whether the configuration's step runs on the chips of its topology, and with how large a batch.

    Args:
      manifest: of the data set to train on, or stand_in.

    Returns:
      The exit status: 0 when it does, 1 when it does not compile or has not the memory.

    Raises:
      UsageError: the request is not in order, or the compiler is not installed.
    """
    step = make_step(config, manifest)
    chips = len(step.devices)
    if config.train_batch_size % chips:
        raise UsageError(
            f"--train_batch_size: must be a multiple of the {chips} chips of {config.tpu_topology},"
            f" found {config.train_batch_size}"
        )
    batch_size = config.train_batch_size // chips
    try:
        asked = _measure(step, batch_size)
    except compiler.Refused as reason:
        _LOGGER.info("compiles: no: %s", reason)
        return 1
    for line in answer_lines(asked, step.chip, batch_size=batch_size, chips=chips):
        _LOGGER.info("%s", line)
    fits, too_large = largest_batch(
        lambda size: _hbm_of(step, size),
        {batch_size: asked.hbm},
        capacity=step.chip.hbm,
        ceiling=_CEILING * batch_size,
    )
    _LOGGER.info("%s", largest_line(fits, too_large, chips=chips))
    return 0 if asked.hbm <= step.chip.hbm else 1


def make_step(config: TrainConfig, manifest: DatasetManifest) -> CompiledStep:
    """The step of a configuration on the chips of its topology, with fresh weights.

    Raises:
      UsageError: the request is not in order, or the compiler is not installed.
    """
    chip = find_chip(config.tpu_topology)
    compiler.check_packages()
    return CompiledStep(
        config=config,
        net=build.build_network(config, manifest),
        chip=chip,
        devices=compiler.find_devices(config.tpu_topology, **chip.settings),
        max_instances=config.boxes_per_image(manifest.max_boxes_per_image),
    )


def synthetic_manifest(num_classes: int) -> DatasetManifest:
    """What a data set would say of itself, where there is none: square photographs, so many classes.

    Raises:
      UsageError: the number of classes is not given.
    """
    if not num_classes:
        raise UsageError("--mode=tpu_fit: needs --dataset, or --num_classes in its place; found neither")
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


def _measure(step: CompiledStep, batch_size: int) -> compiler.Program | compiler.TooLarge:
    """The program, or how it is too large for the chip: either says the memory it needs."""
    _LOGGER.info("compiling for %d images a chip; minutes for a large network", batch_size)
    start = time.monotonic()
    try:
        result: compiler.Program | compiler.TooLarge = step.compile(batch_size)
    except compiler.TooLarge as too_large:
        result = too_large
    _LOGGER.info("compiled in %.0f s: %s a chip", time.monotonic() - start, _amount(result.hbm))
    return result


def _hbm_of(step: CompiledStep, batch_size: int) -> float:
    try:
        return _measure(step, batch_size).hbm
    except compiler.Refused:  # another size does compile: this one is not to be used, whatever the reason
        return math.inf


def step_bound(program: compiler.Program, chip: Chip) -> float:
    """Seconds that a step takes at least: its operations at the chip's peak. Measured times are longer."""
    return program.flops / chip.peak


def answer_lines(answer: compiler.Program | compiler.TooLarge, chip: Chip, *, batch_size: int, chips: int) -> list[str]:
    """The answer for one batch, in lines for people."""
    fits = "fits" if answer.hbm <= chip.hbm else "does not fit"
    memory = f"memory: {_amount(answer.hbm)} of a chip's {_amount(chip.hbm)}: {fits}"
    if isinstance(answer, compiler.TooLarge):
        return [memory]
    seconds = step_bound(answer, chip)
    return [
        f"compiles: yes, {batch_size} images on each of {chips} chips",
        memory,
        f"work: {answer.flops / 1e9:,.1f} GFLOP a step on each chip",
        f"time: at least {seconds * 1e3:.3g} ms a step, so at most {batch_size * chips / seconds:,.0f} images/s"
        f" (at the chip's peak, {chip.peak / 1e12:.0f} TFLOP/s, which no program reaches)",
    ]


def largest_line(fits: int, too_large: int | None, *, chips: int) -> str:
    """The outcome of largest_batch in a line."""
    above = f"{too_large} do not fit" if too_large else "larger ones were not tried"
    if not fits:
        return f"largest batch: none was found to fit; {above}"
    return f"largest batch: {fits} images a chip fit (--train_batch_size={fits * chips}); {above}"


def largest_batch(
    hbm_of: Callable[[int], float], known: dict[int, float], *, capacity: float, ceiling: int, tries: int = 4
) -> tuple[int, int | None]:
    """Searches the largest batch that fits, by few compilations, since each takes minutes.

    The next batch to try is where the line through the two sizes nearest to the capacity meets it. The search ends
    when the two numbers that it returns are within an eighth.

    Args:
      hbm_of: bytes that a batch needs, possibly infinite.
      known: the same for one batch or more.
      ceiling: no larger batch is tried.
      tries: how often hbm_of may be called.

    Returns:
      The largest batch seen to fit, or 0, and the smallest seen not to fit, or None.
    """
    sizes = dict(known)
    for _ in range(tries):
        fits, too_large = _bracket(sizes, capacity)
        step = max(1, fits // 8)
        high = too_large - 1 if too_large else ceiling
        if fits + step > high:
            break
        guess = _meeting_point(sizes, capacity)
        batch = (fits + high) // 2 if guess is None else guess
        batch = min(max(batch, fits + step), high)
        sizes[batch] = hbm_of(batch)
    return _bracket(sizes, capacity)


def _bracket(sizes: dict[int, float], capacity: float) -> tuple[int, int | None]:
    fits = max((batch for batch, hbm in sizes.items() if hbm <= capacity), default=0)
    return fits, min((batch for batch, hbm in sizes.items() if hbm > capacity), default=None)


def _meeting_point(sizes: dict[int, float], capacity: float) -> int | None:
    """The batch at which a line through the finite sizes nearest to the capacity reaches it; None without a line."""
    nearest = sorted((abs(hbm - capacity), batch, hbm) for batch, hbm in sizes.items() if math.isfinite(hbm))[:2]
    if not nearest:
        return None
    _, batch, hbm = nearest[0]
    # With one size known, the line through the origin: it takes the weights for images and so errs on the small side.
    _, other_batch, other_hbm = nearest[1] if len(nearest) == 2 else (0.0, 0, 0.0)
    slope = (hbm - other_hbm) / (batch - other_batch)
    return int(batch + (capacity - hbm) / slope) if slope > 0 else None


def _amount(size: float) -> str:
    return f"{size / GIB:.2f} GiB" if math.isfinite(size) else "an unknown amount"
