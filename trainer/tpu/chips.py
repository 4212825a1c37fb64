"""The kinds of TPU chips that --mode=tpu_fit knows. Begin with `find_chip`."""

from dataclasses import dataclass, field

from retinanet_odm.errors import UsageError

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Chip:
    """One generation of TPU chips, or what of a chip is one device of XLA.

    Attributes:
      hbm: bytes that a program may use: the device's memory without the share of the runtime, as libtpu 0.0.52 reports
        it when a program is too large.
      peak: bfloat16 operations a second, from docs.cloud.google.com/tpu/docs/v4, v5e, v5p, v6e and tpu7x. Float32
        convolutions are made of bfloat16 ones, so it bounds them too.
      device: what a device is, in words.
      settings: options that libtpu needs in addition to the name of the topology.
    """

    hbm: int
    peak: float
    device: str = "chip"
    settings: dict[str, str] = field(default_factory=dict)


CHIPS = {
    # TensorFlow uses its two cores as one device, with all of the chip's memory.
    "v4": Chip(hbm=int(30.75 * GIB), peak=275e12, settings={"chip_config_name": "megacore"}),
    "v5e": Chip(hbm=int(15.75 * GIB), peak=197e12),
    "v5p": Chip(hbm=int(95.73 * GIB), peak=459e12),
    "v6e": Chip(hbm=int(31.24 * GIB), peak=918e12),
    # Two devices, each with a half of the chip's 192 GiB and 2,307 TFLOP/s.
    "tpu7x": Chip(hbm=int(94.74 * GIB), peak=2307e12 / 2, device="half chip"),
}


def find_chip(topology: str) -> Chip:
    """Return the chip of a topology such as ``v5e:2x2``.

    Raises:
      UsageError: the name has another form, or the chip is unknown.

    Example:
      >>> find_chip("v5e:2x2").peak
      197000000000000.0
    """
    kind, _, shape = topology.partition(":")
    sides = shape.split("x")
    if kind not in CHIPS or not all(side.isascii() and side.isdigit() and int(side) for side in sides):
        raise UsageError(
            f"--tpu_topology: expected one of {', '.join(CHIPS)}, a colon and the grid of chips,"
            f" such as v5e:2x2 or v4:2x2x1; found {topology!r}"
        )
    return CHIPS[kind]
