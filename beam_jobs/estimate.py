"""What a job would take, before it is started: by listing its files, without reading any.

The speeds are a third of what README.md says of `prepare` on one core here: a virtual CPU is half a core, and a bucket
is slower than a disk. No job on Dataflow was measured.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from apache_beam.io.filesystem import FileSystem

from beam_jobs.options import PrepareOptions
from beamio import files, gcs
from detection.errors import UsageError

BYTES_A_SECOND = 20e6
PHOTOGRAPHS_A_SECOND = 200
WORKER_VCPUS = 4  # of beamio.dataflow's machine for prepare
_GCS = "gs://"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """Files: how many, and bytes together."""

    count: int
    size: int

    def __str__(self) -> str:
        return f"{self.count:,} objects, {self.size / 1e6:,.1f} MB"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a job reads and writes; a zip file is one photograph here, for its members are not listed."""

    photographs: Listed
    annotations: Listed
    shards: int

    @property
    def vcpu_hours(self) -> float:
        """Work, in hours of one virtual CPU."""
        photographs = self.photographs
        return (photographs.size / BYTES_A_SECOND + photographs.count / PHOTOGRAPHS_A_SECOND) / 3600


def make_estimate(options: PrepareOptions) -> Estimate:
    """Lists the files of a request.

    Raises:
      UsageError: they cannot be listed.
    """
    photographs = measure((*options.images, *options.exports))
    return Estimate(
        photographs=photographs,
        annotations=measure(options.annotations),
        shards=count_shards(photographs.count, options),
    )


def count_shards(photographs: int, options: PrepareOptions) -> int:
    """Files of the data set, where each split gets its fraction of the photographs."""
    parts = ((split, math.ceil(photographs * fraction)) for split, fraction in options.splits.fractions)
    return sum(min(options.shards_of(split), part) for split, part in parts)


def measure(patterns: Sequence[str]) -> Listed:
    """Files that patterns match; one that two match counts once.

    Raises:
      UsageError: they cannot be listed.
    """
    try:
        sizes = dict(pair for pattern in patterns for pair in _sizes(pattern))
    except OSError as error:
        raise UsageError(f"cannot list {' '.join(patterns)}: {error}") from error
    return Listed(count=len(sizes), size=sum(sizes.values()))


def _sizes(pattern: str) -> Iterator[tuple[str, int]]:
    if not pattern.startswith(_GCS):
        # See ListedFile: the version begins with the size; that of a link to nowhere is empty.
        return ((file.path, int(file.version.partition("-")[0] or 0)) for file in files.list_files(pattern))
    accepts = re.compile(FileSystem.translate_pattern(pattern)).match
    prefix = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return ((path, size) for path, size in gcs.list_sizes(prefix) if accepts(path) and path[-1] != "/")


def describe(estimate: Estimate, vcpu_hour_price: float | None) -> list[str]:
    """The lines that --estimate prints."""
    hours = estimate.vcpu_hours
    lines = [
        f"photographs: {estimate.photographs}",
        f"annotations: {estimate.annotations}",
        f"shards: {estimate.shards}, so at most {estimate.shards} photographs are written at once",
        f"work: {hours:.2f} vCPU-hours ({BYTES_A_SECOND / 1e6:.0f} MB and {PHOTOGRAPHS_A_SECOND} photographs a second),"
        f" {hours / WORKER_VCPUS:.2f} hours of one worker with {WORKER_VCPUS}; starting takes some minutes more",
    ]
    if vcpu_hour_price is not None:
        lines.append(f"money: {hours * vcpu_hour_price:.2f} at {vcpu_hour_price:g} a vCPU-hour")
    return lines
