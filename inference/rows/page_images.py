"""Finds images of a run, such as those of the report, in its sources or where the user says they are now.

Begin with `page_images`; `image_files` finds the files as they are, for formats that publish them.
"""

import contextlib
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from inference.image_sources import chunks, listing
from inference.image_sources.chunks import Chunk
from inference.rows.export_options import ExportOptions
from retinanet_odm.errors import UsageError
from retinanet_odm.imaging.images import EncodedImage, ImageRule
from retinanet_odm.predictions.publication import FileReader
from retinanet_odm.reports.predictions_page import ImageReader, no_images

_logger = logging.getLogger(__name__)


def page_images(summary: Mapping[str, Any], options: ExportOptions) -> ImageReader:
    """Return a function that finds images for the report, in the options' sources or else in those of the run."""
    if options.images:
        return partial(find_images, options.images, below=options.below)
    sources = sources_of_run(summary)
    return partial(_find_available_images, sources, below=options.below) if sources else no_images


def image_files(summary: Mapping[str, Any], options: ExportOptions) -> FileReader:
    """Return a function that finds the files of images, in the options' sources or else in those of the run."""
    sources = [options.images] if options.images else sources_of_run(summary)
    return partial(find_in_sources, sources, below=options.below, upright=False)


def sources_of_run(summary: Mapping[str, Any]) -> list[Sequence[str]]:
    """Return the values of --images of each call of score; empty for a summary that is older than these entries."""
    # Names of images depend on all values of one run, so those that --add has added are looked for on their own.
    runs = [source["images"] for source in summary.get("sources", ())]
    return [images for images in runs or [summary.get("options", {}).get("images", ())] if images]


def find_in_sources(
    sources: Sequence[Sequence[str]], names: Collection[str], *, below: str = "", upright: bool = True
) -> Iterator[tuple[str, bytes]]:
    """Yield what find_images finds in each of several sources; which images are missing is for the caller to see.

    Raises:
      UsageError: the only source is missing or broken, or holds none of the images.
    """
    missing = set(names)
    for images in sources:
        # Of several, one may hold none of them.
        with contextlib.suppress(UsageError) if len(sources) > 1 else contextlib.nullcontext():
            for name, data in find_images(images, frozenset(missing), below=below, upright=upright):
                missing.discard(name)
                yield name, data


def find_images(
    images: Sequence[str], names: Collection[str], *, below: str = "", upright: bool = True
) -> Iterator[tuple[str, bytes]]:
    """Yield name and encoded bytes of images, in the order in which they lie in their sources.

    Args:
      images: values of --images.
      names: of the images; one that is missing or can no longer be read is skipped.
      below: folder that is missing in front of the names.
      upright: yield the images checked and upright; otherwise the bytes of their files, also of damaged ones.

    Raises:
      UsageError: a source is missing or broken, or holds none of the images.
    """
    prefix = f"{below}/" if below else ""
    missing = {f"{prefix}{name}" for name in names}
    if not missing:
        return
    first, read = min(missing), _upright if upright else _as_they_are
    for chunk in listing.list_chunks(listing.list_source_files(listing.resolve_sources(images))):
        # A few images of perhaps a million: only these are read, and the listing ends with the last of them.
        wanted = [position for position, name in enumerate(chunk.names) if name in missing]
        for name, data in read(chunks.select_images(chunk, wanted)) if wanted else ():
            missing.discard(name)
            if data is not None:
                yield name.removeprefix(prefix), data
        if not missing:
            return
    if len(missing) == len(names):
        raise UsageError(f"--images: {first} is not in {', '.join(images)}: give the same values as to score")


def _upright(chunk: Chunk) -> Iterator[tuple[str, bytes | None]]:
    for name, image in chunks.read_images(chunk, ImageRule()):
        yield name, image.data if isinstance(image, EncodedImage) else None


def _as_they_are(chunk: Chunk) -> Iterator[tuple[str, bytes | None]]:
    for name, data in chunks.read_chunk(chunk):
        yield name, data if isinstance(data, bytes) else None


def _find_available_images(
    sources: Sequence[Sequence[str]], names: Collection[str], *, below: str
) -> Iterator[tuple[str, bytes]]:
    """Find images as find_images does, but missing sources are no reason to fail: the page is complete without."""
    missing, why = set(names), []
    for images in sources:
        try:
            for name, data in find_images(images, frozenset(missing), below=below):
                missing.discard(name)
                yield name, data
        except UsageError as error:
            why.append(error)
    if why and len(missing) == len(names):
        _logger.warning("The report shows no images: %s", why[0])
