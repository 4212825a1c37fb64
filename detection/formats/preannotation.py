"""A scored image as if a person had drawn its boxes: what goes into an annotation tool to be corrected there."""

from detection.annotations import ImageAnnotation, ObjectAnnotation
from detection.formats.pieces import xml_text
from detection.predictions import PredictionRow


def as_annotation(row: PredictionRow) -> ImageAnnotation:
    """The boxes of an image that was scored, with nothing in names that XML cannot hold."""
    objects = []
    for item in row.detections:
        xmin, ymin, xmax, ymax = item.box
        objects.append(ObjectAnnotation(label=xml_text(item.label), box=(ymin, xmin, ymax, xmax)))
    return ImageAnnotation(
        filename=xml_text(row.image), width=row.width, height=row.height, objects=tuple(objects), source=row.image
    )
