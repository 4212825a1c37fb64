r"""The file names of exported images. Begin with `plan_names`.

An image keeps its name, sub-folders included, except for what the format or a file system cannot hold:

- In both formats: control characters, bytes that are not UTF-8, ``..``; and names that differ only in upper and lower
  case, or only in the form of their Unicode, which are one file on Windows and macOS.
- In YOLO: Ultralytics lists images by their suffix, so others than .jpg, .jpeg and .png get one; it looks for the text
  of ``images/a.jpg`` as ``labels/a.txt``, so no folder may be called ``images``, and a.jpg and a.png get two stems.
"""

import itertools
import posixpath
from collections.abc import Iterable, Iterator

from beam_jobs.export.options import YOLO
from retinanet_odm.annotations.class_names import is_class_name_file
from retinanet_odm.dataset.source_ids import IdRow
from retinanet_odm.storage.file_names import has_image_suffix, safe_path
from retinanet_odm.systems import folded_name, writable_name

_LISTED = (".jpg", ".jpeg", ".png")  # that Ultralytics lists, of the formats of records
_SUFFIXES = {"jpeg": ".jpg", "png": ".png"}  # by the format of a record


def plan_names(rows: Iterable[IdRow], form: str) -> dict[int, str]:
    """Return the names by source id; those of YOLO may lack their suffix, see `complete_name`.

    Args:
      rows: the written images of a data set, in the order of their ids: of two that claim one name, the first has it.
      form: COCO or YOLO.

    Example:
      >>> rows = [IdRow(source_id=number, image=name, split="val", status="written")
      ...         for number, name in enumerate(["a.jpg", "A.JPG", "x/images/b.tif"], start=1)]
      >>> plan_names(rows, YOLO)
      {1: 'a.jpg', 2: 'A_2.JPG', 3: 'x/images_/b_tif'}
    """
    taken: set[str] = set()
    names: dict[int, str] = {}
    for row in rows:
        stem, suffix = _split_name(writable_name(safe_path(row.image) or "image"), form)
        stem = next(free for free in _stems(stem, row.source_id) if _key(free, suffix, form) not in taken)
        taken.add(_key(stem, suffix, form))
        names[row.source_id] = stem + suffix
    return names


def complete_name(name: str, image_format: str, form: str) -> str:
    """Return the name of an image whose record has this format.

    Example:
      >>> complete_name("b_tif", "png", YOLO), complete_name("a.JPG", "jpeg", YOLO)
      ('b_tif.png', 'a.JPG')
    """
    return name + _SUFFIXES[image_format] if form == YOLO and not name.lower().endswith(_LISTED) else name


def label_path(name: str) -> str:
    """Return the path of the text of an image below labels/SPLIT.

    Example:
      >>> label_path("dive.1/a.b.jpg")
      'dive.1/a.b.txt'
    """
    return f"{posixpath.splitext(name)[0]}.txt"


def _split_name(name: str, form: str) -> tuple[str, str]:
    """Return stem and suffix; without a suffix if it is to be added later."""
    if form != YOLO:
        return posixpath.splitext(name)
    *folders, base = name.split("/")
    folders = [f"{folder}_" if folder == "images" else folder for folder in folders]
    stem, suffix = posixpath.splitext(base) if base.lower().endswith(_LISTED) else (base, "")
    # The text of a.tif.png would be that of a.tif; and the suffix of a.jpg#2 is none.
    while has_image_suffix(stem.partition("#")[0]):
        stem = "_".join(stem.rsplit(".", 1))
    if is_class_name_file(f"{stem}.txt"):  # as the text of classes.jpg would be
        stem += "_"
    return posixpath.join(*folders, stem), suffix


def _stems(stem: str, source_id: int) -> Iterator[str]:
    """Yield the stem, then others: an image may already have the name of the first of them."""
    yield stem
    yield from (f"{stem}{'_' * count}{source_id}" for count in itertools.count(1))


def _key(stem: str, suffix: str, form: str) -> str:
    """Return what no two images may have in common: the path of the text in YOLO, else that of the image."""
    return folded_name(stem if form == YOLO else stem + suffix)
