"""What a model needs to be loaded, and which packages are loaded with it."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from inference.model.loading import find_model, load_model
from inference.model.options import ModelOptions
from inference.model.tiling import Tiling
from retinanet_odm.errors import ContractError
from tests.inference.fake_model import write_manifest, write_model, write_reference

ROOT = Path(__file__).parents[3]
TILED = ModelOptions(tiling=Tiling(side=64))


def test_another_model_than_the_run_began_with(model: Path) -> None:
    found = find_model(str(model), ModelOptions())
    other = dataclasses.replace(found, manifest=dataclasses.replace(found.manifest, files={"saved_model.pb": "f" * 64}))
    with pytest.raises(ContractError, match="but the run began with"):
        load_model(other)


def test_a_file_of_the_export_in_the_current_folder(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model)
    with pytest.raises(ContractError, match=r"model\.json is a file; did you mean \.\?$"):
        find_model("model.json", ModelOptions())


def test_a_folder_with_brackets(tmp_path: Path) -> None:
    folder = tmp_path / "trips [1]*" / "[2024]"
    folder.parent.mkdir()
    write_model(tmp_path / "export")
    (tmp_path / "export").rename(folder)
    load_model(find_model(str(folder), ModelOptions()))


def test_a_model_without_pixels_has_no_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinanet_odm.exported_model.IMAGE_TENSOR", "other")
    write_model(tmp_path / "export")
    monkeypatch.undo()
    load_model(find_model(str(tmp_path / "export"), ModelOptions()))
    with pytest.raises(ContractError, match="has no signature 'image_tensor', which --tile needs"):
        load_model(find_model(str(tmp_path / "export"), TILED))


def test_a_model_without_our_signature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinanet_odm.exported_model.IMAGE_BYTES", "inputs")
    write_model(tmp_path / "export")
    monkeypatch.undo()
    with pytest.raises(ContractError, match="'serving_default' lacks image_bytes"):
        load_model(find_model(str(tmp_path / "export"), ModelOptions()))


def test_a_reference_needs_the_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export of an earlier version has neither, and is loaded."""
    monkeypatch.setattr("retinanet_odm.exported_model.FEATURES", "other")
    write_model(tmp_path / "export")
    monkeypatch.undo()
    load_model(find_model(str(tmp_path / "export"), ModelOptions()))
    write_reference(tmp_path / "export")
    without = write_manifest(tmp_path / "export", files={})
    assert write_manifest(tmp_path / "export").model_hash != without.model_hash, "it decides rows"
    with pytest.raises(ContractError, match="'serving_default' lacks features"):
        load_model(find_model(str(tmp_path / "export"), ModelOptions()))


def test_the_model_needs_no_keras(model: Path) -> None:
    """That saves half a second in every process; a later use of tf.keras gets the Keras that is installed."""
    code = (
        "import os, sys; from inference.model import ModelOptions, find_model, load_scorer\n"
        f"load_scorer(find_model({str(model)!r}, ModelOptions()))\n"
        "print('keras' in sys.modules, 'TF_USE_LEGACY_KERAS' in os.environ)\n"
        "import tensorflow as tf; print(tf.keras.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False False\nkeras._tf_keras.keras\n"
