"""The photographs of a finished run, found again by their names: the page of a run shows a few of them."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from detection.errors import DataError, UsageError
from detection.formats.report import Photographs, no_photographs
from detection.images import EncodedImage, ImageRule
from inference import chunks, sources
from inference.ahead import THREADS
from inference.chunks import Chunk
from inference.export_options import ExportOptions

logger = logging.getLogger(__name__)


def photographs_of(summary: Mapping[str, Any], options: ExportOptions) -> Photographs:
    """Where the photographs of a run are: where the options say, or where the run had them from.

    Raises:
      UsageError: the options say, but there is nothing.
    """
    if options.images:
        return partial(find_photographs, options.images, below=options.below)
    given = summary.get("options", {}).get("images", ())
    return partial(_find_if_there, given, below=options.below) if given else no_photographs


def find_photographs(images: Sequence[str], names: Collection[str], *, below: str = "") -> Iterator[tuple[str, bytes]]:
    """Names and upright encoded bytes of images, in the order in which they lie in their sources.

    Args:
      images: values of --images.
      names: which images are wanted; one that is not found, or can no longer be read, is left out.
      below: the folder that was left off the names.

    Raises:
      UsageError: a source is missing or broken, or none of the names is in them.
    """
    prefix = f"{below}/" if below else ""
    missing = {f"{prefix}{name}" for name in names}
    if not missing:
        return
    first = min(missing)
    for chunk in sources.plan(sources.resolve(images)):
        for name, image in _read(chunk, missing):
            missing.discard(name)
            if isinstance(image, EncodedImage):
                yield name.removeprefix(prefix), image.data
        if not missing:
            return
    if len(missing) == len(names):
        raise UsageError(f"--images: {first} is not in {', '.join(images)}: give the same values as to score")


def _find_if_there(images: Sequence[str], names: Collection[str], *, below: str) -> Iterator[tuple[str, bytes]]:
    """A run is not lost for a page without pictures."""
    try:
        yield from find_photographs(images, names, below=below)
    except UsageError as error:
        logger.warning("the report has no photographs: %s", error)


def _read(chunk: Chunk, wanted: Set[str]) -> Iterator[tuple[str, EncodedImage | DataError]]:
    """The wanted images of a chunk, upright, or why one cannot be read."""
    places = [place for place, name in enumerate(chunk.names) if name in wanted]
    if places:
        with ThreadPoolExecutor(THREADS) as pool:
            yield from chunks.read_upright(chunks.take(chunk, places), ImageRule(), pool)
