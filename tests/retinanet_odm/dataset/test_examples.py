"""The record schema: inverse, deterministic, readable by TensorFlow, and strict."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.dataset import example_keys as keys
from retinanet_odm.dataset.example_pb2 import Example
from retinanet_odm.dataset.examples import DetectionExample, ExampleObject, decode_example, encode_example
from retinanet_odm.errors import RecordError

GOLDEN = Path(__file__).parent / "golden" / "example.bin"

_UNIT = st.floats(0, 1, width=32)


@st.composite
def _objects(draw: st.DrawFn) -> ExampleObject:
    ymin, ymax = sorted(draw(st.lists(_UNIT, min_size=2, max_size=2, unique=True)))
    xmin, xmax = sorted(draw(st.lists(_UNIT, min_size=2, max_size=2, unique=True)))
    flags = {name: draw(st.booleans()) for name in ("difficult", "truncated", "occluded", "is_crowd")}
    return ExampleObject(
        label_id=draw(st.integers(1, 2**40)),
        label=draw(st.text(st.characters(codec="utf-8"))),
        box=(ymin, xmin, ymax, xmax),
        area=draw(st.floats(0, 2**20, width=32)),
        **flags,
    )


@st.composite
def _edges(draw: st.DrawFn) -> tuple[float, float, float, float]:
    return draw(_objects()).box


_EXAMPLES = st.builds(
    DetectionExample,
    not_exhaustive=st.lists(st.tuples(st.integers(1, 2**40), st.text(st.characters(codec="utf-8")))).map(tuple),
    ignored_regions=st.lists(_edges(), max_size=2).map(tuple),
    encoded=st.binary(max_size=50),
    format=st.sampled_from(["jpeg", "png"]),
    height=st.integers(1, 10000),
    width=st.integers(1, 10000),
    filename=st.text(st.characters(codec="utf-8")) | st.just(b"b\xe9.jpg".decode("utf-8", "surrogateescape")),
    source_id=st.integers(1, 2**24),
    sha256=st.binary(max_size=4).map(lambda data: hashlib.sha256(data).hexdigest()),
    objects=st.lists(_objects(), max_size=4).map(tuple),
)


def _example(**changes: Any) -> DetectionExample:
    animal = ExampleObject(
        label_id=2, label="Peniagone sp. A", box=(0.25, 0.125, 0.5, 0.75), area=14400.0, truncated=True
    )
    plain = DetectionExample(
        encoded=b"not really a JPEG",
        format="jpeg",
        height=360,
        width=640,
        filename="StaM/6701 größer.JPG",
        source_id=7,
        sha256=hashlib.sha256(b"not really a JPEG").hexdigest(),
        objects=(animal, dataclasses.replace(animal, label_id=1, label="Actiniaria", truncated=False)),
    )
    return dataclasses.replace(plain, **changes)


def _with_object(**changes: Any) -> DetectionExample:
    return _example(objects=(dataclasses.replace(_example().objects[0], **changes),))


@given(_EXAMPLES)
def test_encode_and_decode_are_inverse(example: DetectionExample) -> None:
    data = encode_example(example)
    assert decode_example(data) == example
    assert encode_example(decode_example(data)) == data


@pytest.mark.parametrize("size", [0, 1, 106, 127, 128, 16_383, 16_384, 119_000], ids=lambda size: f"{size} bytes")
def test_the_bytes_are_those_that_protobuf_would_write(size: int) -> None:
    """The image is not copied into a message: lengths of one to three bytes around it are written by hand."""
    example = _example(encoded=bytes(size), sha256="0" * 64)
    data = encode_example(example)
    assert Example.FromString(data).SerializeToString(deterministic=True) == data
    assert decode_example(data) == example


def _partial() -> DetectionExample:
    return _example(not_exhaustive=((1, "Actiniaria"), (3, "größer")), ignored_regions=((0.5, 0.25, 1.0, 0.75),))


def test_record_bytes_are_golden() -> None:
    """Any change here is a change of the format: SCHEMA_VERSION must go up with it."""
    assert keys.SCHEMA_VERSIONS == (1, 2)
    assert encode_example(_example()) == GOLDEN.read_bytes()
    assert encode_example(_partial()) == GOLDEN.with_name("partial_example.bin").read_bytes()


@pytest.mark.parametrize("field", ["not_exhaustive", "ignored_regions"])
def test_a_record_has_keys_of_what_is_not_known_only_where_there_is_something(field: str) -> None:
    known, partial = (Example.FromString(encode_example(item)).features.feature for item in (_example(), _partial()))
    assert set(known) == {key for names in keys.KINDS.values() for key in names}
    assert set(partial) - set(known) == {key for names in keys.PARTIAL_KINDS.values() for key in names}
    one = dataclasses.replace(_example(), **{field: getattr(_partial(), field)})
    assert decode_example(encode_example(one)) == one, "the other is not written"


def test_tensorflow_reads_the_record() -> None:
    tf = pytest.importorskip("tensorflow")
    lists = tf.io.VarLenFeature
    features = tf.io.parse_single_example(
        encode_example(_example()),
        {
            keys.ENCODED: tf.io.FixedLenFeature([], tf.string),
            keys.SOURCE_ID: tf.io.FixedLenFeature([], tf.string),
            keys.HEIGHT: tf.io.FixedLenFeature([], tf.int64),
            keys.XMIN: lists(tf.float32),
            keys.LABEL: lists(tf.int64),
            keys.TEXT: lists(tf.string),
        },
    )
    assert features[keys.ENCODED].numpy() == b"not really a JPEG"
    assert float(tf.strings.to_number(features[keys.SOURCE_ID])) == 7  # as TPU RetinaNet does
    assert features[keys.LABEL].values.numpy().tolist() == [2, 1]
    assert features[keys.XMIN].values.numpy().tolist() == [0.125, 0.125]
    assert features[keys.TEXT].values.numpy()[0] == b"Peniagone sp. A"
    message = tf.train.Example.FromString(encode_example(_example(objects=())))
    assert list(message.features.feature[keys.LABEL].int64_list.value) == []


def test_an_image_without_objects_keeps_its_keys() -> None:
    feature = Example.FromString(encode_example(_example(objects=()))).features.feature
    assert {keys.XMIN, keys.LABEL, keys.TEXT} <= set(feature)
    assert decode_example(encode_example(_example(objects=()))).boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        pytest.param(_example(source_id=0), "source_id_out_of_range", id="ids start at 1"),
        pytest.param(_example(source_id=2**24 + 1), "source_id_out_of_range", id="float32 would merge it with another"),
        pytest.param(_example(format="gif"), "format_not_allowed", id="TensorFlow gives GIF a fourth dimension"),
        pytest.param(_with_object(box=(0.5, 0.1, 0.5, 0.2)), "box_out_of_range", id="no height"),
        pytest.param(_with_object(box=(0.5, 0.1, 0.4, 0.2)), "box_out_of_range", id="upside down"),
        pytest.param(_with_object(box=(0.5, 0.1, 0.6, 1.01)), "box_out_of_range", id="over the border"),
        pytest.param(_with_object(box=(-0.01, 0.1, 0.6, 1)), "box_out_of_range", id="before the border"),
        pytest.param(_with_object(box=(float("nan"), 0.1, 0.6, 1)), "box_out_of_range", id="nan"),
        pytest.param(_with_object(box=(0.5, 0.1, 0.5 + 1e-9, 1)), "box_out_of_range", id="no height left in float32"),
        pytest.param(_with_object(label_id=0), "label_out_of_range", id="0 is background"),
    ],
)
def test_broken_examples_are_not_written(example: DetectionExample, reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        encode_example(example)
    assert caught.value.reason == reason


def _corrupt(key: str, kind: str | None, values: list[Any]) -> bytes:
    message = Example.FromString(encode_example(_example()))
    del message.features.feature[key]
    if kind:
        getattr(message.features.feature[key], kind).value.extend(values)
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"\xff\xff\xff", "record_not_readable", id="not a protocol buffer"),
        pytest.param(b"", "record_key_missing", id="an empty message parses"),
        pytest.param(_corrupt(keys.WIDTH, None, []), "record_key_missing", id="no width"),
        pytest.param(_corrupt(keys.WIDTH, "int64_list", [1, 2]), "record_value_count", id="two widths"),
        pytest.param(_corrupt(keys.WIDTH, "float_list", [640.0]), "record_value_type", id="width as a float"),
        pytest.param(_corrupt(keys.FORMAT, "int64_list", [1]), "record_value_type", id="format as a number"),
        pytest.param(_corrupt(keys.FORMAT, "bytes_list", [b"\xff"]), "record_text_not_readable", id="not UTF-8"),
        pytest.param(_corrupt(keys.SOURCE_ID, "bytes_list", [b"a.jpg"]), "record_text_not_readable", id="id as a name"),
        pytest.param(_corrupt(keys.LABEL, "int64_list", [1]), "record_lengths_differ", id="1 label, 2 boxes"),
        pytest.param(_corrupt(keys.LABEL, "int64_list", [1, 0]), "label_out_of_range", id="background as a label"),
        pytest.param(_corrupt(keys.TEXT, "bytes_list", [b"\xff", b"x"]), "record_text_not_readable", id="odd label"),
    ],
)
def test_broken_records_are_not_read(data: bytes, reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        decode_example(data)
    assert caught.value.reason == reason


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_a_changed_byte_gives_an_example_or_a_record_error(position: int, value: int) -> None:
    data = bytearray(encode_example(_example()))
    data[position % len(data)] = value
    try:
        example = decode_example(bytes(data))
    except RecordError:
        return
    assert np.all(example.boxes <= 1)
