"""The counters behind the report: right, and the same in whatever order they are added up."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.dataset.anchor_coverage import CANVASES
from retinanet_odm.dataset.examples import DetectionExample, ExampleObject
from retinanet_odm.dataset.statistics import MAX_BOXES_PER_IMAGE, BoxStatistics, ImageBoxes

_Box = tuple[float, float, float, float]


def _example(name: str, size: tuple[int, int], objects: list[tuple[str, _Box]]) -> ImageBoxes:
    items = tuple(ExampleObject(label_id=1, label=label, box=box, area=0.0) for label, box in objects)
    width, height = size
    example = DetectionExample(
        encoded=b"", format="png", width=width, height=height, filename=name, source_id=1, sha256="", objects=items
    )
    return ImageBoxes.from_example(example)


@st.composite
def _boxes(draw: st.DrawFn) -> _Box:
    ymin, xmin = draw(st.floats(0, 0.9)), draw(st.floats(0, 0.9))
    return ymin, xmin, ymin + draw(st.floats(1e-3, 0.1)), xmin + draw(st.floats(1e-3, 0.1))


_EXAMPLES = st.lists(
    st.builds(
        _example,
        st.text(max_size=3),
        st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
        st.lists(st.tuples(st.sampled_from(["crab", "Étoile", '"<', ""]), _boxes()), max_size=4),
    ),
    max_size=4,
)


@given(_EXAMPLES, _EXAMPLES, _EXAMPLES)
def test_adding_up_is_associative_and_commutative_and_the_same_as_counting_at_once(
    a: list[ImageBoxes], b: list[ImageBoxes], c: list[ImageBoxes]
) -> None:
    one, two, three = BoxStatistics.from_images(a), BoxStatistics.from_images(b), BoxStatistics.from_images(c)
    whole = BoxStatistics.from_images([*a, *b, *c])
    assert one.merge(two).merge(three) == whole
    assert one.merge(two.merge(three)) == whole
    assert three.merge(one.merge(two)).to_json() == whole.to_json()
    assert whole.merge(BoxStatistics()) == whole


@given(_EXAMPLES)
def test_json_and_back(examples: list[ImageBoxes]) -> None:
    statistics = BoxStatistics.from_images(examples)
    text = json.dumps(statistics.to_json())
    assert BoxStatistics.from_json(json.loads(text)) == statistics
    assert json.dumps(BoxStatistics.from_images(reversed(examples)).to_json()) == text


@given(_EXAMPLES)
def test_every_box_is_counted_once(examples: list[ImageBoxes]) -> None:
    statistics = BoxStatistics.from_images(examples)
    boxes = sum(len(example.labels) for example in examples)
    total = statistics.total
    assert statistics.images == statistics.image_sizes.total() == len(examples)
    assert total.boxes == total.aspects.total() == boxes
    assert all(0 <= total.recall(canvas) <= 1 for canvas in CANVASES)


@pytest.mark.parametrize(
    ("sides", "octave", "aspect"),
    [
        pytest.param((32, 32), 5, 0, id="32 pixels begin their octave"),
        pytest.param((31, 31), 4, 0, id="31 end the one below"),
        pytest.param((16, 64), 5, -2, id="of the area of a square of 32, four times as wide as high"),
        pytest.param((64, 32), 5, 1, id="twice as high as wide, as an anchor of ratio 2"),
        pytest.param((1, 1), 0, 0, id="one pixel"),
        pytest.param((0.5, 0.25), 0, 1, id="less than a pixel counts as the smallest"),
        pytest.param((500, 2), 4, 3, id="a sea pen: the end of the scale"),
        pytest.param((2, 500), 4, -3, id="lying"),
    ],
)
def test_octaves(sides: tuple[float, float], octave: int, aspect: int) -> None:
    height, width = sides
    counts = BoxStatistics.from_images(
        [_example("a", (1024, 512), [("crab", (0, 0, height / 512, width / 1024))])]
    ).classes
    assert (counts["crab"].sides, counts["crab"].aspects) == ({octave: 1}, {aspect: 1})


@pytest.mark.parametrize(
    ("size", "box", "reached"),
    [
        pytest.param((4000, 3000), 100, {896, 1024}, id="8 pixels on 320, 16 on 640: 17 of 24 are needed"),
        pytest.param((4000, 3000), 1200, set(CANVASES), id="a large animal"),
        pytest.param((3000, 4000), 1200, set(CANVASES), id="upright"),
        pytest.param((320, 320), 22, set(CANVASES), id="small images are enlarged: 22 of 24 pixels, 4 off centre"),
        pytest.param((4000, 3000), 20, set(), id="five pixels at best"),
    ],
)
def test_reached(size: tuple[int, int], box: int, reached: set[int]) -> None:
    width, height = size
    tall, wide = box / height / 2, box / width / 2
    total = BoxStatistics.from_images(
        [_example("a", size, [("crab", (0.5 - tall, 0.5 - wide, 0.5 + tall, 0.5 + wide))])]
    ).total
    assert {canvas for canvas in CANVASES if total.recall(canvas) == 1} == reached


def test_crowded_images_are_all_counted_and_the_most_crowded_named() -> None:
    images = []
    for number in range(30):
        boxes = MAX_BOXES_PER_IMAGE + number
        table = np.tile(np.asarray([[0.1, 0.1, 0.2, 0.2]], np.float32), (boxes, 1))
        images.append(ImageBoxes(f"{number}.jpg", 64, 64, table, ["crab"] * boxes))
    statistics = BoxStatistics.from_images(images)
    assert statistics.crowded_images == 29, "100 boxes are not too many"
    assert statistics.crowded[0] == (MAX_BOXES_PER_IMAGE + 29, "29.jpg")
    assert len(statistics.crowded) == 20


def test_what_is_not_known_is_counted_in_images() -> None:
    none = np.zeros((0, 4), np.float32)
    images = [
        ImageBoxes("a.jpg", 40, 30, none, [], ["crab", "fish"], 2),
        ImageBoxes("b.jpg", 40, 30, none, [], ["crab"]),
    ]
    parts = [BoxStatistics.from_images([image]) for image in images]
    found = parts[0].merge(parts[1])
    assert (found.not_exhaustive, found.ignored_regions) == ({"crab": 2, "fish": 1}, 2)
    assert BoxStatistics.from_json(found.to_json()) == found
    assert set(BoxStatistics().to_json()) == {"image_sizes", "boxes_per_image", "classes", "crowded"}
