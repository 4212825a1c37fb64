"""`score --estimate`: the size of a job before it is started, from listings and the directories of archives.

The default speed, inference.options.IMAGES_A_SECOND, is that of a network like the preset tiny at 256×320 pixels: a
third of what was measured on one core, because a virtual CPU is half a core and a bucket is slower than a disk
(docs/benchmarks.md). No job on Dataflow was measured.
"""

from dataclasses import dataclass

from inference.image_sources import listing
from inference.options import IMAGES_A_SECOND
from inference.request import ScoreRequest, find_pending_work
from retinanet_odm.cli.estimate import FileTotals, WorkSpeed, describe_work

_BYTES_A_SECOND = 20e6  # read and decoded, as in beam_jobs.estimate
_VCPUS = 8  # of the machine type that retinanet_odm.dataflow.launcher chooses for score


@dataclass(frozen=True, kw_only=True)
class ScoreEstimate:
    """The size of a job.

    Attributes:
      files: of the sources, archives among them.
      images: number of images.
      missing: number of images without a row.
      shards: number of prediction files.
    """

    files: FileTotals
    images: int
    missing: int
    shards: int

    @property
    def work(self) -> FileTotals:
        """The images to score, with their share of the bytes."""
        return FileTotals(count=self.missing, size=round(self.files.size * self.missing / self.images))


def print_estimate(request: ScoreRequest, images_a_second: float | None, vcpu_hour_price: float | None) -> None:
    """Print the answer to --estimate.

    Args:
      request: the run that is estimated.
      images_a_second: speed of one virtual CPU; None for IMAGES_A_SECOND.
      vcpu_hour_price: of one virtual CPU; None if no price is wanted.

    Raises:
      UsageError: the images cannot be listed.
    """
    estimate = estimate_score(request)
    rate = images_a_second or IMAGES_A_SECOND
    speed = WorkSpeed(bytes_per_second=_BYTES_A_SECOND, images_per_second=rate, vcpus=_VCPUS)
    lines = [
        f"images: {estimate.images:,} in {estimate.files}; {estimate.missing:,} of them have no row yet",
        f"shards: {estimate.shards} prediction files",
        *describe_work(estimate.work, speed, vcpu_hour_price),
    ]
    print("\n".join(lines))  # noqa: T201 - the result of the command


def estimate_score(request: ScoreRequest) -> ScoreEstimate:
    """List the images of a request and the rows that exist.

    Raises:
      UsageError: they cannot be listed.
    """
    listed = listing.list_source_files(request.sources, request.options.output)
    # The same function as in `score`, so that the estimate counts what the job would do.
    pending = find_pending_work(listed, request.options.output, request.run_key, add=request.options.add)
    sizes = [file.size for item in listed for file in item.files]
    return ScoreEstimate(
        files=FileTotals(count=len(sizes), size=sum(sizes)),
        images=pending.images,
        missing=pending.missing,
        shards=request.num_shards(pending.images),
    )
