"""The report's pictures: read back from the shards, a few whatever the size of the data set."""

import io

from PIL import Image

from beam_jobs.commit import make_gallery, read_examples
from beam_jobs.options import PrepareOptions
from beam_jobs.rows import LabelledImage, PlannedImage, ShardResult
from beam_jobs.shards import write_dataset_shard
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.sources.listing import ImageFile


def _shards(source, folder, count: int) -> list[ShardResult]:
    """One shard an image; the second holds none."""
    options = PrepareOptions(images=("i/*",), annotations=("x/*",), output=str(folder))
    results = []
    for number in range(1, count + 1):
        item = ObjectAnnotation(label="crab", box=(8, 8, 24, 30))
        annotation = ImageAnnotation(filename="", width=None, height=None, objects=(item,), source="x.xml")
        image = ImageFile(uri=str(source.add_image(f"{number}.png")), name=f"{number}.png")
        content = LabelledImage(image=image, annotation=annotation, label_ids=(1,))
        rows = [] if number == 2 else [PlannedImage(source_id=number, content=content)]
        results.append(write_dataset_shard("val", f"val-{number:05d}-of-{count:05d}.tfrecord", rows, options))
    return results


def test_gallery_shows_examples_with_their_boxes(tmp_path, source):
    gallery = make_gallery(str(tmp_path), _shards(source, tmp_path, 3))
    assert [caption.split(" (")[0] for caption, _ in gallery] == ["1.png", "3.png"]
    with Image.open(io.BytesIO(gallery[0][1])) as picture:
        assert picture.size == (48, 32) and picture.format == "JPEG"
        assert max(picture.getpixel((8, 20))) > 150, "the outline is drawn in a bright colour"


def test_gallery_stays_small(tmp_path, source):
    assert len(make_gallery(str(tmp_path), _shards(source, tmp_path, 40))) == 12


def test_shards_are_read_back_whole(tmp_path, source):
    (first, _, third) = _shards(source, tmp_path, 3)
    assert [example.source_id for example in read_examples(str(tmp_path / first.info.name))] == [1]
    assert [example.filename for example in read_examples(str(tmp_path / third.info.name))] == ["3.png"]
