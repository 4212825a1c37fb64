"""The TFLite model against the SavedModel of the same export."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from detection import signatures
from detection.manifests import ModelManifest
from tests.trainer.conftest import make_noise
from trainer import export, network, postprocess, preprocess, records
from trainer.presets import make_config

# An untrained network gives every class about 0.01.
SMALL = {"image_size": "64x64", "pyramid_channels": 16, "head_depth": 1, "score_threshold": 0.001}
SIZES = [
    ("the canvas itself", (64, 64)),
    ("as the data set has them", (96, 128)),
    ("upright, and enlarged to fit", (50, 30)),
]


@pytest.fixture(scope="module")
def folder(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("both")
    given = {"max_detections": 20, "export_formats": "savedmodel,tflite", "dataset": str(dataset)}
    config = make_config("tiny", {**SMALL, **given, "model_dir": str(made)})
    manifest = records.read_manifest(str(dataset))
    net = network.build_network(config, manifest)
    # Averages as training leaves them: fresh ones are 0 and 1, which would hide that they are not exported.
    rng = np.random.default_rng(0)
    for weight in net.model.non_trainable_weights:
        if "moving" in weight.path:
            weight.assign(weight.numpy() + rng.uniform(0, 0.2, weight.shape))
    return Path(export.export_model(config, manifest, net, metrics={}, step=0))


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize(("why", "size"), SIZES, ids=[row[0] for row in SIZES])
def test_it_finds_what_the_saved_model_finds(folder: Path, why: str, size: tuple[int, int]) -> None:
    encoded = tf.constant([make_noise(5, size)])
    expected = tf.saved_model.load(str(folder)).signatures[signatures.SERVING](image_bytes=encoded)
    batch = preprocess.load_batch(encoded, (64, 64), preprocess.decode)
    run = tf.lite.Interpreter(model_path=str(folder / "model.tflite")).get_signature_runner()
    found = run(**{signatures.CANVAS: batch.images.numpy()})
    boxes = postprocess.to_photograph(found[signatures.BOXES], batch.placed, batch.sizes)
    assert found[signatures.COUNT][0] == expected[signatures.COUNT][0] > 0, why
    np.testing.assert_allclose(boxes, expected[signatures.BOXES], atol=0.5)
    np.testing.assert_allclose(found[signatures.SCORES], expected[signatures.SCORES], atol=1e-3)
    np.testing.assert_array_equal(found[signatures.CLASSES], expected[signatures.CLASSES])


def test_the_manifest_knows_the_file(folder: Path) -> None:
    digest = hashlib.sha256((folder / "model.tflite").read_bytes()).hexdigest()
    assert json.loads((folder / ModelManifest.FILE).read_text())["files"]["model.tflite"] == digest


def test_its_folder_may_be_replaced(folder: Path) -> None:
    assert export.check_folder(str(folder.parent)) == str(folder)
