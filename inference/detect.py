"""A few images, at once and without Beam: a table, and copies with the boxes drawn."""

import io
import logging
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from inference.image_sources import listing
from inference.model.loading import find_model, load_scorer
from inference.model.third_party import find_signature_map
from inference.model.thresholds import resolve_threshold_flag
from inference.options import DetectOptions
from inference.rows.rows import failed_row, make_row
from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.imaging.drawing import draw_boxes
from retinanet_odm.imaging.images import EncodedImage, normalise_image
from retinanet_odm.predictions.drawing import drawn_detection
from retinanet_odm.predictions.rows import MIN_SHOWN_SCORE, OK, PredictionRow
from retinanet_odm.storage import files

_logger = logging.getLogger(__name__)

_SUFFIXES = {"jpeg": (".jpg", ".jpeg"), "png": (".png",)}


@dataclass(frozen=True, kw_only=True)
class Detected:
    """One image's row, and the upright image that its boxes belong to; None when it could not be read."""

    row: PredictionRow
    picture: EncodedImage | None


def detect(options: DetectOptions) -> list[PredictionRow]:
    """Runs the model on each image, and draws copies where asked.

    Returns:
      A row for each image, named as it was given; one that is given twice counts once.

    Raises:
      UsageError: an image does not exist, the model folder is not a whole export, or the folder for the copies holds
        an input.
    """
    given = list(dict.fromkeys(options.images))
    for name in given:
        if not files.is_file(name):
            raise UsageError(f"detect: there is no image file {name}")
    if options.draw is not None:
        _check_draw_folder(options.draw, given)
    found = list(_detect_all(options, given))
    if options.draw is not None:
        _draw_all(options.draw, found)
    return [item.row for item in found]


def format_detections(rows: Sequence[PredictionRow]) -> str:
    """Aligned columns: image, label, score, box; an image without detections has a line too."""
    lines = [("image", "label", "score", "box: xmin ymin xmax ymax (pixels)")]
    for row in rows:
        if row.status != OK:
            lines.append((row.image, "failed", "", str(row.reason)))
        elif not row.detections:
            lines.append((row.image, "no detections", "", ""))
        for item in row.detections:
            box = " ".join(f"{edge:7.1f}" for edge in item.box)
            lines.append((row.image, item.label, f"{item.score:.3f}", box))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)


def _detect_all(options: DetectOptions, given: Sequence[str]) -> Iterator[Detected]:
    signature_map = find_signature_map(options.asking)
    manifest = find_model(options.model, signature_map)
    least = max(MIN_SHOWN_SCORE, manifest.score_threshold)
    thresholds = resolve_threshold_flag(least if options.threshold is None else options.threshold, manifest)
    asking = options.asking.fitted(manifest.image_size)
    scorer = load_scorer(
        options.model,
        model_hash=manifest.model_hash,
        options=asking,
        nms_iou=manifest.nms_iou,
        signature_map=signature_map,
    )
    labels = manifest.labels.name_by_id
    for names in listing.groups(given, asking.most_images):
        loaded = {name: _load(name) for name in names}
        pictures = {name: item for name, item in loaded.items() if isinstance(item, EncodedImage)}
        answers, _ = scorer.score(list(pictures.values()))
        outcomes = dict(zip(pictures, answers, strict=True))
        for name, item in loaded.items():
            if isinstance(item, DataError):
                yield Detected(row=failed_row(name, item), picture=None)
            else:
                row = make_row(name, outcomes[name], labels=labels, thresholds=thresholds)
                yield Detected(row=row, picture=item)


def _load(name: str) -> EncodedImage | DataError:
    try:
        return normalise_image(files.read_bytes(name), name=name)
    except DataError as error:
        return error


def _check_draw_folder(folder: str, given: Sequence[str]) -> None:
    """Copies never lie beside originals: nobody's photograph is changed or buried among copies."""
    real = listing.real_path(folder)
    for name in given:
        if listing.real_path(name).startswith(real + "/"):
            raise UsageError(f"--draw: {folder} holds the image {name}: choose another folder for the copies")
    if files.is_file(folder):
        raise UsageError(f"--draw: {folder} is a file; expected a folder")


def _draw_all(folder: str, found: Sequence[Detected]) -> None:
    """Writes a copy of every image that could be read, under its name below the folder common to all."""
    paths = [listing.absolute(item.row.image) for item in found]
    base = listing.common_folder([posixpath.dirname(path) for path in paths])
    for item, path in zip(found, paths, strict=True):
        if item.picture is not None:
            name = files.name_below(base, path)
            # A suffix that is not the copy's own format stays, so that a.jpg and a.tif have two copies.
            suffix = "" if name.lower().endswith(_SUFFIXES[item.picture.format]) else _SUFFIXES[item.picture.format][0]
            _draw(files.join(folder, name + suffix), item.row, item.picture)
    _logger.info("images with their boxes: %s", folder)


def _draw(path: str, row: PredictionRow, picture: EncodedImage) -> None:
    boxes = list(map(drawn_detection, row.detections))
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(picture.data)) as image:
        draw_boxes(image, boxes).save(buffer, picture.format, quality=95)
    files.make_folder(posixpath.dirname(path))
    with files.write_atomic(path) as file:
        file.write(buffer.getvalue())
