"""dataset.json: what is written is read back, and contradictions are refused."""

import dataclasses
import json
from typing import Any

import pytest

from retinanet_odm.dataset.manifest import DatasetManifest, ShardInfo, SplitInfo
from retinanet_odm.errors import ContractError
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


def test_round_trip() -> None:
    assert DatasetManifest.from_json(_dataset().to_json(), source="dataset.json") == _dataset()


def test_json_has_num_classes_and_readable_names() -> None:
    text = _dataset().to_json()
    assert json.loads(text)["num_classes"] == 2
    assert "größer" in text


PARTIAL = {"train": dataclasses.replace(_split(8), not_exhaustive={"größer": 5}, ignored_regions=2), "val": _split(0)}


def test_partial_labels_have_a_version_of_their_own() -> None:
    manifest = _dataset(splits=PARTIAL, schema_version=2)
    assert DatasetManifest.from_json(manifest.to_json(), source="dataset.json") == manifest and manifest.is_partial
    with pytest.raises(ContractError, match="partial labels need schema version 2"):
        _dataset(splits=PARTIAL)


def test_the_first_version_has_no_word_of_partial_labels() -> None:
    split = json.loads(_dataset().to_json())["splits"]["train"]
    assert sorted(split) == ["boxes", "boxes_per_class", "examples", "shards"] and not _dataset().is_partial


def _edited(**changes: Any) -> str:
    value = {**json.loads(_dataset().to_json()), **changes}
    return json.dumps({key: item for key, item in value.items() if item is not ...})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "not JSON", id="an empty file"),
        pytest.param("{", "not JSON", id="cut short"),
        pytest.param("[]", "JSON object", id="a list"),
        pytest.param("{}", "schema version 1 or 2 expected, found None", id="an empty object"),
        pytest.param(_edited(schema_version=3), "version 1 or 2 expected, found 3", id="a later version"),
        pytest.param(_edited(schema_version=3, new=1), "found 3", id="version before unknown fields"),
        pytest.param(_edited(new=1), "new", id="an unknown field"),
        pytest.param(_edited(splits=...), "splits", id="a missing field"),
        pytest.param(_edited(splits=[]), "not a data set manifest", id="splits as a list"),
        pytest.param(_edited(splits={"train": {}}), "not a data set manifest", id="a hollow split"),
        pytest.param(_edited(labels={"0": "x"}), "background", id="label id 0"),
        pytest.param(_edited(labels=None), "labels", id="no labels"),
        pytest.param(_edited(files=["id_map.csv"]), "expected digests by name, found a list", id="files as a list"),
        pytest.param(_edited(images_in=11), "11 != 8 \\+ 2", id="an image has vanished"),
        pytest.param(_edited(rejected=1), "10 != 8 \\+ 1", id="a reject has vanished"),
        pytest.param(_edited(fingerprint="ab"), "fingerprint", id="fingerprint of other data"),
    ],
)
def test_dataset_refused(text: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        DatasetManifest.from_json(text, source="dataset.json")


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
