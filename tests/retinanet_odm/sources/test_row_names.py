"""The names by which images and annotations meet: tables with a reason per row, and a law."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.sources.row_names import annotation_names, exact_path, fold, match_key
from tests.retinanet_odm.sources.rows import voc_file

KEYS = [
    ("gs://b/i/a.JPG", b"a", "extension and folder do not count"),
    ("i/a.jpg.xml", b"a", "nor do several extensions"),
    ("i/foo.xml.xml", b"foo", "doubled"),
    ("i/a.jpg#2", b"a", "the second of this name in an archive"),
    ("i/2024.01.07_12.30.jpg", b"2024.01.07_12.30", "numbers are no extensions"),
    ("i/frame.01", b"frame.01", "a name without extension"),
    ("i/Étoile 1.png", "Étoile 1".encode(), "accents and spaces stay"),
    (unicodedata.normalize("NFD", "i/Étoile 1.png"), "Étoile 1".encode(), "as macOS writes them"),
    ("i/\udcff.jpg", b"_", "a name that is no UTF-8: as exporters write it"),
    ("D:\\dives\\a.jpg", b"a", "a path of Windows"),
    (".jpg", b".jpg", "hidden, without extension"),
]


@pytest.mark.parametrize(("path", "key", "why"), KEYS)
def test_match_key(path, key, why):
    assert match_key(path) == key, why


paths = st.text(st.sampled_from("ab.#2/_é\u0301 ~\\"), min_size=1, max_size=12)


@given(paths, st.sampled_from([".jpg", ".PNG", ".xml", ".jpg.xml", ".jpg#2.xml"]))
def test_an_extension_does_not_change_the_key(path, extension):
    if not path.endswith(("/", "\\")):
        named = f"{path}x"  # ends in a letter: otherwise the extension may begin a hidden name
        assert match_key(named + extension) == match_key(named)


FOLDED = [
    ("x.zip/dive/a.jpg", "x/dive/a.jpg", "the folder of a zip file"),
    ("x.zip", "x.zip", "no folder"),
    ("../a/./b.jpg", "a/b.jpg", "parts that an exporter leaves out"),
    ("a\nb.jpg", "a_b.jpg", "a character that an exporter replaces"),
]


@pytest.mark.parametrize(("path", "expected", "why"), FOLDED)
def test_fold(path, expected, why):
    assert fold(path) == expected, why


AGREEING = [
    ("a.xml", "a.jpg", ("a.jpg",), "<filename> adds the extension"),
    ("1/a.xml", "C:\\x\\a.jpg", ("1/a.jpg",), "only its file name counts"),
    ("a.jpg.xml", "a.jpg", ("a.jpg",), "the image's name, extended"),
    ("a.png#2.xml", "a.png", ("a.png",), "numbered by an exporter"),
    ("a.png.xml", "a.png.jpg", ("a.png.jpg",), "an image with two extensions"),
    ("a.xml", "b.jpg", (), "it contradicts the file's own name"),
    ("a.xml", "a", (), "it says nothing more"),
    ("a.xml", "", (), "there is none"),
    ("x.v2.xml", "x.v2", (), "a name without extension that looks as if it had one"),
]


@pytest.mark.parametrize(("name", "inside", "full", "why"), AGREEING)
def test_full_names_of_files_of_one_image(name, inside, full, why):
    assert annotation_names(voc_file(name, inside), exact_path).full == full, why
