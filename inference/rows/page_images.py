"""Finds some images of a run, such as those of the report, in its sources or where the user says they are now.

Begin with `page_images`.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from inference.image_sources import chunks, listing
from inference.rows.export_options import ExportOptions
from retinanet_odm.errors import UsageError
from retinanet_odm.imaging.images import EncodedImage, ImageRule
from retinanet_odm.reports.predictions_page import ImageReader, no_images

_logger = logging.getLogger(__name__)


def page_images(summary: Mapping[str, Any], options: ExportOptions) -> ImageReader:
    """Return a function that finds images for the report, in the options' sources or else in those of the run."""
    if options.images:
        return partial(find_images, options.images, below=options.below)
    sources = sources_of_run(summary)
    return partial(_find_available_images, sources, below=options.below) if sources else no_images


def sources_of_run(summary: Mapping[str, Any]) -> list[Sequence[str]]:
    """Return the values of --images of each call of score; empty for a summary that is older than these entries."""
    # Names of images depend on all values of one run, so those that --add has added are looked for on their own.
    runs = [source["images"] for source in summary.get("sources", ())]
    return [images for images in runs or [summary.get("options", {}).get("images", ())] if images]


def find_images(images: Sequence[str], names: Collection[str], *, below: str = "") -> Iterator[tuple[str, bytes]]:
    """Yield name and encoded bytes of upright images, in the order in which they lie in their sources.

    Args:
      images: values of --images.
      names: of the images; one that is missing or can no longer be read is skipped.
      below: folder that is missing in front of the names.

    Raises:
      UsageError: a source is missing or broken, or holds none of the images.
    """
    prefix = f"{below}/" if below else ""
    missing = {f"{prefix}{name}" for name in names}
    if not missing:
        return
    first = min(missing)
    for chunk in listing.list_chunks(listing.list_source_files(listing.resolve_sources(images))):
        # A few images of perhaps a million: only these are read, and the listing ends with the last of them.
        wanted = [position for position, name in enumerate(chunk.names) if name in missing]
        for name, image in chunks.read_images(chunks.select_images(chunk, wanted), ImageRule()) if wanted else ():
            missing.discard(name)
            if isinstance(image, EncodedImage):
                yield name.removeprefix(prefix), image.data
        if not missing:
            return
    if len(missing) == len(names):
        raise UsageError(f"--images: {first} is not in {', '.join(images)}: give the same values as to score")


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
