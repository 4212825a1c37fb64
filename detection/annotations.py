"""What a person drew on one photograph, whatever file format it came in."""

from dataclasses import dataclass

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class ObjectAnnotation:
    """One labelled box in pixels of the annotated image: (ymin, xmin, ymax, xmax), continuous 0-based edges."""

    label: str
    box: Box
    difficult: bool = False
    truncated: bool = False
    occluded: bool = False


@dataclass(frozen=True, kw_only=True)
class ImageAnnotation:
    """The objects of one image.

    Attributes:
      filename: the image's name as the annotation file gives it; may hold sub-folders, may lack an extension.
      width, height: the size in pixels that the annotator's tool saw; None where the file does not say.
      source: where the annotation was read from, for messages.
    """

    filename: str
    width: int | None
    height: int | None
    objects: tuple[ObjectAnnotation, ...]
    source: str
