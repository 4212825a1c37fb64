"""Flags that are not the program's own belong to Beam, or are rejected."""

import pytest
from apache_beam.options.pipeline_options import DirectOptions, SetupOptions, StandardOptions

from retinanet_odm.beam.options import beam_options
from retinanet_odm.errors import UsageError

OWN = ["--images", "--labels", "--max_side"]


def test_local_defaults():
    options = beam_options([], OWN)
    assert options.view_as(StandardOptions).runner == "FnApiRunner"
    assert options.view_as(DirectOptions).direct_running_mode == "in_memory"
    assert options.view_as(SetupOptions).save_main_session is False


def test_a_given_option_stands():
    options = beam_options(["--direct_running_mode", "multi_processing"], OWN)
    assert options.view_as(DirectOptions).direct_running_mode == "multi_processing"


def test_another_runner_gets_no_local_default():
    options = beam_options(["--runner=DataflowRunner", "--project=p"], OWN)
    assert options.view_as(StandardOptions).runner == "DataflowRunner"
    assert options.view_as(DirectOptions).direct_running_mode == "in_memory"


REFUSED = [
    (["--lables=x"], "did you mean --labels", "near one of our own"),
    (["--runer=DirectRunner"], "did you mean --runner", "near one of Beam's"),
    (["--max-side=3"], "unknown flag --max-side; did you mean --max_side?", "dashes for underscores"),
    (["--xyzzy"], "--xyzzy", "near none"),
    (["stray"], "'stray'", "a word of its own"),
    (["--runner=DirectRunner", "stray"], "'stray'", "a word after a flag that has its value"),
    (["-r", "x"], "-r", "one dash"),
    (["--runner=FooRunner"], "--runner: Unexpected pipeline runner: FooRunner", "no runner of Beam"),
    (["--runner=nowhere.Runner"], "--runner: No module named", "no class that can be imported"),
    (["--direct_running_mode=multi_threading"], "loses data", "a mode in which Beam corrupts elements"),
    (["--direct_num_workers=two"], "--direct_num_workers: invalid int", "a value that Beam cannot read"),
]


@pytest.mark.parametrize(("argv", "words", "reason"), REFUSED)
def test_refused(argv, words, reason):
    with pytest.raises(UsageError) as caught:
        beam_options(argv, OWN)
    assert words in str(caught.value), reason
    assert "\n" not in str(caught.value)
