"""Cuts the images of a data set into tiles, from which a network learns small objects at their full size.

Begin with `cut_splits`. The grid is that of ``score --tile`` (`retinanet_odm.imaging.tile_grid`), and a tile becomes a
record like any other, so that all that follows is as for whole images. The tiles of a split are in a folder of its own,
MODEL_DIR/tiles/KEY/SPLIT, whose dataset.json is written last.
"""

import dataclasses
import hashlib
import io
import json
import logging
import posixpath
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image

from retinanet_odm import boxes as box_ops
from retinanet_odm.dataset.examples import DetectionExample, ExampleObject, decode_example, encode_example
from retinanet_odm.dataset.manifest import DatasetManifest, ShardInfo
from retinanet_odm.dataset.splits import TRAIN_SPLIT
from retinanet_odm.errors import ContractError
from retinanet_odm.imaging.images import encode_image
from retinanet_odm.imaging.tile_grid import Window, plan_tiles
from retinanet_odm.storage import files
from trainer.config import TrainConfig
from trainer.data import records
from trainer.data.derived_datasets import SplitCounts, derive_manifest

_Corners = tuple[float, float, float, float]  # (ymin, xmin, ymax, xmax)

_LOGGER = logging.getLogger(__name__)
_WHOLE = 1 - 1e-5  # share of a box that is all of it, but for rounding
_MIN_EMPTY = 1  # tiles without objects that an image without objects brings into the training


def tile_folder(config: TrainConfig, manifest: DatasetManifest) -> str:
    """Return the folder of the tiles of a data set: equal data and settings have equal folders."""
    settings = {
        **config.data.tiles,
        "min_visible": config.data.min_visible,
        "dataset_fingerprint": manifest.fingerprint,
    }
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    return f"{config.run.folder}/tiles/{key}"


def cut_splits(config: TrainConfig, manifest: DatasetManifest, splits: Sequence[str]) -> None:
    """Cut splits of a data set into tiles in `tile_folder`, unless that was done before.

    Of the training split, each image brings the tiles with objects and as many without, at least one, chosen by the
    hash of their names. Of other splits it brings all tiles, as ``score`` sees them.

    Args:
      config: Its sections data and run are used.
      manifest: Of the data set.
      splits: Their names.

    Raises:
      ContractError: A split is empty, or a shard is missing or damaged.
      UsageError: The folder cannot be written to.
    """
    folder = tile_folder(config, manifest)
    for name in splits:
        if not files.is_file(f"{folder}/{name}/{DatasetManifest.FILE}"):
            _cut_split(config, manifest, name, f"{folder}/{name}")


def read_tiles(folder: str, manifest: DatasetManifest, splits: Sequence[str]) -> DatasetManifest:
    """Return the manifest of tiles that were cut; names of shards are relative to the folder.

    Raises:
      ContractError: They were not.
    """
    parts = {name: records.read_dataset_manifest(f"{folder}/{name}") for name in splits}
    found = {
        name: dataclasses.replace(
            part.splits[name],
            shards=tuple(dataclasses.replace(one, name=f"{name}/{one.name}") for one in part.splits[name].shards),
        )
        for name, part in parts.items()
    }
    largest = max((part.max_boxes_per_image for part in parts.values()), default=0)
    return derive_manifest(manifest, found, largest)


def _cut_split(config: TrainConfig, manifest: DatasetManifest, name: str, folder: str) -> None:
    """Write the tiles of a split: a shard for each of its shards, then dataset.json."""
    files.make_folder(folder, flag="--model_dir")
    split, is_training = records.find_split(config.data.dataset, manifest, name), name == TRAIN_SPLIT
    shards: list[ShardInfo] = []
    counts, number = SplitCounts(), 0
    for path in split.paths:
        target = f"{folder}/{posixpath.basename(path)}"
        with records.reading_shards([path]), tf.io.TFRecordWriter(target) as writer:
            examples = map(decode_example, tf.data.TFRecordDataset(path).as_numpy_iterator())
            tiles: Iterable[DetectionExample] = _cut_examples(
                examples, config, is_training=is_training, first_id=number + 1
            )
            if is_training:  # tiles of one image would follow each other, and so be in one batch
                tiles = sorted(tiles, key=lambda tile: _hash(tile.filename))
            first = number
            for tile in tiles:
                writer.write(encode_example(tile))
                counts.add(tile)
                number += 1
        digest = files.find_digest(target) or ""
        shards.append(ShardInfo(name=posixpath.basename(path), examples=number - first, sha256=digest))
    info = counts.to_split(tuple(shards))
    # The order matters: the manifest says that the shards are complete.
    made = derive_manifest(manifest, {name: info}, counts.most_boxes + counts.most_regions)
    files.write_text(f"{folder}/{DatasetManifest.FILE}", made.to_json())
    _LOGGER.info(
        "tiles of split %s: %d images, %d tiles of %d px, %d boxes in them",
        name,
        split.examples,
        number,
        config.data.tile,
        info.boxes,
    )


def _cut_examples(
    examples: Iterable[DetectionExample], config: TrainConfig, *, is_training: bool, first_id: int
) -> Iterator[DetectionExample]:
    """Yield the tiles of images, numbered from first_id on; raise ContractError if one cannot be decoded."""
    data, number = config.data, first_id
    for example in examples:
        windows = plan_tiles(example.height, example.width, side=data.tile, overlap=data.tile_overlap)
        whole = (0, 0, example.height, example.width)
        objects = {window: visible_objects(example, window, data.min_visible) for window in windows or [whole]}
        chosen = choose_training_tiles(example.filename, objects) if is_training else list(objects)
        image = _decode(example)
        for window in chosen:
            top, left, bottom, right = window
            part = image.crop((left, top, right, bottom))
            regions = ignored_regions(example, window, data.min_visible)
            yield _make_tile(example, part, window, objects[window], regions, source_id=number)
            number += 1


def _decode(example: DetectionExample) -> Image.Image:
    try:
        with Image.open(io.BytesIO(example.encoded)) as image:
            image.load()
            return image
    except (OSError, SyntaxError) as error:  # what Pillow raises for damaged files
        raise ContractError(
            "--dataset: prepare it again, without this image:"
            f" source id {example.source_id}, {example.filename}: {error}"
        ) from error


def choose_training_tiles(image: str, objects: dict[Window, tuple[ExampleObject, ...]]) -> list[Window]:
    """Return the tiles with objects, and as many of those without, at least one, by the hash of their names."""
    filled = [window for window, found in objects.items() if found]
    empty = sorted((window for window, found in objects.items() if not found), key=lambda one: _hash(_name(image, one)))
    return [*filled, *empty[: max(len(filled), _MIN_EMPTY)]]


def visible_objects(example: DetectionExample, window: Window, min_visible: float) -> tuple[ExampleObject, ...]:
    """Return the objects of an image that a tile shows, with their boxes relative to the tile and cut at its edges.

    An object of which less than a share of its box is visible is left out: see `ignored_regions`. A crowd stays,
    however little of it is visible.

    Args:
      example: The image.
      window: The tile, in its pixels.
      min_visible: The share, 0..1.
    """
    relative, visible = _cut_boxes(example, example.boxes, window)
    return tuple(
        dataclasses.replace(
            item,
            box=_as_corners(box),
            area=item.area * float(share),
            truncated=item.truncated or bool(share < _WHOLE),
        )
        for item, box, share in zip(example.objects, relative, visible, strict=True)
        if share > 0 and (share >= min_visible or item.is_crowd)
    )


def ignored_regions(example: DetectionExample, window: Window, min_visible: float) -> tuple[_Corners, ...]:
    """Return the boxes, relative to a tile, of what is neither an object nor background in it.

    These are the visible parts of the image's ignored regions, and of the objects that `visible_objects` leaves out
    because too little of them is visible.

    Args:
      example: The image.
      window: The tile, in its pixels.
      min_visible: As of visible_objects.
    """
    regions, shares = _cut_boxes(example, box_ops.as_boxes(example.ignored_regions), window)
    boxes, visible = _cut_boxes(example, example.boxes, window)
    is_crowd = np.array([item.is_crowd for item in example.objects], bool)
    left_out = boxes[(visible > 0) & (visible < min_visible) & ~is_crowd]
    return tuple(_as_corners(box) for box in (*regions[shares > 0], *left_out))


def _as_corners(box: npt.NDArray[np.float32]) -> _Corners:
    ymin, xmin, ymax, xmax = box.tolist()
    return ymin, xmin, ymax, xmax


def _cut_boxes(
    example: DetectionExample, boxes: box_ops.Boxes, window: Window
) -> tuple[box_ops.Boxes, npt.NDArray[np.float32]]:
    """Return boxes [N, 4], relative to an image, relative to a tile and cut at its edges, and their visible shares [N].

    The share of a box without extent in the tile is 0.
    """
    sizes, origin = np.tile([example.height, example.width], 2), np.tile(window[:2], 2)
    pixels = box_ops.as_boxes(boxes * sizes)
    cut = np.concatenate([np.maximum(pixels[:, :2], window[:2]), np.minimum(pixels[:, 2:], window[2:])], axis=1)
    extent = np.tile([window[2] - window[0], window[3] - window[1]], 2)
    relative = box_ops.as_boxes((cut - origin) / extent)  # at float32 precision, as in records
    has_extent = (relative[:, :2] < relative[:, 2:]).all(axis=1)
    shares = np.where(has_extent, box_ops.area(box_ops.as_boxes(cut)) / box_ops.area(pixels), 0)
    return relative, shares.astype(np.float32)


def _make_tile(
    example: DetectionExample,
    part: Image.Image,
    window: Window,
    objects: tuple[ExampleObject, ...],
    regions: tuple[_Corners, ...],
    *,
    source_id: int,
) -> DetectionExample:
    """Return the record of a part of an image; the image itself keeps its bytes."""
    is_whole = part.size == (example.width, example.height)
    encoded = example.encoded if is_whole else encode_image(part, example.format)
    return dataclasses.replace(
        example,
        encoded=encoded,
        height=part.height,
        width=part.width,
        filename=_name(example.filename, window),
        source_id=source_id,
        sha256=hashlib.sha256(encoded).hexdigest(),
        objects=objects,
        ignored_regions=regions,
    )


def _name(image: str, window: Window) -> str:
    # Behind the name: deployment and time are found at its beginning.
    return f"{image}#{window[0]}-{window[1]}"


def _hash(text: str) -> str:
    return hashlib.sha256(f"retinanet-odm tile {text}".encode("utf-8", "surrogateescape")).hexdigest()
