"""Pairs the rows of a run with annotations of its images, as COCO ground truth and results for the evaluation.

Begin with `compare`. The rules of pairing are those by which prepare pairs images with annotations
(retinanet_odm.sources.matching).
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from retinanet_odm.annotations.geometry import ImagePlacement, find_placement, place_box
from retinanet_odm.annotations.types import BoxCorners, ImageAnnotation, ObjectAnnotation, apply_aliases
from retinanet_odm.dataset.coco import ground_truth, not_exhaustive_entry, object_entry
from retinanet_odm.dataset.exhaustive import ExhaustiveClasses
from retinanet_odm.errors import DataError
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.predictions.formats import coco
from retinanet_odm.predictions.rows import OK, PredictionRow
from retinanet_odm.sources.inner_names import has_unique_name, inside_key, pair_by_filename
from retinanet_odm.sources.listing import AnnotationFile, ImageFile
from retinanet_odm.sources.matching import pair_files
from retinanet_odm.sources.row_names import PAIRED_ACROSS_FOLDERS, PAIRED_BY_FILENAME, Key, match_key

# Reasons for exclusion, beside those of the readers of annotations.
IMAGE_WITHOUT_ANNOTATION = "image_without_annotation"
ANNOTATION_WITHOUT_IMAGE = "annotation_without_image"
AMBIGUOUS_MATCH = "ambiguous_match"
SIZE_MISMATCH = "size_mismatch"
NO_USABLE_BOX = "no_usable_box"


@dataclass(kw_only=True)
class ReasonCounts:
    """The number and the first case of each reason."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, detail: str) -> None:
        """Count a case."""
        self.counts[reason] += 1
        self.first.setdefault(reason, detail)

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Return counts and first cases by reason, the most frequent first, as evaluation.json holds them."""
        return {reason: {"count": count, "first": self.first[reason]} for reason, count in self.counts.most_common()}


@dataclass(frozen=True, kw_only=True)
class _Findings:
    """What is reported beside the pairs: what is excluded, and how pairs were found that a person should look at."""

    excluded: ReasonCounts = field(default_factory=ReasonCounts)
    pairings: ReasonCounts = field(default_factory=ReasonCounts)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Images that were scored and annotated.

    Attributes:
      truth: COCO ground truth; image ids are 1..N in the order of image names.
      results: COCO results of the same images.
      images: number of images.
      failed: number of images that could not be scored; all their objects count as missed.
      excluded: everything that is in neither list.
      pairings: images in both lists that were paired across folders or by <filename>.
      unknown: number of boxes by label, for labels that are no class of the model; they are in neither list.
    """

    truth: dict[str, Any]
    results: list[dict[str, Any]]
    images: int
    failed: int
    excluded: ReasonCounts
    pairings: ReasonCounts
    unknown: Counter[str]


def compare(
    rows: Iterable[PredictionRow],
    annotations: Iterable[AnnotationFile | DataError],
    labels: LabelMap,
    *,
    aliases: Mapping[str, str],
    exhaustive: ExhaustiveClasses | None = None,
) -> Comparison:
    """Pair rows with annotations.

    Args:
      rows: of every image of the run.
      annotations: as retinanet_odm.sources.listing.read_annotation yields them.
      labels: of the model.
      aliases: label by alias.
      exhaustive: in which images the classes are annotated exhaustively; None: in all.
    """
    findings = _Findings()
    excluded = findings.excluded
    ids = {name: label_id for label_id, name in labels.items}
    # In memory from here on: only images that were scored and annotated are left.
    pairs = [
        _Pair(row=row, annotation=apply_aliases(annotation, aliases))
        for row, annotation in _pairs(rows, annotations, findings)
    ]
    # Numbered after sorting, so that ids do not depend on the order of annotation files.
    numbered = list(enumerate(_with_usable_boxes(_same_size(pairs, excluded), ids, excluded), start=1))
    # Truth and results are made from one list, so they have the same images under the same ids.
    objects = [item.to_entry(number, ids) for number, (_, placed) in numbered for item in placed]
    annotated = (item.label for _, (pair, _) in numbered for item in pair.annotation.objects if not item.ignore)
    return Comparison(
        truth=ground_truth((pair.image_entry(n, labels, exhaustive) for n, (pair, _) in numbered), objects, labels),
        results=[entry for number, (pair, _) in numbered for entry in coco.result_entries(number, pair.row)],
        images=len(numbered),
        failed=sum(pair.row.status != OK for _, (pair, _) in numbered),
        excluded=excluded,
        pairings=findings.pairings,
        unknown=Counter(label for label in annotated if label not in ids),
    )


@dataclass(frozen=True, kw_only=True)
class _PlacedObject:
    """An object with its box in pixels of the image, clipped to it, and what is wrong with the box, or ""."""

    item: ObjectAnnotation
    box: BoxCorners
    fault: str

    def to_entry(self, number: int, ids: Mapping[str, int]) -> dict[str, Any]:
        """Return the COCO entry of the object in the image of this number."""
        label_id = None if self.item.ignore else ids[self.item.label]
        return object_entry(number, label_id, self.box, is_crowd=self.item.is_crowd)

    def describe(self) -> str:
        """Return label and box as the annotation has them, for messages."""
        edges = ", ".join(f"{edge:g}" for edge in self.item.box)
        return f"{self.item.label!r} at {edges} (ymin, xmin, ymax, xmax)"


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """A row and the annotation of its image, with labels in place of aliases."""

    row: PredictionRow
    annotation: ImageAnnotation

    @property
    def placement(self) -> ImagePlacement | None:
        """How the annotation lies on the image; None if the shapes differ, or for a failed image, which has no size."""
        if self.row.width is None or self.row.height is None:
            return None
        annotated, size = self.annotation, (self.row.width, self.row.height)
        return find_placement(
            annotated.width,
            annotated.height,
            image_size=size,
            orientation=self.row.orientation,
            is_relative=annotated.is_relative,
        )

    def image_entry(self, number: int, labels: LabelMap, exhaustive: ExhaustiveClasses | None) -> dict[str, Any]:
        """Return the COCO entry of the image."""
        # A failed row has no size; that of the annotation stands in for it.
        width, height = self.row.width or self.annotation.width, self.row.height or self.annotation.height
        more = not_exhaustive_entry(dict(exhaustive.not_exhaustive_in(self.row.image, labels) if exhaustive else ()))
        return {"id": number, "file_name": self.row.image, "width": width, "height": height, **more}

    def place_objects(self, ids: Collection[str]) -> Iterator[_PlacedObject]:
        """Yield objects of the model's classes and ignored areas, clipped to the image if its size is known."""
        # Only classes of the model: it cannot find others, and they are counted as unknown.
        placement = self.placement
        for item in self.annotation.objects:
            if item.ignore or item.label in ids:
                if placement is None:
                    yield _PlacedObject(item=item, box=item.box, fault="")
                    continue
                placed = place_box(item.box, placement)
                ymin, xmin, ymax, xmax = placed.pixels[0].tolist()
                yield _PlacedObject(item=item, box=(ymin, xmin, ymax, xmax), fault=placed.fault)


def _same_size(pairs: Iterable[_Pair], excluded: ReasonCounts) -> Iterator[_Pair]:
    """Yield the pairs in the order of image names, except those whose annotation is for an image of another shape."""
    for pair in sorted(pairs, key=lambda pair: pair.row.image):
        row, annotation = pair.row, pair.annotation
        if row.status == OK and pair.placement is None:
            annotated = f"{annotation.source} is for an image of {annotation.width}x{annotation.height} pixels"
            excluded.add(SIZE_MISMATCH, f"{row.image}: {annotated}, the image has {row.width}x{row.height}")
        else:
            yield pair


def _with_usable_boxes(
    pairs: Iterable[_Pair], ids: Collection[str], excluded: ReasonCounts
) -> Iterator[tuple[_Pair, list[_PlacedObject]]]:
    """Yield the pairs with their usable objects, except images of which no box can be used.

    As in prepare: such an image would look like one without objects, and its detections like errors of the model.
    """
    for pair in pairs:
        placed = list(pair.place_objects(ids))
        usable = [item for item in placed if not item.fault]
        faulty = [item for item in placed if item.fault]
        if faulty and all(item.item.ignore for item in usable):
            first = f"no box can be used; the first: {faulty[0].fault}, {faulty[0].describe()}"
            excluded.add(NO_USABLE_BOX, f"{pair.row.image}: {first}")
            continue
        for item in faulty:
            excluded.add(item.fault, f"{pair.row.image}: {item.describe()}")
        yield pair, usable


@dataclass(kw_only=True)
class _OpenRows:
    """What is left after all groups: rows whose file names are unique, and annotations, to be paired by <filename>."""

    rows: list[PredictionRow] = field(default_factory=list)
    files: list[AnnotationFile] = field(default_factory=list)

    def match(self, findings: _Findings) -> Iterator[tuple[PredictionRow, ImageAnnotation]]:
        """Yield the pairs by <filename>, and exclude the others."""
        # Files of one image whose own name belongs to no image; the others have had their only chance.
        named = [file for file in self.files if inside_key(file)]
        images = [ImageFile(uri=row.image, name=row.image) for row in self.rows]
        found = pair_by_filename(images, named)
        for position, row in enumerate(self.rows):
            if position in found:
                file = named[found[position]]
                findings.pairings.add(PAIRED_BY_FILENAME, f"{row.image} with {file.uri}")
                yield from _readable(row, file, findings)
            else:
                findings.excluded.add(IMAGE_WITHOUT_ANNOTATION, f"{row.image} has no annotation")
        used = {id(named[position]) for position in found.values()}
        for file in self.files:
            if file.annotation is None:
                findings.excluded.add(file.reason, file.detail)
            elif id(file) not in used:
                detail = f"{file.image_name or file.uri}: no scored image has this name"
                findings.excluded.add(ANNOTATION_WITHOUT_IMAGE, detail)


def _pairs(
    rows: Iterable[PredictionRow], annotations: Iterable[AnnotationFile | DataError], findings: _Findings
) -> Iterator[tuple[PredictionRow, ImageAnnotation]]:
    files: defaultdict[Key, list[AnnotationFile]] = defaultdict(list)
    named_inside: set[Key] = set()
    for found in annotations:
        if isinstance(found, DataError):
            findings.excluded.add(found.reason, found.detail)
        else:
            files[match_key(found.image_name or found.uri)].append(found)
            named_inside.update(filter(None, [inside_key(found)]))
    candidates: defaultdict[Key, list[PredictionRow]] = defaultdict(list)
    for row in rows:  # there may be a million; only those with a candidate annotation stay in memory
        # The same keys as the grouping step of prepare, here in two dicts instead of a shuffle.
        key = match_key(row.image)
        if key in files or key in named_inside:
            candidates[key].append(row)
        else:
            findings.excluded.add(IMAGE_WITHOUT_ANNOTATION, f"{row.image} has no annotation")
    left = _OpenRows()
    for key in (*files, *(candidates.keys() - files.keys())):
        yield from _match_group(candidates[key], files.get(key, []), findings, left)
    yield from left.match(findings)


def _match_group(
    rows: list[PredictionRow], files: list[AnnotationFile], findings: _Findings, left: _OpenRows
) -> Iterator[tuple[PredictionRow, ImageAnnotation]]:
    # Rows have no path: the name of the image stands for it.
    images = [ImageFile(uri=row.image, name=row.image) for row in rows]
    found = pair_files(images, files)
    for position, (row, is_unique) in enumerate(zip(rows, has_unique_name(images), strict=True)):
        # Only a pair that is certain is compared: a wrong one would count as errors of the model.
        if position in found.conflict_of:
            claimants = [claimant.image_name or claimant.uri for claimant in found.conflict_of[position].annotations]
            findings.excluded.add(AMBIGUOUS_MATCH, f"{row.image} may be any of {', '.join(claimants[:3])}")
        elif file := found.annotation_of.get(position):
            if position in found.across_folders:
                findings.pairings.add(PAIRED_ACROSS_FOLDERS, f"{row.image} with {file.image_name or file.uri}")
            yield from _readable(row, file, findings)
        elif is_unique:
            left.rows.append(row)
        else:
            findings.excluded.add(IMAGE_WITHOUT_ANNOTATION, f"{row.image} has no annotation")
    left.files += found.unused


def _readable(
    row: PredictionRow, file: AnnotationFile, findings: _Findings
) -> Iterator[tuple[PredictionRow, ImageAnnotation]]:
    """Yield a pair, or exclude its image: a model must not be blamed for an object that could not be read."""
    if file.annotation is None:
        findings.excluded.add(file.reason, file.detail)
    elif file.annotation.unreadable:
        unreadable = file.annotation.unreadable[0]
        findings.excluded.add(unreadable.reason, f"{row.image}: {unreadable.detail}")
    else:
        yield row, file.annotation
