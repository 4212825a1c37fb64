"""The request, checked before any file is touched."""

import dataclasses
import re

import pytest

from beam_jobs.flags import make_prepare_parser
from beam_jobs.named_files import Inputs
from beam_jobs.options import NamedFile, PrepareOptions, RecordOptions
from beam_jobs.request import parse_min_box, prepare_options
from retinanet_odm.errors import UsageError
from retinanet_odm.imaging.images import VERIFY_HEADER, ImageRule
from retinanet_odm.labels.label_map import LabelMap

FLAGS = ["prepare", "--images", "i/a.jpg", "i/b.jpg", "--annotations", "x/*.xml", "--output", "out/"]


def _options(*more: str) -> PrepareOptions:
    flags, rest = make_prepare_parser().parse_known_args([*FLAGS, *more])
    assert not rest
    return prepare_options(flags, Inputs())


def test_defaults():
    options = _options()
    assert options.images == ("i/a.jpg", "i/b.jpg"), "a shell may have expanded the pattern"
    assert options.output == "out"
    assert options.to_json() == {
        "images": ["i/a.jpg", "i/b.jpg"],
        "annotations": ["x/*.xml"],
        "exports": [],
        "min_score": None,
        "labels": None,
        "splits": {"train": 0.8, "val": 0.1, "test": 0.1},
        "num_shards": {"train": 32, "val": 4, "test": 4},
        "label_aliases": None,
        "id_map": None,
        "split_group": None,
        "deployment": "",
        "split_from": None,
        "without_annotation": "reject",
        "without_image": "tell",
        "negatives": "keep",
        "verify": "full",
        "max_side": None,
        "grayscale": False,
        "min_box": None,
    }
    assert (options.writes, options.resume, options.max_rejected) == (True, False, 1.0)


def test_partial_labels_are_recorded_where_they_are_asked_for():
    flags, _ = make_prepare_parser().parse_known_args(
        [*FLAGS, "--exhaustive=e.csv", "--ignore_label", "unclear", "x y"]
    )
    options = prepare_options(flags, Inputs(exhaustive=NamedFile(path="e.csv", sha256="ab")))
    more = {name: value for name, value in options.to_json().items() if name not in _options().to_json()}
    assert more == {"exhaustive": {"path": "e.csv", "sha256": "ab"}, "ignore_label": ["unclear", "x y"]}


def test_an_ignored_label_is_no_class():
    with pytest.raises(UsageError, match="--ignore_label: 'crab' is a class of --labels"):
        dataclasses.replace(_options("--ignore_label", "crab"), labels=LabelMap.from_names(["crab"]))


def test_content():
    options = _options("--verify=header", "--max_side=960", "--grayscale", "--min_box=75x50.5")
    pixels = ImageRule(verify=VERIFY_HEADER, max_side=960, grayscale=True, perceptual_hash=True)
    assert options.content == RecordOptions(pixels=pixels, min_box=(75, 50.5))
    assert options.to_json()["min_box"] == "75x50.5"


def test_check_takes_the_same_flags():
    flags, rest = make_prepare_parser().parse_known_args(["check", *FLAGS[1:], "--max_rejected=0.01"])
    options = prepare_options(flags, Inputs())
    assert not rest
    assert (options.writes, options.resume, options.max_rejected) == (False, False, 0.01)


def test_unnamed_split_keeps_its_default():
    options = _options("--num_shards=train=2", "--splits=train=0.5,extra=0.5")
    assert (options.shards_of("train"), options.shards_of("extra")) == (2, 4)


BAD = [
    (["--splits=train=0.8"], "add up to 1", "fractions do not add up"),
    (["--splits=train=a"], "--splits", "no number"),
    (["--splits=train"], "--splits", "no value"),
    (["--num_shards=train=2.5"], "--num_shards", "no whole number"),
    (["--num_shards=dev=2"], "'dev'", "no such split"),
    (["--num_shards=train=0"], "1..99999", "a split has at least one shard"),
    (["--num_shards=train=100000"], "1..99999", "the name has five digits"),
    (["--split_group=("], "--split_group", "no regular expression"),
    (["--split_group="], "--split_group", "an empty rule"),
    (["--deployment=("], "--deployment", "no regular expression"),
    (["--without_annotation=negative", "--negatives=drop"], "--negatives", "one makes what the other drops"),
    (["--max_rejected=1.5"], "--max_rejected", "a share is at most 1"),
    (["--min_score=1.5"], "--min_score", "a score is at most 1"),
    (["--min_score=nan"], "--min_score", "no score"),
    (["--max_rejected=nan"], "--max_rejected", "no share"),
    (["--min_box=75"], "--min_box", "one side only"),
    (["--min_box=ax5"], "--min_box", "no number"),
    (["--max_side=0"], "max_side: ", "nothing would be left"),
    (["--max_side=-5"], "max_side: ", "less than nothing"),
    (["--output=/"], "--output", "the root of the machine is no folder for a data set"),
]


@pytest.mark.parametrize(("more", "words", "reason"), BAD)
def test_bad_request(more, words, reason):
    with pytest.raises(UsageError) as caught:
        _options(*more)
    assert words in str(caught.value), reason


@pytest.mark.parametrize("argv", [[], ["prepair"], ["prepare"], ["prepare", "--images"]])
def test_bad_command_is_a_usage_error(argv):
    with pytest.raises(UsageError, match="python -m beam_jobs"):
        make_prepare_parser().parse_known_args(argv)


def test_every_flag_has_its_line_of_help(capsys):
    flags, _ = make_prepare_parser().parse_known_args(FLAGS)
    own = {f"--{name}" for name in vars(flags)} - {"--command"}
    with pytest.raises(SystemExit):
        make_prepare_parser().parse_args(["prepare", "--help"])
    text = capsys.readouterr().out
    assert set(re.findall(r"^  (--[a-z_]+)", text, re.MULTILINE)) - {"--help"} == own


def test_parse_min_box():
    assert parse_min_box("75x50.5") == (75, 50.5)
