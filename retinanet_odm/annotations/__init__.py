"""What an annotation file says: labelled boxes for each image, read from the formats of annotation tools.

From Python, `read(FILE)` returns what a file of any format says. To read the code, begin with `types`: every reader
returns `ImageAnnotation`. Then `reader`, which calls the reader of the format that `detection` finds:

  voc         Pascal VOC XML, read and written
  cvat        CVAT XML 1.1, read and written for images; `cvat_video` reads tracks, `cvat_shapes` the shapes of both
  coco        COCO detection JSON
  label_studio  Label Studio JSON; `label_studio_shapes` reads its shapes
  labelme     LabelMe JSON
  yolo        YOLO text; `class_names` reads the names of its classes, `yolo_names` finds their file
  megadetector, viame  MegaDetector results and VIAME CSV; `predictions` decides whether they are accepted
  via         VGG Image Annotator JSON; `via_csv` reads its CSV
  zip_names   which members of a zip file are annotation files
  collector   what the objects of an image say together: the policies that all formats share
  values      numbers and flags, as text
  json_values JSON files, and their numbers, labels and points
  json_outline  the keys at the beginning of a JSON file, to detect its format
  geometry    the box around a shape, and boxes of a scaled or rotated copy mapped onto the real image
  safe_xml    XML from untrusted files

Bytes come in, values go out: only `files` and `yolo_names` open files. A fault is an `AnnotationError` with a reason
that `dataset.problem_codes.CATALOGUE` lists.
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from retinanet_odm.annotations.coco import parse_coco
    from retinanet_odm.annotations.cvat import format_cvat, read_cvat
    from retinanet_odm.annotations.detection import AnnotationFormat, detect_format
    from retinanet_odm.annotations.files import read
    from retinanet_odm.annotations.geometry import ImagePlacement, find_placement
    from retinanet_odm.annotations.label_studio import parse_label_studio
    from retinanet_odm.annotations.labelme import parse_labelme
    from retinanet_odm.annotations.megadetector import parse_megadetector
    from retinanet_odm.annotations.reader import ReadingRules, open_annotations, read_annotations
    from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation, UnreadableObject, apply_aliases
    from retinanet_odm.annotations.via import parse_via
    from retinanet_odm.annotations.via_csv import parse_via_csv
    from retinanet_odm.annotations.viame import parse_viame
    from retinanet_odm.annotations.voc import format_voc, parse_voc
    from retinanet_odm.annotations.yolo import parse_yolo

__all__ = [
    "AnnotationFormat",
    "ImageAnnotation",
    "ImagePlacement",
    "ObjectAnnotation",
    "ReadingRules",
    "UnreadableObject",
    "apply_aliases",
    "detect_format",
    "find_placement",
    "format_cvat",
    "format_voc",
    "open_annotations",
    "parse_coco",
    "parse_label_studio",
    "parse_labelme",
    "parse_megadetector",
    "parse_via",
    "parse_via_csv",
    "parse_viame",
    "parse_voc",
    "parse_yolo",
    "read",
    "read_annotations",
    "read_cvat",
]

# Imported on first use: a program that needs only the types does not load lxml.
_MODULES = {
    "AnnotationFormat": "detection",
    "ImageAnnotation": "types",
    "ImagePlacement": "geometry",
    "ObjectAnnotation": "types",
    "ReadingRules": "reader",
    "UnreadableObject": "types",
    "apply_aliases": "types",
    "detect_format": "detection",
    "find_placement": "geometry",
    "format_cvat": "cvat",
    "format_voc": "voc",
    "open_annotations": "reader",
    "parse_coco": "coco",
    "parse_label_studio": "label_studio",
    "parse_labelme": "labelme",
    "parse_megadetector": "megadetector",
    "parse_via": "via",
    "parse_via_csv": "via_csv",
    "parse_viame": "viame",
    "parse_voc": "voc",
    "parse_yolo": "yolo",
    "read": "files",
    "read_annotations": "reader",
    "read_cvat": "cvat",
}

__getattr__ = lazy_exports(__name__, _MODULES)
