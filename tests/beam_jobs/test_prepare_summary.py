"""The last lines of a run."""

import dataclasses

import pytest

from beam_jobs import prepare
from retinanet_odm.dataset.manifest import DatasetManifest, ShardInfo, SplitInfo
from retinanet_odm.dataset.problems import Problem, make_problem
from retinanet_odm.labels.label_map import LabelMap


def manifest(**examples: int) -> DatasetManifest:
    shards = {name: (ShardInfo(name=f"{name}-0", examples=count, sha256="0" * 64),) for name, count in examples.items()}
    splits = {
        name: SplitInfo(examples=count, boxes=0, boxes_per_class={}, shards=shards[name] if count else ())
        for name, count in examples.items()
    }
    return DatasetManifest(
        labels=LabelMap.from_names(["a"]),
        splits=splits,
        max_boxes_per_image=0,
        aspect_ratio_min=1.0,
        aspect_ratio_max=1.0,
        images_in=sum(examples.values()),
        rejected=0,
        rejected_by_reason={},
        objects_dropped={},
        options={"num_shards": dict.fromkeys(examples, 1)},
        code_version="test",
    )


NEXT = [
    ({"train": 4, "val": 1, "test": 1}, "--mode=train_and_eval --dataset", "the default"),
    ({"train": 4, "val": 0, "dev": 2}, "--mode=train_and_eval --eval_split=dev", "few groups: val may be empty"),
    ({"train": 4, "val": 0, "test": 2}, "--mode=train --dataset", "nothing is chosen on the test split"),
    ({"train": 4}, "--mode=train --dataset", "nothing is held out"),
]


@pytest.mark.parametrize(("examples", "words", "reason"), NEXT)
def test_the_next_command_is_one_that_the_trainer_takes(examples, words, reason):
    (line,) = [
        line for line in prepare.summarise_dataset(manifest(**examples), [], [], "OUT") if line.startswith("next: ")
    ]
    assert line.startswith(f"next: python -m trainer {words}"), reason


def lines_of(problem: Problem) -> list[str]:
    """The lines that prepare and check print about one problem."""
    made = prepare.summarise_dataset(manifest(train=4), [], [problem], "OUT")
    return [line for line in (*made, *prepare.summarise_check([problem], "OUT")) if f": {problem.code} (" in line]


# why, problem, how prepare and check begin
SAID = [
    ("prepare ends with 0, check with 1", make_problem("same_label_twice", "x"), "warning", "error", 1),
    ("a warning is one in both", make_problem("rare_label", "x"), "warning", "warning", 1),
    ("files count, not kinds of files", make_problem("files_passed_over", "x", value="29"), "info", "info", 29),
    ("a value that is no count", make_problem("zero_size_box", "x", value="xmin=5"), "warning", "warning", 1),
]


@pytest.mark.parametrize(("why", "problem", "made", "checked", "count"), SAID, ids=[row[0] for row in SAID])
def test_a_problem_is_called_what_the_exit_status_says(why, problem, made, checked, count):
    starts = [line.partition(")")[0] for line in lines_of(problem)]
    assert starts == [f"{severity}: {problem.code} ({count}" for severity in (made, checked)], why


def test_suggestions_that_differ_stand_beside_their_problems():
    problems = [
        dataclasses.replace(make_problem("labels_look_alike", f"{name}: alias?"), suggestion=f"the line {name},crab")
        for name in ("carb", "crabs")
    ]
    lines = prepare.summarise_check(problems, "OUT")
    assert {"  carb: alias?: the line carb,crab", "  crabs: alias?: the line crabs,crab"} <= set(lines)
