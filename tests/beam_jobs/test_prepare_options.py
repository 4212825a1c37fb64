"""The request, checked before any file is touched."""

import re

import pytest

from beam_jobs.options import Inputs, PrepareOptions, make_parser, own_flags, parse_num_shards, prepare_options
from detection.errors import UsageError

FLAGS = ["prepare", "--images", "i/a.jpg", "i/b.jpg", "--annotations", "x/*.xml", "--output", "out/"]


def _options(*more: str) -> PrepareOptions:
    flags, rest = make_parser().parse_known_args([*FLAGS, *more])
    assert not rest
    return prepare_options(flags, Inputs())


def test_defaults():
    options = _options()
    assert options.images == ("i/a.jpg", "i/b.jpg"), "a shell may have expanded the pattern"
    assert options.output == "out"
    assert options.to_json() == {
        "images": ["i/a.jpg", "i/b.jpg"],
        "annotations": ["x/*.xml"],
        "labels": None,
        "splits": {"train": 0.8, "val": 0.1, "test": 0.1},
        "num_shards": {"train": 32, "val": 4, "test": 4},
        "label_aliases": None,
        "id_map": None,
        "split_group": None,
        "split_from": None,
        "without_annotation": "reject",
        "negatives": "keep",
    }


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
    (["--without_annotation=negative", "--negatives=drop"], "--negatives", "one makes what the other drops"),
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
        make_parser().parse_known_args(argv)


def test_own_flags_are_those_of_the_parser(capsys):
    with pytest.raises(SystemExit):
        make_parser().parse_args(["prepare", "--help"])
    text = capsys.readouterr().out
    assert all(f"{flag} " in text for flag in own_flags())
    assert set(re.findall(r"^  (--[a-z_]+) ", text, re.MULTILINE)) - {"--help"} == set(own_flags())


def test_parse_num_shards():
    assert parse_num_shards("train=32, val=4") == {"train": 32, "val": 4}
