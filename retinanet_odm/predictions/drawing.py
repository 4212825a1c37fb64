"""Prediction rows as boxes to draw on an image. Apart from `rows`, so that reading a row needs no Pillow."""

from retinanet_odm.imaging.drawing import DrawnBox
from retinanet_odm.predictions.rows import Detection


def drawn_detection(item: Detection) -> DrawnBox:
    """Returns the box to draw for a detection."""
    xmin, ymin, xmax, ymax = item.box
    return DrawnBox(box=(ymin, xmin, ymax, xmax), label=item.label, label_id=item.label_id, score=item.score)
