"""The model as Beam calls it."""

import pickle
from pathlib import Path

from inference.model.handler import DetectorHandler
from inference.model.loading import find_model
from inference.model.options import ModelOptions
from tests.inference.fake_model import BLUE, RED, encoded, make_image


def test_handler(model: Path) -> None:
    made = DetectorHandler(find_model(str(model), ModelOptions(batch_size=3)))
    handler = pickle.loads(pickle.dumps(made))
    images = [
        make_image(20, 10, {BLUE: (1, 2, 3, 4)}),
        b"no image",
        make_image(8, 8),
        make_image(40, 50, {RED: (9, 8, 30, 20)}),
    ]
    batch = [encoded(data) for data in images]
    blue, bad, grey, red = handler.run_inference(batch, handler.load_model())
    assert blue.boxes.tolist() == [[2, 1, 4, 3]]
    assert (blue.height, blue.width, blue.status) == (10, 20, 0)
    assert (bad.reason, bad.why) == ("model_refused_image", "the model gave status 1"), "read without a check"
    assert (grey.status, len(grey.boxes)) == (0, 0)
    assert (red.boxes.tolist(), red.classes.tolist()) == ([[8, 9, 20, 30]], [1])
    assert handler.get_num_bytes(batch) == sum(map(len, images))
