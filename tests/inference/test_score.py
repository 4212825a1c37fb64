"""The scoring job from end to end: few runs, each over a folder or archive made to hold everything at once."""

import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from inference.main import main
from tests.inference.fake_model import (
    BLUE,
    FAILING_WIDTH,
    RED,
    REFUSED_WIDTH,
    make_image,
    read_rows,
    write_manifest,
    write_reference,
)
from tests.inference.image_sources.test_tfrecords import write_dataset

CRAB = {"label": "crab", "label_id": 1, "score": 0.9}
SEA_PIG = {"label": "sea pig", "label_id": 2, "score": 0.4}


def sideways() -> bytes:
    """30 x 20 pixels as stored, 20 x 30 upright (EXIF 6: turn clockwise); red at the top left as stored."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = "2016:11:10 14:24:12"
    return make_image(32, 16, {RED: (0, 0, 8, 8)}, "JPEG", exif=exif, quality=100, subsampling=0)


IMAGES = {
    "a.png": make_image(40, 30, {RED: (5, 6, 20, 16)}),
    "b corrupt.jpg": make_image(64, 64, kind="JPEG")[:200],
    "c.PNG": make_image(100, 20, {BLUE: (50, 2, 70, 18), RED: (0, 0, 10, 10)}),
    "d/é ü.png": make_image(10, 50),
    "d/e/sideways.jpg": sideways(),
    "d/e/empty.jpg": b"",
    "failing.png": make_image(FAILING_WIDTH, 20),
    "refused.png": make_image(REFUSED_WIDTH, 20),
    "tiff.tif": make_image(33, 22, {RED: (1, 2, 3, 4)}, "TIFF"),
}
NOT_IMAGES = {".hidden.jpg": b"x", "__MACOSX/._a.png": b"x", "notes.txt": b"x", "d/.thumbs/a.jpg": b"x"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for name, data in {**IMAGES, **NOT_IMAGES}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archives") / "Dive 1.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.mkdir("d")
        for number, (name, data) in enumerate({**IMAGES, **NOT_IMAGES}.items()):
            method = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
            target.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    return path


def score(model: Path, output: Path, *images: object, flags: tuple[str, ...] = ()) -> dict[str, dict]:
    words = ["score", "--images", *map(str, images), "--model", str(model), "--output", str(output), *flags]
    assert main(words) == 0
    return read_rows(output)


def check_rows(rows: dict[str, dict], prefix: str = "") -> None:
    """Exactly one row for each of IMAGES, each with what is on it."""
    assert set(rows) == {prefix + name for name in IMAGES}
    found = {name.removeprefix(prefix): row for name, row in rows.items()}
    assert found["a.png"] == {
        "image": prefix + "a.png",
        "width": 40,
        "height": 30,
        "status": "ok",
        "detections": [{**CRAB, "box": [5, 6, 20, 16]}],
    }
    assert found["c.PNG"]["detections"] == [{**CRAB, "box": [0, 0, 10, 10]}, {**SEA_PIG, "box": [50, 2, 70, 18]}]
    assert (found["d/é ü.png"]["status"], found["d/é ü.png"]["detections"]) == ("ok", [])
    assert (found["tiff.tif"]["width"], found["tiff.tif"]["detections"]) == (33, [{**CRAB, "box": [1, 2, 3, 4]}])
    upright = found["d/e/sideways.jpg"]
    assert (upright["width"], upright["height"], upright["time"]) == (16, 32, "2016-11-10 14:24:12")
    assert [name for name, row in found.items() if "orientation" in row] == ["d/e/sideways.jpg"]
    assert upright["orientation"] == 6
    # Turned clockwise, what was at the top left is at the top right.
    assert upright["detections"] == [{**CRAB, "box": [8, 0, 16, 8]}]
    reasons = {name: row["reason"] for name, row in found.items() if row["status"] == "failed"}
    assert reasons == {
        "b corrupt.jpg": "image_not_decodable",
        "d/e/empty.jpg": "image_empty",
        "refused.png": "model_refused_image",
        "failing.png": "model_failed",
    }
    assert "an error of the model" in found["failing.png"]["detail"]
    assert all(name in found[name]["detail"] and not found[name]["detections"] for name in reasons)


def test_folder_and_summary(folder: Path, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = score(model, tmp_path / "out", folder, flags=("--batch_size=4",))
    check_rows(rows)
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert (summary["images"], summary["ok"]) == (9, 5)
    assert summary["passed_over"] == {".txt": 1}
    assert "passed over, because they are no images or cannot be read: 1 .txt" in caplog.text
    assert summary["failed"] == {
        "image_not_decodable": 1,
        "image_empty": 1,
        "model_refused_image": 1,
        "model_failed": 1,
    }
    assert summary["detections"] == {"crab": 4, "sea pig": 1}
    assert summary["labels"] == {"1": "crab", "2": "sea pig"}
    assert summary["thresholds"] == {
        "score": 0.3,
        "nms_iou": 0.5,
        "best": {},
        "classes": {"crab": 0.5, "sea pig": 0.5},
        "from": "default",
    }
    known = {"image_size": [64, 64], "code_version": "0.0.0", "dataset": {"fingerprint": "0" * 64}}
    assert summary["model"] == known, "what model.json holds"
    assert summary["counted"] == {"crab": 4}
    assert "the model has no thresholds per class: detections count from a score of 0.5" in caplog.text
    assert summary["options"]["model_options"]["batch_size"] == 4
    assert summary["tiling"] is None
    (shard,) = summary["shards"]
    data = (tmp_path / "out" / shard["name"]).read_bytes()
    assert (shard["images"], shard["sha256"]) == (9, hashlib.sha256(data).hexdigest())
    for message in (
        "images: 9",
        "failed: 4",
        "detections: crab 4",
        "from a score of 0.5 for every class (default)",
        "images/s",
        str(tmp_path / "out"),
    ):
        assert message in caplog.text


def test_thresholds_of_classes(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The blue one, whose score is 0.4, is below its class's own threshold; the red one is above.

    With both, the image is unlike the grey images of the training.
    """
    own = Path(shutil.copytree(model, tmp_path / "export"))
    write_reference(own)
    write_manifest(own, thresholds={"crab": 0.8, "sea pig": 0.5})
    image = tmp_path / "a.png"
    image.write_bytes(make_image(64, 64, {RED: (5, 6, 20, 16), BLUE: (40, 40, 50, 50)}))
    (row,) = score(own, tmp_path / "out", image, flags=("--formats=coco,counts,report",)).values()
    assert [item["label"] for item in row["detections"]] == ["crab", "sea pig"], "rows keep everything"
    assert 1.3 < row["novelty"] < 1.6
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["thresholds"] == {
        "score": 0.3,
        "nms_iou": 0.5,
        "best": {"crab": 0.8, "sea pig": 0.5},
        "classes": {"crab": 0.8, "sea pig": 0.5},
        "from": "model.json",
    }
    assert (summary["detections"], summary["counted"]) == ({"crab": 1, "sea pig": 1}, {"crab": 1})
    for line in ("detections: crab 1", "counted from a score of crab 0.8, sea pig 0.5 (model.json)"):
        assert line in caplog.messages
    assert f"report: {tmp_path}/out/report.html" in caplog.messages
    assert f"to label next: {tmp_path}/out/to_label.csv" in caplog.messages
    assert summary["novelty"] == {"images": 1, "unlike_training": 1, "mean_novelty": row["novelty"], "deployments": {}}
    unlike = "warning: 1 of 1 images is unlike the training images: counts there are not trustworthy"
    assert caplog.messages[-1] == unlike
    assert (tmp_path / "out/counts.csv").read_text().splitlines()[1].endswith(f",0.8,{row['novelty']},1")
    assert unlike.removeprefix("warning: ") in (tmp_path / "out/report.html").read_text()
    images = json.loads((tmp_path / "out/coco_images.json").read_text())
    assert images["info"]["thresholds"] == {"crab": 0.8, "sea pig": 0.5}
    assert images["info"]["min_scores"] == {"crab": 0.3, "sea pig": 0.3}
    assert main(["detect", str(image), "--model", str(own)]) == 0
    printed = capsys.readouterr().out
    assert "crab" in printed
    assert "sea pig" not in printed
    assert "shown from a score of crab 0.8, sea pig 0.5 (model.json)" in caplog.messages
    assert caplog.messages[-1] == unlike


def test_tiles(model: Path, tmp_path: Path) -> None:
    """The crab lies over seams in both directions; the row is as without tiles."""
    (tmp_path / "images").mkdir()
    for name, kind in (("a.png", "PNG"), ("b.bmp", "BMP")):
        data = make_image(300, 200, {RED: (90, 80, 210, 120), BLUE: (0, 190, 9, 200)}, kind)
        (tmp_path / "images" / name).write_bytes(data)
    plain = score(model, tmp_path / "plain", tmp_path / "images")
    for flags in (("--tile=100",), ("--tile=64", "--tile_overlap=0.5", "--tile_merge=wbf", "--batch_megabytes=1")):
        assert score(model, tmp_path / "tiled", tmp_path / "images", flags=(*flags, "--replace")) == plain
    summary = json.loads((tmp_path / "tiled/summary.json").read_text())
    assert summary["tiling"] == {"side": 64, "overlap": 0.5, "merge": "wbf"}
    assert [len(row["detections"]) for row in plain.values()] == [2, 2]


def test_zip_to_the_same_bytes_by_processes(archive: Path, model: Path, tmp_path: Path) -> None:
    rows = score(model, tmp_path / "a", archive, flags=("--num_shards=3",))
    check_rows(rows, "Dive 1.zip/")
    by_processes = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
    assert score(model, tmp_path / "b", archive, flags=("--num_shards=3", *by_processes)) == rows
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "ab")
    shards = {f"predictions-0000{n}-of-00003.jsonl" for n in range(3)}
    assert first.keys() == second.keys() == shards | {"summary.json"}
    assert {name: second[name] for name in shards} == {name: first[name] for name in shards}


def test_tar_plain_and_compressed(model: Path, tmp_path: Path) -> None:
    for name, mode in (("a.tar", "w"), ("b.tgz", "w:gz")):
        with tarfile.open(tmp_path / name, mode) as target:
            for image, data in {**IMAGES, **NOT_IMAGES}.items():
                info = tarfile.TarInfo(f"./{image}")
                info.size = len(data)
                target.addfile(info, io.BytesIO(data))
    rows = score(model, tmp_path / "out", tmp_path / "a.tar", tmp_path / "b.tgz")
    for prefix in ("a.tar/", "b.tgz/"):
        check_rows({name: row for name, row in rows.items() if name.startswith(prefix)}, prefix)
    assert len(rows) == 2 * len(IMAGES)


def test_two_sources_and_fewer_shards_than_before(folder: Path, archive: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    # Files of an earlier run and of one that was killed.
    (out / "predictions-00006-of-00007.jsonl").write_text("{}\n")
    (out / "predictions-00000-of-00002.jsonl.tmp-0123abcd").write_text("{")
    rows = score(model, out, f"{folder}/*.png", archive, folder / "a.png", flags=("--num_shards=2",))
    assert sorted(path.name for path in out.iterdir()) == [
        "predictions-00000-of-00002.jsonl",
        "predictions-00001-of-00002.jsonl",
        "summary.json",
    ]
    # Two files are named a.png: names begin at the folder above both sources; the glob does not match c.PNG.
    loose = {f"{folder.name}/{name}" for name in ("a.png", "failing.png", "refused.png")}
    zipped = {f"{archive.parent.name}/Dive 1.zip/{name}" for name in IMAGES}
    assert set(rows) == loose | zipped
    labels = {item["label"] for row in rows.values() for item in row["detections"]}
    assert labels == {"crab", "sea pig"}


def _damaged_images() -> dict[str, bytes]:
    """Images with a red rectangle at their bottom, that decoders read in part or wrongly without an error."""
    noise = Image.effect_noise((320, 240), 60).convert("RGB")
    noise.paste(RED, (200, 180, 300, 230))
    files = {}
    for kind in ("JPEG", "PNG"):
        buffer = io.BytesIO()
        noise.save(buffer, kind)
        files[kind] = buffer.getvalue()
    jpeg, png = files["JPEG"], files["PNG"]
    half = len(jpeg) // 2
    return {
        "half.jpg": jpeg[:half] + b"\xff\xd9",
        "lost.jpg": jpeg[:half] + jpeg[half + 1024 :],
        "zeroed.jpg": jpeg[:half] + bytes(1024) + jpeg[half + 1024 :],
        "cut.png": png[:-12],
        "changed.png": png[:-40] + bytes([png[-40] ^ 1]) + png[-39:],
        "intact.jpg": jpeg,
        "intact.png": png,
    }


def test_damaged_images_fail_from_every_source(model: Path, tmp_path: Path) -> None:
    """Never `ok` with fewer objects."""
    images = _damaged_images()
    (tmp_path / "folder").mkdir()
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for name, data in images.items():
            (tmp_path / "folder" / name).write_bytes(data)
            archive.writestr(name, data)
    dataset = write_dataset(tmp_path / "dataset", {"train-0.tfrecord": tuple(images)}, images)
    rows = score(model, tmp_path / "out", tmp_path / "folder", tmp_path / "archive.zip", dataset)
    assert len(rows) == 3 * len(images)
    for name, row in rows.items():
        expected = ("ok", None) if "intact" in name else ("failed", "image_not_decodable")
        assert (row["status"], row.get("reason")) == expected, name
