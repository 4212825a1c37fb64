"""--estimate: files are counted and measured without reading them."""

import pytest

from retinanet_odm.cli.estimate import FileTotals, measure_files
from retinanet_odm.errors import UsageError
from retinanet_odm.storage.file_names import escape_glob


def test_a_bucket_and_a_local_folder_are_measured_alike(cloud, tmp_path):
    for name, data in {"a.jpg": b"123", "b.jpg": b"12345", "sub/c.jpg": b"1"}.items():
        cloud.put(f"i/{name}", data)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    cloud.put("i/")
    cloud.page_size = 1
    for pattern, listed in [
        ("*", FileTotals(count=2, size=8)),
        ("**", FileTotals(count=3, size=9)),
        ("a*", FileTotals(count=1, size=3)),
    ]:
        assert measure_files([f"gs://bucket/i/{pattern}"]) == listed == measure_files([f"{tmp_path}/{pattern}"])
    assert measure_files([f"{tmp_path}/*", f"{escape_glob(str(tmp_path))}/a.jpg"]).count == 2, (
        "matched twice, counted once"
    )


def test_a_bucket_that_cannot_be_listed_is_one_line(cloud):
    cloud.statuses["i/"] = [403]
    with pytest.raises(UsageError, match=r"^cannot list gs://bucket/i/\*: no permission to read it"):
        measure_files(["gs://bucket/i/*"])
