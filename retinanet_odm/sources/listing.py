"""The small rows by which photographs and annotations are found and matched; none holds image bytes."""

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from retinanet_odm.annotations.reader import AnnotationFormat, open_annotations
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.pickling import pickle_by_position
from retinanet_odm.storage import files, zip_files
from retinanet_odm.storage.archives import has_image_suffix, is_hidden, looks_like_image
from retinanet_odm.storage.glob_patterns import root_of
from retinanet_odm.storage.zip_files import ZipMember


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """A photograph that a pattern matched.

    Attributes:
      uri: the file; for a member of a zip file, its name after that of the zip file.
      name: its path below the pattern's root, where a zip file counts as a folder of its name without ``.zip``.
      home: uri of the export that it came in, whose annotations alone can be its own; "" without --exports.
      member: where it lies in its zip file; None for a file of its own.
      version: size and time of change of the file, or its generation, as listed; "" for a member of a zip file, whose
        checksum says more.
    """

    uri: str
    name: str
    home: str = ""
    member: ZipMember | None = None
    version: str = ""


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class AnnotationFile:
    """What an annotation file says of one image, or the reason and detail of why it cannot be read.

    Attributes:
      uri, name, home, member: as those of ImageFile.
      image_name: the image's name in a file that lists images; "" where the file goes by its own name: Pascal VOC, and
        a file that could not be read.
    """

    uri: str
    name: str = ""
    home: str = ""
    member: ZipMember | None = None
    image_name: str = ""
    annotation: ImageAnnotation | None = None
    reason: str = ""
    detail: str = ""
    line: int | None = None


_ANNOTATION_SUFFIXES = (".xml", ".json")

# Folders of a Pascal VOC export whose pictures are masks, not photographs.
_MASKS = frozenset({"SegmentationClass", "SegmentationObject"})
_SHOWN = 3  # members that a message names


@dataclass(frozen=True, kw_only=True)
class InputPattern:
    """One pattern of a flag; is_export: what a zip file of it holds is matched only within that file."""

    pattern: str
    flag: str
    is_export: bool = False


def input_patterns(patterns: Iterable[str], exports: Iterable[str], *, flag: str) -> list[InputPattern]:
    """The patterns of a flag and those of --exports."""
    loose = [InputPattern(pattern=pattern, flag=flag) for pattern in patterns]
    return loose + [InputPattern(pattern=pattern, flag="--exports", is_export=True) for pattern in exports]


def check_input(patterns: Sequence[str], *, flag: str) -> None:
    """Raises UsageError when a pattern matches nothing, or is a folder in place of a pattern of files."""
    for pattern in patterns:
        if files.is_folder(pattern):
            raise UsageError(
                f"{flag}: {pattern} is a folder; expected a pattern of files, such as '{pattern.rstrip('/')}/*'"
            )
    files.check_matches(patterns, flag=flag)


def match_images(source: InputPattern) -> Iterator[ImageFile]:
    """The photographs that a pattern matches, named by their path below its root."""
    return _match(source, is_image_name)


def match_annotations(source: InputPattern) -> Iterator[tuple[bytes, AnnotationFile]]:
    """The files that match a pattern, not read yet, by uri as bytes (a path need not be valid UTF-8)."""
    for found in _match(source, is_annotation_name):
        row = AnnotationFile(uri=found.uri, name=found.name, home=found.home, member=found.member)
        yield row.uri.encode("utf-8", "surrogateescape"), row


def _match(source: InputPattern, keep: Callable[[str], bool]) -> Iterator[ImageFile]:
    """A row for every file, be it no image, and for the members of every zip file whose names pass ``keep``."""
    root = root_of(source.pattern)
    for file in files.list_files(source.pattern):
        uri, name = file.path, files.name_below(root, file.path)
        if not _is_zip(uri):
            yield ImageFile(uri=uri, name=name, version=file.version)
            continue
        folder = re.sub(r"\.zip$", "", name, flags=re.IGNORECASE)
        home = uri if source.is_export else ""
        for member in zip_files.list_zip_members(uri, keep, flag=source.flag):
            yield ImageFile(uri=f"{uri}/{member.name}", name=f"{folder}/{member.name}", home=home, member=member)


def _is_zip(path: str) -> bool:
    """By its first bytes; a file of a name that speaks for another kind is not opened to find out."""
    by_name = has_image_suffix(path) or path.lower().endswith(_ANNOTATION_SUFFIXES)
    return not by_name and zip_files.is_zip_file(path)


def is_image_name(name: str) -> bool:
    """Whether a member of a zip file is a photograph, by its name."""
    return looks_like_image(name) and _MASKS.isdisjoint(PurePosixPath(name).parts)


def is_annotation_name(name: str) -> bool:
    """Whether a member of a zip file may be an annotation file, by its name; its content tells in the end."""
    return name.lower().endswith(_ANNOTATION_SUFFIXES) and not is_hidden(name)


@dataclass(frozen=True, kw_only=True)
class ZipContent:
    """What a zip file is to hold, by the names of its members."""

    title: str
    accepts: Callable[[str], bool]


IMAGE_CONTENT = ZipContent(
    title="a photograph (an export without images goes to --annotations, its photographs to --images)",
    accepts=is_image_name,
)
ANNOTATION_CONTENT = ZipContent(
    title=f"an annotation file ({' or '.join(_ANNOTATION_SUFFIXES)})", accepts=is_annotation_name
)


def check_zip_files(uris: Iterable[str], flag: str, *promised: ZipContent) -> set[str]:
    """The zip files among the files of a flag, each of which must hold what is promised.

    Raises:
      UsageError: one is broken or does not.
    """
    zips = {uri for uri in uris if _is_zip(uri)}
    for uri in sorted(zips):
        names = [member.name for member in zip_files.list_zip_members(uri, bool, flag=flag)]
        for content in promised:
            if not any(map(content.accepts, names)):
                seen = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
                raise UsageError(f"{flag}: {uri}: expected {content.title}, found {seen or 'an empty zip file'}")
    return zips


def read_image(image: ImageFile) -> bytes:
    """The bytes of a photograph.

    Raises:
      DataError: it cannot be read.
    """
    if image.member is None:
        return files.read_bytes(image.uri, version=image.version)
    return zip_files.read_zip_member(_zip_of(image.uri, image.member), image.member)


def _open(file: AnnotationFile) -> contextlib.AbstractContextManager[BinaryIO]:
    if file.member is None:
        return files.open_binary(file.uri)
    return zip_files.open_zip_member(_zip_of(file.uri, file.member), file.member)


def _zip_of(uri: str, member: zip_files.ZipMember) -> str:
    return uri.removesuffix(f"/{member.name}")


def read_annotation(lone: AnnotationFile) -> Iterator[AnnotationFile | DataError]:
    """A row for every image of a file, as it is read.

    A file that cannot be read is one row with the reason; where rows came before the fault, they stay, and the fault
    comes after them: nobody knows which images are missing.
    """
    uri, rows = lone.uri, 0
    try:
        with _open(lone) as file:
            kind, annotations = open_annotations(file, source=uri)
            for annotation in annotations:
                # Pascal VOC goes by the file's name: what tools write as <filename> is often wrong.
                image_name = "" if kind is AnnotationFormat.VOC else annotation.filename
                yield dataclasses.replace(lone, image_name=image_name, annotation=annotation)
                rows += 1
    except DataError as error:
        detail = error.detail if uri in error.detail else f"{uri}: {error.detail}"
        if rows:
            yield DataError(error.reason, f"{detail} ({rows} images before that were read)", error.line)
        else:
            yield dataclasses.replace(lone, reason=error.reason, detail=detail, line=error.line)
