"""What zip and tar archives have in common: their error, and which names of members count."""

from pathlib import PurePosixPath

from retinanet_odm.errors import DataError


class ArchiveError(DataError):
    """One member of an archive cannot be read."""


IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")


def looks_like_image(name: str) -> bool:
    """Whether a path, below the folder or archive it was found in, is that of an image by its name."""
    return has_image_suffix(name) and not is_hidden(name)


def has_image_suffix(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_hidden(name: str) -> bool:
    """Whether a path is of a hidden file, lies in a hidden folder, or is one of macOS's ``__MACOSX/`` shadows."""
    parts = PurePosixPath(name).parts
    return any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in parts)
