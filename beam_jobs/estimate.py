"""Estimates what a data set job would take, before it is started.

The speeds are a third of what docs/benchmarks.md reports for `prepare` on one core here: a virtual CPU is half a core,
and a bucket is slower than a disk. No job on Dataflow was measured.
"""

import math
from dataclasses import dataclass

from beam_jobs.options import PrepareOptions
from retinanet_odm.cli.estimate import FileTotals, WorkSpeed, describe_work, measure_files

# The vCPUs are those of a worker that retinanet_odm.dataflow.launcher starts for prepare.
SPEED = WorkSpeed(bytes_per_second=20e6, images_per_second=200, vcpus=4)


@dataclass(frozen=True, kw_only=True)
class PrepareEstimate:
    """What a job reads and writes. A zip file counts as one image: its members are not listed."""

    images: FileTotals
    annotations: FileTotals
    shards: int


def estimate_prepare(options: PrepareOptions) -> PrepareEstimate:
    """List the files of a request.

    Raises:
      UsageError: they cannot be listed.
    """
    # An export holds images and annotations in one file, whose size counts as that of images.
    images = measure_files((*options.images, *options.exports))
    return PrepareEstimate(
        images=images,
        annotations=measure_files(options.annotations),
        shards=count_shards(images.count, options),
    )


def count_shards(images: int, options: PrepareOptions) -> int:
    """Count the files of the data set if each split gets exactly its fraction of the images."""
    # Rounded up, so that a small fraction still counts as one file.
    parts = ((split, math.ceil(images * fraction)) for split, fraction in options.splits.fractions)
    return sum(min(options.shards_of(split), part) for split, part in parts)


def describe_prepare_estimate(estimate: PrepareEstimate, vcpu_hour_price: float | None) -> list[str]:
    """Return the lines that --estimate prints."""
    return [
        f"images: {estimate.images}",
        f"annotations: {estimate.annotations}",
        f"shards: {estimate.shards}, so at most {estimate.shards} images are written at once",
        *describe_work(estimate.images, SPEED, vcpu_hour_price),
    ]
