"""Which weights are kept as the best, and for which network; what is used when files are lost."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from retinanet_odm.errors import ContractError
from trainer.data import records
from trainer.network import build
from trainer.presets import make_config
from trainer.weights.checkpoint_files import STATE_FILE
from trainer.weights.checkpoints import IDENTITY_FILE, Best, Checkpoints, stored_identity

SMALL = {"image_size": "64x64", "pyramid_channels": 16, "head_depth": 1}


def net_of(dataset: Path, seed: int = 0, **given: Any) -> build.Network:
    config = make_config("tiny", {**SMALL, "seed": seed, **given})
    return build.build_network(config, records.read_dataset_manifest(str(dataset)))


def first_kernel(net: build.Network) -> np.ndarray:
    return net.model.trainable_variables[0].numpy()


OFFERS = [
    ("a better one replaces it", [(0.2, "val"), (0.3, "val")], 1),
    ("a worse one does not", [(0.3, "val"), (0.2, "val")], 0),
    ("of equal ones the later, which was trained longer", [(0.3, "val"), (0.3, "val")], 1),
    ("without objects the AP is below any other", [(0.1, "val"), (None, "val")], 0),
    ("the AP of another split is not compared", [(0.9, "val"), (0.1, "test")], 1),
]


@pytest.mark.parametrize(("why", "offers", "expected"), OFFERS, ids=[row[0] for row in OFFERS])
def test_the_best_weights_are_kept(
    dataset: Path, tmp_path: Path, why: str, offers: list[tuple[float | None, str]], expected: int
) -> None:
    nets = [net_of(dataset, seed) for seed in range(len(offers))]
    for step, (net, (ap, split)) in enumerate(zip(nets, offers, strict=True), start=1):
        best, metrics = Best(str(tmp_path), net, split=split), {"AP": ap, "AP50": ap}
        if best.is_beaten_by(metrics):
            best.save(step, metrics)
    found = net_of(dataset, seed=9)
    assert Best(str(tmp_path), found, split="val").restore() == expected + 1, why
    np.testing.assert_array_equal(first_kernel(found), first_kernel(nets[expected]))


def test_best_weights_of_another_network_are_refused(dataset: Path, tmp_path: Path) -> None:
    Best(str(tmp_path), net_of(dataset), split="val").save(1, {"AP": 0.5, "AP50": 0.5})
    with pytest.raises(ContractError, match=r"anchor_scale is 3.0 there, 4.0 now"):
        Best(str(tmp_path), net_of(dataset, anchor_scale=4.0), split="val").restore()
    assert Best(str(tmp_path / "none"), net_of(dataset), split="val").restore() == 0


@pytest.mark.parametrize("text", [None, b"", b"\0\0\0\0", b"{", b'{"step": 9}'], ids=str)
def test_best_json_is_not_needed(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: bytes | None
) -> None:
    net = net_of(dataset)
    Best(str(tmp_path), net, split="val").save(4, {"AP": 0.5, "AP50": 0.6})
    path = tmp_path / "best" / Best.FILE
    path.unlink() if text is None else path.write_bytes(text)
    found = net_of(dataset, seed=9)
    best = Best(str(tmp_path), found, split="val")
    assert best.restore() == 4
    np.testing.assert_array_equal(first_kernel(found), first_kernel(net))
    assert "using weights-4" in caplog.text
    assert not best.is_beaten_by({"AP": 0.4}) and best.is_beaten_by({"AP": 0.5})


def test_damaged_best_weights(dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = net_of(dataset, seed=1), net_of(dataset, seed=2)
    Best(str(tmp_path), first, split="val").save(4, {"AP": 0.5, "AP50": 0.6})
    Best(str(tmp_path), second, split="val").save(8, {"AP": 0.7, "AP50": 0.8})
    (tmp_path / "best" / "weights-8.index").write_bytes(b"")
    best = Best(str(tmp_path), second, split="val")
    assert best.restore() == 4
    np.testing.assert_array_equal(first_kernel(second), first_kernel(first))
    assert "weights-8 is damaged" in caplog.text
    assert best.is_beaten_by({"AP": 0.6})
    (tmp_path / "best" / "weights-4.index").unlink()
    with pytest.raises(ContractError, match=r"no whole checkpoint: weights-8 is damaged.*weights-4 is damaged"):
        best.restore()
    assert best.is_beaten_by({"AP": 0.1})  # they are replaced


LOST = [("lost", None), ("empty", b""), ("zeroed", bytes(9))]


@pytest.mark.parametrize(("why", "text"), LOST, ids=[row[0] for row in LOST])
def test_checkpoints_are_found_without_the_files_beside_them(
    dataset: Path, tmp_path: Path, why: str, text: bytes | None
) -> None:
    net = net_of(dataset)
    for step in (20, 40):
        Checkpoints(str(tmp_path), net).save(step)
    for name in (IDENTITY_FILE, STATE_FILE):
        path = tmp_path / "checkpoints" / name
        path.unlink() if text is None else path.write_bytes(text)
    assert Checkpoints(str(tmp_path), net_of(dataset, seed=9)).restore() == 40, why
    with pytest.raises(ContractError, match=r"anchor_scale is 3.0 there, 4.0 now"):
        Checkpoints(str(tmp_path), net_of(dataset, anchor_scale=4.0)).restore()
    assert stored_identity(str(tmp_path / "checkpoints")) == {**net.identity, **net.origin}


def test_checkpoints_of_older_versions_need_network_json(dataset: Path, tmp_path: Path) -> None:
    net = net_of(dataset)
    checkpoint = tf.train.Checkpoint(model=net.model, step=tf.Variable(7, dtype=tf.int64))
    folder = tmp_path / "checkpoints"
    tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=3).save(checkpoint_number=7)
    with pytest.raises(ContractError, match=r"network.json is missing or damaged, and .*ckpt-7 does not hold it"):
        Checkpoints(str(tmp_path), net).restore()
    (folder / IDENTITY_FILE).write_text(json.dumps(net.identity))
    assert Checkpoints(str(tmp_path), net).restore() == 7
