"""Encoding of exported files: text for every format, JSON entry by entry, a file object that is emptied as it fills."""

import io
import json
import zipfile
from collections.abc import Callable

import pytest
from lxml import etree

from retinanet_odm.predictions.formats.encoding import Spool, json_list, json_object, legible, xml_text
from retinanet_odm.predictions.rows import utf8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Étoile 🦀\n", "Étoile 🦀\n", id="any UTF-8, as it is"),
        pytest.param("caf\udce9", r"caf\udce9", id="a byte that is no UTF-8"),
    ],
)
def test_legible(text: str, expected: str) -> None:
    assert legible(text) == expected == utf8(text).decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a\tb\r\n é 🦀", "a\tb\r\n é 🦀", id="all that XML holds, as it is"),
        pytest.param("a\x00\x1fb", r"a\x00\x1fb", id="control characters"),
        pytest.param("\udce9\uffff", r"\udce9\uffff", id="a lone surrogate, a character that is none"),
    ],
)
def test_xml_text(text: str, expected: str) -> None:
    assert xml_text(text) == expected
    element = etree.Element("x", name=xml_text(text))
    assert etree.fromstring(etree.tostring(element)).get("name") == expected


@pytest.mark.parametrize("entries", [[], [{"a": 1}], [{"a": 1}, {"b": "é\n\udce9"}]])
def test_json(entries: list[dict[str, object]]) -> None:
    text = b"".join(json_list(entries)).decode()
    assert json.loads(text) == entries
    assert len(text.splitlines()) == (len(entries) + 2 if entries else 1)
    assert json.loads(b"".join(json_object({"x": {}}, "entries", entries))) == {"x": {}, "entries": entries}


def _write_zip(file: Spool | io.BytesIO) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", b"x" * 1000, zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize(
    "write", [_write_zip, lambda file: (file.write(b"abc"), file.write(memoryview(b"de")))], ids=["zip", "plain"]
)
def test_what_goes_into_a_spool_comes_out_once(write: Callable[[Spool], None]) -> None:
    spool = Spool()
    write(spool)
    position = spool.tell()
    taken = spool.take()
    assert len(taken) == position > 0
    assert spool.take() == b""


def test_a_zip_file_through_a_spool_can_be_read() -> None:
    spool = Spool()
    _write_zip(spool)
    with zipfile.ZipFile(io.BytesIO(spool.take())) as archive:
        assert archive.read("a.txt") == b"x" * 1000
