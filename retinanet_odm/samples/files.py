"""The sample data set: a small labelled collection and an archive of new photographs, as (path, bytes) pairs.

Nothing is downloaded and nothing is written: ``scripts/make_sample.py`` writes the pairs, tests use them as they are.
Equal arguments give equal bytes, and photograph n does not depend on how many there are.
"""

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
from retinanet_odm.samples.scenes import make_camera, make_scene
from retinanet_odm.samples.sprites import SPECIES

SAMPLE_LABELS = tuple(SPECIES)
SAMPLE_MARKER = "sample.json"  # says that a folder holds a sample, and which one

_JPEG_QUALITY = 88
_FRAMES_PER_DEPLOYMENT = 48
_FIRST_DEPLOYMENT = 6701
_FIRST_FRAME = datetime(2016, 11, 10, 14, 24, 12, tzinfo=UTC)
_BETWEEN_DEPLOYMENTS = timedelta(days=117, hours=3, minutes=41, seconds=29)
_ZIP_TIME = (2020, 1, 1, 0, 0, 0)  # archives record times; a fixed one keeps the bytes equal


@dataclass(frozen=True, kw_only=True)
class SampleImage:
    """One made photograph: its file name, JPEG bytes and true boxes."""

    name: str
    data: bytes
    annotation: ImageAnnotation

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem


def make_sample_image(index: int, *, seed: int = 0, first_deployment: int = 0) -> SampleImage:
    """Makes frame ``index`` of a time-lapse series; deployments follow each other every 48 frames."""
    deployment = first_deployment + index // _FRAMES_PER_DEPLOYMENT
    frame = index % _FRAMES_PER_DEPLOYMENT
    camera = make_camera(np.random.default_rng([seed, deployment]))
    image, objects = make_scene(np.random.default_rng([seed, deployment, frame + 1]), camera=camera)
    name = _name(deployment, frame)
    annotation = ImageAnnotation(
        filename=name, width=image.width, height=image.height, objects=objects, source=f"{name} (made)"
    )
    return SampleImage(name=name, data=_jpeg(image), annotation=annotation)


def sample_files(*, images: int = 240, archive_images: int = 24, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yields the files of a sample data set as (relative path, bytes), the mark first.

    ``images/*.JPG`` with ``annotations/*.xml`` (Pascal VOC) and ``cvat/annotations.xml`` (the same boxes);
    ``archive.zip`` with new photographs, the last of them cut short, and ``archive_truth/*.xml`` with their boxes.

    Raises:
      UsageError: a number is negative, or there would be no labelled photograph.
    """
    if images < 1 or archive_images < 0 or seed < 0:
        raise UsageError(
            "sample: expected images of 1 or more, archive_images and seed of 0 or more;"
            f" found {images}, {archive_images} and {seed}"
        )
    options = {"sample": "retinanet-odm", "images": images, "archive_images": archive_images, "seed": seed}
    yield SAMPLE_MARKER, json.dumps(options, indent=2).encode() + b"\n"
    yield from _labelled(images, seed)
    if archive_images:
        # New photographs come from later deployments than the labelled ones, as they do in life.
        yield from _archive(archive_images, seed, first_deployment=-(-images // _FRAMES_PER_DEPLOYMENT))


def _labelled(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    annotations = []
    for index in range(count):
        photograph = make_sample_image(index, seed=seed)
        annotations.append(photograph.annotation)
        yield f"images/{photograph.name}", photograph.data
        yield f"annotations/{photograph.stem}.xml", format_voc(photograph.annotation)
    yield "cvat/annotations.xml", format_cvat(annotations, labels=SAMPLE_LABELS, task="StaM sample")


def _archive(count: int, seed: int, *, first_deployment: int) -> Iterator[tuple[str, bytes]]:
    members = []
    for index in range(count):
        photograph = make_sample_image(index, seed=seed, first_deployment=first_deployment)
        spoilt = index == count - 1 and count > 1  # a transfer that broke off: scoring must survive it
        members.append((photograph.name, photograph.data[: len(photograph.data) // 3 if spoilt else None]))
        if not spoilt:
            yield f"archive_truth/{photograph.stem}.xml", format_voc(photograph.annotation)
    yield "archive.zip", make_zip((f"new_deployment/{name}", data) for name, data in members)


def make_zip(members: Iterator[tuple[str, bytes]]) -> bytes:
    """A zip archive of (name, bytes) members, stored uncompressed: JPEG does not shrink."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name, date_time=_ZIP_TIME), data)
    return buffer.getvalue()


def _name(deployment: int, frame: int) -> str:
    """A name as the cameras at Station M give it: station, deployment, far-field tripod, time of exposure."""
    moment = _FIRST_FRAME + deployment * _BETWEEN_DEPLOYMENTS + timedelta(hours=frame)
    return f"StaM_{_FIRST_DEPLOYMENT + deployment}_NF_tripod_{moment:%Y%m%d_%H_%M_%S}.JPG"


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()
