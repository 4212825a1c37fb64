"""The network's shapes and its normalisations."""

import keras
import numpy as np
import pytest

from trainer.network.model import build_model, group_count

SMALL = {"image_size": (64, 96), "num_classes": 2, "anchors_per_cell": 3, "backbone": "tiny", "pyramid_channels": 24}
ANCHORS = 3 * (8 * 12 + 4 * 6 + 2 * 3 + 1 * 2 + 1 * 1)
PER_LEVEL = [f"class_0_p{level}_norm" for level in range(3, 8)]
NORMS = [
    ("each level has statistics of its own", "batch", PER_LEVEL, keras.layers.BatchNormalization, False),
    ("without statistics one layer does for all", "group", ["class_0_norm"], keras.layers.GroupNormalization, False),
    ("nothing shifts the features but a bias", "none", ["class_0_norm"], keras.layers.Identity, True),
]


@pytest.mark.parametrize(("why", "kind", "names", "layer", "bias"), NORMS, ids=[row[1] for row in NORMS])
def test_head_norm(why: str, kind: str, names: list[str], layer: type, bias: bool) -> None:
    model = build_model(**SMALL, head_depth=1, head_norm=kind)
    assert [one.name for one in model.layers if one.name.startswith("class_0_")] == names, why
    assert all(isinstance(model.get_layer(name), layer) for name in [*names, "p3_norm", "p7_norm"]), why
    assert model.get_layer("class_0").use_bias == bias, why
    outputs = model(np.zeros((2, 64, 96, 3), np.float32))
    shapes = {name: tuple(value.shape) for name, value in outputs.items()}
    assert shapes == {"class_logits": (2, ANCHORS, 2), "box_shifts": (2, ANCHORS, 4)}


GROUPS = [
    ("as published", 256, 32),
    ("the preset tiny", 64, 32),
    ("no divisor above 24 but 48 itself", 48, 24),
    ("fewer channels than groups", 16, 16),
    ("a prime number leaves one group", 37, 1),
]


@pytest.mark.parametrize(("why", "channels", "groups"), GROUPS, ids=[row[0] for row in GROUPS])
def test_groups(why: str, channels: int, groups: int) -> None:
    assert group_count(channels) == groups, why
