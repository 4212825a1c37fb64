"""The record schema: one detection example as a serialized tf.train.Example, without TensorFlow.

Begin with `DetectionExample`; `encode_example` and `decode_example` convert it to bytes and back. The keys are the
union of those that TPU RetinaNet, models/official/detection, the TF Object Detection API and Model Garden read. Boxes
are relative to the image, 0 <= min < max <= 1; labels are 1..K; all lists of objects have one length, 0 for an image
without objects (a true negative). Keys of what is not known of an image (`example_keys.PARTIAL_KINDS`) are only in
records that have values for them.

A change to the schema adds a version to `example_keys.SCHEMA_VERSIONS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from retinanet_odm import boxes as box_ops
from retinanet_odm.dataset import example_keys as keys
from retinanet_odm.dataset import source_ids
from retinanet_odm.dataset.example_pb2 import Example, Feature
from retinanet_odm.errors import RecordError

_FLAGS = (keys.DIFFICULT, keys.TRUNCATED, keys.OCCLUDED, keys.IS_CROWD)
_OBJECT_KEYS = (*keys.BOX_KEYS, keys.TEXT, keys.LABEL, keys.AREA, *_FLAGS)
_NOT_EXHAUSTIVE_KEYS = (keys.NOT_EXHAUSTIVE_LABEL, keys.NOT_EXHAUSTIVE_TEXT)


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
      not_exhaustive: (id, name) of the classes of which the image may show objects that are not among these.
      ignored_regions: relative boxes (ymin, xmin, ymax, xmax) of areas in which nobody has looked for objects.
    """

    encoded: bytes
    format: str
    height: int
    width: int
    filename: str
    source_id: int
    sha256: str
    objects: tuple[ExampleObject, ...]
    not_exhaustive: tuple[tuple[int, str], ...] = ()
    ignored_regions: tuple[tuple[float, float, float, float], ...] = ()

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
    for kind, names in keys.KINDS.items():
        for key in names:
            if key != keys.ENCODED:
                # Without values, a key still gets an empty list of its kind: readers find every key in every record.
                getattr(feature[key], kind).value.extend(values[key])
    partial = _partial_values(example)
    for kind, names in keys.PARTIAL_KINDS.items():
        for key in names:
            if partial[key]:
                getattr(feature[key], kind).value.extend(partial[key])
    # A map of protobuf has no order of its own; deterministic serialization sorts its keys, and ENCODED is the first.
    rest = message.features.SerializeToString(deterministic=True)
    # Each level is field 1 or 2 of the one around it: Example.features, Features.feature (a map's entry of key and
    # value), Feature.bytes_list, BytesList.value.
    head, size = b"", len(example.encoded)
    for field, before in ((1, b""), (1, b""), (2, _field(1, len(keys.ENCODED)) + keys.ENCODED.encode()), (1, b"")):
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
        keys.FORMAT: [example.format.encode()],
        keys.HEIGHT: [example.height],
        keys.WIDTH: [example.width],
        # File names are bytes on Linux and need not be UTF-8.
        keys.FILENAME: [example.filename.encode("utf-8", "surrogateescape")],
        # Text of digits, because TPU RetinaNet converts it by string_to_number.
        keys.SOURCE_ID: [str(example.source_id).encode()],
        keys.SHA256: [example.sha256.encode()],
    }


def _partial_values(example: DetectionExample) -> dict[str, list[Any]]:
    return {
        keys.NOT_EXHAUSTIVE_LABEL: [label_id for label_id, _ in example.not_exhaustive],
        keys.NOT_EXHAUSTIVE_TEXT: [name.encode() for _, name in example.not_exhaustive],
        **{key: [box[column] for box in example.ignored_regions] for column, key in enumerate(keys.IGNORED_KEYS)},
    }


def _object_values(objects: Sequence[ExampleObject]) -> dict[str, list[Any]]:
    return {
        **{key: [item.box[column] for item in objects] for column, key in enumerate(keys.BOX_KEYS)},
        keys.TEXT: [item.label.encode() for item in objects],
        keys.LABEL: [item.label_id for item in objects],
        keys.AREA: [item.area for item in objects],
        keys.IS_CROWD: [int(item.is_crowd) for item in objects],
        keys.DIFFICULT: [int(item.difficult) for item in objects],
        keys.TRUNCATED: [int(item.truncated) for item in objects],
        keys.OCCLUDED: [int(item.occluded) for item in objects],
    }


def decode_example(data: bytes) -> DetectionExample:
    """Parse the bytes that encode_example returns.

    Raises:
      RecordError: the data is no tf.train.Example, a key is missing, or the content violates the schema.
    """
    feature = _features(data)
    # Check the lengths first: objects are built row by row over all columns.
    columns = _columns(feature, _OBJECT_KEYS)
    for names in (_NOT_EXHAUSTIVE_KEYS, keys.IGNORED_KEYS):
        # In a record without these keys, everything is known.
        columns |= _columns(feature, names) if any(key in feature for key in names) else {key: [] for key in names}
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
    return _one(feature, keys.FILENAME).decode("utf-8", "surrogateescape"), _one(feature, keys.ENCODED)


def _features(data: bytes) -> dict[str, Feature]:
    try:
        return dict(Example.FromString(data).features.feature)
    except DecodeError as error:
        raise RecordError("record_not_readable", f"record: not a serialized tf.train.Example: {error}") from error


def _columns(feature: dict[str, Feature], names: Sequence[str]) -> dict[str, list[Any]]:
    columns = {key: _values(feature, key) for key in names}
    if len({len(values) for values in columns.values()}) != 1:
        lengths = {key: len(values) for key, values in columns.items()}
        raise RecordError("record_lengths_differ", f"record: lists of objects must have one length, found {lengths}")
    return columns


def _example(feature: dict[str, Feature], columns: dict[str, list[Any]]) -> DetectionExample:
    not_exhaustive = zip(*(columns[key] for key in _NOT_EXHAUSTIVE_KEYS), strict=True)
    return DetectionExample(
        encoded=_one(feature, keys.ENCODED),
        format=_one(feature, keys.FORMAT).decode(),
        height=_one(feature, keys.HEIGHT),
        width=_one(feature, keys.WIDTH),
        filename=_one(feature, keys.FILENAME).decode("utf-8", "surrogateescape"),
        source_id=int(_one(feature, keys.SOURCE_ID)),
        sha256=_one(feature, keys.SHA256).decode(),
        objects=tuple(_object_at(columns, row) for row in range(len(columns[keys.LABEL]))),
        not_exhaustive=tuple((label_id, name.decode()) for label_id, name in not_exhaustive),
        ignored_regions=tuple(zip(*(columns[key] for key in keys.IGNORED_KEYS), strict=True)),
    )


def _object_at(columns: dict[str, list[Any]], row: int) -> ExampleObject:
    ymin, xmin, ymax, xmax = (columns[key][row] for key in keys.BOX_KEYS)
    return ExampleObject(
        label_id=columns[keys.LABEL][row],
        label=columns[keys.TEXT][row].decode(),
        box=(ymin, xmin, ymax, xmax),
        area=columns[keys.AREA][row],
        difficult=bool(columns[keys.DIFFICULT][row]),
        truncated=bool(columns[keys.TRUNCATED][row]),
        occluded=bool(columns[keys.OCCLUDED][row]),
        is_crowd=bool(columns[keys.IS_CROWD][row]),
    )


def _values(feature: dict[str, Feature], key: str) -> list[Any]:
    if key not in feature:
        raise RecordError("record_key_missing", f"record: key {key!r} is missing")
    # None for a feature without a list, as other writers store an empty one.
    kind = feature[key].WhichOneof("kind")
    if kind and key not in (*keys.KINDS[kind], *keys.PARTIAL_KINDS[kind]):
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
    boxes = box_ops.as_boxes([*(item.box for item in example.objects), *example.ignored_regions])
    if not (np.all(boxes >= 0) and np.all(boxes <= 1) and np.all(boxes[:, :2] < boxes[:, 2:])):
        raise RecordError("box_out_of_range", f"{example.filename}: boxes must have 0 <= min < max <= 1")
    if any(label_id < 1 for label_id in (*(item.label_id for item in example.objects), *dict(example.not_exhaustive))):
        raise RecordError("label_out_of_range", f"{example.filename}: label ids must be 1 or more")
