"""What boxes a data set holds: counters over images that add up, whatever the order in which they are added."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np

from retinanet_odm.boxes import Boxes
from retinanet_odm.dataset.anchor_coverage import CANVAS_MULTIPLE, POSITIVE_IOU, best_overlap
from retinanet_odm.dataset.examples import DetectionExample

# Longest sides of a canvas at which the anchors are tried, in pixels; the first is the trainer's default.
CANVASES = (320, 512, 640, 896, 1024)
_AT_ONCE = 1000  # boxes: enough to spread the cost of numpy's calls, few enough to stay in the processor's cache

# tensorflow/tpu models/official/retinanet/dataloader.py, MAX_NUM_INSTANCES: it stops at an image with more boxes.
MAX_BOXES_PER_CLASS = 100
_CROWDED_KEPT = 20  # images with more are all counted, and so many are named

MAX_ASPECT_OCTAVE = 3  # octaves: 8 times as high as wide, and more


@dataclass(kw_only=True)
class ClassStatistics:
    """The boxes of one class.

    Attributes:
      sides: boxes by the octave of their side, the root of the area in pixels of the photograph: k for 2^k to 2^(k+1),
        0 for all below 2.
      aspects: boxes by height / width, rounded to octaves: 0 for about square, 1 for twice as high as wide, -1 for
        twice as wide as high, as RetinaNet's anchors are; -3 and 3 hold all beyond.
      reached: boxes that have an anchor of IoU 0.5 or more, by the longest side of the canvas.
    """

    sides: Counter[int] = field(default_factory=Counter)
    aspects: Counter[int] = field(default_factory=Counter)
    reached: Counter[int] = field(default_factory=Counter)

    @property
    def boxes(self) -> int:
        return self.sides.total()

    def recall(self, canvas: int) -> float:
        """The share of the boxes that have an anchor of IoU 0.5 or more on a canvas of this longest side."""
        return self.reached[canvas] / self.boxes if self.boxes else 0.0

    def merge(self, other: "ClassStatistics") -> "ClassStatistics":
        """The boxes of both."""
        return ClassStatistics(
            sides=self.sides + other.sides,
            aspects=self.aspects + other.aspects,
            reached=self.reached + other.reached,
        )

    def to_json(self) -> dict[str, Any]:
        return {"sides": _keyed(self.sides), "aspects": _keyed(self.aspects), "reached": _keyed(self.reached)}

    @classmethod
    def from_json(cls, value: Mapping[str, Mapping[str, int]]) -> Self:
        """Inverse of to_json."""
        return cls(**{name: _counted(counts) for name, counts in value.items()})


class ImageBoxes(NamedTuple):
    """What is counted of an image.

    Attributes:
      name: of the image; width, height: in pixels.
      boxes: [N, 4], relative (ymin, xmin, ymax, xmax), each with an extent.
      labels: the N class names.
    """

    name: str
    width: int
    height: int
    boxes: Boxes
    labels: Sequence[str]

    @classmethod
    def from_example(cls, example: DetectionExample) -> Self:
        """Without the bytes of the photograph."""
        labels = tuple(item.label for item in example.objects)
        return cls(example.filename, example.width, example.height, example.boxes, labels)


@dataclass(kw_only=True)
class BoxStatistics:
    """Counters over images; `from_images` counts some, `merge` adds up two, associative and commutative.

    Attributes:
      image_sizes: images by (width, height) in pixels.
      boxes_per_image: images by their number of boxes.
      classes: boxes of each class, by its name.
      crowded: (boxes, name) of the 20 images with the most boxes, of those with more than 100.
    """

    image_sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    boxes_per_image: Counter[int] = field(default_factory=Counter)
    classes: dict[str, ClassStatistics] = field(default_factory=dict)
    crowded: tuple[tuple[int, str], ...] = ()

    @classmethod
    def from_images(cls, images: Iterable[ImageBoxes]) -> Self:
        """The statistics of some images; many at once cost much less than one by one."""
        statistics = cls()
        pending: list[ImageBoxes] = []
        waiting = 0
        for image in images:
            statistics._add_image(image)
            pending.append(image)
            waiting += len(image.labels)
            if waiting >= _AT_ONCE:
                statistics._add_boxes(pending)
                pending, waiting = [], 0
        statistics._add_boxes(pending)
        return statistics

    def _add_image(self, image: ImageBoxes) -> None:
        boxes = len(image.labels)
        self.image_sizes[image.width, image.height] += 1
        self.boxes_per_image[boxes] += 1
        if boxes > MAX_BOXES_PER_CLASS:
            self.crowded = _most_crowded((*self.crowded, (boxes, image.name)))

    def _add_boxes(self, images: Sequence[ImageBoxes]) -> None:
        labels = [label for image in images for label in image.labels]
        if not labels:
            return
        boxes = np.concatenate([np.asarray(image.boxes, np.float64).reshape(-1, 4) for image in images])
        sizes = np.asarray([(image.height, image.width) for image in images for _ in image.labels])
        sides = (boxes[:, 2:] - boxes[:, :2]) * sizes
        octaves = np.maximum(np.floor(np.log2(sides.prod(axis=1)) / 2), 0).astype(int)
        stretch = np.log2(sides[:, 0] / sides[:, 1])
        aspects = np.clip(np.rint(stretch), -MAX_ASPECT_OCTAVE, MAX_ASPECT_OCTAVE).astype(int)
        reached = _reached(boxes, sizes)
        for label, rows in _rows_by_label(labels).items():
            counts = self.classes.setdefault(label, ClassStatistics())
            counts.sides.update(octaves[rows].tolist())
            counts.aspects.update(aspects[rows].tolist())
            counts.reached.update(dict(zip(CANVASES, reached[rows].sum(axis=0).tolist(), strict=True)))

    @property
    def images(self) -> int:
        return self.boxes_per_image.total()

    @property
    def crowded_images(self) -> int:
        """How many images have more than 100 boxes."""
        return sum(images for boxes, images in self.boxes_per_image.items() if boxes > MAX_BOXES_PER_CLASS)

    @property
    def total(self) -> ClassStatistics:
        """The boxes of all classes."""
        whole = ClassStatistics()
        for counts in self.classes.values():
            whole = whole.merge(counts)
        return whole

    def merge(self, other: "BoxStatistics") -> "BoxStatistics":
        """The images of both; neither is changed."""
        none = ClassStatistics()
        names = sorted({*self.classes, *other.classes})
        return BoxStatistics(
            image_sizes=self.image_sizes + other.image_sizes,
            boxes_per_image=self.boxes_per_image + other.boxes_per_image,
            classes={name: self.classes.get(name, none).merge(other.classes.get(name, none)) for name in names},
            crowded=_most_crowded((*self.crowded, *other.crowded)),
        )

    def to_json(self) -> dict[str, Any]:
        """A value for json.dumps, equal for equal statistics."""
        return {
            "image_sizes": {f"{width}x{height}": count for (width, height), count in sorted(self.image_sizes.items())},
            "boxes_per_image": _keyed(self.boxes_per_image),
            "classes": {name: counts.to_json() for name, counts in sorted(self.classes.items())},
            "crowded": [list(row) for row in self.crowded],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Inverse of to_json."""
        sizes = ((size.split("x"), count) for size, count in value["image_sizes"].items())
        return cls(
            image_sizes=Counter({(int(width), int(height)): count for (width, height), count in sizes}),
            boxes_per_image=_counted(value["boxes_per_image"]),
            classes={name: ClassStatistics.from_json(counts) for name, counts in value["classes"].items()},
            crowded=tuple((boxes, name) for boxes, name in value["crowded"]),
        )


def _rows_by_label(labels: Sequence[str]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        rows.setdefault(label, []).append(row)
    return rows


def _reached(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Whether relative boxes [N, 4] of images of sizes [N, (height, width)] have an anchor of IoU 0.5, [N, canvases].

    As the trainer places an image: resized with its aspect kept to the longest side, at the top left of a canvas whose
    other side is the next multiple of 32.
    """
    longest = np.asarray(CANVASES)[:, None]
    shares = (sizes / sizes.max(axis=1, keepdims=True))[:, None, :]  # [N, 1, (y, x)]
    placed = np.maximum(np.rint(shares * longest), 1)  # [N, canvases, (y, x)]
    canvases = np.ceil(placed / CANVAS_MULTIPLE) * CANVAS_MULTIPLE
    pixels = boxes[:, None, :] * np.tile(placed, 2)  # [N, canvases, 4]
    overlap = best_overlap(pixels, canvases.reshape(-1, 2))
    return overlap.reshape(len(boxes), len(CANVASES)) >= POSITIVE_IOU


def _most_crowded(rows: Iterable[tuple[int, str]]) -> tuple[tuple[int, str], ...]:
    """The most boxes first; of any number of parts the same are kept, whatever the order."""
    return tuple(sorted(rows, key=lambda row: (-row[0], row[1]))[:_CROWDED_KEPT])


def _keyed(counts: Mapping[int, int]) -> dict[str, int]:
    """Keys as text, as JSON has them; those that nothing has are left out."""
    return {str(key): count for key, count in sorted(counts.items()) if count}


def _counted(counts: Mapping[str, int]) -> Counter[int]:
    return Counter({int(key): count for key, count in counts.items()})
