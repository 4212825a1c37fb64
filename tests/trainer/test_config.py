from pathlib import Path

import pytest

from retinanet_odm.errors import UsageError
from trainer.config import TrainConfig, canvas_size, setting_fields
from trainer.flags import help_text, parse_request
from trainer.presets import PRESETS, RECIPES, make_config


def parse_config(argv: list[str]) -> TrainConfig:
    return parse_request(argv, read_text=lambda path: Path(path).read_text()).config


REFUSED = [
    ("an unknown flag is not ignored", ["--learning_rat=1"], "--learning_rat; did you mean --learning_rate?"),
    ("the nearest flag is named", ["--epochs=5"], "unknown flag --epochs; did you mean --num_epochs?"),
    ("what other trainers call it", ["--batch_size=5"], "did you mean --train_batch_size?"),
    ("the trainer reads no images", ["--images=x"], "no flag of the trainer, but of python -m beam_jobs prepare"),
    ("a path with a space", ["--dataset=my", "data"], "a value with spaces needs quotes: --dataset='my data'"),
    ("a number must be one", ["--num_epochs=many"], "num_epochs"),
    ("a choice must be one of them", ["--mode=fly"], "--mode: expected one of"),
    ("an unknown preset names the known ones", ["--preset=huge"], "tiny, small, retinanet_r50"),
    ("an unknown recipe names the known ones", ["--recipe=yolo"], "legacy, retinanet, modern"),
    ("a rate drops at a share of the run", ["--lr_drops=late"], "--lr_drops: expected numbers above 0"),
    (
        "a word without a flag is a mistake",
        ["train"],
        "unexpected argument 'train': it belongs to no flag; did you mean --mode=train?",
    ),
    ("the ignore band cannot be inside out", ["--negative_iou=0.6", "--positive_iou=0.5"], "negative_iou"),
    ("the scales cannot be inside out", ["--scale_min=2", "--scale_max=1"], "scale_min"),
    ("the pyramid needs multiples of 32", ["--image_size=300"], "multiples of 32"),
    ("a side is not an image", ["--image_size=320x"], "HEIGHTxWIDTH"),
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
    ("two sources of initial weights contradict", ["--init_from=a", "--resnet_checkpoint=b"], "expected one of them"),
    (
        "a ResNet fits no other backbone",
        ["--resnet_checkpoint=b"],
        "is for --backbone=resnet50 or resnet101, found tiny",
    ),
    (
        "weights of Keras fit its backbones alone",
        ["--backbone_weights=imagenet"],
        "is for --backbone=efficientnet_lite0 or",
    ),
    (
        "a style is that of a ResNet",
        ["--conv_style=caffe"],
        "--conv_style=caffe: is for --backbone=resnet50 or resnet101",
    ),
    ("names of classes belong to weights", ["--init_labels=x"], "--init_labels: is for a file of another program"),
    ("a host has a port", ["--worker_hosts=a:1,b"], "--worker_hosts: expected host:port, found 'b'"),
    ("a host is there once", ["--worker_hosts=a:1,a:1"], "--worker_hosts: expected each host once"),
    ("hosts are counted from 0", ["--worker_hosts=a:1,b:1", "--task_index=2"], "--task_index: expected an index into"),
    ("an index needs hosts", ["--task_index=1"], "--task_index: expected an index into"),
    ("a TPU brings its hosts", ["--worker_hosts=a:1", "--use_tpu"], "a TPU of several hosts is one --tpu"),
    ("XLA has the devices of a machine", ["--runtime=xla", "--worker_hosts=a:1"], "TPUs first: remove --worker_hosts"),
    ("and finds a TPU itself", ["--runtime=xla", "--tpu=local"], "TPUs first: remove --use_tpu and --tpu"),
    ("a runtime that there is", ["--runtime=jax"], "--runtime: expected one of tensorflow, xla; found 'jax'"),
    ("a strength is a fraction", ["--photometric=1.5"], "--photometric: expected a number from 0 to 1"),
    ("a part is a fraction", ["--min_visible=-0.1"], "--min_visible: expected a number from 0 to 1"),
    ("a probability is a fraction", ["--mosaic=2"], "--mosaic: expected a number from 0 to 1"),
    ("no mosaic at all is a mistake", ["--mosaic=1", "--num_epochs=10"], "--mosaic_close_epochs: expected less than"),
    ("four images need four", ["--mosaic=1", "--train_batch_size=3"], "--train_batch_size of at least 4, found 3"),
    (
        "an export without a SavedModel is none",
        ["--export_formats=tflite"],
        "--export_formats: expected savedmodel, and",
    ),
    ("a format that none makes", ["--export_formats=savedmodel,pt"], "found 'savedmodel,pt'"),
    ("a format twice", ["--export_formats=savedmodel,onnx,onnx"], "found 'savedmodel,onnx,onnx'"),
    (
        "no runtime of a portable file takes bfloat16",
        ["--export_formats=savedmodel,tflite", "--precision=mixed_bfloat16"],
        "--mode=export --precision=float32",
    ),
    ("patience counts evaluations", ["--patience=3", "--mode=train"], "--patience: counts evaluations in training"),
    ("of which there must be some", ["--patience=3", "--eval_every_epochs=0"], "found --mode=train_and_eval and"),
    ("a curve has no best weights", ["--patience=3", "--mode=learning_curve"], "found --mode=learning_curve and"),
    ("numbers of images", ["--curve_images=10,few"], "--curve_images: expected different whole numbers above 0"),
    ("no training without images", ["--curve_images=0"], "--curve_images: expected different whole numbers above 0"),
    ("no point twice", ["--curve_images=10,10"], "found '10,10'"),
    ("a tile shows something", ["--tile=16"], "--tile: expected 32 pixels or more, found 16"),
    ("tiles advance", ["--tile=640", "--tile_overlap=1"], "--tile_overlap: expected a fraction from 0 to 0.9"),
    ("no time is below none", ["--max_hours=-1"], "--max_hours: expected 0 or more, found -1"),
    ("an overlap is a fraction", ["--nms_iou=nan"], "--nms_iou: expected a number from 0 to 1"),
]


@pytest.mark.parametrize(("why", "argv", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_bad_settings_are_refused_in_one_line(why: str, argv: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_config(argv)
    assert message in str(caught.value), why
    assert "\n" not in str(caught.value)


def test_flags_override_the_preset_and_the_preset_the_default() -> None:
    config = parse_config(["--preset=retinanet_r50", "--num_epochs=3", "--novertical_flip"])
    assert (config.schedule.num_epochs, config.schedule.train_batch_size, config.run.seed) == (3, 64, 0)


def test_a_flag_given_at_its_default_overrides_the_preset() -> None:
    default = TrainConfig().network.anchor_scale
    assert PRESETS["tiny"]["anchor_scale"] != default
    assert parse_config(["--preset=tiny", f"--anchor_scale={default}"]).network.anchor_scale == default


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid(preset: str) -> None:
    assert isinstance(make_config(preset, {}), TrainConfig)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_go_with_every_preset(preset: str, recipe: str) -> None:
    config = make_config(preset, {}, recipe=recipe)
    assert (
        config.network.backbone == PRESETS[preset]["backbone"] and config.loss.box_loss == RECIPES[recipe]["box_loss"]
    )


RATES = [
    ("a recipe's rate is for 64 images", ["--recipe=retinanet", "--train_batch_size=16"], 0.01),
    ("also where the preset names the batch", ["--recipe=legacy", "--preset=retinanet_r50"], 0.08),
    ("a rate that is given is what it is", ["--recipe=retinanet", "--learning_rate=0.3"], 0.3),
    ("a recipe without a rate keeps the preset's", ["--recipe=modern", "--train_batch_size=16"], 2e-3),
]


@pytest.mark.parametrize(("why", "argv", "expected"), RATES, ids=[row[0] for row in RATES])
def test_rates_of_recipes(why: str, argv: list[str], expected: float) -> None:
    assert parse_config(argv).schedule.learning_rate == pytest.approx(expected), why


ROOM = [
    ("the number is that of the data set", {}, 7, 7),
    ("four images have four times as many", {"mosaic": 0.5}, 7, 28),
    ("a number that is given holds", {"mosaic": 0.5, "max_instances": 9}, 7, 9),
    ("images without a box still need a row", {}, 0, 1),
]


@pytest.mark.parametrize(("why", "given", "largest", "expected"), ROOM, ids=[row[0] for row in ROOM])
def test_room_for_boxes(why: str, given: dict[str, float], largest: int, expected: int) -> None:
    assert make_config("tiny", given).data.boxes_per_image(largest) == expected, why


def test_help_names_every_field() -> None:
    text = help_text()
    assert all(spec.name in text for spec in setting_fields())


WEIGHTS = [
    ("the preset's own", {}, ("", "imagenet")),
    ("its backbone, named", {"backbone": "efficientnet_lite0"}, ("", "imagenet")),
    ("none, as asked for", {"backbone_weights": ""}, ("", "")),
    ("a file", {"backbone_weights": "w.pth"}, ("", "w.pth")),
    ("of another run: the preset's give way", {"init_from": "m"}, ("m", "")),
    ("of another backbone, which they do not fit", {"backbone": "tiny"}, ("", "")),
]


@pytest.mark.parametrize(("why", "given", "expected"), WEIGHTS, ids=[row[0] for row in WEIGHTS])
def test_initial_weights_of_a_preset(why: str, given: dict[str, str], expected: tuple[str, str]) -> None:
    weights = make_config("small", given).weights
    assert (weights.init_from, weights.backbone_weights) == expected, why


KEYS = """
anchor_grid anchor_scale anchors aspect_ratios backbone backbone_rate backbone_weights box_loss box_loss_weight
checkpoint_minutes clip_norm conv_style curve_images dataset ema_decay eval_batch_size eval_every_epochs eval_split
export_formats focal_alpha focal_gamma folds freeze freeze_batch_norm head_depth head_norm horizontal_flip ignore_memory
image_size init_from init_labels init_partly learning_rate local_copy lr_drops lr_schedule max_detections max_hours
max_instances max_rollbacks min_visible mode model_dir mosaic mosaic_close_epochs negative_iou nms_iou num_classes
num_epochs num_scales optimizer p6_source patience photometric positive_iou precision pyramid_channels pyramid_norm
reference_images resnet_checkpoint rot90 runtime scale_max scale_min score_threshold seed steps_per_loop sync_batch_norm
task_index tile tile_overlap tpu tpu_topology train_batch_size use_tpu vertical_flip warmup_steps weight_decay weights
worker_hosts
"""


def test_the_recorded_settings_keep_their_names() -> None:
    """They are flags, and keys of config in model.json."""
    assert sorted(TrainConfig().to_json()) == KEYS.split()


def test_settings_come_back_from_their_sections() -> None:
    config = make_config("retinanet_r50", {"mosaic": 0.5}, recipe="modern")
    assert TrainConfig.from_settings(config.to_json()) == config
    assert config.replace(mosaic=0.0) == make_config("retinanet_r50", {}, recipe="modern")
    with pytest.raises(TypeError, match="unknown settings: mosaik"):
        config.replace(mosaik=1)


CANVAS = [
    ("an explicit size is taken as it is", "640x640", 1.5, 1.5, (640, 640)),
    ("4:3 images need three quarters of the height, rounded up to 32", "320", 4 / 3, 4 / 3, (256, 320)),
    ("16:9 saves more", "320", 16 / 9, 16 / 9, (192, 320)),
    ("upright images swap the sides", "320", 0.5, 0.5, (320, 160)),
    ("a mixture needs the square", "320", 0.75, 1.5, (320, 320)),
    ("a panorama of a thousand to one still has a height", "320", 1000.0, 1000.0, (32, 320)),
    ("squares stay square", "320", 1.0, 1.0, (320, 320)),
    ("the least elongated image decides", "320", 1.1, 2.0, (320, 320)),
]


@pytest.mark.parametrize(("why", "size", "low", "high", "expected"), CANVAS, ids=[row[0] for row in CANVAS])
def test_canvas(why: str, size: str, low: float, high: float, expected: tuple[int, int]) -> None:
    assert canvas_size(size, low, high) == expected, why
