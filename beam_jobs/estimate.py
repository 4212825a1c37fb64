"""What a data set job would take, before it is started.

The speeds are a third of what README.md says of `prepare` on one core here: a virtual CPU is half a core, and a bucket
is slower than a disk. No job on Dataflow was measured.
"""

import math
from dataclasses import dataclass

from beam_jobs.options import PrepareOptions
from retinanet_odm.cli.estimate import FileTotals, WorkSpeed, describe_work, measure_files

SPEED = WorkSpeed(
    bytes_per_second=20e6, images_per_second=200, vcpus=4
)  # a worker is retinanet_odm.dataflow.launcher's for prepare


@dataclass(frozen=True, kw_only=True)
class PrepareEstimate:
    """What a job reads and writes; a zip file is one photograph here, for its members are not listed."""

    photographs: FileTotals
    annotations: FileTotals
    shards: int


def estimate_prepare(options: PrepareOptions) -> PrepareEstimate:
    """Lists the files of a request.

    Raises:
      UsageError: they cannot be listed.
    """
    photographs = measure_files((*options.images, *options.exports))
    return PrepareEstimate(
        photographs=photographs,
        annotations=measure_files(options.annotations),
        shards=count_shards(photographs.count, options),
    )


def count_shards(photographs: int, options: PrepareOptions) -> int:
    """Files of the data set, where each split gets its fraction of the photographs."""
    parts = ((split, math.ceil(photographs * fraction)) for split, fraction in options.splits.fractions)
    return sum(min(options.shards_of(split), part) for split, part in parts)


def describe_prepare_estimate(estimate: PrepareEstimate, vcpu_hour_price: float | None) -> list[str]:
    """The lines that --estimate prints."""
    return [
        f"images: {estimate.photographs}",
        f"annotations: {estimate.annotations}",
        f"shards: {estimate.shards}, so at most {estimate.shards} images are written at once",
        *describe_work(estimate.photographs, SPEED, vcpu_hour_price),
    ]
