"""Manifests: what is written comes back, and what contradicts itself does not come in."""

import dataclasses
import json
from typing import Any

import pytest

from retinanet_odm.dataset.manifest import DatasetManifest, ShardInfo, SplitInfo
from retinanet_odm.errors import ContractError
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.labels.label_map import LabelMap

_LABELS = LabelMap.from_names(["Peniagone sp. A", "größer"])


def _split(examples: int, digest: str = "ab") -> SplitInfo:
    shard = ShardInfo(name="train-00000-of-00001.tfrecord", examples=examples, sha256=digest)
    return SplitInfo(examples=examples, boxes=3, boxes_per_class={"größer": 3}, shards=(shard,))


def _dataset(**changes: Any) -> DatasetManifest:
    plain = {
        "labels": _LABELS,
        "splits": {"train": _split(8), "val": _split(0)},
        "max_boxes_per_image": 2,
        "aspect_ratio_min": 1.5,
        "aspect_ratio_max": 2.0,
        "images_in": 10,
        "rejected": 2,
        "rejected_by_reason": {"image_empty": 2},
        "objects_dropped": {},
        "options": {"images": "x/*"},
        "code_version": "0.1.0",
    }
    return DatasetManifest(**{**plain, **changes})


def _model(**changes: Any) -> ModelManifest:
    plain = {
        "labels": _LABELS,
        "image_size": (192, 320),
        "anchors": {"scales": 3},
        "score_threshold": 0.05,
        "nms_iou": 0.5,
        "max_detections": 100,
        "thresholds": {"größer": 0.35},
        "dataset_fingerprint": "ff",
        "metrics": {"AP50": 0.8, "APs": None},
        "config": {"preset": "tiny"},
        "files": {"saved_model.pb": "ab"},
        "code_version": "0.1.0",
    }
    return ModelManifest(**{**plain, **changes})


def test_round_trips() -> None:
    assert DatasetManifest.from_json(_dataset().to_json(), source="dataset.json") == _dataset()
    assert ModelManifest.from_json(_model().to_json(), source="model.json") == _model()


def test_json_tells_num_classes_and_keeps_names_readable() -> None:
    text = _dataset().to_json()
    assert json.loads(text)["num_classes"] == 2
    assert "größer" in text


def _edited(manifest: DatasetManifest | ModelManifest, **changes: Any) -> str:
    value = {**json.loads(manifest.to_json()), **changes}
    return json.dumps({key: item for key, item in value.items() if item is not ...})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "not JSON", id="an empty file"),
        pytest.param("{", "not JSON", id="cut short"),
        pytest.param("[]", "JSON object", id="a list"),
        pytest.param("{}", "schema version 1 expected, found None", id="an empty object"),
        pytest.param(_edited(_dataset(), schema_version=2), "version 1 expected, found 2", id="a later version"),
        pytest.param(_edited(_dataset(), schema_version=2, new=1), "found 2", id="version before unknown fields"),
        pytest.param(_edited(_dataset(), new=1), "new", id="an unknown field"),
        pytest.param(_edited(_dataset(), splits=...), "splits", id="a missing field"),
        pytest.param(_edited(_dataset(), splits=[]), "not a data set manifest", id="splits as a list"),
        pytest.param(_edited(_dataset(), splits={"train": {}}), "not a data set manifest", id="a hollow split"),
        pytest.param(_edited(_dataset(), labels={"0": "x"}), "background", id="label id 0"),
        pytest.param(_edited(_dataset(), labels=None), "labels", id="no labels"),
        pytest.param(_edited(_dataset(), images_in=11), "11 != 8 \\+ 2", id="an image has vanished"),
        pytest.param(_edited(_dataset(), rejected=1), "10 != 8 \\+ 1", id="a reject has vanished"),
        pytest.param(_edited(_dataset(), fingerprint="ab"), "fingerprint", id="fingerprint of other data"),
    ],
)
def test_dataset_refused(text: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        DatasetManifest.from_json(text, source="dataset.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("nonsense", "not JSON", id="text"),
        pytest.param("3", "JSON object", id="a number"),
        pytest.param(_edited(_model(), schema_version=9), "version 1 expected, found 9", id="a later version"),
        pytest.param(_edited(_model(), image_size=[320]), "not a model manifest", id="one side"),
        pytest.param(_edited(_model(), image_size=["a", "b"]), "not a model manifest", id="words"),
        pytest.param(_edited(_model(), image_size=None), "not a model manifest", id="none"),
        pytest.param(_edited(_model(), files=...), "files", id="a missing field"),
    ],
)
def test_model_refused(text: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        ModelManifest.from_json(text, source="model.json")


def test_a_model_of_before_there_were_thresholds_is_read() -> None:
    assert ModelManifest.from_json(_edited(_model(), thresholds=...), source="model.json").thresholds == {}


def test_fingerprint_follows_the_data_and_nothing_else() -> None:
    same = _dataset(options={"images": "elsewhere/*"}, code_version="9")
    assert same.fingerprint == _dataset().fingerprint
    other = _dataset(splits={"train": _split(8, digest="cd"), "val": _split(0)})
    assert other.fingerprint != _dataset().fingerprint
    assert _dataset(labels=LabelMap.from_names(["a"])).fingerprint != _dataset().fingerprint


def test_an_empty_or_unknown_split_is_refused_by_name() -> None:
    assert _dataset().split("train").examples == 8
    for name in ("val", "tset"):
        with pytest.raises(ContractError, match=f"'{name}' has no examples"):
            _dataset().split(name)


def test_model_hash_follows_the_files() -> None:
    assert _model().model_hash == _model(metrics={}).model_hash
    assert _model().model_hash != dataclasses.replace(_model(), files={"saved_model.pb": "cd"}).model_hash
