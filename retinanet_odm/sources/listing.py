"""Lists images and annotation files, loose or in zip files, as small rows, and reads them.

Begin with `match_images` and `match_annotations`: a pattern in, a row per file out. The rows hold no content, so that
jobs can pair and shuffle millions of them; `read_image` and `read_annotation` read it from where a row points.
"""

import dataclasses
import functools
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from retinanet_odm.annotations.class_names import is_class_name_file
from retinanet_odm.annotations.detection import NAMED_BY_FILE
from retinanet_odm.annotations.files import annotation_rules, describe_fault, open_annotation, zip_path_of
from retinanet_odm.annotations.reader import open_annotations
from retinanet_odm.annotations.types import ImageAnnotation, ignore_labels
from retinanet_odm.annotations.zip_names import ZIPPED_KINDS, choose_annotations
from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.pickling import pickle_by_position
from retinanet_odm.storage import files
from retinanet_odm.storage.file_kinds import is_never_annotation, is_never_image, suffix_of
from retinanet_odm.storage.file_names import has_image_suffix, looks_like_image, name_below, root_of
from retinanet_odm.storage.zip_files import (
    ZipMember,
    is_zip_file,
    list_zip_members,
    read_zip_member,
)

# Folders of a Pascal VOC export that hold masks.
_MASK_FOLDERS = frozenset({"SegmentationClass", "SegmentationObject"})


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """An image that matches a pattern.

    Attributes:
      uri: The file; for a member of a zip file, the URI of the zip file followed by the member's name.
      name: Its path below the root of the pattern. A zip file counts as a folder of its name without ``.zip``.
      export_uri: The export that holds it, and with it the only annotations that it can have; "" without --exports.
      member: Its place in the zip file; None for a loose file.
      version: Version of the file when it was listed (see `ListedFile`); "" for a member, whose checksum is better.
    """

    uri: str
    name: str
    export_uri: str = ""
    member: ZipMember | None = None
    version: str = ""


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class AnnotationFile:
    """The annotation of one image in a file, or the reason and detail why the file cannot be read.

    Attributes:
      uri, name, export_uri, member: As those of ImageFile.
      image_name: The name of the image in a file that lists images. "" if the file's own name stands for it: for
        Pascal VOC and YOLO, and for a file that could not be read.
      class_names: The file of YOLO's class names that the user named; "" to look for one beside the file.
    """

    uri: str
    name: str = ""
    export_uri: str = ""
    member: ZipMember | None = None
    image_name: str = ""
    annotation: ImageAnnotation | None = None
    reason: str = ""
    detail: str = ""
    line: int | None = None
    class_names: str = ""


# --- From patterns to rows ---


@dataclass(frozen=True, kw_only=True)
class InputPattern:
    """One pattern of a flag.

    Attributes:
      is_export: The content of a zip file is paired only within that zip file.
      class_names: The file of YOLO's class names that the same flag names; "" if it names none.
    """

    pattern: str
    flag: str
    is_export: bool = False
    class_names: str = ""


def input_patterns(patterns: Iterable[str], exports: Iterable[str], *, flag: str) -> list[InputPattern]:
    """Return the patterns of a flag and those of --exports; a file of class names is no pattern, but goes with them.

    Raises:
      UsageError: Several files of class names are given.
    """
    given = list(patterns)
    named = [pattern for pattern in given if is_class_name_file(pattern) and not set(pattern) & set("*?[")]
    if len(named) > 1:
        raise UsageError(f"{flag}: expected one file of class names, found {', '.join(named)}")
    class_names = named[0] if named else ""
    loose = [
        InputPattern(pattern=files.as_written(pattern), flag=flag, class_names=class_names)
        for pattern in given
        if pattern not in named
    ]
    return loose + [
        InputPattern(pattern=files.as_written(pattern), flag="--exports", is_export=True) for pattern in exports
    ]


def match_images(source: InputPattern) -> Iterator[ImageFile]:
    """Yield the images that match a pattern, named by their path below its root."""
    return _match(source, IMAGE_CONTENT)


def match_annotations(source: InputPattern) -> Iterator[tuple[bytes, AnnotationFile]]:
    """Yield the annotation files that match a pattern, unread, each with its URI as bytes.

    The URI is a key for grouping; as bytes, because a path need not be valid UTF-8.
    """
    for found in _match(source, ANNOTATION_CONTENT):
        if is_class_name_file(found.name):
            continue  # read with the files that it belongs to
        row = AnnotationFile(
            uri=found.uri,
            name=found.name,
            export_uri=found.export_uri,
            member=found.member,
            class_names=source.class_names,
        )
        yield row.uri.encode("utf-8", "surrogateescape"), row


def _match(source: InputPattern, content: "FileContent") -> Iterator[ImageFile]:
    """Yield a row for every loose file and every member of a zip file that may have this content."""
    # Names are relative to it, so that they do not depend on where a data set lies.
    root = root_of(source.pattern)
    for file in files.list_files(source.pattern):
        uri, name = file.path, name_below(root, file.path)
        if not is_zip_input(uri):
            if not content.is_never(name):
                yield ImageFile(uri=uri, name=name, version=file.version)
            continue
        folder = re.sub(r"\.zip$", "", name, flags=re.IGNORECASE)
        export_uri = uri if source.is_export else ""
        for member in list_zip_members(uri, content.choose, flag=source.flag):
            yield ImageFile(
                uri=f"{uri}/{member.name}", name=f"{folder}/{member.name}", export_uri=export_uri, member=member
            )


def is_zip_input(path: str) -> bool:
    """Return whether a file is a zip archive; look into it, except if its name tells what it is."""
    # By name first: every image would otherwise be opened once more, only to be listed.
    if has_image_suffix(path):
        return False
    return suffix_of(path) == ".zip" or (not is_never_image(posixpath.basename(path)) and is_zip_file(path))


def is_image_name(name: str) -> bool:
    """Return whether a member of a zip file is an image, judged by its name.

    Example:
      >>> is_image_name("JPEGImages/a.jpg"), is_image_name("SegmentationClass/a.png")
      (True, False)
    """
    return looks_like_image(name) and _MASK_FOLDERS.isdisjoint(PurePosixPath(name).parts)


@dataclass(frozen=True, kw_only=True)
class FileContent:
    """What the files of a flag hold, judged by their names.

    Attributes:
      title: For messages.
      choose: Returns the members of a zip file that may hold it, or that are read with those that do.
      is_never: Whether a loose file certainly does not. Other loose files are read, whatever their names: the user has
        named them, so what is wrong with them must be told.
    """

    title: str
    choose: Callable[[Iterable[str]], Iterable[str]]
    is_never: Callable[[str], bool]


IMAGE_CONTENT = FileContent(
    title="an image (pass an export without images to --annotations, its images to --images)",
    choose=functools.partial(filter, is_image_name),
    is_never=is_never_image,
)
ANNOTATION_CONTENT = FileContent(
    title=f"an annotation file ({ZIPPED_KINDS})",
    choose=choose_annotations,
    is_never=is_never_annotation,
)


# --- Reading what a row points to ---


def read_image(image: ImageFile) -> bytes:
    """Return the encoded image.

    Raises:
      DataError: It cannot be read.
    """
    if image.member is None:
        return files.read_bytes(image.uri, version=image.version)
    return read_zip_member(zip_path_of(image.uri, image.member), image.member)


def read_annotation(
    file: AnnotationFile, *, min_score: float | None = None, ignored: Collection[str] = ()
) -> Iterator[AnnotationFile | DataError]:
    """Yield a row for every image of a file while it is read.

    Predictions are read from min_score on; None accepts none. Objects with an ignored label become areas in which
    nobody has looked for objects.

    A file that cannot be read becomes one row with the reason. If the error comes after some images, their rows stay
    and the error follows as a DataError, because nobody knows which images are missing.
    """
    uri, count = file.uri, 0
    rules = annotation_rules(uri, file.member, min_score=min_score, class_names=file.class_names)
    try:
        with open_annotation(uri, file.member) as stream:
            detected, annotations = open_annotations(stream, source=uri, rules=rules)
            for annotation in annotations:
                image_name = "" if detected in NAMED_BY_FILE else annotation.filename
                yield dataclasses.replace(file, image_name=image_name, annotation=ignore_labels(annotation, ignored))
                count += 1
    except DataError as error:
        detail = describe_fault(error, uri)
        if count:
            yield DataError(error.reason, f"{detail} ({count} images before that were read)", error.line)
        else:
            yield dataclasses.replace(file, reason=error.reason, detail=detail, line=error.line)
