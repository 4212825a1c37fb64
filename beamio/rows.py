"""The small rows by which photographs and annotations are found and matched; none holds image bytes."""

from dataclasses import dataclass

from beamio.archives import Member
from detection.annotations import ImageAnnotation
from detection.pickling import compact


@compact
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
    member: Member | None = None
    version: str = ""


@compact
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
    member: Member | None = None
    image_name: str = ""
    annotation: ImageAnnotation | None = None
    reason: str = ""
    detail: str = ""
    line: int | None = None
