"""The sample data set: labelled images and an archive of new ones, as (path, bytes) pairs.

Begin with `sample_files`. Nothing is downloaded or written here: `retinanet_odm.samples.command` writes the pairs, and
tests use them directly. Equal arguments give equal bytes, and image n does not depend on the number of images.
"""

import functools
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from retinanet_odm.annotations.cvat import format_cvat
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.annotations.voc import format_voc
from retinanet_odm.errors import UsageError
from retinanet_odm.samples.scenes import make_scene
from retinanet_odm.samples.seafloor import Site, make_site
from retinanet_odm.samples.sprites import SPECIES
from retinanet_odm.samples.survey import deployments_table, publication_text

SAMPLE_LABELS = tuple(SPECIES)
SAMPLE_MARKER = "sample.json"  # marks a folder as a sample, and contains its options
SAMPLE_IMAGES, SAMPLE_ARCHIVE_IMAGES = 240, 60  # by default
LABELLED_DEPLOYMENTS = 10

_ARCHIVE_DEPLOYMENTS = 3
_ARCHIVE_FOLDER = "new_deployments"
_JPEG_QUALITY = 88
# With --split_group=deployment, the hashes of the names give eight deployments to train, 6704 to val and 6708 to test.
# The number that is left out would be a second one of test.
_FIRST_DEPLOYMENT, _LEFT_OUT = 6701, 6710
_FIRST_FRAME = datetime(2016, 11, 10, 14, 24, 12, tzinfo=UTC)
# Not a round number, so that deployments begin at different hours and minutes, as real ones do.
_BETWEEN_DEPLOYMENTS = timedelta(days=117, hours=3, minutes=41, seconds=29)
_ZIP_TIME = (2020, 1, 1, 0, 0, 0)  # a fixed time keeps the bytes equal


@dataclass(frozen=True, kw_only=True)
class SampleImage:
    """One synthetic image: its file name, JPEG bytes and true boxes."""

    name: str
    data: bytes
    annotation: ImageAnnotation

    @property
    def stem(self) -> str:
        """The file name without its extension."""
        return PurePosixPath(self.name).stem


def make_sample_image(
    index: int, *, seed: int = 0, first_deployment: int = 0, deployments: int = LABELLED_DEPLOYMENTS
) -> SampleImage:
    """Make one frame of a time-lapse series.

    Args:
      index: of the frame; the deployments have the frames in turns, so that a small sample has all of them, too.
      seed: of the sample.
      first_deployment: the deployment of frame 0.
      deployments: their number.
    """
    frame, turn = divmod(index, deployments)
    deployment = first_deployment + turn
    # Seeds by deployment and frame: a site is the same for all its frames, and no frame depends on another.
    image, objects = make_scene(np.random.default_rng([seed, deployment, frame + 1]), site=_site(seed, deployment))
    name = _name(deployment, frame)
    annotation = ImageAnnotation(
        filename=name, width=image.width, height=image.height, objects=objects, source=f"{name} (synthetic)"
    )
    return SampleImage(name=name, data=_jpeg(image), annotation=annotation)


# A site takes as long as a frame. The frames are made by deployment, so the newest one is enough.
@functools.lru_cache(maxsize=1)
def _site(seed: int, deployment: int) -> Site:
    return make_site(np.random.default_rng([seed, deployment]))


# Classes whose species has no number here have that of the lowest taxon that does, as in practice.
_TAXA = """\
# The classes of the sample and the taxa above them, with the numbers of the World Register of Marine Species
label,AphiaID,rank,parent,scientificName
Animalia,2,kingdom,,
Cnidaria,1267,phylum,Animalia,
Echinodermata,1806,phylum,Animalia,
Actiniaria,1360,order,Cnidaria,
Ophiuroidea,123084,class,Echinodermata,
Cystechinus loveni,123082,class,Echinodermata,Echinoidea
Peniagone sp. A,123083,class,Echinodermata,Holothuroidea
"""


def sample_files(
    *, images: int = SAMPLE_IMAGES, archive_images: int = SAMPLE_ARCHIVE_IMAGES, seed: int = 0
) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a sample data set as (relative path, bytes); SAMPLE_MARKER first.

    ``images/*.JPG`` with ``annotations/*.xml`` (Pascal VOC) and ``cvat/annotations.xml`` (the same boxes);
    ``archive.zip`` with images of other deployments, the last of them truncated, and ``archive_truth/*.xml`` with the
    boxes of all but that one; ``taxa.csv``, the tree of taxa above the classes; ``deployments.csv`` and
    ``publication.json``, with which the results of the archive are published.

    Args:
      images: the number of labelled images.
      archive_images: the number of images in the archive; 0 for no archive.
      seed: another seed gives another sample.

    Raises:
      UsageError: a number is negative, or there would be no labelled image.
    """
    if images < 1 or archive_images < 0 or seed < 0:
        raise UsageError(
            "sample: expected images of 1 or more, archive_images and seed of 0 or more;"
            f" found {images}, {archive_images} and {seed}"
        )
    # The marker comes first: the folder is checked by it before anything is written.
    options = {"sample": "retinanet-odm", "images": images, "archive_images": archive_images, "seed": seed}
    yield SAMPLE_MARKER, json.dumps(options, indent=2).encode() + b"\n"
    yield "taxa.csv", _TAXA.encode()
    yield from _labelled(images, seed)
    if archive_images:
        yield from _archive(archive_images, seed)
        yield "deployments.csv", deployments_table(_archive_spans(archive_images))
        yield "publication.json", publication_text()


def _labelled(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    annotations = []
    for index in _by_deployment(count, LABELLED_DEPLOYMENTS):
        sample = make_sample_image(index, seed=seed)
        annotations.append(sample.annotation)
        yield f"images/{sample.name}", sample.data
        # The same boxes in two formats, so that tests and guides can compare their readers.
        yield f"annotations/{sample.stem}.xml", format_voc(sample.annotation)
    yield "cvat/annotations.xml", format_cvat(annotations, labels=SAMPLE_LABELS, task="StaM sample")


def _archive(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    # Later deployments than the labelled ones, as in practice: the detector has seen neither these sites nor frames.
    later = {"first_deployment": LABELLED_DEPLOYMENTS, "deployments": _ARCHIVE_DEPLOYMENTS}
    members = []
    for made, index in enumerate(_by_deployment(count, _ARCHIVE_DEPLOYMENTS), start=1):
        sample = make_sample_image(index, seed=seed, **later)
        is_truncated = made == count and count > 1  # an interrupted transfer, which scoring must handle
        members.append((sample.name, sample.data[: len(sample.data) // 3 if is_truncated else None]))
        if not is_truncated:
            yield f"archive_truth/{sample.stem}.xml", format_voc(sample.annotation)
    yield "archive.zip", make_zip((f"{_ARCHIVE_FOLDER}/{name}", data) for name, data in members)


def _archive_spans(count: int) -> dict[int, tuple[datetime, datetime]]:
    """Return the first and last frame of each deployment of the archive, by its number."""
    spans = {}
    for turn in range(min(count, _ARCHIVE_DEPLOYMENTS)):
        deployment, last = LABELLED_DEPLOYMENTS + turn, (count - 1 - turn) // _ARCHIVE_DEPLOYMENTS
        spans[_number(deployment)] = (_moment(deployment, 0), _moment(deployment, last))
    return spans


def _by_deployment(count: int, deployments: int) -> Iterator[int]:
    """Yield the indices of make_sample_image in the order of deployment and time, which is that of the names."""
    for turn in range(deployments):
        yield from range(turn, count, deployments)


def make_zip(members: Iterator[tuple[str, bytes]]) -> bytes:
    """Return a zip archive of (name, bytes) members, stored without compression, because JPEG does not shrink."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name, date_time=_ZIP_TIME), data)
    return buffer.getvalue()


def _name(deployment: int, frame: int) -> str:
    """Return a name like those of the cameras at Station M: station, deployment, tripod, time of exposure."""
    return f"StaM_{_number(deployment)}_NF_tripod_{_moment(deployment, frame):%Y%m%d_%H_%M_%S}.JPG"


def _number(deployment: int) -> int:
    number = _FIRST_DEPLOYMENT + deployment
    return number + (number >= _LEFT_OUT)


def _moment(deployment: int, frame: int) -> datetime:
    return _FIRST_FRAME + deployment * _BETWEEN_DEPLOYMENTS + timedelta(hours=frame)


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()
