"""Detections as boxes to draw on an image. Apart from `rows`, because reading a row must not import Pillow."""

from retinanet_odm.imaging.drawing import DrawnBox
from retinanet_odm.predictions.rows import Detection


def drawn_detection(item: Detection) -> DrawnBox:
    """Return the box to draw for a detection."""
    return DrawnBox(box=item.corners, label=item.label, label_id=item.label_id, score=item.score)
