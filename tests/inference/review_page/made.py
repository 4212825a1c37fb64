"""A small finished run with images, for the tests of the page."""

import io
from pathlib import Path

from PIL import Image

from inference.review_page.decision_log import DecisionLog
from inference.review_page.listed_images import ListedImages, images_to_review
from inference.review_page.pictures import Pictures, locate_images
from inference.review_page.service import ReviewService
from retinanet_odm.dataset.frame_names import DeploymentRule
from retinanet_odm.predictions.rows import PredictionRow
from tests.inference.outputs import write_output
from tests.retinanet_odm.prediction_rows import CRAB, PIG, RUN, STAR, failed, scored

# In the order of their names: a weak crab, a deployment with a time, an image that failed, one without detections.
ROWS = (
    scored("a.jpg", PIG, CRAB),
    scored("b.jpg", STAR),
    failed("broken.jpg"),
    scored("dive 1/StaM_6701_20161110_14_24_12.jpg", PIG),
    scored("empty.jpg"),
)


def encoded(colour: str, size: tuple[int, int] = (40, 30), kind: str = "JPEG", orientation: int = 1) -> bytes:
    data = io.BytesIO()
    image = Image.new("RGB", size, colour)
    exif = image.getexif()
    exif[274] = orientation
    image.save(data, kind, exif=exif)
    return data.getvalue()


def write_run(folder: Path, rows: tuple[PredictionRow, ...] = ROWS) -> Path:
    """Writes images, and OUT, whose summary says where they are."""
    for row in rows:
        path = folder / "images" / row.image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded("navy") if row.status == "ok" else b"no image")
    source = {"images": [str(folder / "images")], "passed_over": {}}
    return write_output(folder / "OUT", rows, sources=[source])


def listed(rows: tuple[PredictionRow, ...] = ROWS, **more: object) -> ListedImages:
    return images_to_review(rows, RUN, DeploymentRule(""), **more)


def make_service(folder: Path, log: DecisionLog, rows: tuple[PredictionRow, ...] = ROWS) -> ReviewService:
    """A service of a run that write_run wrote; its export returns the formats."""
    images = listed(rows)
    places = locate_images([[str(folder / "images")]], [row.image for row in rows])
    return ReviewService(images, log, Pictures(places), list)
