"""Predictions for Label Studio."""

import json
from typing import Any

import pytest
from lxml import etree

from retinanet_odm.errors import AnnotationError, UsageError
from retinanet_odm.predictions.formats.label_studio import (
    LabelingInterface,
    read_labeling_interface,
    to_label_studio,
    to_labeling_interface,
    to_prediction,
)
from tests.retinanet_odm.prediction_rows import CRAB, PIG, RUN, failed, scored


def test_the_tasks() -> None:
    rows = [scored("dive 1/é.jpg", PIG, CRAB), failed("b.jpg"), scored("c.jpg")]
    found, nothing = json.loads(b"".join(to_label_studio(rows, RUN)))
    model = f"{RUN.program}, model 0123456789ab"
    assert nothing == {
        "data": {"image": "/data/local-files/?d=c.jpg"},
        "predictions": [{"model_version": model, "result": []}],
    }
    assert found["data"] == {"image": "/data/local-files/?d=dive%201/%C3%A9.jpg"}
    (prediction,) = found["predictions"]
    assert (prediction["model_version"], prediction["score"]) == (model, 0.5)
    first, second = prediction["result"]
    assert first == {
        "id": "0",
        "from_name": "label",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": 40,
        "original_height": 30,
        "image_rotation": 0,
        "score": 0.9,
        "value": {
            "x": 12.5,
            "y": 20.0,
            "width": 38.125,
            "height": 33.333333,
            "rotation": 0,
            "rectanglelabels": ["sea pig"],
        },
    }
    assert second["value"]["rectanglelabels"] == ["crab"]


def test_the_interface_has_the_names_that_the_tasks_use() -> None:
    view = etree.fromstring(b"".join(to_labeling_interface([], RUN)))
    assert view.xpath("string(Image/@name)") == view.xpath("string(RectangleLabels/@toName)") == "image"
    assert view.xpath("string(Image/@value)") == "$image"
    assert view.xpath("string(RectangleLabels/@name)") == "label"
    assert view.xpath("RectangleLabels/Label/@value") == [*RUN.classes.values()]


IMAGE, OTHER = '<Image name="a" value="$photo"/>', '<Image name="b" value="$other"/>'


def _view(labels: str) -> str:
    return f'<View>{IMAGE}<RectangleLabels name="k" toName="a">{labels}</RectangleLabels></View>'


LABELS = '<Label value="crab"/><Label value="Pig" predicted_values="sea pig, sow"/>'
INTERFACES: list[Any] = [
    ("own", b"".join(to_labeling_interface([], RUN)).decode(), ("label", "image", "image", [*RUN.classes.values()])),
    (
        "names of another project, and labels that stand deeper",
        _view(f'<View><Header value="$t"/>{LABELS}</View>'),
        ("k", "a", "photo", ["crab", "Pig"]),
    ),
    (
        "the first control that has a class",
        f'<View>{IMAGE}{OTHER}<RectangleLabels name="x" toName="a"><Label value="rock"/></RectangleLabels>'
        f'<RectangleLabels name="y" toName="b">{LABELS}</RectangleLabels></View>',
        ("y", "b", "other", ["crab", "Pig"]),
    ),
    (
        "a control of several images",
        f'<View>{OTHER}<RectangleLabels name="y" toName="a,b">{LABELS}</RectangleLabels></View>',
        ("y", "b", "other", ["crab", "Pig"]),
    ),
    (
        "an alias, which is what Label Studio keeps",
        _view('<Label value="crab" alias="CR"/><Label value="x" alias="sea pig"/>'),
        ("k", "a", "photo", ["CR", "sea pig"]),
    ),
    (
        "two labels that take a class: the first",
        _view('<Label value="P" predicted_values="crab"/><Label value="crab"/>'),
        ("k", "a", "photo", ["P"]),
    ),
]


@pytest.mark.parametrize(("reason", "text", "expected"), INTERFACES)
def test_the_place_of_boxes(reason: str, text: str, expected: tuple[Any, ...]) -> None:
    found = read_labeling_interface(text, RUN.classes.values())
    assert (found.control, found.image, found.key, list(found.labels.values())) == expected, reason


_RECTANGLES = f'<RectangleLabels name="k" toName="a">{LABELS}</RectangleLabels>'
NO_PLACE = [
    ("no XML", "the labeling interface: not well-formed"),
    ("<View><!DOCTYPE x></View>", "not well-formed"),
    ('<!DOCTYPE v [<!ENTITY e SYSTEM "file:///etc/passwd">]><View>&e;</View>', "the labeling interface"),
    ("<View/>", 'has no <RectangleLabels name="…" toName="…"> of an <Image name="…" value="$…">'),
    (f"<View>{_RECTANGLES}</View>", "has no <RectangleLabels"),
    (f"<View>{OTHER}{_RECTANGLES}</View>", "has no <RectangleLabels"),
    (f'<View><Image name="a" value="https://a/b.png"/>{_RECTANGLES}</View>', "has no <RectangleLabels"),
    (f'<View><Image name="a" valueList="$pages"/>{_RECTANGLES}</View>', "has no <RectangleLabels"),
    (f'<View>{IMAGE}<PolygonLabels name="k" toName="a">{LABELS}</PolygonLabels></View>', "has no <RectangleLabels"),
    (
        _view(LABELS).replace("crab", "Crab").replace("sea pig", "hog"),
        "has labels Crab, Pig; expected at least one of crab, sea pig, Étoile",
    ),
]


@pytest.mark.parametrize(("text", "message"), NO_PLACE)
def test_an_interface_without_a_place_for_boxes(text: str, message: str) -> None:
    with pytest.raises((AnnotationError, UsageError)) as caught:
        read_labeling_interface(text, RUN.classes.values())
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_boxes_without_a_label_are_left_out() -> None:
    interface = LabelingInterface(control="k", image="a", key="photo", labels={"sea pig": "Pig"})
    prediction = to_prediction(scored("a.jpg", PIG, CRAB), interface, "1")
    ((region,), score) = prediction["result"], prediction["score"]
    assert (region["value"]["rectanglelabels"], region["from_name"], region["to_name"]) == (["Pig"], "k", "a")
    assert score == PIG.score, "of the boxes that are there"
    assert to_prediction(scored("a.jpg", CRAB), interface, "1") == {"model_version": "1", "result": []}
