"""What a job would take, before it is started: by listing its files, without reading any."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from retinanet_odm.errors import UsageError
from retinanet_odm.storage import files


@dataclass(frozen=True, kw_only=True)
class FileTotals:
    """Files: how many, and bytes together."""

    count: int
    size: int

    def __str__(self) -> str:
        return f"{self.count:,} objects, {self.size / 1e6:,.1f} MB"


@dataclass(frozen=True, kw_only=True)
class WorkSpeed:
    """What one virtual CPU does: bytes and photographs a second; vcpus: of a worker."""

    bytes_a_second: float
    photographs_a_second: float
    vcpus: int

    def vcpu_hours(self, photographs: FileTotals) -> float:
        """Work, in hours of one virtual CPU."""
        return (photographs.size / self.bytes_a_second + photographs.count / self.photographs_a_second) / 3600


def add_estimate_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of both programs."""
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="list the files, print what there is to do and what it may cost, and stop; no photograph is read, nothing"
        " written",
    )
    parser.add_argument(
        "--vcpu_hour_price",
        type=float,
        metavar="PRICE",
        help="with --estimate: what an hour of one virtual CPU costs, with its memory and disk",
    )


def check_estimate_flags(flags: argparse.Namespace, *names: str) -> None:
    """Raises UsageError for a flag that only --estimate reads."""
    for name in names:
        if getattr(flags, name) is not None and not flags.estimate:
            raise UsageError(f"--{name}: expected --estimate too")


def measure_files(patterns: Sequence[str]) -> FileTotals:
    """Files that patterns match; one that two match counts once.

    Raises:
      UsageError: they cannot be listed.
    """
    sizes = {file.path: file.size for pattern in patterns for file in files.list_files(pattern)}
    return FileTotals(count=len(sizes), size=sum(sizes.values()))


def describe_work(photographs: FileTotals, speed: WorkSpeed, vcpu_hour_price: float | None) -> list[str]:
    """The lines that --estimate prints of time and money.

    Args:
      photographs: what is worked on.
      speed: how fast.
      vcpu_hour_price: what an hour of one virtual CPU costs; None where nobody asks for money.
    """
    hours = speed.vcpu_hours(photographs)
    pace = f"{speed.bytes_a_second / 1e6:g} MB and {speed.photographs_a_second:g} photographs a second"
    alone = f"{hours / speed.vcpus:.2f} hours of one worker with {speed.vcpus}"
    lines = [f"work: {hours:.2f} vCPU-hours ({pace}), {alone}; starting takes some minutes more"]
    if vcpu_hour_price is not None:
        lines.append(f"money: {hours * vcpu_hour_price:.2f} at {vcpu_hour_price:g} a vCPU-hour")
    return lines
