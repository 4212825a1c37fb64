"""Models of other programs: used if a signature map describes them, refused with a clear message otherwise."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.main import main
from inference.model.loading import find_model, load_model, third_party_manifest
from inference.model.options import ModelOptions
from inference.model.third_party import read_signature_map
from retinanet_odm.errors import ContractError
from tests.inference.fake_model import BLUE, RED, make_image, read_rows, write_third_party_model

TF_OD = {
    "input": {"name": "input_tensor", "kind": "pixels"},
    "outputs": {
        "boxes": "detection_boxes",
        "scores": "detection_scores",
        "classes": "detection_classes",
        "count": "num_detections",
    },
    "box_order": "ymin xmin ymax xmax",
    "box_units": "fraction",
    "first_class": 1,
    "labels": {"1": "crab", "2": "sea pig"},
}
OTHER = {
    "signature": "serving_default",
    "input": {"name": "encoded_images", "kind": "encoded"},
    "outputs": {"boxes": "xyxy", "scores": "conf", "classes": "cls"},
    "box_order": "xmin ymin xmax ymax",
    "box_units": "pixels",
    "first_class": 0,
    "labels": ["crab", "sea pig"],
    "nms_iou": 0.6,
}
IMAGES = {
    "a.png": make_image(300, 200, {RED: (90, 80, 210, 120), BLUE: (0, 190, 9, 200)}),
    "b.jpg": make_image(40, 50, kind="JPEG"),
    "c.png": make_image(60, 60, {BLUE: (8, 16, 32, 40)}),
}


@pytest.fixture(scope="module")
def tf_od(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tf_od") / "saved_model"
    write_third_party_model(folder, like_tf_od=True)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other") / "saved_model"
    write_third_party_model(folder, like_tf_od=False)
    return folder


def written(folder: Path, value: Any) -> Path:
    path = folder / "map.json"
    path.write_text(json.dumps(value))
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for name, data in IMAGES.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def expected(model: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """The rows by our own model, which finds the same."""
    out = tmp_path_factory.mktemp("ours")
    assert main(["score", "--images", str(images), "--model", str(model), "--output", str(out)]) == 0
    return read_rows(out)


@pytest.mark.parametrize(
    ("name", "signature_map", "tiles"),
    [("tf_od", TF_OD, []), ("tf_od", TF_OD, ["--tile=100"]), ("other", OTHER, ["--tile=100"])],
)
def test_the_rows_are_those_of_our_own_model(
    name: str,
    signature_map: dict,
    tiles: list[str],
    images: Path,
    expected: dict[str, dict],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    flags = ["--signature_map", str(written(tmp_path, signature_map)), *tiles]
    foreign = ["score", "--images", str(images), "--model", str(request.getfixturevalue(name)), *flags]
    assert main([*foreign, "--output", str(tmp_path / "out")]) == 0
    assert read_rows(tmp_path / "out") == expected
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["labels"] == {"1": "crab", "2": "sea pig"}
    assert (summary["thresholds"]["score"], summary["max_detections"]) == (0, None)
    assert summary["thresholds"]["from"] == "default"


def test_the_map_can_state_the_lowest_score_of_the_rows(tf_od: Path, images: Path, tmp_path: Path) -> None:
    path = written(tmp_path, {**TF_OD, "score_threshold": 0.5})
    words = ["--images", str(images), "--model", str(tf_od), "--signature_map", str(path)]
    assert main(["score", *words, "--output", str(tmp_path / "out")]) == 0
    labels = {item["label"] for row in read_rows(tmp_path / "out").values() for item in row["detections"]}
    assert labels == {"crab"}, "the sea pigs' score is 0.4"
    assert json.loads((tmp_path / "out/summary.json").read_text())["thresholds"]["score"] == 0.5


def test_another_map_is_another_model(tf_od: Path, tmp_path: Path) -> None:
    first, same, changed = (
        third_party_manifest(str(tf_od), read_signature_map(str(written(tmp_path, value)))).model_hash
        for value in (TF_OD, {**TF_OD, "signature": "serving_default"}, {**TF_OD, "labels": ["crab", "sea cucumber"]})
    )
    assert first == same != changed


def test_looking_into_the_folder_makes_no_other_model(tf_od: Path, tmp_path: Path) -> None:
    signature_map = read_signature_map(str(written(tmp_path, TF_OD)))
    looked_into = tmp_path / "model"
    shutil.copytree(tf_od, looked_into)
    (looked_into / ".DS_Store").touch()
    hashes = {third_party_manifest(str(folder), signature_map).model_hash for folder in (tf_od, looked_into)}
    assert len(hashes) == 1


def test_labels_from_a_label_map(tmp_path: Path) -> None:
    (tmp_path / "labels.pbtxt").write_text("item { id: 7 name: 'crab' }")
    found = read_signature_map(str(written(tmp_path, {**TF_OD, "labels": "labels.pbtxt"})))
    assert found.labels.name_by_id == {7: "crab"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"box_ordr": 1}, "unknown key 'box_ordr'"),
        ({"input": "x"}, "input: expected a JSON object, found 'x'"),
        ({"input": {"kind": "tensor"}}, "kind: expected one of 'pixels', 'encoded', found 'tensor'"),
        ({"outputs": {"boxes": "b", "scores": "s"}}, "outputs: expected the name of the output for 'classes'"),
        (
            {"box_order": "yxyx"},
            "box_order: expected one of 'ymin xmin ymax xmax', 'xmin ymin xmax ymax', found 'yxyx'",
        ),
        ({"box_units": None}, "box_units: expected one of 'fraction', 'pixels', found None"),
        ({"first_class": True}, "first_class: expected one of 0, 1, found True"),
        ({"labels": 3}, "labels: expected a list of names, class numbers with names or a file, found 3"),
        ({"labels": {"0": "crab"}}, "id of 'crab' must be 1 or more"),
        ({"nms_iou": 0}, "nms_iou: expected a number above 0, up to 1, found 0"),
    ],
)
def test_bad_maps(changes: dict, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, {**TF_OD, **changes})
    with pytest.raises(ContractError) as caught:
        read_signature_map(str(path))
    assert str(caught.value).startswith(f"--signature_map: {path}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signature": "detect"}, "names the signature 'detect'; the model has serving_default"),
        ({"input": {"name": "images", "kind": "pixels"}}, "the one input 'images'; the model has input_tensor"),
        ({"input": {"name": "input_tensor", "kind": "encoded"}}, "'input_tensor' is uint8, but encoded are string"),
        (
            {"outputs": {**TF_OD["outputs"], "boxes": "xyxy"}},
            "names the output 'xyxy'; the model has detection_boxes, ",
        ),
    ],
)
def test_maps_of_another_model(changes: dict, message: str, tf_od: Path, tmp_path: Path) -> None:
    signature_map = written(tmp_path, {**TF_OD, **changes})
    found = find_model(str(tf_od), ModelOptions(signature_map=str(signature_map)))
    with pytest.raises(ContractError) as caught:
        load_model(found)
    assert message in str(caught.value)


def test_refusals(fail: Callable[..., str], tf_od: Path, model: Path, tmp_path: Path) -> None:
    image, signature_map = tmp_path / "a.png", written(tmp_path, TF_OD)
    image.write_bytes(IMAGES["a.png"])
    assert "for a model of another program, describe its signature by --signature_map" in fail(
        "detect", image, "--model", tf_od
    )
    for folder, message in (
        (model, "has a model.json and needs no signature map"),
        (tmp_path, "has no saved_model.pb"),
    ):
        assert message in fail("detect", image, "--model", folder, "--signature_map", signature_map)
    assert "nowhere" in fail("detect", image, "--model", tf_od, "--signature_map", tmp_path / "nowhere")
    (tmp_path / "map.json").write_text("{")
    assert "map.json is not JSON" in fail("detect", image, "--model", tf_od, "--signature_map", signature_map)
