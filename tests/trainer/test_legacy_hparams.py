from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.errors import UsageError
from trainer import legacy_hparams

NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
VALUES = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.lists(st.tuples(st.floats(0.1, 9), st.floats(0.1, 9)), min_size=1),
)


@given(st.dictionaries(NAMES, VALUES))
def test_what_is_written_is_read(values: dict[str, Any]) -> None:
    assert legacy_hparams.parse_hparams(",".join(f"{name}={value}" for name, value in values.items())) == values


PARSED = [
    ("as the old README has it", "image_size=640,num_classes=9", {"image_size": 640, "num_classes": 9}),
    ("commas in brackets separate no settings", "a=[(1,1),(1.4,0.7)],b=2", {"a": [(1, 1), (1.4, 0.7)], "b": 2}),
    ("as TensorFlow's HParams wrote booleans", "a=true,b=False", {"a": True, "b": False}),
    ("what is no number is text", "a=resnet", {"a": "resnet"}),
    ("spaces mean nothing", " a = 1 , b = 2 ", {"a": 1, "b": 2}),
    ("none is none", "", {}),
]


@pytest.mark.parametrize(("why", "text", "expected"), PARSED, ids=[row[0] for row in PARSED])
def test_parse(why: str, text: str, expected: dict[str, Any]) -> None:
    assert legacy_hparams.parse_hparams(text) == expected, why


UNREADABLE = [
    ("a word alone is no setting", "image_size", "expected name=value, found 'image_size'"),
    ("nor is a value alone", "=3", "expected name=value"),
    ("the second would win silently", "gamma=1,gamma=2", "gamma is given twice"),
]


@pytest.mark.parametrize(("why", "text", "message"), UNREADABLE, ids=[row[0] for row in UNREADABLE])
def test_unreadable(why: str, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        legacy_hparams.parse_hparams(text)
    assert message in str(caught.value), why


SETTINGS = [
    ("the old canvas is a square", {"image_size": 640}, {"image_size": "640x640"}),
    (
        "pairs are factors of width and height",
        {"aspect_ratios": [(1, 1), (1.4, 0.7), [0.7, 1.4]]},
        {"aspect_ratios": "1,0.5,2"},
    ),
    ("numbers are ours: height / width", {"aspect_ratios": [0.5, 1]}, {"aspect_ratios": "0.5,1"}),
    ("the depth is the backbone's", {"resnet_depth": 50}, {"backbone": "resnet50"}),
    ("the deeper one too", {"resnet_depth": 101}, {"backbone": "resnet101"}),
    ("its box loss is a mean over four numbers, ours their sum", {"box_loss_weight": 50}, {"box_loss_weight": 12.5}),
    ("1 is true, as in HParams", {"use_bfloat16": 1}, {"precision": "mixed_bfloat16"}),
    ("false is the other type", {"use_bfloat16": False}, {"precision": "float32"}),
    ("the one value that there is", {"momentum": 0.9, "min_level": 3}, {}),
    ("the background is not counted, here as there", {"num_classes": 9}, {"num_classes": 9}),
]


@pytest.mark.parametrize(("why", "values", "expected"), SETTINGS, ids=[row[0] for row in SETTINGS])
def test_settings(why: str, values: dict[str, Any], expected: dict[str, Any]) -> None:
    assert legacy_hparams.hparam_settings(values) == expected, why


REFUSED = [
    ("a misspelt name suggests the nearest", {"num_clases": 9}, "unknown name 'num_clases'; did you mean num_classes?"),
    ("an unknown name lists the known ones", {"zzz": 9}, "known are alpha, "),
    ("a recipe that is not there", {"momentum": 0.8}, "momentum=0.8 is not implemented, only 0.9 is"),
    ("no more levels", {"max_level": 8}, "max_level=8 is not implemented"),
    ("text is no number", {"gamma": "high"}, "gamma: expected a number, found 'high'"),
    ("a boolean is no number", {"gamma": True}, "gamma: expected a number"),
    ("half an octave step is none", {"num_scales": 2.5}, "num_scales: expected an integer"),
    ("a number is no boolean", {"input_rand_hflip": 2}, "input_rand_hflip: expected true or false"),
    ("one shape is no list", {"aspect_ratios": 1}, "aspect_ratios: expected"),
    ("a pair needs two", {"aspect_ratios": [[1]]}, "aspect_ratios: expected"),
    ("a box without width is none", {"aspect_ratios": [(0, 1)]}, "aspect_ratios: expected"),
]


@pytest.mark.parametrize(("why", "values", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(why: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        legacy_hparams.hparam_settings(values)
    assert message in str(caught.value), why
