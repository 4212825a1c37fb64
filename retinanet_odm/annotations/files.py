"""Opens stored annotation files; the rest of this room takes bytes.

Begin with `read`, for programs and notebooks. Jobs list files as rows first: see retinanet_odm.sources.listing.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

from retinanet_odm.annotations.class_names import is_class_name_file
from retinanet_odm.annotations.reader import ReadingRules, read_annotations
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.annotations.yolo_names import find_class_names
from retinanet_odm.annotations.zip_names import ZIPPED_KINDS, choose_annotations
from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.storage import files
from retinanet_odm.storage.zip_files import ZipMember, is_zip_file, list_zip_members, open_zip_member
from retinanet_odm.systems import with_slashes

_CALLER = "annotations.read"  # for messages, in place of a flag


def read(
    file: str | os.PathLike[str], *, min_score: float | None = None, class_names: str | os.PathLike[str] | None = None
) -> list[ImageAnnotation]:
    """Return the annotation of every image in a file, of any format that `prepare` reads; the content decides which.

    Boxes are (ymin, xmin, ymax, xmax) with continuous 0-based edges, in pixels of the image, or in fractions of its
    sides where `ImageAnnotation.is_relative`. Labels are as the file has them.

    Args:
      file: Local or gs://. Of a zip file, every .xml and .json file in it is read, and YOLO (see `zip_names`).
      min_score: Minimum score of predictions (MegaDetector, VIAME, YOLO with confidence, Label Studio) that are
        accepted as annotations; None accepts none.
      class_names: The file with the names of YOLO's classes; by default one that lies beside the file or above it.

    Raises:
      DataError: The file, or one in the zip file, cannot be read; `reason` is the code that `prepare` reports. A fault
        of one object is listed in `ImageAnnotation.unreadable` instead.
      UsageError: The zip file is damaged, or holds no annotation file.

    Example:
      >>> import pathlib, tempfile
      >>> text = '{"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "crab"}],'
      >>> text += '"annotations": [{"image_id": 1, "category_id": 1, "bbox": [2, 1, 10, 20]}]}'
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "coco.json")
      ...     _ = path.write_text(text)
      ...     (image,) = read(path)
      >>> image.filename, image.objects[0].label, image.objects[0].box
      ('a.jpg', 'crab', (1.0, 2.0, 21.0, 12.0))
    """
    path, named = with_slashes(os.fspath(file)), with_slashes(os.fspath(class_names or ""))
    found: list[ImageAnnotation] = []
    for uri, member in _list(path):
        rules = annotation_rules(uri, member, min_score=min_score, class_names=named)
        try:
            with open_annotation(uri, member) as stream:
                found += read_annotations(stream, source=uri, rules=rules)
        except DataError as error:
            raise DataError(error.reason, describe_fault(error, uri), error.line) from error
    return found


def _list(path: str) -> Iterator[tuple[str, ZipMember | None]]:
    """Yield the URI of a file, or those of the annotation files in a zip file."""
    if not is_zip_file(path):
        yield path, None
        return
    members = list_zip_members(path, choose_annotations, flag=_CALLER)
    if not members:
        raise UsageError(f"{_CALLER}: {path}: expected files in it ({ZIPPED_KINDS}), found none")
    yield from ((f"{path}/{member.name}", member) for member in members if not is_class_name_file(member.name))


def open_annotation(uri: str, member: ZipMember | None) -> AbstractContextManager[BinaryIO]:
    """Open an annotation file, or one in a zip file, for reading.

    Args:
      uri: The file; for a member, the path of the zip file followed by the member's name.
      member: Its place in the zip file; None for a loose file.

    Raises:
      DataError: On entering the context: it cannot be read.
    """
    return files.open_binary(uri) if member is None else open_zip_member(zip_path_of(uri, member), member)


def zip_path_of(uri: str, member: ZipMember) -> str:
    """Return the path of the zip file that holds a member."""
    return uri.removesuffix(f"/{member.name}")


def describe_fault(error: DataError, uri: str) -> str:
    """Return what is wrong with a file, in one sentence that names it."""
    # Most messages name the file already.
    return error.detail if uri in error.detail else f"{uri}: {error.detail}"


def annotation_rules(uri: str, member: ZipMember | None, *, min_score: float | None, class_names: str) -> ReadingRules:
    """Return how a stored file is read: the names of YOLO's classes lie beside it, unless the user has named a file."""
    zip_path = zip_path_of(uri, member) if member else ""
    return ReadingRules(min_score=min_score, class_names=lambda: find_class_names(uri, class_names, zip_path))
