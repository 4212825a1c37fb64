"""What a user may ask of ``score --estimate``."""

import argparse

from beamio.estimate import add_estimate_flags, refuse_without_estimate
from detection.errors import UsageError

IMAGES_A_SECOND = 4.0  # see inference.estimate


def add_estimate(parser: argparse.ArgumentParser) -> None:
    """The flags of an estimate."""
    add_estimate_flags(parser)
    parser.add_argument(
        "--images_a_second",
        type=float,
        metavar="RATE",
        help="with --estimate: images that one virtual CPU scores in a second; of your model: the speed that score"
        f" prints, divided by the virtual CPUs that were busy; default: {IMAGES_A_SECOND:g}, of a small model",
    )


def check_estimate(flags: argparse.Namespace) -> None:
    """Raises UsageError for a flag of an estimate that none is asked of, or a speed that is none."""
    refuse_without_estimate(flags, "vcpu_hour_price", "images_a_second")
    rate = flags.images_a_second
    if rate is not None and not 0 < rate < float("inf"):  # also refuses nan
        raise UsageError(f"--images_a_second: expected a number above 0, found {rate:g}")
