"""Crops: a copy of the pixels of each detection, to look at, sort, or train a classifier with.

The members of crops.zip:

  LABEL/FOLDER/NAME_N.jpg   the whole pixels that the box touches, of the upright image; N counts the detections of the
                            image by falling score, from 1. PNG if the image is no JPEG
  index.csv                 the columns of detections.csv with the member `crop` and where it comes from; an image
                            without detections, or that failed, has one line without a crop
"""

import hashlib
import io
import itertools
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence

from PIL import Image

from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.imaging.images import encode_image, normalise_image
from retinanet_odm.predictions.formats.csv_files import DETECTION_COLUMNS, detection_lines
from retinanet_odm.predictions.formats.encoding import CsvCell, Spool, csv_line, whole_box
from retinanet_odm.predictions.formats.zip_members import add_member, free_name, member_info
from retinanet_odm.predictions.publication import Publication, missing_image
from retinanet_odm.predictions.rows import PredictionRow, ScoringRun
from retinanet_odm.storage.file_names import safe_path

_NAME = "crops"
_SUFFIX = {"jpeg": ".jpg", "png": ".png"}
_ROWS_AT_A_TIME = 1_000  # whose images are read in the order in which they lie
_IN_MEMORY = 2**24  # bytes of index.csv; more lie in a temporary file


def to_crops(rows: Iterable[PredictionRow], run: ScoringRun, publication: Publication) -> Iterator[bytes]:
    """Yield crops.zip.

    Raises:
      UsageError: an image is not found, cannot be read any more, or has another size than when it was scored.
    """
    remaining, spool = iter(rows), Spool()
    with zipfile.ZipFile(spool, "w") as archive, tempfile.SpooledTemporaryFile(_IN_MEMORY) as index:
        index.write(csv_line(("crop", *DETECTION_COLUMNS, "image_sha256", "model_sha256", "audit")))
        while group := list(itertools.islice(remaining, _ROWS_AT_A_TIME)):
            wanted = {row.image: row for row in group if row.detections}
            made: dict[str, tuple[str, list[str]]] = {}
            for image, data in publication.files(wanted.keys()) if wanted else ():
                made[image] = hashlib.sha256(data).hexdigest(), _add_crops(archive, wanted[image], data)
                yield spool.take()
            for row in group:
                if row.detections and row.image not in made:
                    raise missing_image(row.image, _NAME)
                sha256, members = made.get(row.image, ("", []))
                index.writelines(map(csv_line, _lines(row, members, sha256, run, publication)))
        index.seek(0)
        with archive.open(member_info("index.csv"), "w", force_zip64=True) as member:
            shutil.copyfileobj(index, member)
        yield spool.take()
    yield spool.take()


def _add_crops(archive: zipfile.ZipFile, row: PredictionRow, data: bytes) -> list[str]:
    """Add the crops of an image, and return their names."""
    try:
        upright = normalise_image(data, name=row.image)
    except DataError as error:
        raise UsageError(f"--formats={_NAME}: {error.detail}") from error
    if (upright.width, upright.height) != (row.width, row.height):
        found, expected = f"{upright.width}×{upright.height}", f"{row.width}×{row.height}"
        raise UsageError(
            f"--formats={_NAME}: {row.image} has {found} pixels, but {expected} when it was scored: it is another image"
        )
    members = []
    with Image.open(io.BytesIO(upright.data)) as image:
        for number, item in enumerate(row.detections, start=1):
            x, y, width, height = whole_box(item, row)
            suffix = f"_{number}{_SUFFIX[upright.format]}"
            name = free_name(archive, row.image, f"{safe_path(item.label) or 'label'}/", suffix)
            add_member(archive, name, encode_image(image.crop((x, y, x + width, y + height)), upright.format))
            members.append(name)
    return members


def _lines(
    row: PredictionRow, members: Sequence[str], sha256: str, run: ScoringRun, publication: Publication
) -> Iterator[Sequence[CsvCell]]:
    """Yield the lines of an image in index.csv."""
    audit = publication.audit_status(row)
    for member, cells in zip(members or ("",), detection_lines(row, run), strict=True):
        yield member, *cells, sha256, run.model_hash, audit
