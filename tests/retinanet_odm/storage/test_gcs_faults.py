"""Both programs report a fault of a bucket at once, in one line."""

import json
import re

import pytest

import beam_jobs.main
import inference.main
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.voc import format_voc
from tests.beam_jobs.conftest import Source
from tests.inference.fake_model import RED, make_image, write_manifest, write_model

MAIN = {"prepare": beam_jobs.main.main, "score": inference.main.main}
PREPARE = ["prepare", "--images=SOURCE/images/*", "--annotations=SOURCE/annotations/*"]
SCORE = ["score", "--images=SOURCE/images/*", "--model=MODEL"]
_WITHOUT = r"no permission to read it without valid Google credentials \(gcloud auth application-default login\)$"
_STORM = "cannot list gs://bucket/secret/.*: Timeout of .*503"
NOT_THERE = "there is no such object or bucket"
FAULTS = [
    ([*PREPARE, "--output=gs://other/x"], NOT_THERE, "output"),
    (
        [*PREPARE, "--images=gs://other/*.jpg", "--output=gs://bucket/x"],
        rf"cannot list gs://other/\*.jpg: {NOT_THERE}",
        "images",
    ),
    ([*PREPARE, "--annotations=gs://other/*", "--output=gs://bucket/x"], NOT_THERE, "annotations"),
    ([*PREPARE, "--labels=gs://other/l", "--output=gs://bucket/x"], NOT_THERE, "a file of a flag"),
    ([*PREPARE, "--images=gs://bucket/secret/*", "--output=gs://bucket/x"], "no permission", "images"),
    (
        [*PREPARE, "--output=gs://bucket/forbidden"],
        "no permission to write it: no storage.objects.create$",
        "a folder that cannot be written",
    ),
    ([*SCORE, "--output=gs://other/x"], NOT_THERE, "output"),
    ([*SCORE, "--images=gs://other/a.zip", "--output=gs://bucket/x"], NOT_THERE, "an archive"),
    ([*SCORE, "--model=gs://other/m", "--output=gs://bucket/x"], NOT_THERE, "a model"),
    (
        [*SCORE, "--output=gs://bucket/forbidden"],
        "no permission to write it: no storage.objects.create$",
        "a folder that cannot be written",
    ),
]


AWAY = [
    ([*PREPARE, "--images=gs://bucket/secret/*", "--output=gs://bucket/x"], [401], _WITHOUT, "no credentials"),
    ([*PREPARE, "--images=gs://bucket/secret/*", "--output=gs://bucket/x"], [503] * 999, _STORM, "a storm"),
    ([*SCORE, "--images=gs://bucket/secret/*", "--output=gs://bucket/x"], [401], _WITHOUT, "no credentials"),
    ([*SCORE, "--images=gs://bucket/secret/*", "--output=gs://bucket/x"], [503] * 999, _STORM, "a storm"),
]


@pytest.fixture
def run(cloud, tmp_path, capfd):
    """Runs a command line with two images and a model, which must end with 2; returns the last line of the errors."""
    source = Source(tmp_path / "source").fill(2)
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(b"never loaded")
    write_manifest(model)

    def run(argv: list[str]) -> str:
        places = [word.replace("SOURCE", str(source.root)).replace("MODEL", str(model)) for word in argv]
        assert MAIN[argv[0]](places) == 2
        lines = capfd.readouterr().err.splitlines()
        assert not [line for line in lines if "Traceback" in line]
        assert not cloud.read_all("x/").keys() & {"dataset.json", "summary.json"}
        return lines[-1]

    return run


@pytest.mark.parametrize(("argv", "words", "reason"), FAULTS)
def test_a_fault_of_a_bucket_is_one_line_at_once(run, cloud, argv, words, reason):
    cloud.statuses["secret/"] = [403] * 5
    cloud.read_only = True
    assert re.search(f"error: .*{words}", run(argv)), reason


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("argv", "statuses", "words", "reason"), AWAY)
def test_an_unavailable_storage_is_one_line(run, cloud, argv, statuses, words, reason):
    cloud.statuses["secret/"] = list(statuses)
    assert re.search(f"error: .*{words}", run(argv)), reason


@pytest.mark.usefixtures("cloud", "impatient")
@pytest.mark.parametrize("argv", [PREPARE, SCORE])
def test_no_server(run, argv, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    assert re.search(r"error: cannot .*gs://bucket/x.*Connection refused", run([*argv, "--output=gs://bucket/x"]))


# A fault of one image rejects only this image, with its reason.
OWN = {
    "gone": ("file_not_readable", "there is no such object or bucket"),
    "changed": ("file_changed", "expected generation"),
    "secret": ("file_not_readable", "no permission to read it: as the test wants"),
    "corrupt": ("file_not_readable", "hecksum"),
}


@pytest.fixture
def images(cloud) -> None:
    """Five images, of which four change between listing and reading."""
    for name in ("good", *OWN):
        cloud.put(f"in/{name}.png", make_image(20, 10, {RED: (1, 2, 9, 8)}))
    cloud.spoil("in/corrupt.png")
    cloud.statuses["in/secret.png"] = [403] * 9

    def happen(name: str) -> None:
        if name == "in/gone.png" and cloud.generation(name) != "0":
            cloud.storage.delete_file("bucket", name)
        if name == "in/changed.png":
            cloud.put(name, b"another")

    cloud.before_read = happen


@pytest.mark.usefixtures("images")
def test_prepare_names_each_image_that_cannot_be_read(cloud):
    flags = ["--images=gs://bucket/in/*", "--output=gs://bucket/x", "--without_annotation=negative"]
    crab = ObjectAnnotation(label="crab", box=(1, 2, 9, 8))
    good = ImageAnnotation(filename="good.png", width=20, height=10, objects=(crab,), source="good")
    cloud.put("a/good.xml", format_voc(good))
    assert MAIN["prepare"](["prepare", *flags, "--annotations=gs://bucket/a/*"]) == 0
    rows = map(json.loads, cloud.read_all("x/")["rejected.jsonl"].splitlines())
    found = {row["name"].partition(".")[0]: row for row in rows if row["kind"] == "image"}
    assert found.keys() == OWN.keys()
    for name, (reason, words) in OWN.items():
        assert found[name]["reason"] == reason and words in found[name]["detail"], name
    manifest = json.loads(cloud.read_all("x/")["dataset.json"])
    assert (manifest["images_in"], manifest["rejected"]) == (5, 4)


@pytest.mark.usefixtures("images")
def test_score_names_each_image_that_cannot_be_read(cloud, tmp_path):
    write_model(tmp_path / "model")
    words = ["score", "--images=gs://bucket/in/*", f"--model={tmp_path}/model", "--output=gs://bucket/x"]
    assert MAIN["score"](words) == 0
    rows = map(json.loads, cloud.read_all("x/")["predictions-00000-of-00001.jsonl"].splitlines())
    failed = {row["image"].partition(".")[0]: row for row in rows if row["status"] == "failed"}
    assert failed.keys() == OWN.keys()
    for name, (reason, words) in OWN.items():
        assert failed[name]["reason"] == reason and words in failed[name]["detail"], name
        assert "key" not in failed[name] or failed[name]["key"] is None, "it is tried again next time"
