"""The small rows that flow through the job; none holds image bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.dataset.manifest import ShardInfo
from retinanet_odm.dataset.statistics import BoxStatistics
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.pickling import pickle_by_position
from retinanet_odm.sources.listing import ImageFile

# Kinds of rejected.jsonl lines. Only those of kind IMAGE count in images_in = examples + rejected.
IMAGE_REJECT = "image"
ANNOTATION_REJECT = "annotation"
OBJECT_REJECT = "object"
# The kind of a remark: nothing was left out, but somebody should know.
REMARK = "kept"

# The reason of an annotation that is in order but belongs to no image that was given.
NO_IMAGE = "annotation_without_image"

# The split whose ground truth is also kept as val.json, for COCO's tools.
COCO_SPLIT = "val"


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class Reject:
    """A line of rejected.jsonl, or a remark on what was kept.

    Attributes:
      kind: IMAGE, ANNOTATION, OBJECT or KEPT.
      name: the image's name, or the annotation file where no image belongs to it.
      reason: short stable word; detail: one sentence for a person.
      source: the file at fault; line: in it, counted from 1, where it is known.
      label: of the object at fault; value: what was seen there. Both "" where they do not apply.
    """

    kind: str
    name: str
    reason: str
    detail: str
    source: str
    line: int | None = None
    label: str = ""
    value: str = ""


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An image and the one annotation that belongs to it; its pixels have not been looked at."""

    image: ImageFile
    annotation: ImageAnnotation


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class UnannotatedImage:
    """An image to which no annotation belongs."""

    image: ImageFile


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class LabelledImage(Candidate):
    """A candidate whose labels are all known; label_ids are those of annotation.objects, in their order."""

    label_ids: tuple[int, ...]


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class PlannedImage:
    """An image with its number, ready to be written."""

    source_id: int
    content: LabelledImage

    @property
    def name(self) -> str:
        return self.content.image.name


# SHA-256 (hex) of a record's image bytes, and a perceptual hash (None where no pixel was decoded).
HashGroup = tuple[str, int | None]


@dataclass(frozen=True, kw_only=True)
class ShardResult:
    """What became of one shard.

    Attributes:
      split: the shard belongs to it.
      info: name, examples and digest of the written file; the digest is "" where nothing was written.
      boxes_per_class: boxes by class name.
      max_boxes: the largest number of boxes in one image.
      aspect_ratios: the smallest and the largest width / height; None for a shard without examples.
      clipped: boxes that were cut at the border of their image.
      names: (source_id, image name, written) of every planned image, written or rejected.
      twins: of every written image, in the order of names.
      statistics: box and image sizes.
      coco_images, coco_annotations: entries of val.json, empty for the other splits.
      rejects: images and objects left out.
      remarks: what somebody should know of images that were kept.
    """

    split: str
    info: ShardInfo
    boxes_per_class: dict[str, int]
    max_boxes: int
    aspect_ratios: tuple[float, float] | None
    clipped: int
    names: tuple[tuple[int, str, bool], ...]
    twins: tuple[HashGroup, ...]
    statistics: BoxStatistics
    coco_images: tuple[dict[str, Any], ...]
    coco_annotations: tuple[dict[str, Any], ...]
    rejects: tuple[Reject, ...]
    remarks: tuple[Reject, ...]


@dataclass(frozen=True, kw_only=True)
class DatasetPlan:
    """What is known of a whole data set before an image was read.

    Attributes:
      images_in: distinct image files found.
      labels: None only where no image has an object and no label map was given.
      label_counts: boxes by name in the annotations of images, as it is written there.
      ignored: shapes that have no box by design, by kind.
      rejects: images and annotations left out so far.
    """

    images_in: int
    labels: LabelMap | None
    label_counts: Mapping[str, int]
    ignored: Mapping[str, int]
    rejects: tuple[Reject, ...]
