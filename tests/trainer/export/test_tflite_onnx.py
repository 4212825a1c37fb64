"""The TFLite and the ONNX model against the SavedModel of the same export."""

import hashlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from retinanet_odm import exported_model
from retinanet_odm.errors import UsageError
from retinanet_odm.exported_model import ModelManifest
from tests.trainer.conftest import make_noise
from trainer.data import preprocess, records
from trainer.export import saved_model, tflite_onnx
from trainer.network import build, postprocess
from trainer.presets import make_config

# An untrained network gives every class about 0.01.
SMALL = {"image_size": "64x64", "pyramid_channels": 16, "head_depth": 1, "score_threshold": 0.001}
SIZES = [
    ("the canvas itself", (64, 64)),
    ("as the data set has them", (96, 128)),
    ("upright, and enlarged to fit", (50, 30)),
    ("eight times as high as wide", (160, 20)),
    ("eight times as wide as high", (20, 160)),
]


@pytest.fixture(scope="module")
def folder(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("all")
    given = {"max_detections": 20, "export_formats": "savedmodel,tflite,onnx", "reference_images": 0}
    config = make_config("tiny", {**SMALL, **given, "model_dir": str(made)})
    manifest = records.read_dataset_manifest(str(dataset))
    net = build.build_network(config, manifest)
    # Initial averages are 0 and 1, which would hide an export without them.
    rng = np.random.default_rng(0)
    for weight in net.model.non_trainable_weights:
        if "moving" in weight.path:
            weight.assign(weight.numpy() + rng.uniform(0, 0.2, weight.shape))
    return Path(saved_model.export_model(config, manifest, net, metrics={}, step=0))


def run_tflite(path: Path, canvas: np.ndarray) -> dict[str, Any]:
    return tf.lite.Interpreter(model_path=str(path)).get_signature_runner()(**{exported_model.CANVAS: canvas})


def run_onnx(path: Path, canvas: np.ndarray) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {exported_model.CANVAS: canvas}), strict=True))


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize(("name", "run"), [("model.tflite", run_tflite), ("model.onnx", run_onnx)])
@pytest.mark.parametrize(("why", "size"), SIZES, ids=[row[0] for row in SIZES])
def test_it_finds_what_the_saved_model_finds(
    folder: Path, name: str, run: Callable[[Path, np.ndarray], dict[str, Any]], why: str, size: tuple[int, int]
) -> None:
    encoded = tf.constant([make_noise(5, size)])
    expected = tf.saved_model.load(str(folder)).signatures[exported_model.SERVING](image_bytes=encoded)
    batch = preprocess.load_batch(encoded, (64, 64), preprocess.decode_image_bytes)
    found = run(folder / name, batch.images.numpy())
    boxes = postprocess.to_image_pixels(found[exported_model.BOXES], batch.placed, batch.sizes)
    assert found[exported_model.COUNT][0] == expected[exported_model.COUNT][0] > 0, why
    np.testing.assert_allclose(boxes, expected[exported_model.BOXES], atol=0.5)
    np.testing.assert_allclose(found[exported_model.SCORES], expected[exported_model.SCORES], atol=1e-3)
    np.testing.assert_array_equal(found[exported_model.CLASSES], expected[exported_model.CLASSES])


@pytest.mark.parametrize("name", ["model.tflite", "model.onnx"])
def test_the_manifest_knows_the_file(folder: Path, name: str) -> None:
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert json.loads((folder / ModelManifest.FILE).read_text())["files"][name] == digest


def test_its_folder_may_be_replaced(folder: Path) -> None:
    assert saved_model.check_folder(str(folder.parent)) == str(folder)


def test_a_missing_converter_is_reported_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    tflite_onnx.check_installed(("tflite",))
    with pytest.raises(UsageError, match=r"--export_formats: onnx needs tf2onnx, .* pip install '\.\[onnx\]'"):
        tflite_onnx.check_installed(("tflite", "onnx"))
