"""A crop shows the pixels of its part of the image, and its boxes lie where the objects are."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.edges import FULL_SIZE, SHAPES, Count, crop_example
from retinanet_odm import boxes as box_ops
from retinanet_odm.dataset.examples import DetectionExample, ExampleObject


def one_object(source_id: int) -> DetectionExample:
    """A grey image with a white rectangle somewhere."""
    width, height = FULL_SIZE
    top, left = np.random.default_rng(source_id).integers(0, (height - 90, width - 60))
    pixels = np.full((height, width, 3), 110, np.uint8)
    pixels[top : top + 90, left : left + 60] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    box = (top / height, left / width, (top + 90) / height, (left + 60) / width)
    return DetectionExample(
        encoded=buffer.getvalue(),
        format="png",
        height=height,
        width=width,
        filename="a.png",
        source_id=source_id,
        sha256=hashlib.sha256(buffer.getvalue()).hexdigest(),
        objects=(ExampleObject(label_id=1, label="a", box=box, area=5400),),
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("source_id", range(1, 5))
def test_boxes_lie_where_the_objects_are(source_id: int, shape: tuple[int, int]) -> None:
    found = crop_example(one_object(source_id), shape)
    assert (found.width, found.height) == shape
    with Image.open(io.BytesIO(found.encoded)) as opened:
        assert opened.size == shape
        rows, columns = np.nonzero(np.asarray(opened.convert("L")) > 200)
    if found.objects:
        (box,) = box_ops.to_pixels(found.boxes, found.height, found.width)
        edges = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        np.testing.assert_allclose(box, edges, atol=1)
    else:
        assert len(rows) < 0.35 * 5400, "an object of which little is left does not count"


def test_counts() -> None:
    count = Count()
    count.add(np.float32([[0, 0, 5, 5], [0, 3, 9, 3], [4, 0, 4.5, 9]]), np.float32([0.9, 0.6, 0.2]))
    assert str(count) == "2 of 3 (1 of 2)"
