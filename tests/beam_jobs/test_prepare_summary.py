"""The last lines of a run."""

import pytest

from beam_jobs import prepare
from retinanet_odm.dataset.manifest import DatasetManifest, ShardInfo, SplitInfo
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
    ({"train": 4, "val": 0, "test": 2}, "--mode=train_and_eval --eval_split=test", "few groups: val may be empty"),
    ({"train": 4}, "--mode=train --dataset", "nothing is held out"),
]


@pytest.mark.parametrize(("examples", "words", "reason"), NEXT)
def test_the_next_command_is_one_that_the_trainer_takes(examples, words, reason):
    (line,) = [
        line for line in prepare.summarise_dataset(manifest(**examples), [], [], "OUT") if line.startswith("next: ")
    ]
    assert line.startswith(f"next: python -m trainer {words}"), reason
