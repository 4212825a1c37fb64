"""Pairs files of one image by the <filename> in them, where their own names belong to no image.

Begin with `pair_by_filename`. It gets what retinanet_odm.sources.matching has left, in groups of equal `inside_key`.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from retinanet_odm.sources.listing import AnnotationFile, ImageFile
from retinanet_odm.sources.row_names import Key, fold, match_key, name_inside


def inside_key(file: AnnotationFile) -> Key | None:
    """Return the key of the <filename> in a file of one image; None without one, or if it is the key of the file."""
    inside = name_inside(file)
    key = match_key(inside) if inside else b""
    return key if key and key != match_key(file.uri) else None


def has_unique_name(images: Sequence[ImageFile]) -> list[bool]:
    """Return for each image of a group whether no other one of its export has its file name."""
    if len(images) == 1:
        return [True]
    # Together with the export, because files of two exports never belong together.
    names = [(image.export_uri, _file_name(image.name)) for image in images]
    times = Counter(names)
    return [times[name] == 1 for name in names]


def pair_by_filename(images: Sequence[ImageFile], annotations: Sequence[AnnotationFile]) -> dict[int, int]:
    """Return the position of the annotation of each paired image, by the image's position.

    An image is paired if exactly one of the files has its name as <filename>.

    Args:
      images: Those without annotation whose file names are unique, see `has_unique_name`.
      annotations: Files of one image that belong to no image by their own names.
    """
    named: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for row, file in enumerate(annotations):
        named[file.export_uri, _file_name(name_inside(file))].append(row)
    # Two files that name one image leave it unpaired: nothing tells which of them is right.
    candidates = (named[image.export_uri, _file_name(image.name)] for image in images)
    return {row: found[0] for row, found in enumerate(candidates) if len(found) == 1}


def _file_name(path: str) -> str:
    return fold(path).rpartition("/")[2]
