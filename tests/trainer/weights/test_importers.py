"""Networks of torchvision and Detectron2: every tensor has a place, and what is folded into the weights.

That they compute what those programs compute is shown by `python -m benchmarks.first_weights parity`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.labels.label_map import LabelMap, format_label_map
from tests.trainer.weights import foreign_networks as foreign
from tests.trainer.weights.torch_bytes import Storage, tensor, write_zip
from trainer import inspection
from trainer.data.preprocess import MEAN_RGB, normalise
from trainer.network import build
from trainer.network.backbones import RESNET_NORM
from trainer.presets import make_config
from trainer.tpu import fit
from trainer.weights import importers, initialise
from trainer.weights.coco_classes import COCO_BY_CATEGORY, COCO_IN_ORDER

TINY: dict[str, Any] = {"unit": 1, "channels": 16}
ANCHORS = {"anchor_scale": 4.0, "num_scales": 3, "aspect_ratios": "0.5,1,2"}
TORCHVISION = {"conv_style": "pytorch", "anchor_grid": "torchvision", "backbone": "resnet50", "head_depth": 4}
DETECTRON2 = {"conv_style": "caffe", "anchor_grid": "corner", "backbone": "resnet50", "head_depth": 4}
BACKBONE = {"conv_style": "pytorch"}
DEEP = (3, 4, 23, 3)
PLAIN = {"head_norm": "none", "pyramid_norm": "same", "pyramid_channels": 16, **ANCHORS}


def numbers(shapes: foreign.Shapes) -> dict[str, np.ndarray]:
    """Different numbers in each tensor, all above 0, as variances are."""
    rng = np.random.default_rng(0)
    return {name: rng.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in shapes.items()}


def identify(tensors: dict[str, np.ndarray], digest: str = "0" * 64) -> importers.ForeignNetwork:
    return importers.identify_network(tensors, digest=digest, source="w.pth")


KNOWN = [
    (
        "retinanet_resnet50_fpn of torchvision",
        foreign.torchvision_retinanet(version=1, **TINY),
        {**TORCHVISION, **PLAIN, "p6_source": "p5"},
        COCO_BY_CATEGORY,
    ),
    (
        "retinanet_resnet50_fpn_v2 of torchvision",
        foreign.torchvision_retinanet(version=2, **TINY),
        {**TORCHVISION, **PLAIN, "p6_source": "c5", "head_norm": "group", "pyramid_norm": "none"},
        COCO_BY_CATEGORY,
    ),
    (
        "RetinaNet of Detectron2",
        foreign.detectron2_retinanet(**TINY),
        {**DETECTRON2, **PLAIN, "p6_source": "c5"},
        COCO_IN_ORDER,
    ),
    (
        "RetinaNet of Detectron2",
        foreign.detectron2_retinanet(DEEP, **TINY),
        {**DETECTRON2, **PLAIN, "p6_source": "c5", "backbone": "resnet101"},
        COCO_IN_ORDER,
    ),
    ("resnet50 of torchvision", foreign.torchvision_resnet(unit=1), {**BACKBONE, "backbone": "resnet50"}, None),
    ("resnet101 of torchvision", foreign.torchvision_resnet(DEEP, unit=1), {**BACKBONE, "backbone": "resnet101"}, None),
]


@pytest.mark.parametrize(("name", "shapes", "settings", "labels"), KNOWN, ids=[row[0] for row in KNOWN])
def test_every_tensor_has_one_place(
    name: str, shapes: foreign.Shapes, settings: dict[str, Any], labels: LabelMap | None
) -> None:
    found = identify(numbers(shapes))
    assert (found.name, dict(found.settings)) == (name, settings)
    assert len(found.values) == len(shapes) and found.labels == labels
    # What is not folded is only transposed.
    for theirs, ours in {
        "backbone.body.layer2.0.conv2.weight": "c3_1_2_conv/kernel",
        "backbone.bottom_up.res3.0.conv2.weight": "c3_1_2_conv/kernel",
        "layer2.0.conv2.weight": "c3_1_2_conv/kernel",
        "backbone.fpn.inner_blocks.2.0.weight": "lateral5/kernel",
        "backbone.fpn_output4.weight": "p4/kernel",
        "head.classification_head.conv.3.0.weight": "class_3/kernel",
        "head.bbox_subnet.2.weight": "box_1/kernel",
        "head.regression_head.conv.1.1.weight": "box_1_norm/gamma",
    }.items():
        if theirs in shapes:
            value = numbers(shapes)[theirs]
            expected = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
            np.testing.assert_array_equal(found.values[ours], expected, err_msg=ours)


def test_what_is_no_weight_is_left_out() -> None:
    tensors = numbers(foreign.torchvision_resnet(unit=1))
    more = {"fc.weight": (4, 32), "fc.bias": (4,), "bn1.num_batches_tracked": ()}
    assert identify({**tensors, **numbers(more)}).values.keys() == identify(tensors).values.keys()


def test_names_of_older_files_and_of_data_parallel_training() -> None:
    newer, older = (numbers(foreign.torchvision_retinanet(version=1, older=older, **TINY)) for older in (False, True))
    expected = identify(newer).values
    for tensors in (older, {f"module.{name}": value for name, value in newer.items()}):
        found = identify(tensors).values
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)


EPSILONS = [
    ("in general", "0" * 64, 1e-5),
    ("in torchvision's published weights of version 1", "eeacb38b" + "0" * 56, 0.0),
]


@pytest.mark.parametrize(("why", "digest", "epsilon"), EPSILONS, ids=[row[0] for row in EPSILONS])
def test_the_epsilon_is_folded_into_gamma(why: str, digest: str, epsilon: float) -> None:
    tensors = numbers(foreign.torchvision_retinanet(version=1, **TINY))
    variance = tensors["backbone.body.bn1.running_var"] = np.array([2e-5], np.float32)
    found = identify(tensors, digest).values
    ours = found["stem_norm/gamma"] / np.sqrt(variance + RESNET_NORM["epsilon"])
    np.testing.assert_allclose(
        ours, tensors["backbone.body.bn1.weight"] / np.sqrt(variance + epsilon), rtol=1e-5, err_msg=why
    )


def test_images_of_detectron2_are_folded_into_the_first_convolution() -> None:
    """A kernel as large as the image: one sum over blue, green, red minus their means."""
    tensors = numbers(foreign.detectron2_retinanet(**TINY))
    image = np.random.default_rng(1).integers(0, 256, (7, 7, 3))
    caffe = (image - np.array(MEAN_RGB))[..., ::-1].transpose(2, 0, 1)
    expected = (tensors["backbone.bottom_up.stem.conv1.weight"][0] * caffe).sum()
    kernel = identify(tensors).values["stem_conv/kernel"][..., 0]
    np.testing.assert_allclose((kernel * np.asarray(normalise(image))).sum(), expected, rtol=1e-4)


TORCHVISION_LAST = ("head.classification_head.cls_logits", "head.regression_head.bbox_reg")
ROWS = [
    ("torchvision: ratio, then size; class 0 is none", foreign.torchvision_retinanet, TORCHVISION_LAST),
    ("Detectron2: size, then ratio, as ours", foreign.detectron2_retinanet, ("head.cls_score", "head.bbox_pred")),
]


@pytest.mark.parametrize(("why", "make", "last"), ROWS, ids=[row[0] for row in ROWS])
def test_rows_are_ordered_as_ours(why: str, make: Callable[..., foreign.Shapes], last: tuple[str, str]) -> None:
    """Each row is marked by its anchor, of size and ratio, and by its class or its number of a box."""
    is_torchvision = last == TORCHVISION_LAST
    version = {"version": 2} if is_torchvision else {}
    tensors = numbers(make(classes=4, **version, **TINY))
    marks = np.array([[100 * size + 10 * ratio for size in range(3)] for ratio in range(3)])  # [ratio, size]
    cell = (marks if is_torchvision else marks.T).ravel()
    for name in last:
        tensors[f"{name}.bias"] = (cell[:, None] + np.arange(4)).ravel().astype(np.float32)
    found = identify(tensors)
    ours = marks.T.ravel()[:, None]  # size, then ratio
    first = 1 if is_torchvision else 0
    assert found.class_count == 4 - first and found.labels is None
    assert found.values["class_predict/bias"].tolist() == (ours + np.arange(first, 4)).ravel().tolist(), why
    # x, y, width, height become y, x, height, width.
    assert found.values["box_predict/bias"].tolist() == (ours + np.array([1, 0, 3, 2])).ravel().tolist(), why
    assert found.values["class_predict/kernel"].shape == (3, 3, 16, 9 * (4 - first))


BODY = "backbone.body."
HEADS = {name: shape for name, shape in foreign.torchvision_retinanet(version=2, **TINY).items() if "head" in name}
REFUSED = [
    (
        "another depth",
        foreign.torchvision_resnet((3, 8, 36, 3), unit=1),
        "found a ResNet of 3-8-36-3",
    ),
    (
        "other anchors",
        foreign.torchvision_retinanet(version=1, anchors=12, **TINY),
        "expected 9 anchors of a cell, found 12",
    ),
    (
        "wider blocks",
        {**foreign.torchvision_resnet(unit=1), "layer1.0.conv1.weight": (2, 1, 1, 1)},
        "expected resnet50 with 1 channels in its first block, found 2",
    ),
    (
        "a bias before a norm",
        {
            **foreign.detectron2_retinanet(**TINY),
            **{f"head.cls_subnet.1.{kind}": (16,) for kind in ("weight", "bias")},
        },
        "expected no head.cls_subnet.0.bias",
    ),
    (
        "weights that are no convolution's",
        {**foreign.torchvision_resnet(unit=1), "conv1.weight": (1,)},
        "expected conv1.weight with 4 axes, found shape (1,)",
    ),
    (
        "images of another kind",
        {**foreign.detectron2_retinanet(**TINY), "pixel_std": (3, 1, 1)},
        "expected the pixel_std of the model zoo, 1 1 1, found ",
    ),
    (
        "anchors of other sizes",
        {**foreign.detectron2_retinanet(**TINY), "anchor_generator.cell_anchors.0": (9, 4)},
        "expected the anchor_generator.cell_anchors.0 of the model zoo, -22.63 -11.31 22.63 11.31 ",
    ),
    (
        "a norm in the pyramid",
        {**foreign.detectron2_retinanet(**TINY), "backbone.fpn_output3.norm.weight": (16,)},
        "expected no backbone.fpn_output3.norm.weight",
    ),
    (
        "BatchNorm in the heads",
        {**foreign.torchvision_retinanet(version=2, **TINY), "head.regression_head.conv.0.1.running_mean": (16,)},
        "expected no head.regression_head.conv.0.1.running_mean",
    ),
    (
        "a norm without averages",
        {name: shape for name, shape in foreign.torchvision_resnet(unit=1).items() if name != "bn1.running_var"},
        "expected bn1.running_var, found none",
    ),
    (
        "a detector without a pyramid",
        {**HEADS, **foreign.torchvision_resnet(unit=1, prefix=BODY)},
        "none of the tensors of p3",
    ),
    (
        "something else",
        {"b": (1,), "a": (1,)},
        "expected a ResNet or RetinaNet of torchvision or",
    ),
]


@pytest.mark.parametrize(("why", "shapes", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_other_networks_are_refused(why: str, shapes: foreign.Shapes, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        identify(numbers(shapes))
    assert message in str(caught.value) and str(caught.value).startswith("--init_from: w.pth: "), why


def write_views(path: Path, shapes: foreign.Shapes) -> Path:
    """A file of PyTorch whose tensors all begin at the first number of one storage: of real shapes, but small."""
    size = max(int(np.prod(shape)) for shape in shapes.values())
    storage = Storage("0", np.linspace(0.1, 1.0, size, dtype=np.float32))
    views = {
        name: tensor(storage, shape, tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))))
        for name, shape in shapes.items()
    }
    path.write_bytes(write_zip(views, [storage]))
    return path


def test_a_detector_is_inspected_and_fills_a_network(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_views(tmp_path / "w.pth", foreign.torchvision_retinanet(version=2, classes=4, channels=32))
    labels = LabelMap.from_names(["crab", "eel", "fish"])
    (tmp_path / "labels.pbtxt").write_text(format_label_map(labels))
    given: dict[str, Any] = {"init_from": str(path), "init_labels": str(tmp_path / "labels.pbtxt")}
    lines = list(inspection.inspect_weights(make_config("tiny", given), None))
    assert lines[:2] == [f"{path}: a file of PyTorch", "network: retinanet_resnet50_fpn_v2 of torchvision"]
    assert "classes (3): crab, eel, fish" in lines and not any("fresh" in line for line in lines)
    flags = f"--preset=torchvision_v2 --pyramid_channels=32 --init_labels={given['init_labels']} --init_from={path}"
    assert lines[-1] == f"use: {flags}"

    with pytest.raises(UsageError, match="conv_style is pytorch there, tensorflow here"):
        initialise.transfer_from_file(None, labels, make_config("tiny", given))  # type: ignore[arg-type]
    config = make_config("torchvision_v2", {**given, "pyramid_channels": 32, "image_size": "64x64"})
    network = build.build_network(config, fit.synthetic_manifest(3))
    with caplog.at_level("INFO"):
        initialise.load_initial_weights(network.model, LabelMap.from_names(["eel", "fish", "worm"]), config)
    assert "classes transferred: eel, fish; fresh: worm" in caplog.text
    loaded = {variable.path: variable.numpy() for variable in network.model.weights}
    expected = importers.identify_network(
        initialise.read_tensor_file(str(path)).tensors, digest="", source=str(path)
    ).values
    for name in ("stem_conv/kernel", "c5_3_3_norm/gamma", "p6/kernel", "box_3_norm/beta", "box_predict/bias"):
        np.testing.assert_array_equal(loaded[name], expected[name], err_msg=name)
    rows = loaded["class_predict/bias"].reshape(9, 3), expected["class_predict/bias"].reshape(9, 3)
    np.testing.assert_array_equal(rows[0][:, :2], rows[1][:, 1:])  # eel and fish


def test_names_must_be_those_of_all_rows(tmp_path: Path) -> None:
    path = write_views(tmp_path / "w.pth", foreign.torchvision_retinanet(version=1, classes=6, **TINY))
    (tmp_path / "labels.pbtxt").write_text(format_label_map(LabelMap.from_names(["crab"])))
    config = make_config("tiny", {"init_from": str(path), "init_labels": str(tmp_path / "labels.pbtxt")})
    with pytest.raises(ContractError, match=r"the largest id in .* is 1, but .* has 5 classes"):
        initialise.read_foreign_network(initialise.read_tensor_file(str(path)), config)
