"""Which images and annotations are there, and which belong together?

Begin with `listing`: patterns of flags become rows, one per image or annotation file. `matching` pairs them by their
names; `pair_files` gets the rows of one group, so that a Beam job can pair millions of files group by group.
`row_names` says which names a row has, and `inner_names` pairs what is left by the <filename> in files of one image.
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
from retinanet_odm.sources.matching import FilePairs, pair_files
from retinanet_odm.sources.row_names import match_key

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
