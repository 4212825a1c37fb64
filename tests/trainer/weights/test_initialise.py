"""First weights from another run, and frozen ones."""

import dataclasses
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.labels.label_map import LabelMap
from trainer.config import TrainConfig
from trainer.data import records
from trainer.export import saved_model
from trainer.loop import train
from trainer.network import build
from trainer.presets import make_config
from trainer.weights import checkpoints, initialise, pretrained, transfer

SMALL = {"image_size": "64x64", "pyramid_channels": 16, "head_depth": 1, "train_batch_size": 8, "num_epochs": 1}
SMALL |= {"reference_images": 0}
NAMES = st.lists(st.text("abc", min_size=1, max_size=2), min_size=1, max_size=5, unique=True)


def label_map(ids_and_names: tuple[list[int], list[str]]) -> LabelMap:
    return LabelMap(tuple(zip(*ids_and_names, strict=False)))


LABEL_MAPS = st.tuples(st.permutations(range(1, 8)), NAMES).map(label_map)


@given(LABEL_MAPS, LABEL_MAPS, st.integers(1, 4))
def test_rows_follow_the_names(old: LabelMap, new: LabelMap, anchors: int) -> None:
    """With any ids, consecutive or not; a new class keeps its initial row."""
    stored = np.arange(3 * anchors * old.num_classes).reshape(3, -1)
    fresh = -1 - np.arange(3 * anchors * new.num_classes).reshape(3, -1)
    found = transfer.class_rows(fresh, stored, old=old, new=new)
    shared = set(old.name_by_id.values()) & set(new.name_by_id.values())
    if not shared:
        assert found is None
        return
    assert found is not None and found.shape == fresh.shape
    for label_id in range(1, new.num_classes + 1):
        name = new.name_by_id.get(label_id)
        source, row = (stored, old.id_of(name)) if name in shared and name else (fresh, label_id)
        width = source.shape[1] // anchors
        np.testing.assert_array_equal(
            found[:, label_id - 1 :: new.num_classes], source[:, row - 1 :: width], err_msg=str(name)
        )


ANIMALS = LabelMap.from_names(["crab", "fish"])
HEAD = {
    "class_predict/kernel": (8, 4),
    "class_predict/bias": (4,),
    "box_predict/bias": (8,),
    "stem_conv/kernel": (3, 8),
}


def arrays(**changed: tuple[int, ...]) -> dict[str, np.ndarray]:
    shapes = {**HEAD, **{name.replace("__", "/"): shape for name, shape in changed.items()}}
    return {name: np.ones(shape, np.float32) for name, shape in shapes.items()}


CARRIED = [
    ("the same network: all", arrays(), ANIMALS, set(HEAD), ("crab", "fish")),
    (
        "one class more: its rows alone are fresh",
        arrays(class_predict__kernel=(8, 2), class_predict__bias=(2,)),
        LabelMap.from_names(["fish"]),
        set(HEAD),
        ("fish",),
    ),
    ("no class in common: no class rows", arrays(), LabelMap.from_names(["sponge", "x"]), {*list(HEAD)[2:]}, ()),
    (
        "more anchors a cell: neither head's last layer",
        arrays(class_predict__kernel=(8, 6), class_predict__bias=(6,), box_predict__bias=(12,)),
        ANIMALS,
        {"stem_conv/kernel"},
        (),
    ),
    (
        "a wider pyramid: the biases and the backbone",
        arrays(class_predict__kernel=(16, 4)),
        ANIMALS,
        {*list(HEAD)[1:]},
        (),
    ),
    ("another backbone", {"box_predict/bias": np.ones(8)}, ANIMALS, {"box_predict/bias"}, ()),
]


@pytest.mark.parametrize(("why", "stored", "old", "expected", "kept"), CARRIED, ids=[row[0] for row in CARRIED])
def test_what_is_carried_over(
    why: str, stored: dict[str, np.ndarray], old: LabelMap, expected: set[str], kept: tuple[str, ...]
) -> None:
    fresh = {name: np.zeros_like(value) for name, value in arrays().items()}
    found = transfer.transfer_weights(fresh, stored, old=old, new=ANIMALS)
    assert (set(found.values), set(found.misfits), found.kept) == (expected, set(HEAD) - expected, kept), why
    assert set(found.kept) | set(found.new) == {"crab", "fish"}
    lines = transfer.transfer_table(found)
    assert all(name in "\n".join(lines) for name in found.new)


def plan(backbone: int, of: int, heads: int = 1) -> transfer.TransferPlan:
    """A plan in which so many of the backbone's variables fit, and so many of the heads'."""
    one = np.ones(1, np.float32)
    values = {f"stem_{row}/kernel": one for row in range(backbone)} | {f"box_{row}/kernel": one for row in range(heads)}
    misfits = {f"stem_{row}/kernel": "not there" for row in range(backbone, of)}
    return transfer.TransferPlan(values=values, misfits=misfits, kept=(), new=())


SHARES = [
    ("all", plan(4, 4), False, ""),
    ("half", plan(2, 4), False, ""),
    ("without heads", plan(4, 4, heads=0), False, ""),
    ("heads alone", plan(0, 4), False, "x has 0 of the backbone's 4 variables, and 1 of 5 in all"),
    ("the stem alone", plan(1, 4, heads=0), False, "x has 1 of the backbone's 4 variables, and 1 of 4 in all"),
    ("the stem alone, which the user accepts", plan(1, 4, heads=0), True, ""),
    ("nothing, which no flag makes useful", plan(0, 4, heads=0), True, "nothing in x fits this network"),
]


@pytest.mark.parametrize(("why", "found", "partly", "refusal"), SHARES, ids=[row[0] for row in SHARES])
def test_too_little_of_a_backbone_is_refused(
    why: str, found: transfer.TransferPlan, partly: bool, refusal: str
) -> None:
    try:
        transfer.check_transfer(found, "x", partly=partly)
    except UsageError as error:
        assert refusal and refusal in str(error), why
    else:
        assert not refusal, why


def config(dataset: Path, folder: Path, **given: object) -> TrainConfig:
    return make_config("tiny", {**SMALL, "dataset": str(dataset), "model_dir": str(folder), **given})


def run(settings: TrainConfig) -> build.Network:
    """Three steps on one CPU."""
    manifest = records.read_dataset_manifest(settings.data.dataset)
    strategy = tf.distribute.OneDeviceStrategy("/CPU:0")
    with strategy.scope():
        net = build.build_network(settings, manifest)
    training = train.TrainingRun(settings, manifest, net, strategy)
    training.run()
    assert training.step == 3
    return net


def weights(net: build.Network) -> dict[str, np.ndarray]:
    return {variable.path: variable.numpy() for variable in net.model.weights}


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A run with checkpoints and an export, and its weights."""
    settings = config(dataset, tmp_path_factory.mktemp("source"))
    net = run(settings)
    saved_model.export_model(settings, records.read_dataset_manifest(str(dataset)), net, metrics={}, step=3)
    return Path(settings.run.model_dir), weights(net)


@pytest.mark.parametrize("place", ["", "/", "/checkpoints", "/checkpoints/ckpt-3", "/export"])
def test_weights_are_found_by_name_wherever_they_are(trained: tuple[Path, dict[str, np.ndarray]], place: str) -> None:
    folder, expected = trained
    source = initialise.find_source(f"{folder}{place}")
    found = initialise.read_variables(source.prefix, [*expected, "no/such"])
    assert found.keys() == expected.keys()
    assert set(source.labels.name_by_id.values()) == {"bright", "dark"}
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds neither checkpoints nor an export"):
        initialise.find_source(str(tmp_path))


def test_damaged_weights_are_reported(trained: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    prefix = tmp_path / "ckpt-3"
    for file in (trained[0] / "checkpoints").glob("ckpt-3.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes()[: 200 if "data" in file.name else None])
    with pytest.raises(ContractError, match="cannot read"):
        initialise.read_variables(str(prefix), trained[1])


def test_a_frozen_backbone_stays_and_the_rest_learns(
    trained: tuple[Path, dict[str, np.ndarray]],
    dataset: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Bit for bit, BatchNorm's averages too; then the run resumes from its own checkpoint, not from the other's."""
    folder, before = trained
    settings = config(dataset, tmp_path, init_from=str(folder), freeze="backbone")
    with caplog.at_level("INFO"):
        after = weights(run(settings))
    assert "classes transferred: bright, dark" in caplog.text
    frozen = [name for name in before if build.part_of(name) == "backbone"]
    assert len(frozen) > 50
    for name in frozen:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert not np.array_equal(after["p3/kernel"], before["p3/kernel"])
    assert not np.array_equal(after["p3_norm/moving_mean"], before["p3_norm/moving_mean"])

    with caplog.at_level("INFO"):
        again = weights(run(settings.replace(init_from="/nowhere")))
    assert "not read again" in caplog.text
    np.testing.assert_array_equal(again["p3/kernel"], after["p3/kernel"])


def test_another_freezing_is_refused_in_training_only(
    trained: tuple[Path, dict[str, np.ndarray]], dataset: Path
) -> None:
    settings = config(dataset, trained[0], freeze="backbone")
    net = build.build_network(settings, records.read_dataset_manifest(str(dataset)))
    assert checkpoints.Checkpoints(str(trained[0]), net).restore() == 3
    optimizer = keras.optimizers.SGD()
    with pytest.raises(ContractError, match="freeze is none there, backbone now"):
        checkpoints.Checkpoints(str(trained[0]), net, optimizer).restore()


def test_checkpoints_older_than_a_setting_are_of_its_default(
    trained: tuple[Path, dict[str, np.ndarray]], dataset: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoints"
    shutil.copytree(trained[0] / "checkpoints", folder)
    identity = json.loads((folder / checkpoints.IDENTITY_FILE).read_text())
    added = {"head_norm": "batch", "conv_style": "tensorflow", "pyramid_norm": "same", "p6_source": "p5"}
    for name, value in {**added, "anchor_grid": "centre"}.items():
        assert identity.pop(name) == value
    (folder / checkpoints.IDENTITY_FILE).write_text(json.dumps(identity))
    manifest = records.read_dataset_manifest(str(dataset))
    net = build.build_network(config(dataset, tmp_path), manifest)
    assert checkpoints.Checkpoints(str(tmp_path), net).restore() == 3
    net = build.build_network(config(dataset, tmp_path, head_norm="group"), manifest)
    with pytest.raises(ContractError, match="head_norm is batch there, group now"):
        checkpoints.Checkpoints(str(tmp_path), net).restore()


def test_another_data_set_is_reported(
    trained: tuple[Path, dict[str, np.ndarray]], dataset: Path, caplog: pytest.LogCaptureFixture
) -> None:
    net = build.build_network(config(dataset, trained[0]), records.read_dataset_manifest(str(dataset)))
    with caplog.at_level("INFO"):
        checkpoints.Checkpoints(str(trained[0]), net).restore()
        assert caplog.text == ""
        other = dataclasses.replace(net, origin={**net.origin, "dataset_fingerprint": "f" * 64})
        checkpoints.Checkpoints(str(trained[0]), other).restore()
    assert "are of another data set (fingerprint" in caplog.text and "now ffffffffffff)" in caplog.text


@pytest.mark.parametrize("backbone", ["tiny", "resnet50", "resnet101"])
def test_the_backbone_is_what_comes_before_the_pyramid(dataset: Path, backbone: str) -> None:
    settings = config(dataset, Path("unused"), backbone=backbone, freeze="backbone")
    model = build.build_network(settings, records.read_dataset_manifest(str(dataset))).model
    features = [model.get_layer(f"lateral{level}").input for level in (3, 4, 5)]
    before = {variable.path for variable in keras.Model(model.inputs, features).weights}
    assert before == {variable.path for variable in model.weights if build.part_of(variable.path) == "backbone"}
    assert not before & {variable.path for variable in model.trainable_variables}


def old_resnet(blocks: tuple[int, ...] = (3, 4, 6, 3)) -> list[tuple[str, tuple[int, ...]]]:
    """Returns the convolutions of tensorflow/tpu's ResNet (default: 50), in the order in which it creates them."""
    shapes: list[tuple[str, tuple[int, ...]]] = [("stem", (7, 7, 3, 64))]
    width = 64
    for level, (filters, count) in enumerate(zip((64, 128, 256, 512), blocks, strict=True), start=2):
        for block in range(1, count + 1):
            name = f"c{level}_{block}"
            if block == 1:
                shapes.append((f"{name}_shortcut", (1, 1, width, 4 * filters)))
            shapes.append((f"{name}_1", (1, 1, width, filters)))
            shapes.append((f"{name}_2", (3, 3, filters, filters)))
            shapes.append((f"{name}_3", (1, 1, filters, 4 * filters)))
            width = 4 * filters
    return shapes


def write_old_resnet(path: str, layers: list[tuple[str, tuple[int, ...]]]) -> dict[str, np.ndarray]:
    """A TF1 checkpoint, plain names and values; returns the values by our names."""
    stored, ours = {}, {}
    for number, (name, shape) in enumerate(layers):
        suffix = f"_{number}" if number else ""
        ours[f"{name}_conv/kernel"] = stored[f"conv2d{suffix}/kernel"] = np.full(shape, number, np.float32)
        for kind, value in (("gamma", 0.1), ("beta", 0.2), ("moving_mean", 0.3), ("moving_variance", 0.4)):
            array = np.full(shape[-1:], number + value, np.float32)
            ours[f"{name}_norm/{kind}"] = stored[f"batch_normalization{suffix}/{kind}"] = array
    stored["dense/kernel"] = np.zeros((2048, 1001), np.float32)  # ImageNet's classes, not used
    tf.raw_ops.SaveV2(
        prefix=path, tensor_names=list(stored), shape_and_slices=[""] * len(stored), tensors=list(stored.values())
    )
    return ours


def test_an_old_resnet_fills_the_backbone(dataset: Path, tmp_path: Path) -> None:
    expected = write_old_resnet(str(tmp_path / "model.ckpt-112602"), old_resnet())
    settings = config(dataset, tmp_path, backbone="resnet50", resnet_checkpoint=f"{tmp_path}/model.ckpt-112602")
    net = build.build_network(settings, records.read_dataset_manifest(str(dataset)))
    labels = records.read_dataset_manifest(str(dataset)).labels
    before = weights(net)
    initialise.load_initial_weights(net.model, labels, settings)
    after = weights(net)
    assert {name for name in after if build.part_of(name) == "backbone"} == expected.keys()
    for name, value in after.items():
        np.testing.assert_array_equal(value, expected.get(name, before[name]), err_msg=name)

    write_old_resnet(str(tmp_path / "short"), old_resnet()[:-1])
    with pytest.raises(UsageError, match=r"expected conv2d_52/kernel of shape .*, found none"):
        initialise.load_initial_weights(net.model, labels, settings.replace(resnet_checkpoint=f"{tmp_path}/short"))
    with pytest.raises(ContractError, match="--resnet_checkpoint: cannot read"):
        initialise.load_initial_weights(net.model, labels, settings.replace(resnet_checkpoint=f"{tmp_path}/none"))


def test_an_old_resnet_101_is_named_layer_by_layer() -> None:
    """All convolutions of one shape must come out in the order of their creation: block 10 after block 9."""
    layers = [name for name, _ in old_resnet((3, 4, 23, 3))]
    found = pretrained.resnet_names(f"{name}_conv/kernel" for name in sorted(layers))
    assert [found[f"{name}_conv/kernel"] for name in layers] == [
        "conv2d/kernel",
        *(f"conv2d_{number}/kernel" for number in range(1, 104)),
    ]
