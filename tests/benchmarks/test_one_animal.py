"""The made-up first project: one animal in each image, where its annotation says."""

import io
import re

import numpy as np
from PIL import Image

from benchmarks.evening import Step, commands_of
from benchmarks.one_animal import NEW_PLACES, PLACES, one_animal
from retinanet_odm.dataset.splits import DEPLOYMENT, GroupRule, SplitPlan, parse_splits


def test_boxes_lie_inside_images_of_all_sizes() -> None:
    pairs = [one_animal("Creek", number) for number in range(8)]
    for annotation, data in pairs:
        image = Image.open(io.BytesIO(data))
        (item,) = annotation.objects
        ymin, xmin, ymax, xmax = item.box
        assert image.size == (annotation.width, annotation.height)
        assert 0 <= ymin < ymax <= image.height and 0 <= xmin < xmax <= image.width
        # The animal is pink: within its box there is far more red than green, outside of it hardly ever.
        pixels = np.asarray(image, float)
        pink = pixels[..., 0] + pixels[..., 2] - 2 * pixels[..., 1] > 40
        inside = pink[round(ymin) : round(ymax), round(xmin) : round(xmax)]
        assert inside.sum() > 0.9 * pink.sum() > 0
    assert len({annotation.width for annotation, _ in pairs}) > 4


def test_each_split_has_a_place_and_no_place_is_scored_that_was_seen() -> None:
    plan = SplitPlan(splits=parse_splits("train=0.8,val=0.1,test=0.1"), group=GroupRule(DEPLOYMENT))
    names = [one_animal(place, 0)[0].filename for place in PLACES]
    assert sorted(map(plan.split_of, names)) == ["test", *["train"] * 6, "val"]
    assert not set(PLACES) & set(NEW_PLACES)


def test_the_walk_takes_its_commands_from_the_page_and_makes_no_sample() -> None:
    commands = [text for _, text in commands_of("docs/local.md", epochs=3)]
    assert any(" check " in text for text in commands) and any(" detect " in text for text in commands)
    assert [text.endswith(" --num_epochs=3") for text in commands if "trainer" in text] == [True]
    assert not any(re.search(r"sample\.py|setup\.sh|docker", text) for text in commands)


def test_warnings_are_counted_by_line() -> None:
    printed = (
        "warning: low_anchor_recall (1): train",
        "WARNING: All log messages",
        "error: no",
        "a warning",
        "0 errors",
    )
    assert Step(place="a:1", text="x", printed=printed, status=0, seconds=1).warnings == 3
