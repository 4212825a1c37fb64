"""Contact sheets for TensorBoard: what the network is shown in training, and what it finds in evaluation."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from retinanet_odm.dataset.examples import DetectionExample
from retinanet_odm.imaging.drawing import DrawnBox, draw_boxes, draw_thumbnail
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.predictions.rows import MIN_SHOWN_SCORE

MAX_SHEET_IMAGES = 9  # pictures of a sheet
_COLUMNS = 3
_LONGEST = 480  # pixels of a picture's longer side


def training_sheet(batch: Mapping[str, np.ndarray], labels: LabelMap) -> np.ndarray:
    """The first pictures of a training batch (trainer.data.records.training_batches) with their boxes.

    Returns:
      uint8 [1, H, W, 3], as tf.summary.image takes it.
    """
    rows = zip(batch["image"][:MAX_SHEET_IMAGES], batch["boxes"], batch["labels"], strict=False)
    return _sheet([draw_boxes(Image.fromarray(image), _truth(boxes, ids, labels)) for image, boxes, ids in rows])


def _truth(boxes: np.ndarray, ids: np.ndarray, labels: LabelMap) -> Iterator[DrawnBox]:
    for box, label_id in zip(boxes.tolist(), ids.tolist(), strict=True):
        if label_id:  # 0 is padding
            yield DrawnBox(box=tuple(box), label=labels.name_by_id.get(label_id, ""), label_id=label_id)


def detection_sheet(
    examples: Iterable[DetectionExample], results: Sequence[Mapping[str, Any]], labels: LabelMap
) -> np.ndarray:
    """Photographs with what was found in them, from a score on that a person would look at.

    Args:
      results: COCO results of these photographs, and maybe of others.

    Returns:
      uint8 [1, H, W, 3].
    """
    pictures = []
    for example in examples:
        found = [
            entry for entry in results if entry["image_id"] == example.source_id and entry["score"] >= MIN_SHOWN_SCORE
        ]
        thumbnail = draw_thumbnail(example.encoded, [_drawn(entry, labels) for entry in found], longest=_LONGEST)
        pictures.append(Image.open(io.BytesIO(thumbnail)))
    return _sheet(pictures)


def _drawn(entry: Mapping[str, Any], labels: LabelMap) -> DrawnBox:
    x, y, width, height = entry["bbox"]
    label_id = entry["category_id"]
    name = labels.name_by_id.get(label_id, "")
    return DrawnBox(box=(y, x, y + height, x + width), label=name, label_id=label_id, score=entry["score"])


def _sheet(pictures: Sequence[Image.Image]) -> np.ndarray:
    """Pictures side by side in rows of three, each at the top left of its cell."""
    width = max(picture.width for picture in pictures)
    height = max(picture.height for picture in pictures)
    rows = -(-len(pictures) // _COLUMNS)
    sheet = Image.new("RGB", (width * min(len(pictures), _COLUMNS), height * rows))
    for place, picture in enumerate(pictures):
        row, column = divmod(place, _COLUMNS)
        sheet.paste(picture, (column * width, row * height))
    return np.asarray(sheet)[None]
