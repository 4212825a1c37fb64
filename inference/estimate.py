"""What a run of ``score`` would take, before it is started: by listing, and by the directories of archives.

The usual speed, IMAGES_A_SECOND, is that of a network like the preset tiny at 256×320 pixels: a third of what README.md
says of one core here, for a virtual CPU is half a core, and a bucket slower than a disk. No job on
Dataflow was measured.
"""

from dataclasses import dataclass

from beamio.estimate import Listed, Speed, describe_work
from inference import resume, sources
from inference.request import Request

_BYTES_A_SECOND = 20e6  # read and decoded, as in beam_jobs.estimate
_VCPUS = 8  # of beamio.dataflow's machine for score


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What there is to do.

    Attributes:
      stored: the files, archives among them.
      images: in them.
      missing: those that have no row yet.
      shards: prediction files that are written.
    """

    stored: Listed
    images: int
    missing: int
    shards: int

    @property
    def work(self) -> Listed:
        """The images to score, with their share of the bytes."""
        return Listed(count=self.missing, size=round(self.stored.size * self.missing / self.images))


def make_estimate(request: Request) -> Estimate:
    """Lists the images of a request, and the rows that there are.

    Raises:
      UsageError: they cannot be listed.
    """
    survey = resume.survey(request.sources, request.options.output, request.run_key)
    sizes = {file.path: file.size for source in request.sources for file in sources.matches(source)}
    return Estimate(
        stored=Listed(count=len(sizes), size=sum(sizes.values())),
        images=survey.images,
        missing=survey.missing,
        shards=request.num_shards(survey.images),
    )


def describe(estimate: Estimate, *, images_a_second: float, vcpu_hour_price: float | None) -> list[str]:
    """The lines that --estimate prints."""
    speed = Speed(bytes_a_second=_BYTES_A_SECOND, photographs_a_second=images_a_second, vcpus=_VCPUS)
    return [
        f"images: {estimate.images:,} in {estimate.stored}; {estimate.missing:,} of them have no row yet",
        f"shards: {estimate.shards} prediction files",
        *describe_work(estimate.work, speed, vcpu_hour_price),
    ]
