"""Hostile and unusual files: each affects its own image at most; nothing outside --output is read or changed."""

import csv
import io
import json
import os
import re
import socket
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from beam_jobs.main import main
from beam_jobs.rows import Reject, parse_rejects
from retinanet_odm.dataset.manifest import DatasetManifest
from tests.beam_jobs.conftest import HEIGHT, WIDTH, Source, read_manifest

_BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>12</ymax></bndbox>"
_GOOD = f"<object><name>Scotoplanes</name>{_BOX}</object>"
_PLACE = re.compile(rb"\{(\w+)\}")
_FISH = [("Scotoplanes", (1.0, 2.0, 9.0, 12.0))]
_SECRET = "the-content-of-a-private-file"  # noqa: S105 - not a password


def _voc(inner: str = _GOOD, doctype: str = "", attributes: str = "") -> bytes:
    return f"{doctype}<annotation {attributes}><filename>x.png</filename>{inner}</annotation>".encode()


def _laughs(levels: int) -> str:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(levels))
    return f"<!DOCTYPE annotation [{entities}]>"


def _png_header(width: int, height: int) -> bytes:
    """Returns a PNG whose header states this size, without pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


# Too long to be written out, or known only when the test runs: put in place of {name}.
_LONG = {
    "attributes": lambda: " ".join(f"a{n}=''" for n in range(1_000_000)),
    "letters": lambda: "x" * 10_000_001,
    "words": lambda: "x" * 9_000_000,
    "objects": lambda: "<object>" * 100_000,
}
# Pascal VOC files, each beside a good image of its name. None: the image becomes a record.
_XML = {
    "empty": (b"", "annotation_empty"),
    "a billion laughs": (_voc(f"<object><name>&e9;</name>{_BOX}</object>", _laughs(10)), "xml_not_well_formed"),
    "a billion laughs, endless": (_voc("&e0;", '<!DOCTYPE annotation [<!ENTITY e0 "&e0;">]>'), "xml_not_well_formed"),
    "a private file as a label": (
        _voc(f"<object><name>&s;</name>{_BOX}</object>", '<!DOCTYPE annotation [<!ENTITY s SYSTEM "{secret}">]>'),
        "xml_declares_entities",
    ),
    "a private file as a parameter": (
        _voc(doctype='<!DOCTYPE annotation [<!ENTITY % s SYSTEM "{secret}"> %s;]>'),
        "xml_declares_entities",
    ),
    "a parameter from the net": (
        _voc(doctype='<!DOCTYPE annotation [<!ENTITY % s SYSTEM "{server}"> %s;]>'),
        "xml_declares_entities",
    ),
    "a DTD from the net": (_voc(doctype='<!DOCTYPE annotation SYSTEM "{server}">'), None),
    "an XInclude from the net": (
        _voc(attributes='xmlns:xi="http://www.w3.org/2001/XInclude"', inner=f'{_GOOD}<xi:include href="{{server}}"/>'),
        None,
    ),
    "a name above": (_voc().replace(b"x.png", b"../../etc/passwd"), None),
    "a name at the root": (_voc().replace(b"x.png", b"/etc/passwd"), None),
    "a name of Windows": (_voc().replace(b"x.png", b"C:\\x\\y.jpg"), None),
    "a name on two lines": (_voc().replace(b"x.png", b"&#10;&#9;x\ny"), None),
    "a name that rings a bell": (_voc().replace(b"x.png", b"&#7;"), "xml_not_well_formed"),
    "a name of half a character": (_voc().replace(b"x.png", b"&#xD800;"), "xml_not_well_formed"),
    "a million attributes": (_voc(inner="<object {attributes}/>"), "xml_not_well_formed"),
    "ten megabytes in an attribute": (_voc(inner='<object a="{letters}"/>'), "xml_not_well_formed"),
    "nine megabytes of a number": (_voc(_GOOD.replace(">1<", ">{words}<")), "number_not_readable"),
    "deep": (_voc(inner="{objects}"), "xml_not_well_formed"),
}
# Images, each with good Pascal VOC of its name.
_IMAGES = {
    "of 0 bytes.png": (b"", "image_empty"),
    "of 500 megapixels.png": (_png_header(25_000, 20_000), "image_not_decodable"),
    "of no pixels.png": (_png_header(WIDTH, HEIGHT), "image_not_decodable"),
    "of no size.png": (_png_header(0, 0), "image_not_decodable"),
    "that is XML.png": (_voc(), "image_not_decodable"),
}
# Images and annotations that are good, but for their names.
_ODD_NAMES = ("<img src=x onerror=alert(1)>", "two\nlines", "a,b'c\"d", "=1+1", "-rf", "%2e%2e", "[a]*?", "{}")
# Names in a COCO file that no image has.
_NAMES = ("../../etc/passwd", "/etc/passwd", "C:\\x\\y.jpg", "a\nb.jpg", "\0", "..", "/", "~/x.jpg", "con.jpg:$DATA")


@dataclass(frozen=True, kw_only=True)
class _Run:
    """The files before and after the run, and its output."""

    status: int
    before: dict[str, tuple]
    after: dict[str, tuple]
    rejects: list[Reject]
    manifest: DatasetManifest
    written: dict[str, bytes]
    was_called: bool

    def images_written(self) -> set[str]:
        table = io.StringIO(self.written["id_map.csv"].decode(), newline="")
        return {row["image"] for row in csv.DictReader(table) if row["status"] == "written"}


# Matched by a pattern, but not readable as a file: a broken link, and a pipe without a writer.
_NO_FILES = ("to nowhere.jpg", "pipe.jpg")


def _listing(folder: Path) -> dict[str, tuple]:
    """Returns every entry below a folder, with its mode, size and time of modification."""
    paths = [Path(root) / name for root, folders, files in os.walk(folder) for name in (*folders, *files)]
    stats = {path: path.lstat() for path in paths}
    return {str(path): (stat.st_mode, stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def _fill(source: Source, **places: str) -> None:
    source.fill(4)
    for stem, (data, _) in _XML.items():
        source.add_image(f"{stem}.png")
        (source.annotations / f"{stem}.xml").write_bytes(
            _PLACE.sub(lambda found: places[found[1].decode()].encode(), data)
        )
    for name, (data, _) in _IMAGES.items():
        (source.images / name).write_bytes(data)
        source.add_annotation(Path(name).stem, _FISH)
    for stem in _ODD_NAMES:
        source.add_image(f"{stem}.png")
        source.add_annotation(stem, _FISH)
    (source.annotations / "names.json").write_text(_coco(_NAMES))
    (source.annotations / "half a character.json").write_text(_coco(["\ud800"]))
    (source.images / "x.jpg").mkdir()
    (source.annotations / "x.xml").mkdir()
    (source.images / "to nowhere.jpg").symlink_to(source.root / "nowhere.jpg")
    os.mkfifo(source.images / "pipe.jpg")
    for name in _NO_FILES:
        source.add_annotation(Path(name).stem, _FISH)


def _coco(names: tuple[str, ...] | list[str]) -> str:
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    return json.dumps({"images": images, "annotations": [], "categories": []})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Run]:
    """One run over all these files."""
    folder = tmp_path_factory.mktemp("hostile")
    secret = folder / "private.txt"
    secret.write_text(_SECRET)
    source, output = Source(folder / "source"), folder / "out"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x.dtd"
        _fill(source, secret=secret.as_uri(), server=address, **{name: make() for name, make in _LONG.items()})
        before = _listing(folder)
        status = main(
            ["prepare", f"--images={source.images}/*", f"--annotations={source.annotations}/*", f"--output={output}"]
        )
        yield _Run(
            status=status,
            before=before,
            after={path: seen for path, seen in _listing(folder).items() if not path.startswith(str(output))},
            rejects=parse_rejects((output / "rejected.jsonl").read_text()),
            manifest=read_manifest(output),
            written={path.name: path.read_bytes() for path in output.rglob("*") if path.is_file()},
            was_called=_was_called(server),
        )


def _was_called(server: socket.socket) -> bool:
    try:
        server.accept()
    except BlockingIOError:
        return False
    return True


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *((f"{stem}.png", reason) for stem, (_, reason) in _XML.items()),
        *((name, reason) for name, (_, reason) in _IMAGES.items()),
        *((f"{stem}.png", None) for stem in _ODD_NAMES),
        *((name, "file_not_readable") for name in _NO_FILES),
    ],
)
def test_a_hostile_file_affects_its_own_image_at_most(run: _Run, name: str, reason: str | None) -> None:
    assert [row.reason for row in run.rejects if row.name == name] == ([reason] if reason else [])
    assert (name in run.images_written()) is (reason is None)


def test_the_rest_is_a_data_set(run: _Run) -> None:
    bad = [reason for _, reason in (*_XML.values(), *_IMAGES.values()) if reason]
    images = 4 + len(_XML) + len(_IMAGES) + len(_ODD_NAMES) + len(_NO_FILES)
    rejected = len(bad) + len(_NO_FILES)
    assert run.status == 0
    assert (run.manifest.images_in, run.manifest.rejected) == (images, rejected)
    assert sum(split.examples for split in run.manifest.splits.values()) == images - rejected


def test_names_from_a_file_are_compared_but_never_opened(run: _Run) -> None:
    rows = [row for row in run.rejects if row.source.endswith("/names.json")]
    assert {row.reason for row in rows} == {"annotation_without_image"}
    assert len(rows) == len(_NAMES)


def test_nothing_outside_the_output_is_made_or_changed(run: _Run) -> None:
    assert run.after == run.before


def test_nothing_private_is_read_and_nothing_is_requested(run: _Run) -> None:
    assert not [name for name, data in run.written.items() if _SECRET.encode() in data]
    assert not run.was_called


def test_a_name_is_no_html(run: _Run) -> None:
    assert b"<img src=x" not in run.written["report.html"]


def test_messages_about_hostile_files_are_short(run: _Run) -> None:
    assert len(run.written["rejected.jsonl"]) < 1000 * len(run.rejects)
