"""What flags match and pass over; tests/beam_jobs/test_prepare_patterns.py has the tables of whole requests."""

import pytest

from retinanet_odm.errors import UsageError
from retinanet_odm.sources.inputs import check_input, count_passed_over, find_files
from retinanet_odm.sources.listing import ANNOTATION_CONTENT, IMAGE_CONTENT
from tests.retinanet_odm.sources.rows import write_zip

REFUSED = [
    ("x.7z", "--images: {}: a 7z archive cannot be read: unpack it, or make a zip file of it", "a 7z archive"),
    ("*.rar", "--images: {}: a RAR archive cannot be read", "RAR archives"),
    ("a.tar.BZ2", "--images: {}: a file compressed by bzip2 cannot be read: unpack it", "a tar file of this kind"),
    ("a.xml.xz", "--images: {}: a file compressed by xz cannot be read", "one file"),
    ("", "--images: {} is a folder; expected a pattern of files", "a folder"),
    ("*.jpg", "--images: expected at least one file, found none that matches {}", "nothing"),
    ("https://example.org/a.jpg", "https://example.org/a.jpg: expected a local path or gs://", "the web"),
]


@pytest.mark.parametrize(("pattern", "message", "why"), REFUSED)
def test_patterns_that_are_refused(tmp_path, pattern, message, why):
    (tmp_path / "x.7z").write_bytes(b"7z")
    value = pattern if "://" in pattern else str(tmp_path / pattern).rstrip("/")
    with pytest.raises(UsageError) as caught:
        check_input([value], flag="--images")
    assert message.format(value) in str(caught.value), why


def test_what_one_flag_reads_is_not_passed_over_by_another(tmp_path):
    for name in ("a.jpg", "a.xml", "a.dng"):
        (tmp_path / name).write_bytes(b"x")
    write_zip(tmp_path / "z.zip", "b.jpg", "b.xml", "labelmap.txt", "SegmentationClass/b.png")
    images = find_files([f"{tmp_path}/*"], "--images", IMAGE_CONTENT)
    annotations = find_files([f"{tmp_path}/*"], "--annotations", ANNOTATION_CONTENT)
    assert count_passed_over([images, annotations], "out") == {".dng": 1, ".txt": 1}
    assert count_passed_over([images], "out") == {".dng": 1, ".txt": 1, ".xml": 2}
