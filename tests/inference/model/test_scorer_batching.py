"""Batches are bounded by number and by decoded pixels, and our own grouping is Beam's."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from inference.model.handler import DetectorHandler
from inference.model.loading import check_model, find_model
from inference.model.options import ModelOptions
from inference.model.scorer import BatchSplitter, CallError, MemoryShortError, capacity, make_batches, max_tiles, weight
from inference.model.tiling import Tiling
from inference.transforms import DetectObjects
from tests.inference.fake_model import FAILING_WIDTH, encoded, make_image

MEGAPIXEL = 1000 * 1000


@given(
    st.lists(st.integers(1, 4000)),
    st.integers(1, 9),
    st.integers(1, 60),
)
def test_batches_are_bounded_and_as_full_as_possible(heights: list[int], most: int, megabytes: int) -> None:
    options = ModelOptions(batch_size=most, batch_megabytes=megabytes)
    images = [encoded(b"", 2000, height) for height in heights]
    made = list(make_batches(images, options))
    assert list(itertools.chain(*made)) == images
    for batch in made:
        pixels = sum(image.width * image.height for image in batch)
        assert 1 <= len(batch) <= most
        assert len(batch) == 1 or 3 * pixels <= megabytes * 2**20 + most, "rounded up to a multiple of the number"
    for batch, following in itertools.pairwise(made):
        assert sum(weight(image, options) for image in [*batch, following[0]]) > capacity(options)


def test_beam_makes_the_same_batches(model: Path) -> None:
    """Small images by number, large ones by bytes, one larger than a batch alone; no batch is empty."""
    options = ModelOptions(batch_size=4, batch_megabytes=64)
    sizes = [1] * 6 + [15, 15, 90, 1, 10, 10, 10]
    images = [encoded(b"%d" % number, 1000 * size, 1000) for number, size in enumerate(sizes)]
    expected = [[image.data for image in batch] for batch in make_batches(images, options)]
    assert [len(batch) for batch in expected] == [4, 2, 1, 1, 1, 2, 2]
    handler = DetectorHandler(find_model(str(model), options))
    with test_pipeline.TestPipeline() as pipeline:
        made = (
            pipeline
            | beam.Create([[(b"name", image) for image in images]])
            | beam.FlatMap(lambda elements: elements)
            | beam.BatchElements(**handler.batch_elements_kwargs())
            | beam.Map(lambda batch: [image.data for _, image in batch])
        )
        assert_that(made, equal_to(expected))


def test_beam_counts_the_calls(model: Path) -> None:
    """Three good images, and one whose calls fail."""
    options = ModelOptions(batch_size=4, tiling=Tiling(side=50))
    sizes = [(20, 20), (FAILING_WIDTH, 20), (20, 20), (90, 20)]
    images = [((b"%d" % number, "key", "", 1), encoded(make_image(*size), *size)) for number, size in enumerate(sizes)]
    pipeline = test_pipeline.TestPipeline()
    rows = (
        pipeline
        | beam.Create([images])
        | beam.FlatMap(lambda elements: elements)
        | DetectObjects(find_model(str(model), options))
        | beam.Map(lambda row: (row.image, row.reason))
    )
    assert_that(rows, equal_to([("0", None), ("1", "model_failed"), ("2", None), ("3", None)]))
    result = pipeline.run()
    metrics = result.metrics().query()
    counters = {item.key.metric.name: item.committed for item in metrics["counters"]}
    assert (counters["num_inferences"], counters["model_calls_failed"], counters["model_calls_split"]) == (4, 3, 2)
    found = {item.key.metric.name: item.committed for item in metrics["distributions"]}
    images_of_calls = found["model_call_images"]
    assert (images_of_calls.count, images_of_calls.sum) == (3, 5), "one alone, the other two, two tiles of the last"
    assert found["model_call_milliseconds"].count == 3


def test_tiles_in_one_call() -> None:
    assert max_tiles(ModelOptions(batch_size=8, tiling=Tiling(side=640))) == 8
    assert max_tiles(ModelOptions(batch_size=8, batch_megabytes=3, tiling=Tiling(side=640))) == 2
    assert max_tiles(ModelOptions(batch_size=8, batch_megabytes=1, tiling=Tiling(side=4000))) == 1


@pytest.mark.parametrize(
    ("given", "canvas", "images", "reason"),
    [
        (None, (192, 320), 32, "at most 32"),
        (None, (640, 640), 10, "4 million pixels"),
        (None, (3000, 4000), 1, "a larger one alone"),
        (None, (0, 0), 8, "the canvas of a third-party model is not known"),
        (3, (640, 640), 3, "a given size is kept"),
    ],
)
def test_batch_size_that_fits_the_model(
    model: Path, given: int | None, canvas: tuple[int, int], images: int, reason: str
) -> None:
    manifest = dataclasses.replace(check_model(str(model)), image_size=canvas)
    assert ModelOptions(batch_size=given).fitted(manifest).max_images == images, reason


LEARNED = {"side": 640, "overlap": 0.3}
TILES = [
    ("of the model, where none are given", {}, LEARNED, Tiling(side=640, overlap=0.3), "tiles of 640 px, as in the"),
    ("the same, given", {"tiling": Tiling(side=640)}, LEARNED, Tiling(side=640), "tiles of 640 px, as in the"),
    ("others", {"tiling": Tiling(side=320)}, LEARNED, Tiling(side=320), "640 px, and scores tiles of 320 px:"),
    ("none, as asked for", {"whole": True}, LEARNED, None, "640 px, and scores whole images:"),
    ("none of a model that knows whole images", {}, {}, None, ""),
    ("given for a model that knows whole images", {"tiling": Tiling(side=320)}, {}, Tiling(side=320), ""),
]


@pytest.mark.parametrize(("why", "given", "learned", "expected", "line"), TILES, ids=[row[0] for row in TILES])
def test_tiles_that_the_model_knows(
    model: Path, why: str, given: dict[str, Any], learned: dict[str, Any], expected: Tiling | None, line: str
) -> None:
    manifest = dataclasses.replace(check_model(str(model)), tile=learned)
    options = ModelOptions(**given)
    assert options.fitted(manifest).tiling == expected, why
    found = options.describe_tiles(manifest)
    assert (line in found) if line else not found
    assert found.startswith("warning: ") == ("and scores" in line)


class Room:
    """Returns items as long as their sum fits; a call with an item of 0 fails."""

    def __init__(self, room: float) -> None:
        self.room = room
        self.sizes: list[int] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.sizes.append(len(items))
        if not all(items):
            raise CallError("bad item")
        if sum(items) > self.room:
            raise MemoryShortError(f"no room for {sum(items)}")
        return list(items)


@given(st.lists(st.integers(0, 9)), st.integers(1, 8), st.integers(1, 20))
def test_every_item_has_its_own_result_whatever_fails(items: list[int], most: int, room: int) -> None:
    splitter = BatchSplitter(most)
    answers = splitter.run(Room(room), items)
    assert len(answers) == len(items)
    for item, answer in zip(items, answers, strict=True):
        if item == 0:
            assert type(answer) is CallError
        elif item > room:
            assert type(answer) is MemoryShortError
        else:
            assert answer == item
    assert 1 <= splitter.max_items <= most


@pytest.mark.parametrize(
    ("items", "room", "most", "sizes"),
    [
        pytest.param([1] * 10, 99, 8, [8, 2], id="nothing fails: as few calls as can be"),
        pytest.param([1, 1, 1, 0, 1, 1, 1, 1], 99, 8, [8, 4, 2, 2, 1, 1, 4], id="a bad item is isolated by halves"),
        pytest.param([1] * 12, 4, 4, [8, 4, 4, 4], id="the size that fits is kept"),
        pytest.param([1] * 12, 3, 2, [8, 4, 2, 2, 4, 2, 2, 2, 2], id="halved twice"),
        pytest.param(
            [99] + [1] * 15, 8, 8, [8, 4, 2, 1, 1, 2, 4, 8], id="one item too large is no evidence about others"
        ),
        pytest.param([], 99, 8, [], id="no item, no call"),
    ],
)
def test_calls(items: list[int], room: int, most: int, sizes: list[int]) -> None:
    call = Room(room)
    splitter = BatchSplitter(8)
    splitter.run(call, items)
    assert (call.sizes, splitter.max_items) == (sizes, most)
    assert splitter.run(call, [1] * most) == [1] * most
    assert call.sizes == [*sizes, most], "what was learned is kept"
