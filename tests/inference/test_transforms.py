"""Steps of the job with logic of their own: prefetching, and where the sources are listed."""

import pickle
from pathlib import Path

import pytest
from apache_beam.pvalue import TaggedOutput
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to

from inference.image_sources import listing
from inference.image_sources.chunks import FileChunk
from inference.request import PendingWork, find_pending_work
from inference.transforms import CHUNKS, NUM_IMAGES, UNREADABLE, ListImages, ReadAhead
from retinanet_odm.imaging.images import ImageRule
from tests.inference.fake_model import make_image


def _chunk(folder: Path, number: int, images: int) -> FileChunk:
    names = tuple(f"{number}-{index}.png" for index in range(images))
    for name in names:
        (folder / name).write_bytes(b"" if name == "2-0.png" else make_image(3, 2))
    return FileChunk(names=names, versions=names, paths=tuple(str(folder / name) for name in names))


@pytest.mark.parametrize(
    ("images", "waiting", "reason"),
    [(16, 2, "32 images are read ahead of what is taken"), (1, 8, "of 8 chunks at the most: one may hold 8 MB")],
)
def test_chunks_are_read_ahead_in_their_order(images: int, waiting: int, reason: str, tmp_path: Path) -> None:
    chunks = [_chunk(tmp_path, number, images) for number in range(12)]
    reader = ReadAhead("run", ImageRule())
    reader.setup()
    reader.start_bundle()
    taken = [list(reader.process(chunk)) for chunk in chunks]
    assert [len(some) for some in taken] == [0] * waiting + [images] * (12 - waiting), reason
    rest = list(reader.finish_bundle())
    reader.teardown()
    items = [item for some in taken for item in some]
    for item in rest:
        items.append(TaggedOutput(UNREADABLE, item.value.value) if isinstance(item, TaggedOutput) else item.value)
    names = [item.value.image if isinstance(item, TaggedOutput) else item[0][0].decode() for item in items]
    assert names == [name for chunk in chunks for name in chunk.names]
    assert [item.value.image for item in items if isinstance(item, TaggedOutput)] == ["2-0.png"], "0 bytes"


def _pending(tmp_path: Path) -> tuple[tuple[listing.ImageSource, ...], PendingWork]:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"x")
    sources = listing.resolve_sources([str(tmp_path)])
    return sources, find_pending_work(listing.list_source_files(sources), str(tmp_path / "out"), "run")


def test_a_worker_in_the_process_of_the_launcher_lists_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, pending = _pending(tmp_path)
    monkeypatch.setattr(listing, "list_source_files", None)
    with test_pipeline.TestPipeline() as pipeline:
        listed = pipeline | ListImages(sources, str(tmp_path / "out"), "run", 1, pending)
        assert_that(listed[CHUNKS], equal_to(list(pending.chunks)), label="chunks")
        assert_that(listed[NUM_IMAGES], equal_to([2]), label="images")


def test_the_names_of_the_images_are_not_in_the_description_of_the_job(tmp_path: Path) -> None:
    sources, pending = _pending(tmp_path)
    pipeline = test_pipeline.TestPipeline()
    _ = pipeline | ListImages(sources, str(tmp_path / "out"), "run", 1, pending)
    assert b"b.png" in pickle.dumps(pending)
    assert b"b.png" not in pipeline.to_runner_api().SerializeToString()
