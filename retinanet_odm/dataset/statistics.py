"""Statistics of the boxes of a data set: counters over images that merge in any order.

Begin with `BoxStatistics`. Each shard counts its images (`from_images`), and `merge` adds the shards up.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np

from retinanet_odm.boxes import Boxes
from retinanet_odm.dataset.anchor_coverage import (
    CANVASES,
    POSITIVE_IOU,
    PRESET_ANCHOR_SCALE,
    best_overlap,
    place_boxes,
)
from retinanet_odm.dataset.examples import DetectionExample

_BATCH_SIZE = 1000  # boxes: enough to amortise the cost of numpy calls, few enough to stay in the processor's cache

# MAX_NUM_INSTANCES of tensorflow/tpu models/official/retinanet/dataloader.py, which fails on an image with more boxes.
MAX_BOXES_PER_IMAGE = 100
_MAX_CROWDED = 20  # images with more boxes that are listed by name; all are counted

MAX_ASPECT_OCTAVE = 3  # 2^3 times as high as wide; larger ratios count as this one


@dataclass(kw_only=True)
class ClassStatistics:
    """Counts of the boxes of one class.

    Attributes:
      sides: boxes by the octave of their side, the square root of the area in pixels of the image: k for 2^k to
        2^(k+1), 0 for all sides below 2.
      aspects: boxes by the octave of height / width, rounded: 0 for about square, 1 for twice as high as wide, -1 for
        twice as wide as high, as RetinaNet's anchors are; -3 and 3 include everything beyond.
      reached: boxes that have an anchor of IoU 0.5 or more with the anchors of the preset "tiny", by the longest side
        of the canvas.
    """

    sides: Counter[int] = field(default_factory=Counter)
    aspects: Counter[int] = field(default_factory=Counter)
    reached: Counter[int] = field(default_factory=Counter)

    @property
    def boxes(self) -> int:
        """The number of boxes."""
        return self.sides.total()

    @property
    def reached_by_canvas(self) -> dict[int, int]:
        """Boxes that have an anchor, by the longest side of the canvas, zeros included, from small to large."""
        return {canvas: self.reached[canvas] for canvas in CANVASES}

    def recall(self, canvas: int) -> float:
        """Return the fraction of boxes that have an anchor of IoU 0.5 or more on a canvas of this longest side."""
        return self.reached[canvas] / self.boxes if self.boxes else 0.0

    def merge(self, other: "ClassStatistics") -> "ClassStatistics":
        """Return the counts of both."""
        return ClassStatistics(
            sides=self.sides + other.sides,
            aspects=self.aspects + other.aspects,
            reached=self.reached + other.reached,
        )

    def to_json(self) -> dict[str, Any]:
        """Return a value for json.dumps."""
        return {"sides": _keyed(self.sides), "aspects": _keyed(self.aspects), "reached": _keyed(self.reached)}

    @classmethod
    def from_json(cls, value: Mapping[str, Mapping[str, int]]) -> Self:
        """Parse the value that to_json returns."""
        return cls(**{name: _counted(counts) for name, counts in value.items()})


class ImageBoxes(NamedTuple):
    """The boxes of one image, the input of BoxStatistics.

    Attributes:
      name: of the image.
      width, height: in pixels.
      boxes: [N, 4], relative (ymin, xmin, ymax, xmax), each with max > min.
      labels: the N class names.
      not_exhaustive: names of the classes of which the image may show objects without a box.
      ignored_regions: number of areas in which nobody has looked for objects.
    """

    name: str
    width: int
    height: int
    boxes: Boxes
    labels: Sequence[str]
    not_exhaustive: Sequence[str] = ()
    ignored_regions: int = 0

    @classmethod
    def from_example(cls, example: DetectionExample) -> Self:
        """Return the boxes of an example, without the bytes of the image."""
        labels = tuple(item.label for item in example.objects)
        not_exhaustive = tuple(name for _, name in example.not_exhaustive)
        size = (example.width, example.height)
        return cls(example.filename, *size, example.boxes, labels, not_exhaustive, len(example.ignored_regions))


@dataclass(kw_only=True)
class BoxStatistics:
    """Counters over images; `merge` is associative and commutative.

    Attributes:
      image_sizes: images by (width, height) in pixels.
      boxes_per_image: images by their number of boxes.
      classes: the boxes of each class, by its name.
      crowded: (boxes, name) of up to 20 images with more than 100 boxes, those with the most boxes.
      not_exhaustive: images by the name of a class of which they may show objects without a box.
      regions_per_image: images with ignored regions, by their number of these.
    """

    image_sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    boxes_per_image: Counter[int] = field(default_factory=Counter)
    classes: dict[str, ClassStatistics] = field(default_factory=dict)
    crowded: tuple[tuple[int, str], ...] = ()
    not_exhaustive: Counter[str] = field(default_factory=Counter)
    regions_per_image: Counter[int] = field(default_factory=Counter)

    @classmethod
    def from_images(cls, images: Iterable[ImageBoxes]) -> Self:
        """Return the statistics of images; one call with many images costs much less than many calls."""
        statistics = cls()
        pending: list[ImageBoxes] = []
        pending_boxes = 0
        for image in images:
            # Images are counted at once; their boxes wait for a batch.
            statistics._add_image(image)
            pending.append(image)
            pending_boxes += len(image.labels)
            if pending_boxes >= _BATCH_SIZE:
                statistics._add_boxes(pending)
                pending, pending_boxes = [], 0
        statistics._add_boxes(pending)
        return statistics

    def _add_image(self, image: ImageBoxes) -> None:
        boxes = len(image.labels)
        self.image_sizes[image.width, image.height] += 1
        self.boxes_per_image[boxes] += 1
        self.not_exhaustive.update(image.not_exhaustive)
        if image.ignored_regions:
            self.regions_per_image[image.ignored_regions] += 1
        if boxes > MAX_BOXES_PER_IMAGE:
            self.crowded = _most_crowded((*self.crowded, (boxes, image.name)))

    def _add_boxes(self, images: Sequence[ImageBoxes]) -> None:
        labels = [label for image in images for label in image.labels]
        if not labels:
            return
        # All boxes of the batch as one array: each numpy call costs the same for one box and for a thousand.
        boxes = np.concatenate([np.asarray(image.boxes, np.float64).reshape(-1, 4) for image in images])
        sizes = np.asarray([(image.height, image.width) for image in images for _ in image.labels])
        sides = (boxes[:, 2:] - boxes[:, :2]) * sizes  # [N, (height, width)] in pixels
        # The square root of the area is half of its logarithm.
        octaves = np.maximum(np.floor(np.log2(sides.prod(axis=1)) / 2), 0).astype(int)
        stretch = np.log2(sides[:, 0] / sides[:, 1])
        aspects = np.clip(np.rint(stretch), -MAX_ASPECT_OCTAVE, MAX_ASPECT_OCTAVE).astype(int)
        reached = _reached(boxes, sizes)  # bool [N, canvases]
        for label, rows in _rows_by_label(labels).items():
            counts = self.classes.setdefault(label, ClassStatistics())
            counts.sides.update(octaves[rows].tolist())
            counts.aspects.update(aspects[rows].tolist())
            counts.reached.update(dict(zip(CANVASES, reached[rows].sum(axis=0).tolist(), strict=True)))

    @property
    def images(self) -> int:
        """The number of images."""
        return self.boxes_per_image.total()

    @property
    def crowded_images(self) -> int:
        """The number of images with more than 100 boxes."""
        return sum(images for boxes, images in self.boxes_per_image.items() if boxes > MAX_BOXES_PER_IMAGE)

    @property
    def ignored_regions(self) -> int:
        """The number of ignored regions."""
        return sum(regions * images for regions, images in self.regions_per_image.items())

    @property
    def total(self) -> ClassStatistics:
        """The counts of all classes together."""
        total = ClassStatistics()
        for counts in self.classes.values():
            total = total.merge(counts)
        return total

    def merge(self, other: "BoxStatistics") -> "BoxStatistics":
        """Return the statistics of both; neither is changed."""
        empty = ClassStatistics()
        names = sorted({*self.classes, *other.classes})
        return BoxStatistics(
            image_sizes=self.image_sizes + other.image_sizes,
            boxes_per_image=self.boxes_per_image + other.boxes_per_image,
            classes={name: self.classes.get(name, empty).merge(other.classes.get(name, empty)) for name in names},
            crowded=_most_crowded((*self.crowded, *other.crowded)),
            not_exhaustive=self.not_exhaustive + other.not_exhaustive,
            regions_per_image=self.regions_per_image + other.regions_per_image,
        )

    def to_json(self) -> dict[str, Any]:
        """Return a value for json.dumps; equal statistics give equal values."""
        # Only where there is something: results of earlier versions stay as they are.
        partial = {
            "not_exhaustive": dict(sorted(self.not_exhaustive.items())),
            "regions": _keyed(self.regions_per_image),
        }
        return {
            "image_sizes": {f"{width}x{height}": count for (width, height), count in sorted(self.image_sizes.items())},
            "boxes_per_image": _keyed(self.boxes_per_image),
            "classes": {name: counts.to_json() for name, counts in sorted(self.classes.items())},
            "crowded": [list(row) for row in self.crowded],
            **{name: counts for name, counts in partial.items() if counts},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Parse the value that to_json returns."""
        # JSON keys are text: (640, 360) was written as "640x360".
        sizes = ((size.split("x"), count) for size, count in value["image_sizes"].items())
        return cls(
            image_sizes=Counter({(int(width), int(height)): count for (width, height), count in sizes}),
            boxes_per_image=_counted(value["boxes_per_image"]),
            classes={name: ClassStatistics.from_json(counts) for name, counts in value["classes"].items()},
            crowded=tuple((boxes, name) for boxes, name in value["crowded"]),
            not_exhaustive=Counter(value.get("not_exhaustive", {})),
            regions_per_image=_counted(value.get("regions", {})),
        )


def _rows_by_label(labels: Sequence[str]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        rows.setdefault(label, []).append(row)
    return rows


def _reached(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return whether boxes have an anchor of IoU 0.5, bool [N, canvases].

    Args:
      boxes: [N, 4], relative.
      sizes: [N, (height, width)] of their images in pixels.
    """
    # All canvases in one call: row by row the boxes of the first, then those of the second, and so on.
    count = len(CANVASES)
    limits = np.repeat(CANVASES, len(boxes))[:, None]
    pixels, canvases = place_boxes(np.tile(boxes, (count, 1)), np.tile(sizes, (count, 1)), limits)
    overlap = best_overlap(pixels, canvases, anchor_scale=PRESET_ANCHOR_SCALE)
    return overlap.reshape(count, len(boxes)).T >= POSITIVE_IOU


def _most_crowded(rows: Iterable[tuple[int, str]]) -> tuple[tuple[int, str], ...]:
    """Return the images with the most boxes; merging parts in any order keeps the same ones."""
    return tuple(sorted(rows, key=lambda row: (-row[0], row[1]))[:_MAX_CROWDED])


def _keyed(counts: Mapping[int, int]) -> dict[str, int]:
    """Convert keys to text for JSON, and omits counts of 0."""
    return {str(key): count for key, count in sorted(counts.items()) if count}


def _counted(counts: Mapping[str, int]) -> Counter[int]:
    return Counter({int(key): count for key, count in counts.items()})
