"""In which images a class counts: only where it is annotated exhaustively.

Elsewhere, an object of the class may lack its box, so that nobody knows whether a detection is right. Begin with
`known_only`. Letters of shapes: I images, K classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retinanet_odm.dataset.coco import NOT_EXHAUSTIVE

Truth = Mapping[str, Any]
Results = Sequence[Mapping[str, Any]]


def known_only(truth: Truth, results: Results) -> tuple[Truth, Results]:
    """Leave out the objects and detections of a class in images in which it is not exhaustive.

    Args:
      truth: COCO ground truth, whose images may have ``not_exhaustive_category_ids``.
      results: COCO results.
    """
    unknown = {(image["id"], label_id) for image in truth["images"] for label_id in image.get(NOT_EXHAUSTIVE, ())}
    if not unknown:
        return truth, results

    def is_known(entry: Mapping[str, Any]) -> bool:
        return (entry["image_id"], entry["category_id"]) not in unknown

    return {**truth, "annotations": list(filter(is_known, truth["annotations"]))}, list(filter(is_known, results))


def exhaustive_table(images: Results, label_ids: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Return bool [I, K]: whether the class is exhaustive in the image.

    Args:
      images: COCO entries of "images", in the order of the rows.
      label_ids: of the columns.

    Example:
      >>> exhaustive_table([{"id": 1}, {"id": 2, "not_exhaustive_category_ids": [7]}], [3, 7]).tolist()
      [[True, True], [True, False]]
    """
    rows = [[label_id not in image.get(NOT_EXHAUSTIVE, ()) for label_id in label_ids] for image in images]
    return np.array(rows, bool).reshape(len(images), len(label_ids))
