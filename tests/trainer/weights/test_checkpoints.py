"""Which weights are kept as the best, and for which network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retinanet_odm.errors import ContractError
from trainer.data import records
from trainer.network import build
from trainer.presets import make_config
from trainer.weights.checkpoints import Best

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
