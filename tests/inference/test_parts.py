"""Pure parts: names, zip members, rows, shards, the commit, the handler."""

import pickle
import struct
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from detection.boxes import as_boxes
from detection.errors import ContractError, DataError, UsageError
from detection.predictions import PredictionRow
from inference import archives, rows, sinks, sources
from inference.handler import DetectorHandler, load_model
from inference.rows import Outcome, Tally
from inference.sinks import Commit, ShardPart
from tests.inference.fake_model import BLUE, RED, picture, write_model


@pytest.mark.parametrize(
    ("name", "expected", "why"),
    [
        ("a.jpg", True, ""),
        ("a b/É.JPEG", True, "any case, any letters"),
        ("photo#1.webp", True, ""),
        ("../x.tif", True, "a name from an archive is only a name"),
        ("a.txt", False, "not an image's suffix"),
        ("jpg", False, "no suffix"),
        (".a.jpg", False, "hidden"),
        ("d/.thumbs/a.jpg", False, "in a hidden folder"),
        ("__MACOSX/d/a.jpg", False, "macOS's shadow of a.jpg"),
    ],
)
def test_looks_like_image(name: str, expected: bool, why: str) -> None:
    assert sources.looks_like_image(name) is expected, why


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
    assert sources.common_folder(roots) == expected


def _names(*values: Path) -> list[str]:
    return sorted(
        name for chunk in sources.plan(sources.resolve([str(value) for value in values])) for name in chunk.names
    )


def test_names_of_sources(tmp_path: Path) -> None:
    root = tmp_path / "dive [1]"  # brackets are wildcards elsewhere
    for name in ("x/a.png", "y/a.png", "y/notes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    assert _names(root) == ["x/a.png", "y/a.png"]
    assert _names(root / "x/a.png") == ["a.png"]
    assert _names(root / "x", root / "y") == ["x/a.png", "y/a.png"]
    assert _names(root, root / "x", root / "x/a.png") == ["x/a.png", "y/a.png"], "each file once"
    assert _names(tmp_path / "dive*/y/*") == ["dive [1]/y/a.png", "dive [1]/y/notes.txt"], "every matched file"
    assert sources.count_images(sources.resolve([str(root), str(root / "x")])) == 2


def test_a_zip_is_known_by_its_content(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive", "w") as target:
        target.writestr("a.png", b"x")
    assert _names(tmp_path / "archive") == ["archive/a.png"]
    assert _names(tmp_path) == [], "a folder's archives are not opened"
    (tmp_path / "no.zip").write_bytes(b"hello")
    with pytest.raises(UsageError, match=r"no\.zip is not a readable zip"):
        _names(tmp_path / "no.zip")


def _read(path: Path) -> dict[str, bytes | DataError]:
    return {
        name: data for chunk in sources.plan(sources.resolve([str(path)])) for name, data in sources.read_chunk(chunk)
    }


def test_many_members_in_chunks(tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    wanted = {f"z.zip/{number:03}.jpg": bytes([number]) * (number + 1) for number in range(100)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in wanted.items():
            target.writestr(name.removeprefix("z.zip/"), data)
    assert _read(path) == wanted
    sizes = [len(chunk.names) for chunk in sources.plan(sources.resolve([str(path)]))]
    assert sizes == [32, 32, 32, 4]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_odd_members(tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("a.jpg", b"first")
        target.writestr("a.jpg", b"second")
        target.writestr("b.jpg", b"squeezed", compress_type=zipfile.ZIP_BZIP2)
        target.writestr("empty.jpg", b"", compress_type=zipfile.ZIP_DEFLATED)
        target.writestr("crc.jpg", b"spoilt")
        target.writestr("no-flag-é.jpg", b"macOS")
    data = bytearray(path.read_bytes().replace(b"spoilt", b"SPOILT"))
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # general purpose flags: drop "the name is UTF-8"
        at = data.rfind(signature) + flags
        (bits,) = struct.unpack_from("<H", data, at)
        struct.pack_into("<H", data, at, bits & ~0x800)
    path.write_bytes(data)
    found = _read(path)
    good = {name: content for name, content in found.items() if isinstance(content, bytes)}
    assert good == {
        "z.zip/a.jpg": b"first",
        "z.zip/a.jpg#2": b"second",
        "z.zip/empty.jpg": b"",
        "z.zip/no-flag-é.jpg": b"macOS",
    }
    assert "method 12 is not supported" in str(found["z.zip/b.jpg"])
    assert "checksum" in str(found["z.zip/crc.jpg"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"encrypted": True}, "is encrypted"),
        ({"offset": 1}, "no member begins at byte 1"),
        ({"offset": 10**6}, "no member begins at byte 1000000"),
        ({"offset": -1}, "no member begins at byte -1"),  # the archive has lost its first bytes
        ({"stored_size": 10**6}, "expected 1000000 bytes in the archive"),
        ({"stored_size": 2**62}, f"expected {2**62} bytes in the archive"),  # more than any memory
        ({"size": 1}, "expected 1 bytes of checksum"),
        ({"method": zipfile.ZIP_DEFLATED}, "expected 5 bytes of checksum"),
    ],
)
def test_a_directory_that_lies(change: dict[str, object], said: str, tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("a.jpg", b"\3\0aaa")  # read as deflated: an empty block
    (member,) = archives.list_members(str(path), bool)
    fields = {name: getattr(member, name) for name in member.__dataclass_fields__} | change
    (error,) = archives.read_members(str(path), [archives.Member(**fields)])
    assert said in str(error)
    assert f"{path}/a.jpg" in str(error)


def test_an_archive_that_vanishes_fails_its_members(tmp_path: Path) -> None:
    member = archives.Member(name="a", offset=0, stored_size=0, size=0, method=0, encrypted=False, crc=zlib.crc32(b""))
    found = archives.read_members(str(tmp_path / "gone.zip"), [member, member])
    assert [error.reason for error in found if isinstance(error, DataError)] == ["file_not_readable"] * 2


def test_make_row() -> None:
    outcome = Outcome(
        status=0,
        height=10,
        width=20,
        boxes=as_boxes([(1, 2, 3, 4), (5, 6, 7, 8), (0, 0, 1, 1)]),
        scores=np.float32([0.9, 0.5, 0.49]),
        classes=np.int32([2, 7, 1]),
    )
    row = rows.make_row("a", outcome, labels={1: "crab", 2: "fish"}, threshold=0.5)
    found = [(item.label, item.label_id, item.box) for item in row.detections]
    assert found == [("fish", 2, (2, 1, 4, 3)), ("id 7", 7, (6, 5, 8, 7))], "a score equal to the threshold stays"


def test_rows_of_names_that_are_no_utf8(tmp_path: Path) -> None:
    part = sinks.write_shard(str(tmp_path), 0, 1, [PredictionRow(image="caf\udce9.jpg")])
    assert b'"caf\\udce9.jpg"' in (tmp_path / part.name).read_bytes()


def test_commit_counts(tmp_path: Path) -> None:
    tally = Tally(ok=2, failed=Counter(bad=1), detections=Counter(crab=5))
    parts = [ShardPart(name=f"predictions-0000{n}-of-00002.jsonl", sha256="", tally=tally) for n in range(2)]
    commit = Commit(output=str(tmp_path), header={"model_hash": "x"})
    with pytest.raises(RuntimeError, match="7 images were listed, but 6 rows written"):
        commit.finish(parts, listed=7)
    assert not list(tmp_path.iterdir())
    commit.finish(parts, listed=6)
    summary = sinks.read_summary(str(tmp_path))
    assert (summary["images"], summary["failed"], summary["detections"]) == (6, {"bad": 2}, {"crab": 10})


def test_two_rows_of_one_name_are_a_fault(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="two rows are named 'a'"):
        sinks.write_shard(str(tmp_path), 0, 1, [PredictionRow(image="a"), PredictionRow(image="a")])
    assert not list(tmp_path.iterdir())


def test_handler(model: Path) -> None:
    made = DetectorHandler(folder=str(model), model_hash=_hash(model), batch_size=3)
    handler = pickle.loads(pickle.dumps(made))
    batch = [
        picture(20, 10, {BLUE: (1, 2, 3, 4)}),
        b"no picture",
        picture(8, 8),
        picture(40, 50, {RED: (9, 8, 30, 20)}),
    ]
    blue, bad, grey, red = handler.run_inference(batch, handler.load_model())
    assert blue.boxes.tolist() == [[2, 1, 4, 3]]
    assert (blue.height, blue.width, blue.status) == (10, 20, 0)
    assert bad.status != 0
    assert (grey.status, len(grey.boxes)) == (0, 0)
    assert (red.boxes.tolist(), red.classes.tolist()) == ([[8, 9, 20, 30]], [1])
    assert handler.get_num_bytes(batch) == sum(map(len, batch))
    assert handler.batch_elements_kwargs() == {"min_batch_size": 3, "max_batch_size": 3}


def _hash(folder: Path) -> str:
    from inference.model_folder import check_model

    return check_model(str(folder)).model_hash


def test_another_model_than_the_run_began_with(model: Path) -> None:
    with pytest.raises(ContractError, match="but the run began with"):
        load_model(str(model), model_hash="f" * 64)


def test_a_model_without_our_signature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detection.signatures.IMAGE_BYTES", "inputs")
    manifest = write_model(tmp_path / "export")
    monkeypatch.undo()
    with pytest.raises(ContractError, match="'serving_default' lacks image_bytes"):
        load_model(str(tmp_path / "export"), model_hash=manifest.model_hash)
