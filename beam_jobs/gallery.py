"""A few examples with their boxes, for the report, read back from the shards as a trainer would read them."""

import struct
from collections.abc import Iterable, Iterator

from beam_jobs.rows import ShardResult
from beamio import files
from detection import boxes as box_ops
from detection.drawing import DrawnBox, draw_thumbnail
from detection.examples import DetectionExample, decode_example

_PICTURES = 12
_HEADER = 12  # bytes before a record's data: length and its checksum


def make_gallery(output: str, shards: Iterable[ShardResult]) -> list[tuple[str, bytes]]:
    """Captions and JPEG bytes of the first example of some shards that have one."""
    filled = [shard for shard in shards if shard.info.examples]
    step = max(1, len(filled) // _PICTURES)
    chosen = filled[::step][:_PICTURES]
    return [draw_example(shard.split, next(read_examples(files.join(output, shard.info.name)))) for shard in chosen]


def read_examples(path: str) -> Iterator[DetectionExample]:
    """The examples of a shard that this job has written, in order."""
    with files.open_binary(path) as file:
        while header := file.read(_HEADER):
            (length,) = struct.unpack("<Q", header[:8])
            yield decode_example(file.read(length))
            file.read(4)  # checksum of the data


def draw_example(split: str, example: DetectionExample) -> tuple[str, bytes]:
    """Caption and JPEG bytes of one example."""
    pixels = box_ops.to_pixels(example.boxes, example.height, example.width)
    items = [
        DrawnBox(box=(ymin, xmin, ymax, xmax), label=item.label, label_id=item.label_id)
        for item, (ymin, xmin, ymax, xmax) in zip(example.objects, pixels.tolist(), strict=True)
    ]
    caption = f"{example.filename} ({split}, source_id {example.source_id}, {len(items)} boxes)"
    return caption, draw_thumbnail(example.encoded, items)
