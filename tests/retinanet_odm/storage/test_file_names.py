"""Patterns of paths, held against Beam's; folders and extensions."""

import re
import warnings

import pytest
from apache_beam.io.filesystem import FileSystem
from hypothesis import example, given
from hypothesis import strategies as st

from retinanet_odm.storage.file_names import common_folder, escape_glob, to_regex, without_extension

_PIECES = ["*", "**", "?", "[", "]", "!", "^", "-", "a", "b", "z", "/", ".", "\\", "&&", "\n", "é"]


@given(
    pattern=st.lists(st.sampled_from(_PIECES), max_size=8).map("".join),
    path=st.lists(st.sampled_from([piece for piece in _PIECES if piece != "\\"]), max_size=5).map("".join),
)
@example(pattern="[!]", path="[!]")
@example(pattern="[]a]", path="]")
@example(pattern="[!]a]", path="b")
@example(pattern="[^a]", path="^")
@example(pattern="[a-z]?", path="b\n")
def test_as_beam_understands_them(pattern: str, path: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of "[[" and "&&" in a set
        try:
            by_beam = bool(re.match(FileSystem.translate_pattern(pattern), path))
        except re.error:
            with pytest.raises(re.error):
                to_regex(pattern)
            return
    assert bool(to_regex(pattern).match(path)) == by_beam


def test_a_backslash_is_a_letter() -> None:
    assert to_regex("*").match("a\\b")


@given(st.text("ab*?[]!^-/."))
def test_escape(path: str) -> None:
    assert to_regex(escape_glob(path)).match(path)
    assert not to_regex(escape_glob(path)).match(path + "a")


@pytest.mark.parametrize(
    ("roots", "expected"),
    [
        (["/d/a"], "/d/a"),
        (["/d:"], "/d:"),
        (["/d/a", "/d/ab"], "/d"),
        (["/d/a", "/d/a/b"], "/d/a"),
        (["gs://x/a", "gs://x/b"], "gs://x"),
        (["gs://x/a", "gs://y/a"], ""),
        (["gs://x/a", "/d"], ""),
    ],
)
def test_common_folder(roots: list[str], expected: str) -> None:
    assert common_folder(roots) == expected


EXTENSIONS = [
    ("a.jpg", "a", "an extension"),
    ("a.jpg#2", "a", "of the second member of this name"),
    ("d.v/a.b.JPG", "d.v/a.b", "only the last one"),
    ("frame.01", "frame.01", "a number is none"),
    (".jpg", ".jpg", "hidden"),
    ("d/.jpg", "d/.jpg", "hidden, in a folder"),
    ("a. b", "a. b", "a sentence is none"),
]


@pytest.mark.parametrize(("path", "expected", "why"), EXTENSIONS)
def test_without_extension(path: str, expected: str, why: str) -> None:
    assert without_extension(path) == expected, why
