"""A small SavedModel that looks like an export; it finds red (class 1, 0.9) and blue (class 2, 0.4) rectangles."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from retinanet_odm import exported_model as sig
from retinanet_odm import novelty
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.imaging.images import EncodedImage
from retinanet_odm.labels.label_map import LabelMap

RED, BLUE = (255, 0, 0), (0, 0, 255)
SCORE_RED, SCORE_BLUE = 0.9, 0.4
REFUSED_WIDTH = 13  # the model returns a status for images of this width
FAILING_WIDTH = 17  # a call with an image of this width raises an error
Painted = Mapping[tuple[int, int, int], tuple[int, int, int, int]]


def make_image(width: int, height: int, boxes: Painted | None = None, kind: str = "PNG", **save: object) -> bytes:
    """Returns a grey image with filled rectangles: colour → (xmin, ymin, xmax, ymax), edges as everywhere."""
    image = Image.new("RGB", (width, height), (60, 60, 60))
    for colour, box in (boxes or {}).items():
        image.paste(colour, box)
    buffer = io.BytesIO()
    image.save(buffer, kind, **save)
    return buffer.getvalue()


def encoded(data: bytes, width: int = 1, height: int = 1) -> EncodedImage:
    """Returns any bytes as an image of this size."""
    return EncodedImage(data=data, format="png", width=width, height=height, full_size=(width, height))


def write_model(folder: Path, *, broken: bool = False, **changes: object) -> ModelManifest:
    """Exports the fake model and its model.json; a broken one raises an error for every image.

    The features of an image are its mean colour. With write_reference, those of the training were grey.
    """
    import tensorflow as tf

    module = tf.Module()
    signature = [tf.TensorSpec([None], tf.string, name=sig.IMAGE_BYTES)]
    serve = _serve_nothing if broken else _serve
    module.serve = tf.function(serve, input_signature=signature, autograph=False)
    pixels = [tf.TensorSpec([None, None, None, 3], tf.uint8, name=sig.IMAGES)]
    module.serve_pixels = tf.function(_serve_pixels, input_signature=pixels, autograph=False)
    made = {sig.SERVING: module.serve, sig.IMAGE_TENSOR: module.serve_pixels}
    tf.saved_model.save(module, str(folder), signatures=made)
    return write_manifest(folder, **changes)


def write_manifest(folder: Path, **changes: object) -> ModelManifest:
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ModelManifest.FILE
    }
    fields: dict[str, object] = {
        "labels": LabelMap(((1, "crab"), (2, "sea pig"))),
        "image_size": (64, 64),
        "anchors": {},
        "score_threshold": 0.3,
        "nms_iou": 0.5,
        "max_detections": 2,
        "dataset_fingerprint": "0" * 64,
        "metrics": {},
        "config": {},
        "files": files,
        "code_version": "0.0.0",
    }
    manifest = ModelManifest(**{**fields, **changes})  # type: ignore[arg-type]
    (folder / ModelManifest.FILE).write_text(manifest.to_json())
    return manifest


def write_reference(folder: Path) -> None:
    """Adds a reference of grey training images: coloured rectangles make an image unlike them."""
    grey = np.full((9, 3), 60, np.float16)
    reference = novelty.Reference(mean=np.zeros(3), scale=np.ones(3), features=grey, limit=5.0)
    (folder / novelty.FILE).write_bytes(reference.to_bytes())


def _serve(image_bytes):
    return _answers(_serve_one, image_bytes)


def _serve_pixels(images):
    return _answers(_find, images)


def _answers(find, items):
    import tensorflow as tf

    names = (sig.BOXES, sig.SCORES, sig.CLASSES, sig.COUNT, sig.IMAGE_SIZE, sig.STATUS, sig.FEATURES)
    kinds = (tf.float32, tf.float32, tf.int32, tf.int32, tf.int32, tf.int32, tf.float32)
    values = tf.map_fn(find, items, fn_output_signature=kinds)
    return dict(zip(names, values, strict=True))


def _serve_nothing(image_bytes):
    import tensorflow as tf

    with tf.control_dependencies([tf.debugging.Assert(tf.size(image_bytes) < 0, ["this model is broken"])]):
        return _serve(tf.identity(image_bytes))


def _serve_one(data):
    import tensorflow as tf

    known = tf.io.is_jpeg(data) | (tf.strings.substr(data, 0, 4) == b"\x89PNG")
    image = tf.cond(
        known,
        lambda: tf.io.decode_image(data, channels=3, expand_animations=False),
        lambda: tf.zeros([0, REFUSED_WIDTH, 3], tf.uint8),
    )
    return _find(tf.ensure_shape(image, [None, None, 3]))


def _find(image):
    import tensorflow as tf

    tf.debugging.assert_none_equal(tf.shape(image)[1], FAILING_WIDTH, message="an error of the model's own")
    size = tf.shape(image)[:2]
    red, blue = (_box(image, channel) for channel in (0, 2))
    there = tf.stack([tf.shape(red)[0] > 0, tf.shape(blue)[0] > 0])
    scores = tf.boolean_mask([SCORE_RED, SCORE_BLUE], there)
    classes = tf.boolean_mask([1, 2], there)
    count = tf.size(scores)
    boxes = tf.concat([red, blue], 0)
    room = [[0, 2 - count]]
    status = tf.where(size[1] == REFUSED_WIDTH, sig.STATUS_NOT_DECODABLE, sig.STATUS_OK)
    return (
        tf.ensure_shape(tf.pad(boxes, [*room, [0, 0]]), [2, 4]),
        tf.ensure_shape(tf.pad(scores, room), [2]),
        tf.ensure_shape(tf.pad(classes, room), [2]),
        count,
        size,
        status,
        tf.reduce_mean(tf.cast(image, tf.float32), axis=[0, 1]),
    )


def _box(image, channel: int):
    """[1, 4] around the pixels where one channel is bright and the other two are dark, or [0, 4]."""
    import tensorflow as tf

    others = [index for index in range(3) if index != channel]
    bright = (image[..., channel] > 200) & tf.reduce_all(tf.gather(image, others, axis=-1) < 50, -1)
    points = tf.cast(tf.where(bright), tf.float32)
    box = tf.concat([tf.reduce_min(points, 0), tf.reduce_max(points, 0) + 1], 0)[None]
    return box[: tf.minimum(tf.shape(points)[0], 1)]


def read_rows(output: Path) -> dict[str, dict]:
    """Returns every row, without its key, by image name; checks that shards are sorted and names are unique."""
    rows: dict[str, dict] = {}
    for path in sorted(output.glob("predictions-*.jsonl")):
        shard = [json.loads(line) for line in path.read_bytes().splitlines()]
        assert [row["image"] for row in shard] == sorted(row["image"] for row in shard)
        assert not rows.keys() & {row["image"] for row in shard}
        rows |= {row["image"]: {name: value for name, value in row.items() if name != "key"} for row in shard}
    return rows


def write_third_party_model(folder: Path, *, like_tf_od: bool) -> None:
    """Writes the same detector as a model of another program, without model.json.

    Like the TF Object Detection API: one decoded image per call, boxes as fractions, all outputs float. Otherwise:
    encoded images, boxes (xmin, ymin, xmax, ymax) in pixels, classes from 0, unsorted scores, no number of detections.
    """
    import tensorflow as tf

    def tf_od(input_tensor):
        found = _serve_pixels(input_tensor)
        size = tf.cast(tf.tile(found[sig.IMAGE_SIZE], [1, 2]), tf.float32)
        return {
            "detection_boxes": found[sig.BOXES] / size[:, None],
            "detection_scores": found[sig.SCORES],
            "detection_classes": tf.cast(found[sig.CLASSES], tf.float32),
            "num_detections": tf.cast(found[sig.COUNT], tf.float32),
            "raw_detection_boxes": found[sig.BOXES],
        }

    def other(encoded_images):
        found = {name: tf.reverse(value, [1]) for name, value in _serve(encoded_images).items() if value.shape.rank > 1}
        boxes = tf.gather(found[sig.BOXES], [1, 0, 3, 2], axis=-1)
        return {"xyxy": boxes, "conf": found[sig.SCORES], "cls": found[sig.CLASSES] - 1}

    spec = (
        tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")
        if like_tf_od
        else tf.TensorSpec([None], tf.string, name="encoded_images")
    )
    module = tf.Module()
    module.serve = tf.function(tf_od if like_tf_od else other, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(folder), signatures={sig.SERVING: module.serve})
