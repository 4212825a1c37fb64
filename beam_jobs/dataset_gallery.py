"""The examples that report.html shows. Begin with `make_gallery`."""

from collections.abc import Iterable, Iterator

from beam_jobs.shard_results import ShardResult
from retinanet_odm import boxes as box_ops
from retinanet_odm.dataset.examples import DetectionExample, decode_example
from retinanet_odm.imaging.drawing import DrawnBox, draw_thumbnail, drawn_region
from retinanet_odm.storage import files
from retinanet_odm.storage.tfrecord import read_frames

_GALLERY_SIZE = 12


def make_gallery(output: str, shards: Iterable[ShardResult]) -> list[tuple[str, bytes]]:
    """Return captions and JPEG bytes of a few examples: the first of some shards, read back as a trainer reads it."""
    # Spread over all shards, so that every split is shown.
    filled = [shard for shard in shards if shard.examples]
    step = max(1, len(filled) // _GALLERY_SIZE)
    chosen = filled[::step][:_GALLERY_SIZE]
    return [draw_example(shard.split, next(read_examples(files.join(output, shard.name)))) for shard in chosen]


def read_examples(path: str) -> Iterator[DetectionExample]:
    """Yield the examples of a shard, in order.

    Raises:
      FrameError: the file is truncated or damaged.
    """
    with files.open_binary(path) as file:
        for _, data in read_frames(file):
            yield decode_example(data)


def draw_example(split: str, example: DetectionExample) -> tuple[str, bytes]:
    """Return the caption and the JPEG bytes of one example with its boxes."""
    pixels = box_ops.to_pixels(example.boxes, example.height, example.width)
    items = [
        DrawnBox(box=(ymin, xmin, ymax, xmax), label=item.label, label_id=item.label_id)
        for item, (ymin, xmin, ymax, xmax) in zip(example.objects, pixels.tolist(), strict=True)
    ]
    regions = box_ops.to_pixels(box_ops.as_boxes(example.ignored_regions), example.height, example.width)
    ignored = [drawn_region((ymin, xmin, ymax, xmax)) for ymin, xmin, ymax, xmax in regions.tolist()]
    caption = f"{example.filename} ({split}, source_id {example.source_id}, {len(items)} boxes)"
    return caption, draw_thumbnail(example.encoded, [*items, *ignored])
