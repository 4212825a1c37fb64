"""Files of one image, paired by the <filename> in them; tests/beam_jobs/test_join.py has the whole way."""

import pytest

from retinanet_odm.sources.inner_names import has_unique_name, inside_key, pair_by_filename
from tests.retinanet_odm.sources.rows import broken_file, image_file, listed_annotation, voc_file

KEYS = [
    (voc_file("a.xml", "b.jpg"), b"b", "another name inside"),
    (voc_file("a.xml", "x/b.jpg"), b"b", "in a folder"),
    (voc_file("a.xml", "a.jpg"), None, "the same name"),
    (voc_file("a.xml"), None, "no name"),
    (broken_file("a.xml"), None, "cannot be read"),
    (listed_annotation("a.jpg"), None, "a file that lists images"),
]


@pytest.mark.parametrize(("file", "key", "why"), KEYS)
def test_inside_key(file, key, why):
    assert inside_key(file) == key, why


def test_file_names_are_unique_whatever_their_form():
    images = [image_file(name) for name in ("1/é.jpg", "2/e\u0301.jpg", "1/é.png")]
    assert has_unique_name(images) == [False, False, True]


def test_one_file_pairs_with_one_image():
    images = [image_file("d/é.jpg"), image_file("c.jpg"), image_file("e.jpg")]
    files = [voc_file("1.xml", "c.jpg"), voc_file("2.xml", "e\u0301.jpg"), voc_file("3.xml", "c.jpg")]
    assert pair_by_filename(images, files) == {0: 1}
