"""Opens stored annotation files; the rest of this room takes bytes.

Begin with `read`, for programs and notebooks. Jobs list files as rows first: see retinanet_odm.sources.listing.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

from retinanet_odm.annotations.reader import ReadingRules, read_annotations
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.annotations.yolo_names import find_class_names
from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.storage import files
from retinanet_odm.storage.file_names import is_hidden
from retinanet_odm.storage.zip_files import ZipMember, is_zip_file, list_zip_members, open_zip_member
from retinanet_odm.systems import with_slashes

ANNOTATION_SUFFIXES = (".xml", ".json")  # of members of a zip file
_CALLER = "annotations.read"  # for messages, in place of a flag


def read(
    file: str | os.PathLike[str], *, min_score: float | None = None, class_names: str | os.PathLike[str] | None = None
) -> list[ImageAnnotation]:
    """Return the annotation of every image in a file, of any format that `prepare` reads; the content decides which.

    Boxes are (ymin, xmin, ymax, xmax) with continuous 0-based edges, in pixels of the image, or in fractions of its
    sides where `ImageAnnotation.is_relative`. Labels are as the file has them.

    Args:
      file: Local or gs://. Of a zip file, every .xml and .json file in it is read.
      min_score: Minimum score of predictions (MegaDetector, VIAME, YOLO with confidence, Label Studio) that are
        accepted as annotations; None accepts none.
      class_names: The file with the names of YOLO's classes; by default one that lies beside the file.

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
    for uri, opened in _opened(path):
        rules = annotation_rules(uri, min_score=min_score, class_names=named)
        try:
            with opened as stream:
                found += read_annotations(stream, source=uri, rules=rules)
        except DataError as error:
            raise DataError(error.reason, describe_fault(error, uri), error.line) from error
    return found


def _opened(path: str) -> Iterator[tuple[str, AbstractContextManager[BinaryIO]]]:
    """Yield a file, or the annotation files in a zip file, each with its URI."""
    if not is_zip_file(path):
        yield path, open_annotation(path)
        return
    members = list_zip_members(path, is_annotation_name, flag=_CALLER)
    if not members:
        raise UsageError(f"{_CALLER}: {path}: expected {' or '.join(ANNOTATION_SUFFIXES)} files in it, found none")
    for member in members:
        yield f"{path}/{member.name}", open_annotation(path, member)


def open_annotation(path: str, member: ZipMember | None = None) -> AbstractContextManager[BinaryIO]:
    """Open an annotation file, or one in a zip file, for reading.

    Raises:
      DataError: On entering the context: it cannot be read.
    """
    return files.open_binary(path) if member is None else open_zip_member(path, member)


def describe_fault(error: DataError, uri: str) -> str:
    """Return what is wrong with a file, in one sentence that names it."""
    # Most messages name the file already.
    return error.detail if uri in error.detail else f"{uri}: {error.detail}"


def annotation_rules(uri: str, *, min_score: float | None, class_names: str) -> ReadingRules:
    """Return how a stored file is read: the names of YOLO's classes lie beside it, unless the user has named a file."""
    return ReadingRules(min_score=min_score, class_names=lambda: find_class_names(uri, class_names))


def is_annotation_name(name: str) -> bool:
    """Return whether a member of a zip file may be an annotation file, judged by its name; its content decides.

    Example:
      >>> is_annotation_name("Annotations/a.xml"), is_annotation_name(".cache/a.json")
      (True, False)
    """
    return name.lower().endswith(ANNOTATION_SUFFIXES) and not is_hidden(name)
