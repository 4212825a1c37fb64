"""Writing to gs:// by one upload of a complete file that replaces the old one; reading in parts."""

import random
from collections import Counter

import pytest

from retinanet_odm.errors import UsageError
from retinanet_odm.storage import files


def test_an_object_is_written_by_one_upload_in_the_place_of_the_one_that_was_there(cloud):
    files.write_text("gs://bucket/o/report.html", "one")
    old = cloud.generation("o/report.html")
    files.write_text("gs://bucket/o/report.html", "two")
    assert cloud.uploads == [("o/report.html", "0"), ("o/report.html", old)], "the emulator itself enforces nothing"
    assert cloud.read_all("o/") == {"report.html": b"two"}
    assert cloud.storage.objects["bucket"]["o/report.html"]["contentType"] == "text/html", "a browser shows it"
    assert Counter(method for method, _ in cloud.requests) == {"GET": 2, "POST": 2}


@pytest.mark.parametrize("size", [0, 1, 100_000, 9 * 2**20, 33 * 2**20])
def test_what_is_written_is_read_by_pieces_anywhere(cloud, size):
    """Above 8 MB an upload takes several requests, of which the last makes the object."""
    data = random.Random(size).randbytes(size)
    files.write_pieces("gs://bucket/o/a", (data[start : start + 70_000] for start in range(0, size, 70_000)))
    assert cloud.read_all("o/") == {"a": data}
    with files.open_binary("gs://bucket/o/a") as file:
        cloud.requests.clear()
        assert file.read() == data
        assert len(cloud.requests) == min(size, 1), "one for the complete object"
        for start, count in [(size // 2, 30), (0, 5), (max(size - 22, 0), 100), (size + 5, 1), (size // 3, size)]:
            assert (file.seek(start), file.read(count)) == (start, data[start : start + count])
        with pytest.raises(ValueError, match="a place in the file"):
            file.seek(-1)


def test_a_failure_while_a_file_is_made_writes_nothing_and_leaves_the_old_one(cloud):
    cloud.put("o/a", b"old")
    with pytest.raises(KeyError), files.write_atomic("gs://bucket/o/a") as file:
        file.write(b"half" * 2**22)
        raise KeyError
    assert (cloud.read_all("o/"), cloud.uploads) == ({"a": b"old"}, [])


def test_two_programs_do_not_overwrite_each_other(cloud):
    with (
        pytest.raises(UsageError, match=r"cannot write .*/o/a: another program wrote it meanwhile$"),
        files.write_atomic("gs://bucket/o/a") as file,
    ):
        file.write(b"ours")
        cloud.put("o/a", b"theirs")
    assert cloud.read_all("o/") == {"a": b"theirs"}


def test_two_workers_that_write_the_same_are_both_done(cloud):
    with files.write_atomic("gs://bucket/o/a") as file:
        file.write(b"the same")
        cloud.put("o/a", b"the same")


@pytest.mark.usefixtures("impatient")
def test_an_upload_whose_response_is_lost_is_recognised(cloud):
    cloud.lost_answers = 1
    files.write_text("gs://bucket/o/a", "ours")
    assert cloud.uploads == [("o/a", "0"), ("o/a", "0")]
    assert cloud.read_all("o/") == {"a": b"ours"}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("size", [4, 9 * 2**20])
def test_an_upload_is_retried_for_a_limited_time(cloud, size):
    cloud.write_statuses.extend([503, 429])
    files.write_pieces("gs://bucket/o/a", [bytes(size)])
    assert len(cloud.read_all("o/")["a"]) == size
    cloud.write_statuses.extend([503] * 99)
    with pytest.raises(UsageError, match=r"cannot write gs://bucket/o/b: Timeout of .*503"):
        files.write_pieces("gs://bucket/o/b", [bytes(size)])
    assert cloud.read_all("o/").keys() == {"a"}


def test_a_file_that_is_read_in_parts_stays_of_one_generation(cloud):
    listed = cloud.put("a", b"x" * 3_000_000)
    with (
        pytest.raises(files.FileError, match="has changed since") as caught,
        files.open_binary("gs://bucket/a") as file,
    ):
        assert file.read(1) == b"x"
        cloud.put("a", b"y" * 3_000_000)
        file.seek(2_500_000)
        file.read(1)
    assert caught.value.reason == "file_changed"
    with (
        pytest.raises(files.FileError, match=f"expected generation {listed}") as caught,
        files.open_binary("gs://bucket/a", version=listed),
    ):
        pytest.fail("it was opened")
    assert caught.value.reason == "file_changed"
