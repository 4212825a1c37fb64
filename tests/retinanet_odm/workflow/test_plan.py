"""The steps of a run: their commands by the request and by the splits, and flags that are refused at once."""

import shlex
from collections.abc import Mapping

import pytest

from retinanet_odm.errors import UsageError
from retinanet_odm.workflow.plan import RunOptions, check_commands, plan_data, plan_model

FULL = {"train": 80, "val": 10, "test": 10}


def _options(**changes: object) -> RunOptions:
    plain = {"images": ("i/*",), "annotations": ("a/*.xml",), "output": "out"}
    return RunOptions(**{**plain, **changes})  # type: ignore[arg-type]


DATA = [
    pytest.param({}, "--images 'i/*' --annotations 'a/*.xml' --output out/dataset", id="patterns are quoted"),
    pytest.param(
        {"images": (), "annotations": (), "exports": ("my e.zip",)},
        "--exports 'my e.zip' --output out/dataset",
        id="CVAT",
    ),
    pytest.param(
        {"split_group": "deployment", "deployment": "^a b", "labels": "l.pbtxt", "label_aliases": "s.csv"},
        "--images 'i/*' --annotations 'a/*.xml' --labels=l.pbtxt --label_aliases=s.csv --split_group=deployment"
        " '--deployment=^a b' --output out/dataset",
        id="what decides labels and splits",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), DATA)
def test_check_and_prepare_have_the_same_input(changes: dict[str, object], words: str) -> None:
    check, prepare = plan_data(_options(**changes, prepare_flags=("--min_box=8x8",)))
    assert check.command == f"python -m beam_jobs check {words} --min_box=8x8"
    assert prepare.command == f"python -m beam_jobs prepare {words} --resume --min_box=8x8"
    assert check.reads == prepare.reads


def test_everything_that_a_data_set_is_made_from_is_looked_at() -> None:
    check, _ = plan_data(_options(exports=("e.zip",), labels="l", label_aliases="s"))
    assert check.reads == ("i/*", "a/*.xml", "e.zip", "l", "s")


MODEL = [
    pytest.param(FULL, {"train": "train_and_eval", "test": "eval --eval_split=test"}, id="all splits"),
    pytest.param({**FULL, "test": 0}, {"train": "train_and_eval"}, id="an empty test split"),
    pytest.param({"train": 8, "val": 2}, {"train": "train_and_eval"}, id="no test split"),
    pytest.param({"train": 8, "val": 0}, {"train": "train", "export": "export"}, id="nothing to evaluate on"),
    pytest.param(
        {"train": 8, "val": 0, "test": 2},
        {"train": "train", "export": "export", "test": "eval --eval_split=test"},
        id="nothing is chosen on the test split",
    ),
    pytest.param({"train": 8, "dev": 2}, {"train": "train_and_eval --eval_split=dev"}, id="a split of another name"),
]


@pytest.mark.parametrize(("sizes", "modes"), MODEL)
def test_the_trainer_is_called_as_the_splits_allow(sizes: Mapping[str, int], modes: Mapping[str, str]) -> None:
    rest = "--preset=tiny --dataset=out/dataset --model_dir=out/model --num_epochs=3 --image_size=64"
    steps = plan_model(_options(num_epochs=3, train_flags=("--image_size=64",)), sizes)
    assert {step.name: step.command for step in steps} == {
        name: f"python -m trainer --mode={mode} {rest}" for name, mode in modes.items()
    }


def test_the_archive_is_scored_last() -> None:
    *_, score = plan_model(_options(archive=("my a.zip",), deployment="x/", score_flags=("--tile=64",)), FULL)
    assert score.command == (
        "python -m inference score --images 'my a.zip' --model out/model/export --output out/scored"
        " --formats=counts,cvat,report --deployment=x/ --tile=64"
    )


def test_a_permission_changes_no_command() -> None:
    """A complete step would otherwise run again, only because the user permits to replace what is there."""
    plans = [
        [*plan_data(options), *plan_model(options, FULL)]
        for options in (_options(archive=("a",)), _options(archive=("a",), replace=True))
    ]
    assert [step.command for step in plans[0]] == [step.command for step in plans[1]]
    assert [step.name for step in plans[1] if step.permissions] == ["prepare", "score"], "check has nothing to replace"


def test_every_command_is_one_of_its_program() -> None:
    options = _options(archive=("a.zip",), split_group="deployment", num_epochs=2, replace=True)
    check_commands(options)


REFUSED = [
    pytest.param({"images": ()}, "expected --images and --annotations, or --exports", id="no images"),
    pytest.param({"annotations": ()}, "expected --images and --annotations, or --exports", id="nothing to learn"),
    pytest.param({"output": "gs://b/out"}, "--output: expected a folder of this machine", id="not here"),
    pytest.param({"preset": "huge"}, "--preset: expected one of tiny, ", id="an unknown preset"),
    pytest.param({"num_epochs": 0}, "num_epochs", id="no epoch"),
    pytest.param({"prepare_flags": ("--verify=no",)}, "--verify", id="a choice of prepare"),
    pytest.param({"train_flags": ("--imag_size=64",)}, "imag_size", id="a flag of the trainer, misspelt"),
    pytest.param({"archive": ("a",), "score_flags": ("--num_shards=x",)}, "--num_shards", id="a value of score"),
    pytest.param({"archive": ("a",), "score_flags": ("--num_shards=0",)}, "--num_shards", id="a range of score"),
    pytest.param(
        {"archive": ("a",), "score_flags": ("--til=64",)}, "--til; did you mean --tile?", id="of score, misspelt"
    ),
    pytest.param({"train_flags": ("--model_dir=m",)}, "--train_flags: run itself sets --model_dir", id="a folder"),
    pytest.param({"train_flags": ("-mode", "eval")}, "--train_flags: run itself sets --mode", id="with one dash"),
    pytest.param({"prepare_flags": ("--output", "o")}, "--prepare_flags: run itself sets --output", id="two words"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_a_bad_request_is_refused_at_once(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_commands(_options(**changes))
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_printed_command_is_what_runs() -> None:
    for step in (*plan_data(_options(images=("a 'b' $c/*",))), *plan_model(_options(output="it's"), FULL)):
        assert shlex.split(step.command) == ["python", *step.words]
