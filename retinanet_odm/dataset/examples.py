"""The record schema: one detection example as a serialized tf.train.Example, without TensorFlow.

Begin with `DetectionExample`; `encode_example` and `decode_example` convert it to bytes and back. The keys are the
union of those that TPU RetinaNet, models/official/detection, the TF Object Detection API and Model Garden read. Boxes
are relative to the image, 0 <= min < max <= 1; labels are 1..K; all lists of objects have one length, 0 for an image
without objects (a true negative).

A change to the schema raises SCHEMA_VERSION.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from retinanet_odm import boxes as box_ops
from retinanet_odm.dataset import source_ids
from retinanet_odm.dataset.example_pb2 import Example, Feature
from retinanet_odm.errors import RecordError

SCHEMA_VERSION = 1

# The keys of the features. Renaming one changes the format: see CONTRIBUTING.md, "The record schema".
ENCODED = "image/encoded"
FORMAT = "image/format"
HEIGHT = "image/height"
WIDTH = "image/width"
FILENAME = "image/filename"
SOURCE_ID = "image/source_id"
SHA256 = "image/key/sha256"
YMIN = "image/object/bbox/ymin"
XMIN = "image/object/bbox/xmin"
YMAX = "image/object/bbox/ymax"
XMAX = "image/object/bbox/xmax"
TEXT = "image/object/class/text"
LABEL = "image/object/class/label"
AREA = "image/object/area"
IS_CROWD = "image/object/is_crowd"
DIFFICULT = "image/object/difficult"
TRUNCATED = "image/object/truncated"
OCCLUDED = "image/object/occluded"

_BOX_KEYS = (YMIN, XMIN, YMAX, XMAX)
# The keys by the kind of their list, a field of example.proto's Feature.
KINDS = {
    "bytes_list": (ENCODED, FORMAT, FILENAME, SOURCE_ID, SHA256, TEXT),
    "int64_list": (HEIGHT, WIDTH, LABEL, IS_CROWD, DIFFICULT, TRUNCATED, OCCLUDED),
    "float_list": (*_BOX_KEYS, AREA),
}
_FLAGS = (DIFFICULT, TRUNCATED, OCCLUDED, IS_CROWD)


@dataclass(frozen=True, kw_only=True)
class ExampleObject:
    """One object: a relative box (ymin, xmin, ymax, xmax) at float32 precision, and its area in pixels of the image."""

    label_id: int
    label: str
    box: tuple[float, float, float, float]
    area: float
    difficult: bool = False
    truncated: bool = False
    occluded: bool = False
    is_crowd: bool = False


@dataclass(frozen=True, kw_only=True)
class DetectionExample:
    """One image and its objects, as stored in a record.

    Attributes:
      encoded: upright JPEG or PNG bytes.
      format: jpeg or png.
      height, width: in pixels after decoding.
      filename: the image's name, including folders.
      source_id: its number, 1..2^24.
      sha256: hex digest of encoded.
      objects: its objects.
    """

    encoded: bytes
    format: str
    height: int
    width: int
    filename: str
    source_id: int
    sha256: str
    objects: tuple[ExampleObject, ...]

    @property
    def boxes(self) -> box_ops.Boxes:
        """The relative boxes, [N, 4] float32."""
        return box_ops.as_boxes([item.box for item in self.objects])


def encode_example(example: DetectionExample) -> bytes:
    """Serialize an example; equal examples give equal bytes.

    Raises:
      RecordError: the example violates the schema (see the module docstring).

    Example:
      >>> crab = ExampleObject(label_id=1, label="crab", box=(0.25, 0.25, 0.5, 0.75), area=12.0)
      >>> example = DetectionExample(encoded=b"...", format="jpeg", height=6, width=8, filename="a.jpg", source_id=1,
      ...                            sha256="", objects=(crab,))
      >>> decode_example(encode_example(example)) == example
      True
    """
    return b"".join(encode_in_pieces(example))


def encode_in_pieces(example: DetectionExample) -> tuple[bytes, bytes, bytes]:
    """Return what encode_example does, cut before and after the bytes of the image, which are not copied.

    Raises:
      RecordError: the example violates the schema.
    """
    _check(example)
    values = {**_image_values(example), **_object_values(example.objects)}
    message = Example()
    feature = message.features.feature
    for kind, keys in KINDS.items():
        for key in keys:
            if key != ENCODED:
                # Without values, a key still gets an empty list of its kind: readers find every key in every record.
                getattr(feature[key], kind).value.extend(values[key])
    # A map of protobuf has no order of its own; deterministic serialization sorts its keys, and ENCODED is the first.
    rest = message.features.SerializeToString(deterministic=True)
    # Each level is field 1 or 2 of the one around it: Example.features, Features.feature (a map's entry of key and
    # value), Feature.bytes_list, BytesList.value.
    head, size = b"", len(example.encoded)
    for field, before in ((1, b""), (1, b""), (2, _field(1, len(ENCODED)) + ENCODED.encode()), (1, b"")):
        head = before + _field(field, size + len(head)) + head
    return _field(1, len(head) + size + len(rest)) + head, example.encoded, rest


def _field(number: int, size: int) -> bytes:
    """Return tag and length of a field of protobuf that has a length (wire type 2); numbers are below 16."""
    encoded = bytearray([number << 3 | 2])
    while size > 0x7F:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*encoded, size])


def _image_values(example: DetectionExample) -> dict[str, list[Any]]:
    return {
        FORMAT: [example.format.encode()],
        HEIGHT: [example.height],
        WIDTH: [example.width],
        # File names are bytes on Linux and need not be UTF-8.
        FILENAME: [example.filename.encode("utf-8", "surrogateescape")],
        # Text of digits, because TPU RetinaNet converts it by string_to_number.
        SOURCE_ID: [str(example.source_id).encode()],
        SHA256: [example.sha256.encode()],
    }


def _object_values(objects: Sequence[ExampleObject]) -> dict[str, list[Any]]:
    return {
        **{key: [item.box[column] for item in objects] for column, key in enumerate(_BOX_KEYS)},
        TEXT: [item.label.encode() for item in objects],
        LABEL: [item.label_id for item in objects],
        AREA: [item.area for item in objects],
        IS_CROWD: [int(item.is_crowd) for item in objects],
        DIFFICULT: [int(item.difficult) for item in objects],
        TRUNCATED: [int(item.truncated) for item in objects],
        OCCLUDED: [int(item.occluded) for item in objects],
    }


def decode_example(data: bytes) -> DetectionExample:
    """Parse the bytes that encode_example returns.

    Raises:
      RecordError: the data is no tf.train.Example, a key is missing, or the content violates the schema.
    """
    feature = _features(data)
    # Check the lengths first: objects are built row by row over all columns.
    columns = {key: _values(feature, key) for key in (*_BOX_KEYS, TEXT, LABEL, AREA, *_FLAGS)}
    if len({len(values) for values in columns.values()}) != 1:
        lengths = {key: len(values) for key, values in columns.items()}
        raise RecordError("record_lengths_differ", f"record: lists of objects must have one length, found {lengths}")
    try:
        example = _example(feature, columns)
    except ValueError as error:  # text that is not UTF-8, a source id that is not a number
        raise RecordError("record_text_not_readable", f"record: {error}") from error
    _check(example)
    return example


def extract_image(data: bytes) -> tuple[str, bytes]:
    """Return the filename and the encoded image of a record, without parsing the rest.

    Raises:
      RecordError: the data is no tf.train.Example, or one of the two is missing.
    """
    feature = _features(data)
    return _one(feature, FILENAME).decode("utf-8", "surrogateescape"), _one(feature, ENCODED)


def _features(data: bytes) -> dict[str, Feature]:
    try:
        return dict(Example.FromString(data).features.feature)
    except DecodeError as error:
        raise RecordError("record_not_readable", f"record: not a serialized tf.train.Example: {error}") from error


def _example(feature: dict[str, Feature], columns: dict[str, list[Any]]) -> DetectionExample:
    return DetectionExample(
        encoded=_one(feature, ENCODED),
        format=_one(feature, FORMAT).decode(),
        height=_one(feature, HEIGHT),
        width=_one(feature, WIDTH),
        filename=_one(feature, FILENAME).decode("utf-8", "surrogateescape"),
        source_id=int(_one(feature, SOURCE_ID)),
        sha256=_one(feature, SHA256).decode(),
        objects=tuple(_object_at(columns, row) for row in range(len(columns[LABEL]))),
    )


def _object_at(columns: dict[str, list[Any]], row: int) -> ExampleObject:
    ymin, xmin, ymax, xmax = (columns[key][row] for key in _BOX_KEYS)
    return ExampleObject(
        label_id=columns[LABEL][row],
        label=columns[TEXT][row].decode(),
        box=(ymin, xmin, ymax, xmax),
        area=columns[AREA][row],
        difficult=bool(columns[DIFFICULT][row]),
        truncated=bool(columns[TRUNCATED][row]),
        occluded=bool(columns[OCCLUDED][row]),
        is_crowd=bool(columns[IS_CROWD][row]),
    )


def _values(feature: dict[str, Feature], key: str) -> list[Any]:
    if key not in feature:
        raise RecordError("record_key_missing", f"record: key {key!r} is missing")
    # None for a feature without a list, as other writers store an empty one.
    kind = feature[key].WhichOneof("kind")
    if kind and key not in KINDS[kind]:
        raise RecordError("record_value_type", f"record: key {key!r} must not hold a {kind}")
    return list(getattr(feature[key], kind).value) if kind else []


def _one(feature: dict[str, Feature], key: str) -> Any:
    values = _values(feature, key)
    if len(values) != 1:
        raise RecordError("record_value_count", f"record: {key!r} must hold one value, found {len(values)}")
    return values[0]


def _check(example: DetectionExample) -> None:
    # Checked when written and when read: a record that violates the schema would fail far away, in the trainer.
    if not 1 <= example.source_id <= source_ids.MAX_SOURCE_ID:
        raise RecordError(
            "source_id_out_of_range",
            f"{example.filename}: source_id must be in 1..{source_ids.MAX_SOURCE_ID}, found {example.source_id}",
        )
    if example.format not in ("jpeg", "png"):
        raise RecordError("format_not_allowed", f"{example.filename}: format must be jpeg or png: {example.format!r}")
    # Equal edges are refused as well: a box without extent has no anchor and no overlap.
    boxes = example.boxes
    if not (np.all(boxes >= 0) and np.all(boxes <= 1) and np.all(boxes[:, :2] < boxes[:, 2:])):
        raise RecordError("box_out_of_range", f"{example.filename}: boxes must have 0 <= min < max <= 1")
    if any(item.label_id < 1 for item in example.objects):
        raise RecordError("label_out_of_range", f"{example.filename}: label ids must be 1 or more")
