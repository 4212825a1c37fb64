"""Which images and annotations are there, and which belong together?

Begin with `listing`: patterns of flags become rows, one per image or annotation file. `matching` pairs them by their
names; `pair_files` gets the rows of one group, so that a Beam job can pair millions of files group by group.
"""

from retinanet_odm.sources.listing import (
    AnnotationFile,
    ImageFile,
    InputPattern,
    match_annotations,
    match_images,
    read_annotation,
    read_image,
)
from retinanet_odm.sources.matching import FilePairs, match_key, pair_files

__all__ = [
    "AnnotationFile",
    "FilePairs",
    "ImageFile",
    "InputPattern",
    "match_annotations",
    "match_images",
    "match_key",
    "pair_files",
    "read_annotation",
    "read_image",
]
