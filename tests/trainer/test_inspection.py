"""What --mode=inspect prints for each kind of weights."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf

from retinanet_odm.errors import ContractError, UsageError
from tests.trainer.weights.torch_bytes import Call, Name, Storage, tensor, write_zip
from trainer import inspection
from trainer.data import records
from trainer.network import build
from trainer.presets import make_config
from trainer.weights import checkpoints, initialise

SMALL = {"image_size": "64x64", "pyramid_channels": 16, "head_depth": 1}


def inspect(path: Path | str, **given: str) -> list[str]:
    return list(inspection.inspect_weights(make_config("tiny", {**SMALL, "init_from": str(path), **given}), None))


@pytest.fixture(scope="module")
def run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A model_dir with a checkpoint, and the number of variables."""
    folder = tmp_path_factory.mktemp("run")
    manifest = records.read_dataset_manifest(str(dataset))
    network = build.build_network(make_config("tiny", SMALL), manifest)
    checkpoints.Checkpoints(str(folder), network).save(3)
    return folder, len(network.model.weights)


def test_a_run_is_described_and_compared_with_the_flags(run: tuple[Path, int]) -> None:
    folder, count = run
    lines = inspect(folder)
    assert lines[0] == f"{folder}: the checkpoint {folder}/checkpoints/ckpt-3 of this trainer"
    assert "backbone tiny, conv_style tensorflow, pyramid_channels 16" in lines[1]
    assert lines[2:4] == ["canvas: 64x64 (height x width)", "classes (2): bright, dark"]
    assert lines[4].startswith(f"variables: {count}, with ")
    assert "  classes transferred: bright, dark" in lines and not any("fresh" in line for line in lines)
    assert lines[-1] == f"use: --init_from={folder}"
    # Another backbone takes nothing of it; a run with these flags would end with the same words.
    assert inspect(folder, backbone="keras/MobileNetV2")[-1].startswith("refused: --init_from: ")


def write_torch(path: Path) -> None:
    storage = Storage("0", np.zeros(12, np.float32))
    path.write_bytes(write_zip({"layer.weight": tensor(storage, (3, 4), (4, 1))}, [storage]))


def write_keras(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["layers/conv/vars/0"] = np.zeros((3, 4), np.float32)


def write_old_checkpoint(path: Path) -> None:
    values = {"conv2d/kernel": np.zeros((1, 1, 3, 4), np.float32)}
    tf.raw_ops.SaveV2(prefix=str(path), tensor_names=list(values), shape_and_slices=[""], tensors=[*values.values()])


FOREIGN = [
    (
        "a state dict of another network",
        write_torch,
        ["a file of PyTorch", "network: unknown", "variables: 1", "use: none"],
    ),
    ("weights of Keras", write_keras, ["weights of Keras (HDF5)", "variables: 1", "give --backbone=keras/NAME"]),
    (
        "a checkpoint of TensorFlow 1",
        write_old_checkpoint,
        ["a checkpoint of TensorFlow 1", "network: unknown of tensorflow/tpu, 1 convolutions", "variables: 1"],
    ),
]


@pytest.mark.parametrize(("why", "write", "expected"), FOREIGN, ids=[row[0] for row in FOREIGN])
def test_weights_of_other_programs(
    why: str, write: Callable[[Path], None], expected: list[str], tmp_path: Path
) -> None:
    write(tmp_path / "weights")
    lines = inspect(tmp_path / "weights")
    for line, part in zip(lines, expected, strict=True):
        assert part in line, why


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no weights")
    (tmp_path / "damaged.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99))
    (tmp_path / "hostile.pth").write_bytes(write_zip(Call(Name("os", "system"), ("false",)), []))
    rows = [
        ("no flag", "", UsageError, "--init_from: required with --mode=inspect"),
        ("another file", tmp_path / "text", UsageError, "expected a file of PyTorch, safetensors, Detectron2"),
        ("a folder of neither", tmp_path, UsageError, "holds neither checkpoints nor an export"),
        ("a damaged file", tmp_path / "damaged.h5", ContractError, "cannot read"),
        ("a file that would run a command", tmp_path / "hostile.pth", ContractError, "refers to os.system"),
    ]
    for why, path, error, message in rows:
        with pytest.raises(error) as caught:
            inspect(path)
        assert message in str(caught.value), why
    with pytest.raises(ContractError, match="--init_from: cannot read"):
        initialise.list_variables(f"{tmp_path}/export/variables/variables")  # of an export that was not copied whole
