"""Batches are bounded by number and by decoded pixels, and our own grouping is Beam's."""

import itertools
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from inference.model.batching import capacity, make_batches, most_tiles, weight
from inference.model.handler import DetectorHandler
from inference.model.loading import read_model_manifest
from inference.model.options import ModelOptions
from inference.model.thresholds import ScoreThresholds
from inference.model.tiling import Tiling
from inference.transforms import DetectObjects
from tests.inference.fake_model import FAILING_WIDTH, encoded, picture

MEGAPIXEL = 1000 * 1000


@given(
    st.lists(st.integers(1, 4000)),
    st.integers(1, 9),
    st.integers(1, 60),
)
def test_batches_are_bounded_and_none_could_take_one_more(heights: list[int], most: int, megabytes: int) -> None:
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


def test_beam_makes_the_same_batches() -> None:
    """Small ones by number, large ones by bytes, one that is larger than a batch alone; none of them empty."""
    options = ModelOptions(batch_size=4, batch_megabytes=64)
    sizes = [1] * 6 + [15, 15, 90, 1, 10, 10, 10]
    images = [encoded(b"%d" % number, 1000 * size, 1000) for number, size in enumerate(sizes)]
    expected = [[image.data for image in batch] for batch in make_batches(images, options)]
    assert [len(batch) for batch in expected] == [4, 2, 1, 1, 1, 2, 2]
    handler = DetectorHandler(folder="", model_hash="", options=options, nms_iou=0.5)
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
    """Three good images and one that ends its call, which two calls share with it."""
    options = ModelOptions(batch_size=4, tiling=Tiling(side=50))
    model_hash = read_model_manifest(str(model)).model_hash
    handler = DetectorHandler(folder=str(model), model_hash=model_hash, options=options, nms_iou=0.5)
    sizes = [(20, 20), (FAILING_WIDTH, 20), (20, 20), (90, 20)]
    images = [((b"%d" % number, "key", "", 1), encoded(picture(*size), *size)) for number, size in enumerate(sizes)]
    pipeline = test_pipeline.TestPipeline()
    rows = (
        pipeline
        | beam.Create([images])
        | beam.FlatMap(lambda elements: elements)
        | DetectObjects(handler, {}, ScoreThresholds(score=0.5))
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
    assert most_tiles(ModelOptions(batch_size=8, tiling=Tiling(side=640))) == 8
    assert most_tiles(ModelOptions(batch_size=8, batch_megabytes=3, tiling=Tiling(side=640))) == 2
    assert most_tiles(ModelOptions(batch_size=8, batch_megabytes=1, tiling=Tiling(side=4000))) == 1


@pytest.mark.parametrize(
    ("given", "canvas", "images", "reason"),
    [
        (None, (192, 320), 32, "small pictures by the dozen, not by the hundred"),
        (None, (640, 640), 10, "4 million pixels"),
        (None, (3000, 4000), 1, "one that is larger, alone"),
        (None, (0, 0), 8, "a model of another program tells no canvas"),
        (3, (640, 640), 3, "what is given stands"),
    ],
)
def test_batch_size_that_fits_the_model(given: int | None, canvas: tuple[int, int], images: int, reason: str) -> None:
    assert ModelOptions(batch_size=given).fitted(canvas).most_images == images, reason
