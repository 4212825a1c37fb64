"""What a job would take, before it is started: estimated from a listing of its files, without reading them."""

from collections.abc import Sequence
from dataclasses import dataclass

from retinanet_odm.storage import files


@dataclass(frozen=True, kw_only=True)
class FileTotals:
    """The number of files, and the sum of their sizes in bytes."""

    count: int
    size: int

    def __str__(self) -> str:
        return f"{self.count:,} objects, {self.size / 1e6:,.1f} MB"


@dataclass(frozen=True, kw_only=True)
class WorkSpeed:
    """The speed of one virtual CPU in bytes and in images, and the number of virtual CPUs of a worker."""

    bytes_per_second: float
    images_per_second: float
    vcpus: int

    def vcpu_hours(self, images: FileTotals) -> float:
        """Return the work in hours of one virtual CPU.

        Example:
          >>> speed = WorkSpeed(bytes_per_second=1e6, images_per_second=10, vcpus=4)
          >>> speed.vcpu_hours(FileTotals(count=18_000, size=1_800_000_000))
          1.0
        """
        # Bytes cost reading, images cost decoding and a fixed part each: the two add up.
        return (images.size / self.bytes_per_second + images.count / self.images_per_second) / 3600


def measure_files(patterns: Sequence[str]) -> FileTotals:
    """Count the files that match the patterns; a file that matches two patterns counts once.

    Raises:
      UsageError: They cannot be listed.
    """
    # By path, so that a file that two patterns match counts once.
    sizes = {file.path: file.size for pattern in patterns for file in files.list_files(pattern)}
    return FileTotals(count=len(sizes), size=sum(sizes.values()))


def describe_work(images: FileTotals, speed: WorkSpeed, vcpu_hour_price: float | None) -> list[str]:
    """Return the lines about time and money that --estimate prints.

    Args:
      images: The images to process.
      speed: The speed of a worker.
      vcpu_hour_price: The price of one virtual CPU per hour; None omits the line about money.
    """
    hours = speed.vcpu_hours(images)
    rate = f"{speed.bytes_per_second / 1e6:g} MB and {speed.images_per_second:g} images per second"
    alone = f"{hours / speed.vcpus:.2f} hours of one worker with {speed.vcpus}"
    lines = [f"work: {hours:.2f} vCPU-hours ({rate}), {alone}; startup takes some minutes more"]
    if vcpu_hour_price is not None:
        lines.append(f"money: {hours * vcpu_hour_price:.2f} at {vcpu_hour_price:g} per vCPU-hour")
    return lines
