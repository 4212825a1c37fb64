import dataclasses
from pathlib import Path

import pytest

from detection.errors import UsageError
from trainer.config import PRESETS, TrainConfig, canvas_size, make_config
from trainer.flags import help_text, parse_request


def parse_config(argv: list[str]) -> TrainConfig:
    return parse_request(argv, read_text=lambda path: Path(path).read_text()).config


REFUSED = [
    ("an unknown flag is not ignored", ["--learning_rat=1"], "learning_rat"),
    ("a number must be one", ["--num_epochs=many"], "num_epochs"),
    ("a choice must be one of them", ["--mode=fly"], "--mode: expected one of"),
    ("an unknown preset names the known ones", ["--preset=huge"], "tiny, retinanet_r50"),
    ("a word without a flag is a mistake", ["train"], "unexpected argument 'train'"),
    ("the ignore band cannot be inside out", ["--negative_iou=0.6", "--positive_iou=0.5"], "negative_iou"),
    ("the scales cannot be inside out", ["--scale_min=2", "--scale_max=1"], "scale_min"),
    ("the pyramid needs multiples of 32", ["--image_size=300"], "multiples of 32"),
    ("a side is not a picture", ["--image_size=320x"], "HEIGHTxWIDTH"),
    ("ratios are numbers", ["--aspect_ratios=wide"], "aspect_ratios"),
    ("a batch needs an image", ["--train_batch_size=0"], "above 0"),
    ("a rate that is no number would train to nan", ["--learning_rate=nan"], "--learning_rate: expected a number"),
    ("a ratio that is no number makes no anchor", ["--aspect_ratios=1,nan"], "aspect_ratios"),
    ("there is no negative warm-up", ["--warmup_steps=-5"], "--warmup_steps: expected 0 or more"),
    ("a head of negative depth is none", ["--head_depth=-1"], "--head_depth: expected 0 or more"),
    ("no checkpoint could be restored from such a folder", ["--model_dir=runs [1]"], "--model_dir: expected a name"),
    ("no score is above 1", ["--score_threshold=2"], "--score_threshold: expected a number from 0 to 1"),
    ("a frozen part must be one", ["--freeze=heads"], "--freeze: expected one of none, stem, backbone"),
    ("a backbone that does not learn is frozen", ["--backbone_rate=0"], "--backbone_rate: expected a number above 0"),
    ("two first weights contradict", ["--init_from=a", "--resnet_checkpoint=b"], "expected one of them"),
    (
        "a ResNet fits no other backbone",
        ["--resnet_checkpoint=b"],
        "is for --backbone=resnet50 or resnet101, found tiny",
    ),
    ("an overlap is a fraction", ["--nms_iou=nan"], "--nms_iou: expected a number from 0 to 1"),
]


@pytest.mark.parametrize(("why", "argv", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_bad_settings_are_refused_in_one_line(why: str, argv: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_config(argv)
    assert message in str(caught.value), why
    assert "\n" not in str(caught.value)


def test_flags_overrule_the_preset_and_the_preset_the_default() -> None:
    config = parse_config(["--preset=retinanet_r50", "--num_epochs=3", "--novertical_flip"])
    assert (config.num_epochs, config.train_batch_size, config.seed) == (3, 64, 0)


def test_a_flag_given_at_its_default_still_overrules_the_preset() -> None:
    default = TrainConfig().anchor_scale
    assert PRESETS["tiny"]["anchor_scale"] != default
    assert parse_config(["--preset=tiny", f"--anchor_scale={default}"]).anchor_scale == default


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid(preset: str) -> None:
    assert isinstance(make_config(preset, {}), TrainConfig)


def test_help_names_every_field() -> None:
    text = help_text()
    assert all(spec.name in text for spec in dataclasses.fields(TrainConfig))


CANVAS = [
    ("an explicit size is taken as it is", "640x640", 1.5, 1.5, (640, 640)),
    ("4:3 photographs need three quarters of the height, rounded up to 32", "320", 4 / 3, 4 / 3, (256, 320)),
    ("16:9 saves more", "320", 16 / 9, 16 / 9, (192, 320)),
    ("portraits turn it round", "320", 0.5, 0.5, (320, 160)),
    ("a mixture needs the square", "320", 0.75, 1.5, (320, 320)),
    ("a panorama of a thousand to one still has a height", "320", 1000.0, 1000.0, (32, 320)),
    ("squares stay square", "320", 1.0, 1.0, (320, 320)),
    ("the least elongated photograph decides", "320", 1.1, 2.0, (320, 320)),
]


@pytest.mark.parametrize(("why", "size", "low", "high", "expected"), CANVAS, ids=[row[0] for row in CANVAS])
def test_canvas(why: str, size: str, low: float, high: float, expected: tuple[int, int]) -> None:
    assert canvas_size(size, low, high) == expected, why
