"""The examples in the report, which are read back from the shards."""

import io

import pytest
from PIL import Image

from beam_jobs.dataset_gallery import make_gallery, read_examples
from beam_jobs.options import PrepareOptions
from beam_jobs.rows import LabelledImage, PlannedImage
from beam_jobs.shard_results import ShardResult
from beam_jobs.shards import start_shard
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.sources.listing import ImageFile
from retinanet_odm.storage.tfrecord import FrameError


def _shards(source, folder, count: int) -> list[ShardResult]:
    """One shard per image; the second holds none."""
    (folder / "receipts").mkdir()
    options = PrepareOptions(images=("i/*",), annotations=("x/*",), output=str(folder))
    results = []
    for number in range(1, count + 1):
        item = ObjectAnnotation(label="crab", box=(8, 8, 24, 30))
        annotation = ImageAnnotation(filename="", width=None, height=None, objects=(item,), source="x.xml")
        image = ImageFile(uri=str(source.add_image(f"{number}.png")), name=f"{number}.png")
        content = LabelledImage(image=image, annotation=annotation, label_ids=(1,))
        rows = [] if number == 2 else [PlannedImage(source_id=number, content=content)]
        results.append(start_shard(("val", f"val-{number:05d}-of-{count:05d}.tfrecord"), rows, options)())
    return results


def test_gallery_shows_examples_with_their_boxes(tmp_path, source):
    gallery = make_gallery(str(tmp_path), _shards(source, tmp_path, 3))
    assert [caption.split(" (")[0] for caption, _ in gallery] == ["1.png", "3.png"]
    with Image.open(io.BytesIO(gallery[0][1])) as image:
        assert image.size == (48, 32) and image.format == "JPEG"
        assert max(image.getpixel((8, 20))) > 150, "the outline is drawn in a bright colour"


def test_gallery_stays_small(tmp_path, source):
    assert len(make_gallery(str(tmp_path), _shards(source, tmp_path, 40))) == 12


def test_shards_are_read_back_completely(tmp_path, source):
    (first, _, third) = _shards(source, tmp_path, 3)
    assert [example.source_id for example in read_examples(str(tmp_path / first.name))] == [1]
    assert [example.filename for example in read_examples(str(tmp_path / third.name))] == ["3.png"]


def test_a_damaged_shard_is_not_drawn(tmp_path, source):
    (first, *_) = _shards(source, tmp_path, 1)
    data = bytearray((tmp_path / first.name).read_bytes())
    data[-5] ^= 1
    (tmp_path / first.name).write_bytes(data)
    with pytest.raises(FrameError):
        make_gallery(str(tmp_path), [first])
