"""prepare and score from bucket to bucket: separate worker processes, archives, HTTP 503, convert."""

import io
import json
import os
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

import beam_jobs.main
import inference.main
from inference.rows import part_files
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.voc import format_voc
from tests.beam_jobs.conftest import Source
from tests.gcs_over_tls import tensorflow_cloud
from tests.inference.fake_model import BLUE, RED, make_image, write_model
from tests.retinanet_odm.conftest import Cloud

__all__ = ["tensorflow_cloud"]  # a fixture
PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
PREPARE = ["prepare", "--images=gs://bucket/in/images/*", "--annotations=gs://bucket/in/annotations/*.xml"]


def run(*argv: str) -> None:
    """A command line of inference in a process of its own: TensorFlow keeps Python's lock while it waits for gs://."""
    words = [sys.executable, "-m", "inference", *argv]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def reads_of(cloud: Cloud, start: str) -> dict[str, int]:
    """How often each object below was read."""
    return {name: count for name, count in Counter(cloud.reads()).items() if name.startswith(start)}


def put_all(cloud: Cloud, folder: Path, start: str) -> list[str]:
    """Copies a folder into the bucket; the objects' names."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    names = [f"{start}/{path.relative_to(folder).as_posix()}" for path in paths]
    for name, path in zip(names, paths, strict=True):
        cloud.put(name, path.read_bytes())
    return names


def check_uploads(cloud: Cloud, start: str) -> None:
    """Each output was sent once, in the place of nothing, and under its own name."""
    sent = [name for name, _ in cloud.uploads]
    assert sorted(set(sent)) == sorted(sent) and all(generation == "0" for _, generation in cloud.uploads)
    assert {name for name in sent if not name.endswith("-probe")} >= {start + name for name in cloud.read_all(start)}
    assert not [name for name in sent if ".tmp" in name]


def test_prepare_in_worker_processes(cloud, tmp_path):
    source = Source(tmp_path / "source").fill(10)
    names = put_all(cloud, source.root, "in")
    assert beam_jobs.main.main([*PREPARE, "--output=gs://bucket/out", *PROCESSES]) == 0
    assert reads_of(cloud, "in/images/") == {name: 1 for name in names if "/images/" in name}
    check_uploads(cloud, "out/")
    assert cloud.uploads[-1][0] == "out/dataset.json", "the commit mark comes last"

    assert beam_jobs.main.main(source.flags(tmp_path / "out")) == 0
    local = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.tfrecord")}
    assert {name: data for name, data in cloud.read_all("out/").items() if name.endswith(".tfrecord")} == local != {}


@pytest.mark.parametrize("form", ["coco", "yolo"])
def test_export_in_worker_processes(cloud, tmp_path, form):
    source = Source(tmp_path / "source").fill(10)
    assert beam_jobs.main.main(source.flags(tmp_path / "dataset")) == 0
    put_all(cloud, tmp_path / "dataset", "dataset")
    words = ["export", "gs://bucket/dataset", f"--format={form}"]
    assert beam_jobs.main.main([*words, "--output=gs://bucket/out", *PROCESSES]) == 0
    check_uploads(cloud, "out/")
    assert cloud.uploads[-1][0] == "out/export.json", "the commit mark comes last"

    assert beam_jobs.main.main(["export", str(tmp_path / "dataset"), *words[2:], f"--output={tmp_path}/out"]) == 0
    local = tmp_path / "out"
    written = {path.relative_to(local).as_posix(): path.read_bytes() for path in local.rglob("*") if path.is_file()}
    assert cloud.read_all("out/") == written != {}


@pytest.mark.usefixtures("impatient")
def test_export_continues_where_an_outage_ended_it(cloud, tmp_path, capfd):
    source = Source(tmp_path / "source").fill(10)
    assert beam_jobs.main.main(source.flags(tmp_path / "dataset")) == 0
    names = put_all(cloud, tmp_path / "dataset", "dataset")
    shard = next(name for name in names if name.endswith(".tfrecord"))
    words = ["export", "gs://bucket/dataset", "--format=yolo", "--output=gs://bucket/out"]
    cloud.statuses[shard] = [503] * 999
    assert beam_jobs.main.main(words) == 2
    assert f"error: gs://bucket/{shard}: cannot be read: Timeout of" in capfd.readouterr().err.splitlines()[-1]
    assert "export.json" not in cloud.read_all("out/")
    cloud.statuses.clear()
    assert beam_jobs.main.main(words) == 0
    written = cloud.read_all("out/")
    assert "export.json" in written and "export.unfinished.json" not in written


def test_score_in_worker_processes_with_a_model_in_the_bucket(tensorflow_cloud, tmp_path):
    cloud = tensorflow_cloud
    write_model(tmp_path / "model")
    put_all(cloud, tmp_path / "model", "model")
    for number in range(40):
        cloud.put(f"in/{number}.png", make_image(20, 10, {RED: (1, 2, 9, 8)}))
    run("score", "--images=gs://bucket/in/*", "--model=gs://bucket/model", "--output=gs://bucket/out", *PROCESSES)
    assert reads_of(cloud, "in/") == {f"in/{number}.png": 1 for number in range(40)}
    check_uploads(cloud, "out/")
    assert cloud.uploads[-1][0] == "out/summary.json", "the commit mark comes last"
    summary = json.loads(cloud.read_all("out/")["summary.json"])
    assert (summary["images"], summary["detections"], summary["failed"]) == (40, {"crab": 40}, {})


@pytest.fixture
def archive(cloud) -> str:
    """Forty images around a video of ten megabytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        for number in range(40):
            target.writestr(f"{number}.png", make_image(20, 10, {BLUE: (1, 2, 9, 8)}))
            if number == 20:
                target.writestr("film.mp4", os.urandom(10_000_000))
    cloud.put("in/dive.zip", packed.getvalue())
    return "--images=gs://bucket/in/dive.zip"


def test_score_an_archive_then_convert_and_evaluate_it(cloud, archive, tmp_path):
    write_model(tmp_path / "model")
    main = inference.main.main
    assert main(["score", archive, f"--model={tmp_path}/model", "--output=gs://bucket/out", "--min_score=0"]) == 0
    assert sum(cloud.sent) < 8_000_000, "a few megabytes, not the video"
    assert json.loads(cloud.read_all("out/")["summary.json"])["detections"] == {"sea pig": 40}
    assert main(["convert", "gs://bucket/out", "--formats=csv,counts,coco,cvat,parquet,report"]) == 0
    written = cloud.read_all("out/")
    assert {"detections.csv", "counts.csv", "detections.parquet"} <= written.keys()
    cloud.put("truth/cvat.xml", written["cvat.xml"])
    assert main(["repeats", "gs://bucket/out", "--min_frames=2"]) == 0
    cloud.put("truth/aliases.csv", b"alias,name\nshrimp,crab\n")
    truth = ["--annotations=gs://bucket/truth/*.xml", "--label_aliases=gs://bucket/truth/aliases.csv"]
    assert main(["evaluate", "gs://bucket/out", *truth]) == 0
    assert json.loads(cloud.read_all("out/")["evaluation.json"])["AP50"] == pytest.approx(1)
    image = cloud.put("one.png", make_image(20, 10, {RED: (1, 2, 9, 8)})) and "gs://bucket/one.png"
    assert main(["detect", image, f"--model={tmp_path}/model", "--draw=gs://bucket/drawn"]) == 0
    assert cloud.read_all("drawn/").keys() == {"one.png"}


def test_every_file_that_a_flag_of_the_data_set_jobs_names_may_lie_in_a_bucket(cloud, tmp_path):
    names = put_all(cloud, Source(tmp_path / "source").fill(4).root, "in")
    images = [name.rpartition("/")[2] for name in names if "/images/" in name]
    export = io.BytesIO()
    with zipfile.ZipFile(export, "w") as target:
        target.writestr("z.png", make_image(20, 10))
        crab = ObjectAnnotation(label="Crab", box=(1, 2, 9, 8))
        target.writestr(
            "z.xml", format_voc(ImageAnnotation(filename="z.png", width=20, height=10, objects=(crab,), source="z"))
        )
    cloud.put("exports/z.zip", export.getvalue())
    cloud.put("f/aliases.csv", b"alias,name\nCrab,Scotoplanes\n")
    cloud.put("f/splits.csv", b"image,split\n" + b"".join(f"{name},train\n".encode() for name in images))
    main = beam_jobs.main.main
    aliases = "--label_aliases=gs://bucket/f/aliases.csv"
    words = ["--annotations=gs://bucket/in/annotations/*.xml", aliases, "--output=gs://bucket/f/labels.pbtxt"]
    assert main(["labels", *words]) == 0
    cloud.put("f/ids.csv", b"source_id,image,split,status\n")
    named = ["--labels=gs://bucket/f/labels.pbtxt", aliases, "--id_map=gs://bucket/f/ids.csv"]
    flags = [*PREPARE[1:], *named, "--exports=gs://bucket/exports/*.zip", "--output=gs://bucket/out"]
    assert main(["check", *flags, "--split_from=gs://bucket/f/splits.csv"]) in (0, 1)
    assert {"problems.jsonl", "check.html"} <= cloud.read_all("out/").keys()
    assert {"exports/z.zip", "f/aliases.csv", "f/ids.csv", "f/labels.pbtxt", "f/splits.csv"} <= set(cloud.reads())


@pytest.mark.usefixtures("impatient")
def test_prepare_continues_where_an_outage_ended_it(cloud, tmp_path, capfd):
    names = put_all(cloud, Source(tmp_path / "source").fill(20).root, "in")
    images = sorted(name for name in names if "/images/" in name)
    flags = [*PREPARE, "--output=gs://bucket/out", "--num_shards=train=4,val=4"]
    cloud.statuses[images[-1]] = [503] * 999
    assert beam_jobs.main.main(flags) == 2
    assert f"error: gs://bucket/{images[-1]}: cannot be read: Timeout of" in capfd.readouterr().err.splitlines()[-1]
    assert "dataset.json" not in cloud.read_all("out/")
    cloud.statuses.clear()
    cloud.requests.clear()
    assert beam_jobs.main.main([*flags, "--resume"]) == 0
    again = reads_of(cloud, "in/images/")
    assert images[-1] in again and len(again) < 20, "complete shards are not read again"
    assert json.loads(cloud.read_all("out/")["dataset.json"])["rejected"] == 0, "an outage rejects no image"


@pytest.mark.usefixtures("impatient")
def test_score_continues_where_an_outage_ended_it(cloud, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(part_files, "_MIN_INTERVAL", 0.0)
    write_model(tmp_path / "model")
    for number in range(40):
        cloud.put(f"in/{number:02d}.png", make_image(20, 10))
    words = ["score", "--images=gs://bucket/in/*", f"--model={tmp_path}/model", "--output=gs://bucket/out"]
    words.append("--batch_size=8")  # batches before that of the last image have their rows
    cloud.statuses["in/39.png"] = [503] * 999
    assert inference.main.main(words) == 2
    assert "error: gs://bucket/in/39.png: cannot be read: Timeout of" in capfd.readouterr().err.splitlines()[-1]
    assert "summary.json" not in cloud.read_all("out/")
    cloud.statuses.clear()
    cloud.requests.clear()
    assert inference.main.main(words) == 0
    again = reads_of(cloud, "in/")
    assert "in/39.png" in again and len(again) < 40, "what was scored is not read again"
    summary = json.loads(cloud.read_all("out/")["summary.json"])
    assert (summary["images"], summary["failed"]) == (40, {})
