"""`detect`: a few images at once, without Beam: a table of detections, and copies with the boxes drawn."""

import io
import itertools
import logging
import posixpath
from collections.abc import Iterable, Iterator, Sequence

from PIL import Image

from inference.detector import ScoredImage, open_detector
from inference.options import DetectOptions
from retinanet_odm.errors import UsageError
from retinanet_odm.predictions.formats.encoding import one_line
from retinanet_odm.predictions.rows import OK, PredictionRow
from retinanet_odm.predictions.unlike_training import NoveltySummary
from retinanet_odm.sources.inputs import folders_as_patterns
from retinanet_odm.storage import files
from retinanet_odm.storage.file_names import absolute, common_folder, is_below, looks_like_image, name_below, root_of
from retinanet_odm.storage.no_match import explain_no_match
from retinanet_odm.systems import folded_name, writable_name

_logger = logging.getLogger(__name__)

_SUFFIXES = {"jpeg": (".jpg", ".jpeg"), "png": (".png",)}
_JPEG_QUALITY = 95


def detect(options: DetectOptions) -> list[PredictionRow]:
    """Run the model on each image, and draw copies if requested.

    Returns:
      A row for each image, named by its path; an image that is given twice counts once.

    Raises:
      UsageError: an image does not exist, the export is incomplete, or the folder for the copies contains an input.
    """
    # Everything is checked before the model is loaded, which takes seconds.
    names = list_image_paths(options.images)
    if options.draw is not None:
        _check_draw_folder(options.draw, names)
    detector = open_detector(options.model, options.min_score, options.model_options)
    _logger.info("shown from a score of %s", detector.thresholds.describe())
    scored = detector.stream(names)
    if options.draw is not None:
        scored = _draw_copies(options.draw, names, scored)
    # Only the rows are kept: a folder may hold more images than fit into memory.
    rows = [item.row for item in scored]
    if options.draw is not None:
        _logger.info("images with their boxes: %s", options.draw)
    novelty = NoveltySummary()
    for row in rows:
        novelty.add(row)
    if novelty.is_alarming:
        _logger.warning("warning: %s", novelty.describe())
    return rows


def list_image_paths(values: Sequence[str]) -> list[str]:
    """Return the paths of the images that files, folders and patterns name, each once.

    Raises:
      UsageError: a value names none.
    """
    names: dict[str, None] = {}
    for value in values:
        if files.is_file(value):
            found = [value]
        else:
            (pattern,) = folders_as_patterns([value])
            root = root_of(pattern)
            found = [path for path in files.iter_matches(pattern) if looks_like_image(name_below(root, path))]
        if not found:
            raise UsageError(f"detect: there is no image {value}{explain_no_match(value, values)}")
        names.update(dict.fromkeys(found))
    return list(names)


def format_detections(rows: Sequence[PredictionRow]) -> str:
    """Return aligned columns: image, label, score, box; an image without detections has a line too."""
    lines: list[tuple[str, ...]] = [("image", "label", "score", "box: xmin ymin xmax ymax (pixels)")]
    for row in rows:
        if row.status != OK:
            lines.append((row.image, "failed", "", str(row.reason)))
        elif not row.detections:
            lines.append((row.image, "no detections", "", ""))
        for item in row.detections:
            box = " ".join(f"{edge:7.1f}" for edge in item.box)
            lines.append((row.image, item.label, f"{item.score:.3f}", box))
    lines = [tuple(map(one_line, line)) for line in lines]
    # Of all rows, the header included, so that the columns line up.
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)


def _check_draw_folder(folder: str, names: Sequence[str]) -> None:
    """Refuse a folder that contains an input: copies must neither replace originals nor be mixed with them."""
    for name in names:
        if is_below(name, folder):
            raise UsageError(f"--draw: {folder} contains the image {name}: choose another folder for the copies")
    if files.is_file(folder):
        raise UsageError(f"--draw: {folder} is a file; expected a folder")


def _draw_copies(folder: str, names: Sequence[str], scored: Iterable[ScoredImage]) -> Iterator[ScoredImage]:
    """Yield the images again, and write a copy of each that could be read.

    Args:
      folder: of the copies, which have their names below the deepest folder of all images.
      names: of all images, in their order.
      scored: the images.
    """
    # Absolute, because two images may be given relative to different folders.
    paths = [absolute(name) for name in names]
    base = common_folder([posixpath.dirname(path) for path in paths])
    taken: set[str] = set()
    for item, path in zip(scored, paths, strict=True):
        if item.image is not None:
            name = free_copy_name(name_below(base, path), item.image.format, taken)
            _write_copy(files.join(folder, name), item.draw(), item.image.format)
        yield item


def free_copy_name(name: str, image_format: str, taken: set[str]) -> str:
    """Return the name of an image's copy, and add it to the folded names that are taken.

    Names that differ only in case are one file on Windows and macOS: the second gets a number.

    Example:
      >>> taken = set()
      >>> [free_copy_name(name, "jpeg", taken) for name in ("a.jpg", "A.JPG", "a.tif")]
      ['a.jpg', 'A#2.JPG', 'a.tif.jpg']
    """
    name, suffixes = writable_name(name), _SUFFIXES[image_format]
    # A suffix of another format stays, so that a.jpg and a.tif have two copies.
    stem, suffix = posixpath.splitext(name) if name.lower().endswith(suffixes) else (name, suffixes[0])
    names = itertools.chain([stem + suffix], (f"{stem}#{number}{suffix}" for number in itertools.count(2)))
    free = next(name for name in names if folded_name(name) not in taken)
    taken.add(folded_name(free))
    return free


def _write_copy(path: str, drawn: Image.Image, image_format: str) -> None:
    buffer = io.BytesIO()
    drawn.save(buffer, image_format, quality=_JPEG_QUALITY)
    files.make_folder(posixpath.dirname(path))
    with files.write_atomic(path) as file:
        file.write(buffer.getvalue())
