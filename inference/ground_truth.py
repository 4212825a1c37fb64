"""A scored archive beside what people drew on its images: COCO's lists of both, and what had to be left out."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from retinanet_odm import boxes as box_ops
from retinanet_odm.annotations.geometry import ImagePlacement, box_fault, find_placement
from retinanet_odm.annotations.types import BoxCorners, ImageAnnotation, apply_aliases
from retinanet_odm.dataset.coco import ground_truth, object_entry
from retinanet_odm.errors import DataError
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.predictions.formats import coco
from retinanet_odm.predictions.rows import OK, PredictionRow
from retinanet_odm.sources.listing import AnnotationFile, ImageFile
from retinanet_odm.sources.matching import Key, match_key, pair_files

# Reasons for leaving out, beside those that the readers of annotations give.
NO_ANNOTATION = "image_without_annotation"
NO_IMAGE = "annotation_without_image"
AMBIGUOUS = "ambiguous_match"
OTHER_SIZE = "size_mismatch"


@dataclass(kw_only=True)
class LeftOut:
    """Images, annotations and boxes that are not compared: how many for each reason, and a sentence about the first."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, detail: str) -> None:
        self.counts[reason] += 1
        self.first.setdefault(reason, detail)

    def to_json(self) -> dict[str, dict[str, Any]]:
        """By reason, the most frequent first."""
        return {reason: {"count": count, "first": self.first[reason]} for reason, count in self.counts.most_common()}


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Images that were scored and annotated.

    Attributes:
      truth: COCO ground truth; the ids of images are 1..N in the order of their names.
      results: COCO results of the same images.
      images, failed: how many there are, and how many of them could not be scored: their objects are all missed.
      left_out: what is in neither list.
      unknown: boxes by label that the model does not know; they are in no list.
    """

    truth: dict[str, Any]
    results: list[dict[str, Any]]
    images: int
    failed: int
    left_out: LeftOut
    unknown: Counter[str]


def compare(
    rows: Iterable[PredictionRow],
    annotations: Iterable[AnnotationFile | DataError],
    labels: LabelMap,
    *,
    aliases: Mapping[str, str],
) -> Compared:
    """Matches rows with annotations by the rules of retinanet_odm.sources.matching, by which prepare matches photographs.

    Args:
      rows: of every image of the archive.
      annotations: as retinanet_odm.sources.listing.read_annotation yields them.
      labels: the model's.
      aliases: name by alias.
    """
    left_out = LeftOut()
    ids = {name: label_id for label_id, name in labels.items}
    pairs = [
        _Pair(row=row, annotation=apply_aliases(annotation, aliases))
        for row, annotation in _pairs(rows, annotations, left_out)
    ]
    numbered = list(enumerate(_fitting(pairs, left_out), start=1))
    objects = [entry for number, pair in numbered for entry in pair.objects(number, ids, left_out)]
    drawn = (item.label for _, pair in numbered for item in pair.annotation.objects)
    return Compared(
        truth=ground_truth((pair.image(number) for number, pair in numbered), objects, labels),
        results=[entry for number, pair in numbered for entry in coco.result_entries(number, pair.row)],
        images=len(numbered),
        failed=sum(pair.row.status != OK for _, pair in numbered),
        left_out=left_out,
        unknown=Counter(label for label in drawn if label not in ids),
    )


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """An image and the annotation that belongs to it, under the names that aliases stand for."""

    row: PredictionRow
    annotation: ImageAnnotation

    @property
    def frame(self) -> ImagePlacement | None:
        """None for a picture of another shape, and for one that failed, whose size is not known."""
        if self.row.width is None or self.row.height is None:
            return None
        said, real = self.annotation, (self.row.width, self.row.height)
        return find_placement(said.width, said.height, image_size=real, orientation=self.row.orientation)

    def image(self, number: int) -> dict[str, Any]:
        """COCO's entry of the image."""
        width, height = self.row.width or self.annotation.width, self.row.height or self.annotation.height
        return {"id": number, "file_name": self.row.image, "width": width, "height": height}

    def objects(self, number: int, ids: Mapping[str, int], left_out: LeftOut) -> Iterator[dict[str, Any]]:
        """COCO's entries of the objects of known classes; boxes are cut at the image's borders, where known."""
        frame = self.frame
        for item in self.annotation.objects:
            if item.label not in ids:
                continue
            box, fault = _cut(item.box, frame) if frame else (item.box, "")
            if fault:
                edges = ", ".join(f"{edge:g}" for edge in item.box)
                left_out.add(fault, f"{self.row.image}: {item.label!r} at {edges} (ymin, xmin, ymax, xmax)")
            else:
                yield object_entry(number, ids[item.label], box, is_crowd=item.is_crowd)


def _fitting(pairs: Iterable[_Pair], left_out: LeftOut) -> Iterator[_Pair]:
    """The pairs in the order of their names, without annotations of pictures of another shape."""
    for pair in sorted(pairs, key=lambda pair: pair.row.image):
        row, annotation = pair.row, pair.annotation
        if row.status == OK and pair.frame is None:
            said = f"{annotation.source} is for an image of {annotation.width}x{annotation.height} pixels"
            left_out.add(OTHER_SIZE, f"{row.image}: {said}, the image has {row.width}x{row.height}")
        else:
            yield pair


def _pairs(
    rows: Iterable[PredictionRow], annotations: Iterable[AnnotationFile | DataError], left_out: LeftOut
) -> Iterator[tuple[PredictionRow, ImageAnnotation]]:
    files: defaultdict[Key, list[AnnotationFile]] = defaultdict(list)
    for found in annotations:
        if isinstance(found, DataError):
            left_out.add(found.reason, found.detail)
        else:
            files[match_key(found.image_name or found.uri)].append(found)
    claimed: defaultdict[Key, list[PredictionRow]] = defaultdict(list)
    for row in rows:  # of a whole archive; only those that may be annotated stay in memory
        key = match_key(row.image)
        if key in files:
            claimed[key].append(row)
        else:
            left_out.add(NO_ANNOTATION, f"{row.image} has no annotation")
    for key, group in files.items():
        yield from _matched(claimed[key], group, left_out)


def _matched(
    rows: list[PredictionRow], files: list[AnnotationFile], left_out: LeftOut
) -> Iterator[tuple[PredictionRow, ImageAnnotation]]:
    found = pair_files([ImageFile(uri=row.image, name=row.image) for row in rows], files)
    for position, row in enumerate(rows):
        file = found.annotation_of.get(position)
        if position in found.conflict_of:
            claimants = [claimant.image_name or claimant.uri for claimant in found.conflict_of[position].annotations]
            left_out.add(AMBIGUOUS, f"{row.image} may be any of {', '.join(claimants[:3])}")
        elif file is None:
            left_out.add(NO_ANNOTATION, f"{row.image} has no annotation")
        elif file.annotation is None:
            left_out.add(file.reason, file.detail)
        elif file.annotation.unreadable:
            # As in prepare: an object that was lost is no mistake of the model's.
            left_out.add(file.annotation.unreadable[0].reason, f"{row.image}: {file.annotation.unreadable[0].detail}")
        else:
            yield row, file.annotation
    for file in found.unused:
        if file.annotation is None:
            left_out.add(file.reason, file.detail)
        else:
            left_out.add(NO_IMAGE, f"{file.image_name or file.uri}: no scored image has this name")


def _cut(box: BoxCorners, frame: ImagePlacement) -> tuple[BoxCorners, str]:
    width, height = frame.image_size
    placed = frame.to_image(box)
    pixels = box_ops.clip(box_ops.as_boxes([placed]), height, width)
    ymin, xmin, ymax, xmax = pixels[0].tolist()
    return (ymin, xmin, ymax, xmax), box_fault(placed, pixels, frame.image_size)
