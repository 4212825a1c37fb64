"""Contact sheets for TensorBoard: the images of a training batch, and the detections of an evaluation."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from retinanet_odm.dataset.examples import DetectionExample
from retinanet_odm.imaging.drawing import DrawnBox, draw_boxes, draw_thumbnail, drawn_region
from retinanet_odm.labels.label_map import LabelMap
from trainer.data.parsing import REGION

MAX_SHEET_IMAGES = 9
_COLUMNS = 3
_MIN_SCORE = 0.3  # during a training no class has a threshold of its own yet
_LONGEST_SIDE = 480  # of an image on a sheet, in pixels

Sheet = npt.NDArray[np.uint8]  # [1, height, width, 3], as tf.summary.image takes it


def training_sheet(batch: Mapping[str, np.ndarray], labels: LabelMap) -> Sheet:
    """Draw the first images of a batch of `trainer.data.records.training_batches` with their boxes."""
    rows = zip(batch["image"][:MAX_SHEET_IMAGES], batch["boxes"], batch["labels"], strict=False)
    return _sheet([draw_boxes(Image.fromarray(image), _true_boxes(boxes, ids, labels)) for image, boxes, ids in rows])


def _true_boxes(boxes: np.ndarray, ids: np.ndarray, labels: LabelMap) -> Iterator[DrawnBox]:
    for box, label_id in zip(boxes.tolist(), ids.tolist(), strict=True):
        if label_id == REGION:
            yield drawn_region(tuple(box))
        elif label_id:  # 0 is padding
            yield DrawnBox(box=tuple(box), label=labels.name_by_id.get(label_id, ""), label_id=label_id)


def detection_sheet(
    examples: Iterable[DetectionExample], results: Sequence[Mapping[str, Any]], labels: LabelMap
) -> Sheet:
    """Draw images with their detections, without very weak ones.

    Args:
      examples: The images.
      results: COCO results of these images, and maybe of others.
      labels: Names of the classes.
    """
    images = []
    for example in examples:
        found = [
            _detected_box(entry, labels)
            for entry in results
            if entry["image_id"] == example.source_id and entry["score"] >= _MIN_SCORE
        ]
        thumbnail = draw_thumbnail(example.encoded, found, longest=_LONGEST_SIDE)
        images.append(Image.open(io.BytesIO(thumbnail)))
    return _sheet(images)


def _detected_box(entry: Mapping[str, Any], labels: LabelMap) -> DrawnBox:
    x, y, width, height = entry["bbox"]
    label_id = entry["category_id"]
    # The head has an output for every id up to the largest, also for ids without a name.
    name = labels.name_by_id.get(label_id, "")
    return DrawnBox(box=(y, x, y + height, x + width), label=name, label_id=label_id, score=entry["score"])


def _sheet(images: Sequence[Image.Image]) -> Sheet:
    """Arrange images in rows of three, each at the top left of its cell."""
    width = max(image.width for image in images)
    height = max(image.height for image in images)
    rows = -(-len(images) // _COLUMNS)
    sheet = Image.new("RGB", (width * min(len(images), _COLUMNS), height * rows))
    for cell, image in enumerate(images):
        row, column = divmod(cell, _COLUMNS)
        sheet.paste(image, (column * width, row * height))
    return np.asarray(sheet)[None]
