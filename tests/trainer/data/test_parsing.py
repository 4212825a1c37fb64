"""Records as training reads them."""

import dataclasses

import numpy as np
import tensorflow as tf

from retinanet_odm.dataset.examples import encode_example
from tests.trainer.conftest import make_example
from trainer.data.parsing import REGION, parse_record


def test_records_keep_their_boxes() -> None:
    example = make_example(5)
    values = parse_record(tf.constant(encode_example(example)))
    np.testing.assert_array_equal(values["boxes"], example.boxes)
    assert values["labels"].numpy().tolist() == [item.label_id for item in example.objects]
    assert "not_exhaustive" not in values


def test_crowds_and_ignored_regions_are_areas_in_which_no_object_is_known() -> None:
    plain = make_example(5)
    first, second = plain.objects
    region = (0.25, 0.5, 0.75, 1.0)
    example = dataclasses.replace(
        plain,
        objects=(dataclasses.replace(first, is_crowd=True), second),
        not_exhaustive=((1, "bright"), (4, "worm")),
        ignored_regions=(region,),
    )
    values = parse_record(tf.constant(encode_example(example)), partial_classes=4)
    assert values["labels"].numpy().tolist() == [REGION, second.label_id, REGION]
    np.testing.assert_array_equal(values["boxes"], [first.box, second.box, region])
    assert values["not_exhaustive"].shape == (4,), "static, as TPUs need it"
    assert values["not_exhaustive"].numpy().tolist() == [1, 0, 0, 1]
