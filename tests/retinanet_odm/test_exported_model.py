"""model.json: what is written is read back, and other documents are refused."""

import dataclasses
import json
from typing import Any

import pytest

from retinanet_odm.errors import ContractError
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.labels.label_map import LabelMap

_LABELS = LabelMap.from_names(["Peniagone sp. A", "größer"])


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


def _edited(**changes: Any) -> str:
    value = {**json.loads(_model().to_json()), **changes}
    return json.dumps({key: item for key, item in value.items() if item is not ...})


def test_round_trip() -> None:
    assert ModelManifest.from_json(_model().to_json(), source="model.json") == _model()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("nonsense", "not JSON", id="text"),
        pytest.param("3", "JSON object", id="a number"),
        pytest.param(_edited(schema_version=9), "version 1 expected, found 9", id="a later version"),
        pytest.param(_edited(image_size=[320]), "not a model manifest", id="one side"),
        pytest.param(_edited(image_size=["a", "b"]), "not a model manifest", id="words"),
        pytest.param(_edited(image_size=None), "not a model manifest", id="none"),
        pytest.param(_edited(files=...), "files", id="a missing field"),
    ],
)
def test_model_refused(text: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        ModelManifest.from_json(text, source="model.json")


def test_a_model_without_thresholds_is_read() -> None:
    assert ModelManifest.from_json(_edited(thresholds=...), source="model.json").thresholds == {}


def test_a_model_without_facts_is_read() -> None:
    model = ModelManifest.from_json(_edited(dataset=..., versions=...), source="model.json")
    assert model.facts()["dataset"] == {"fingerprint": "ff"}
    assert "versions" not in model.facts()


def test_facts_for_reports() -> None:
    rates = {"recall": [0.7, 0.8], "count_ratio": [0.9, 1.1]}
    metrics = {
        "split": "val",
        "images": 48,
        "AP50": 0.8,
        "AP": 0.5,
        "at_thresholds": {"recall": 0.75, "count_ratio": 1.0},
        "per_class": {"größer": {"threshold": 0.35, "count_ratio": 0.9, "AP": 0.4}},
        "intervals": [
            {"over": "images", "units": 48, "rates_per_class": {}},
            {"over": "days", "units": 6, **rates, "per_class": {}, "rates_per_class": {"größer": rates}},
        ],
    }
    splits = {"val": {"images": 48, "boxes": 99}}
    model = _model(metrics=metrics, config={"backbone": "tiny", "steps": 9}, dataset={"name": "reef", "splits": splits})
    facts = model.facts()
    assert facts["evaluation"] == {
        "split": "val",
        "images": 48,
        "AP50": 0.8,
        "recall": 0.75,
        "count_ratio": 1.0,
        # The last one: over groups, where there are any.
        "interval": {"over": "days", "units": 6, **rates},
        "per_class": {"größer": {"threshold": 0.35, "count_ratio": 0.9, "interval": [0.9, 1.1]}},
    }
    assert (facts["backbone"], facts["steps"], facts["image_size"]) == ("tiny", 9, [192, 320])
    assert facts["dataset"] == {"name": "reef", "splits": splits, "fingerprint": "ff"}


def test_a_model_of_another_program_has_no_facts() -> None:
    other = _model(image_size=(0, 0), config={}, metrics={}, dataset_fingerprint="", code_version="")
    assert other.facts() == {}


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [
        pytest.param({"Peniagone sp. A": 0.6, "größer": 0.35}, (0.6, 0.35), id="those of the evaluation"),
        pytest.param({"größer": 0.35}, (0.5, 0.35), id="a class that the evaluation did not have"),
        pytest.param({}, (0.5, 0.5), id="no evaluation"),
        pytest.param({"Peniagone sp. A": 0.0, "größer": 1.0}, (0.05, 1.0), id="the graph drops what is below its own"),
    ],
)
def test_operating_thresholds(thresholds: dict[str, float], expected: tuple[float, ...]) -> None:
    assert tuple(_model(thresholds=thresholds).operating_thresholds.values()) == expected


def test_model_hash_follows_the_files() -> None:
    assert _model().model_hash == _model(metrics={}).model_hash
    assert _model().model_hash != dataclasses.replace(_model(), files={"saved_model.pb": "cd"}).model_hash
