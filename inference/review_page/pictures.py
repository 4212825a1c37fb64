"""Images for the screen: upright, of a size that was asked for, read from where they lie. Begin with `Pictures`.

An image is found by its name in a row, and only images that the sources list can be read: no path comes from the page.
"""

import io
import os
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image

from inference.image_sources import chunks, listing
from inference.image_sources.chunks import Chunk
from retinanet_odm.errors import DataError, ImageError, UsageError
from retinanet_odm.imaging.images import EncodedImage, ImageRule, encode_image

THUMBNAIL = "thumbnail"
# Names of sizes, and the pixels of their longer side; None for the image's own.
SIZES: Mapping[str, int | None] = {THUMBNAIL: 240, "screen": 1600, "large": 3200, "full": None}
# What stays in memory: thumbnails of 10 to 20 kB, other images of up to some MB.
_KEPT_THUMBNAILS, _KEPT_IMAGES = 4096, 32


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Encoded bytes of an image, and their media type."""

    data: bytes
    media_type: str


class Pictures:
    """Reads images of a run by name. Threads may share it; a bounded number of images is decoded at a time and kept."""

    def __init__(self, places: Mapping[str, tuple[Chunk, int]]) -> None:
        """Read the images of places, as `locate_images` returns them."""
        self._places = places
        self._turns = threading.BoundedSemaphore(os.cpu_count() or 1)
        self._thumbnail = lru_cache(_KEPT_THUMBNAILS)(self._read)
        self._image = lru_cache(_KEPT_IMAGES)(self._read)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def picture(self, name: str, size: str) -> Picture:
        """Return an image.

        Args:
          name: of the image, as in its row.
          size: one of SIZES.

        Raises:
          DataError: it is not where it was, or cannot be read.
          UsageError: the storage does not answer.
        """
        found = self._thumbnail(name, size) if size == THUMBNAIL else self._image(name, size)
        if isinstance(found, DataError):
            raise DataError(found.reason, found.detail)
        return found

    def _read(self, name: str, size: str) -> Picture | DataError:
        """Return an image, or the error, which is kept as well: a damaged image would be decoded again and again."""
        if name not in self._places:
            return ImageError("image_not_found", f"{name}: not found in --images")
        chunk, position = self._places[name]
        with self._turns:
            ((_, image),) = chunks.read_images(chunks.select_images(chunk, [position]), ImageRule(max_side=SIZES[size]))
        if isinstance(image, DataError):
            return image
        return _as_jpeg(image) if size == THUMBNAIL else _as_picture(image)


def _as_picture(image: EncodedImage) -> Picture:
    return Picture(data=image.data, media_type=f"image/{image.format}")


def _as_jpeg(image: EncodedImage) -> Picture:
    """Return an image as JPEG: a PNG of a photograph takes ten times the bytes."""
    if image.format == "jpeg":
        return _as_picture(image)
    with Image.open(io.BytesIO(image.data)) as opened:
        return Picture(data=encode_image(opened.convert("RGB"), "jpeg"), media_type="image/jpeg")


def locate_images(sources: Sequence[Sequence[str]], names: Collection[str]) -> dict[str, tuple[Chunk, int]]:
    """Return where images lie, by name: a chunk of their source, and their position in it.

    Args:
      sources: values of --images, those of each call of score by themselves.
      names: of the images; those that are not found are missing in the result.

    Raises:
      UsageError: no image is found.
    """
    wanted, places, why = frozenset(names), dict[str, tuple[Chunk, int]](), list[UsageError]()
    for values in sources:
        # Of several, one may be elsewhere by now; that none of the images is found is told below.
        try:
            for chunk in listing.list_chunks(listing.list_source_files(listing.resolve_sources(values))):
                found = ((name, position) for position, name in enumerate(chunk.names) if name in wanted)
                places.update({name: (chunk, position) for name, position in found})
        except UsageError as error:
            why.append(error)
    if not places:
        given = ", ".join(value for values in sources for value in values)
        reason = str(why[0]) if why else f"--images: {min(wanted)} is not in {given or 'the sources of the run'}"
        raise UsageError(f"{reason}: say by --images where the images are now, with the values that score had")
    return places
