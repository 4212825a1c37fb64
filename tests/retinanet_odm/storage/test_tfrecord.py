"""Frames of TFRecord files: those of TensorFlow and Beam."""

import io

import apache_beam as beam
import google_crc32c
import pytest
from apache_beam.io.tfrecordio import ReadFromTFRecord
from apache_beam.testing.util import assert_that, equal_to

from retinanet_odm.storage.tfrecord import FrameError, frame_record, read_frames


def test_beam_reads_our_frames(tmp_path):
    rows = [b"", b"one", bytes(range(256)) * 50]
    path = tmp_path / "rows.tfrecord"
    path.write_bytes(b"".join(map(frame_record, rows)))
    with beam.Pipeline("FnApiRunner") as pipeline:
        assert_that(pipeline | ReadFromTFRecord(str(path)), equal_to(rows))


def test_frame_is_masked_as_tensorflow_masks_it():
    # Golden: tf.io.TFRecordWriter of TensorFlow 2.21 wrote these bytes for b"one".
    assert frame_record(b"one").hex() == GOLDEN
    assert google_crc32c.implementation == "c"


GOLDEN = "0300000000000000b099490e6f6e6501405508"


def test_frames_are_read_back_with_their_offsets():
    data = frame_record(b"one") + frame_record(b"")
    assert list(read_frames(io.BytesIO(data))) == [(0, b"one"), (19, b"")]
    for corrupt in (data[:-1], data.replace(b"one", b"two")):
        with pytest.raises(FrameError, match="is truncated or corrupt"):
            list(read_frames(io.BytesIO(corrupt)))
    with pytest.raises(FrameError, match="no record begins at byte 0"):
        list(read_frames(io.BytesIO(data[1:])))
