"""What a run of ``score`` would take, before it is started: by listing, and by the directories of archives.

The usual speed, IMAGES_A_SECOND, is that of a network like the preset tiny at 256×320 pixels: a third of what README.md
says of one core here, for a virtual CPU is half a core, and a bucket slower than a disk. No job on
Dataflow was measured.
"""

from dataclasses import dataclass

from inference.image_sources import listing
from inference.request import ScoreRequest
from inference.rows import resume
from retinanet_odm.cli.estimate import FileTotals, WorkSpeed, describe_work

_BYTES_A_SECOND = 20e6  # read and decoded, as in beam_jobs.estimate
_VCPUS = 8  # of retinanet_odm.dataflow.launcher's machine for score


@dataclass(frozen=True, kw_only=True)
class ScoreEstimate:
    """What there is to do.

    Attributes:
      stored: the files, archives among them.
      images: in them.
      missing: those that have no row yet.
      shards: prediction files that are written.
    """

    stored: FileTotals
    images: int
    missing: int
    shards: int

    @property
    def work(self) -> FileTotals:
        """The images to score, with their share of the bytes."""
        return FileTotals(count=self.missing, size=round(self.stored.size * self.missing / self.images))


def estimate_score(request: ScoreRequest) -> ScoreEstimate:
    """Lists the images of a request, and the rows that there are.

    Raises:
      UsageError: they cannot be listed.
    """
    survey = resume.find_pending_work(request.sources, request.options.output, request.run_key)
    sizes = {file.path: file.size for source in request.sources for file in listing.matches(source)}
    return ScoreEstimate(
        stored=FileTotals(count=len(sizes), size=sum(sizes.values())),
        images=survey.images,
        missing=survey.missing,
        shards=request.num_shards(survey.images),
    )


def describe_score_estimate(
    estimate: ScoreEstimate, *, images_a_second: float, vcpu_hour_price: float | None
) -> list[str]:
    """The lines that --estimate prints."""
    speed = WorkSpeed(bytes_per_second=_BYTES_A_SECOND, images_per_second=images_a_second, vcpus=_VCPUS)
    return [
        f"images: {estimate.images:,} in {estimate.stored}; {estimate.missing:,} of them have no row yet",
        f"shards: {estimate.shards} prediction files",
        *describe_work(estimate.work, speed, vcpu_hour_price),
    ]
