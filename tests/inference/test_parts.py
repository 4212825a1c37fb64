"""Pure parts: names, chunks, rows, shards, the commit, the handler."""

import io
import pickle
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from inference.image_sources import chunks, listing
from inference.model.handler import DetectorHandler
from inference.model.loading import load_model
from inference.model.options import ModelOptions
from inference.model.outcome import ModelOutput
from inference.model.thresholds import ScoreThresholds
from inference.rows import output_folder, rows
from inference.rows.export_options import ExportOptions
from inference.rows.output_folder import Commit, WrittenShard
from inference.rows.rows import RowCounts
from retinanet_odm.boxes import as_boxes
from retinanet_odm.errors import ContractError, DataError, UsageError
from retinanet_odm.predictions.rows import PredictionRow
from tests.inference.fake_model import BLUE, RED, encoded, picture, write_model
from tests.inference.outputs import HEADER, write_shards


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
    assert listing.common_folder(roots) == expected


def _names(*values: Path) -> list[str]:
    return sorted(
        name for chunk in listing.list_chunks(listing.resolve([str(value) for value in values])) for name in chunk.names
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


def test_a_zip_is_known_by_its_content(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive", "w") as target:
        target.writestr("a.png", b"x")
    assert _names(tmp_path / "archive") == ["archive/a.png"]
    with pytest.raises(UsageError, match=f"found none in {tmp_path}$"):
        _names(tmp_path)  # a folder's archives are not opened
    (tmp_path / "archive").rename(tmp_path / "an.ZIP")
    with pytest.raises(
        UsageError, match=f"found none in {tmp_path}, but archives: name them, such as {tmp_path}/an.ZIP"
    ):
        _names(tmp_path)
    (tmp_path / "no.zip").write_bytes(b"hello")
    with pytest.raises(UsageError, match=r"no\.zip is not a readable zip"):
        _names(tmp_path / "no.zip")


def _read(path: Path) -> dict[str, bytes | DataError]:
    return {
        name: data
        for chunk in listing.list_chunks(listing.resolve([str(path)]))
        for name, data in chunks.read_chunk(chunk)
    }


def test_many_members_in_chunks(tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    wanted = {f"z.zip/{number:03}.jpg": bytes([number]) * (number + 1) for number in range(100)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in wanted.items():
            target.writestr(name.removeprefix("z.zip/"), data)
    assert _read(path) == wanted
    sizes = [len(chunk.names) for chunk in listing.list_chunks(listing.resolve([str(path)]))]
    assert sizes == [32, 32, 32, 4]


@pytest.mark.parametrize(("name", "sizes"), [("t.tar", [32, 32, 32, 4]), ("t.tgz", [100])])
def test_tar_members_in_chunks(name: str, sizes: list[int], tmp_path: Path) -> None:
    """A packed archive has no places to begin at: one machine reads it as a whole."""
    path = tmp_path / name
    wanted = {f"{name}/{number:03}.jpg": bytes([number]) * (number + 1) for number in range(100)}
    with tarfile.open(path, "w:gz" if name.endswith("gz") else "w") as target:
        for image, data in {**wanted, f"{name}/.hidden.jpg": b"x", f"{name}/notes.txt": b"x"}.items():
            info = tarfile.TarInfo(f"./{image.removeprefix(f'{name}/')}")
            info.size = len(data)
            target.addfile(info, io.BytesIO(data))
    assert _read(path) == wanted
    assert [len(chunk.names) for chunk in listing.list_chunks(listing.resolve([str(path)]))] == sizes
    assert _read(tmp_path / "t.*") == wanted


def test_make_row() -> None:
    outcome = ModelOutput(
        status=0,
        height=10,
        width=20,
        boxes=as_boxes([(1, 2, 3, 4), (5, 6, 7, 8), (0, 0, 1, 1)]),
        scores=np.float32([0.9, 0.5, 0.49]),
        classes=np.int32([2, 7, 1]),
    )
    row = rows.make_row("a", outcome, labels={1: "crab", 2: "fish"}, thresholds=ScoreThresholds(score=0.5))
    found = [(item.label, item.label_id, item.box) for item in row.detections]
    assert found == [("fish", 2, (2, 1, 4, 3)), ("id 7", 7, (6, 5, 8, 7))], "a score equal to the threshold stays"


def test_rows_of_names_that_are_no_utf8(tmp_path: Path) -> None:
    (part,) = write_shards(tmp_path, [PredictionRow(image="caf\udce9.jpg")])
    assert b'"caf\\udce9.jpg"' in (tmp_path / part.name).read_bytes()


def test_commit_counts(tmp_path: Path) -> None:
    tally = RowCounts(ok=2, failed=Counter(bad=1), detections=Counter(crab=5))
    parts = [WrittenShard(name=f"predictions-0000{n}-of-00002.jsonl", sha256="", tally=tally) for n in range(2)]
    commit = Commit(output=str(tmp_path), header=HEADER, exports=ExportOptions())
    with pytest.raises(RuntimeError, match="7 images were listed, but 6 rows written"):
        commit.finish(parts, listed=7)
    assert not list(tmp_path.iterdir())
    commit.finish(parts, listed=6)
    summary = output_folder.read_summary(str(tmp_path))
    assert (summary["images"], summary["failed"], summary["detections"]) == (6, {"bad": 2}, {"crab": 10})
    assert summary["exports"] == []


def test_two_rows_of_one_name_are_a_fault(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="two rows are named 'a'"):
        write_shards(tmp_path, [PredictionRow(image="a")] * 2)
    with pytest.raises(RuntimeError, match="two rows are named 'a'"):
        write_shards(tmp_path, [PredictionRow(image="a", width=width) for width in (2, 1)])
    assert not list(tmp_path.glob("predictions-*"))


def test_handler(model: Path) -> None:
    made = DetectorHandler(folder=str(model), model_hash=_hash(model), options=ModelOptions(batch_size=3), nms_iou=0.5)
    handler = pickle.loads(pickle.dumps(made))
    pictures = [
        picture(20, 10, {BLUE: (1, 2, 3, 4)}),
        b"no picture",
        picture(8, 8),
        picture(40, 50, {RED: (9, 8, 30, 20)}),
    ]
    batch = [encoded(data) for data in pictures]
    blue, bad, grey, red = handler.run_inference(batch, handler.load_model())
    assert blue.boxes.tolist() == [[2, 1, 4, 3]]
    assert (blue.height, blue.width, blue.status) == (10, 20, 0)
    assert (bad.reason, bad.why[:24]) == ("image_not_decodable", "not a readable image: ca")
    assert (grey.status, len(grey.boxes)) == (0, 0)
    assert (red.boxes.tolist(), red.classes.tolist()) == ([[8, 9, 20, 30]], [1])
    assert handler.get_num_bytes(batch) == sum(map(len, pictures))


def _hash(folder: Path) -> str:
    from inference.model.loading import check_model

    return check_model(str(folder)).model_hash


def test_another_model_than_the_run_began_with(model: Path) -> None:
    with pytest.raises(ContractError, match="but the run began with"):
        load_model(str(model), model_hash="f" * 64)


def test_a_model_without_pixels_has_no_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinanet_odm.exported_model.IMAGE_TENSOR", "other")
    manifest = write_model(tmp_path / "export")
    monkeypatch.undo()
    load_model(str(tmp_path / "export"), model_hash=manifest.model_hash)
    with pytest.raises(ContractError, match="has no signature 'image_tensor', which --tile needs"):
        load_model(str(tmp_path / "export"), model_hash=manifest.model_hash, with_pixels=True)


def test_a_model_without_our_signature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinanet_odm.exported_model.IMAGE_BYTES", "inputs")
    manifest = write_model(tmp_path / "export")
    monkeypatch.undo()
    with pytest.raises(ContractError, match="'serving_default' lacks image_bytes"):
        load_model(str(tmp_path / "export"), model_hash=manifest.model_hash)
