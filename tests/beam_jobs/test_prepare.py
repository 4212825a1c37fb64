"""The complete job, from a command line to the files of a data set."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from beam_jobs.main import main
from beam_jobs.rows import parse_rejects
from tests.beam_jobs.conftest import read_dataset, read_manifest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def mixed(source):
    """Ten good images and one of every fault."""
    source.fill(10)
    fish = [("Scotoplanes", (1.0, 2.0, 9.0, 12.0))]
    source.add_image("alone.jpg")
    source.add_annotation("no image", fish)
    (source.images / "broken.jpg").write_bytes(b"not an image")
    source.add_annotation("broken", fish)
    source.add_image("no xml.jpg")
    (source.annotations / "no xml.xml").write_text("<annotation><object></annotation>")
    source.add_image("other.jpg", size=(24, 20))
    source.add_annotation("other", fish)
    source.add_image("twice.jpg")
    source.add_image("twice.bmp")
    source.add_annotation("twice", fish)
    source.add_image("flat.jpg")
    source.add_annotation("flat", [("Scotoplanes", (5.0, 5.0, 5.0, 9.0)), *fish])
    return source


def test_every_image_is_an_example_or_a_reject(mixed, tmp_path, caplog, read_folder):
    output = tmp_path / "out"
    images, annotations = read_folder(mixed.images), read_folder(mixed.annotations)
    assert main(mixed.flags(output)) == 0
    manifest = read_manifest(output)
    assert (manifest.images_in, manifest.rejected) == (17, 6)
    assert manifest.rejected_by_reason == {
        "ambiguous_match": 2,
        "image_not_decodable": 1,
        "image_without_annotation": 1,
        "size_mismatch": 1,
        "xml_not_well_formed": 1,
    }
    assert manifest.objects_dropped == {"zero_size_box": 1}
    rejects = parse_rejects((output / "rejected.jsonl").read_text())
    assert {row.reason for row in rejects if row.kind == "annotation"} == {"annotation_without_image"}
    written = {example.filename: example.encoded for _, example in read_dataset(output)}
    assert written.keys() | {row.name for row in rejects if row.kind == "image"} == images.keys()
    assert all(images[name] == data for name, data in written.items()), "valid bytes pass unchanged"
    assert (read_folder(mixed.images), read_folder(mixed.annotations)) == (images, annotations)
    assert "17 images in = 11 examples + 6 rejected" in caplog.text
    assert f"--dataset={output} " in caplog.text


def test_records_ids_and_ground_truth_agree(mixed, tmp_path):
    output = tmp_path / "out"
    assert main(mixed.flags(output, "--splits=train=0.5,val=0.5", "--num_shards=train=2,val=3")) == 0
    examples = read_dataset(output)
    with (output / "id_map.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["source_id"]) for row in rows] == list(range(1, 14)), "dense, over all that were planned"
    written = {(int(row["source_id"]), row["image"], row["split"]) for row in rows if row["status"] == "written"}
    assert written == {(example.source_id, example.filename, split) for split, example in examples}
    assert {row["image"] for row in rows if row["status"] == "rejected"} == {"broken.jpg", "other.jpg"}
    truth = json.loads((output / "val.json").read_text())
    val = [example for split, example in examples if split == "val"]
    assert [entry["id"] for entry in truth["images"]] == sorted(example.source_id for example in val)
    assert len(truth["annotations"]) == sum(len(example.objects) for example in val)
    assert {item.label for _, example in examples for item in example.objects} == {
        "Peniagone sp. A",
        "Étoile de mer",
        "Scotoplanes",
    }
    assert any(not example.objects for _, example in examples), "true negatives stay"


def test_bytes_do_not_depend_on_the_runner_nor_on_what_was_there(mixed, tmp_path, read_folder, monkeypatch):
    monkeypatch.chdir(REPOSITORY)  # worker processes import the packages from there
    memory, again, processes = tmp_path / "memory", tmp_path / "again", tmp_path / "processes"
    assert main(mixed.flags(memory)) == 0
    assert main(mixed.flags(again, "--splits=train=1", "--num_shards=train=7")) == 0
    assert main(mixed.flags(again, "--direct_running_mode=in_memory", "--direct_num_workers=1")) == 0
    assert main(mixed.flags(processes, "--direct_running_mode=multi_processing", "--direct_num_workers=2")) == 0
    assert read_folder(again) == read_folder(memory)
    assert read_folder(processes) == read_folder(memory)


def test_odd_names(source, tmp_path):
    """Spaces, accents, line breaks, commas and bytes that are no UTF-8."""
    stems = ["two words", "Étoile", "a,b", 'say "hi"', "line\nbreak", "\udcff"]
    for stem in stems:
        source.add_image(f"{stem}.jpg")
        path = source.annotations / f"{stem}.xml"
        path.write_bytes(source.add_annotation("x", [("crab", (1.0, 2.0, 9.0, 12.0))]).read_bytes())
    (source.annotations / "x.xml").unlink()
    assert main(source.flags(tmp_path / "out")) == 0
    written = {example.filename for _, example in read_dataset(tmp_path / "out")}
    assert written == {f"{stem}.jpg" for stem in stems}


def test_given_label_map_rules(source, tmp_path):
    source.fill(6)
    labels = tmp_path / "labels.pbtxt"
    labels.write_text("item { id: 4 name: 'Scotoplanes' } item { id: 9 name: 'Peniagone sp. A' }")
    assert main(source.flags(tmp_path / "out", f"--labels={labels}")) == 0
    manifest = read_manifest(tmp_path / "out")
    assert manifest.num_classes == 9
    assert manifest.rejected_by_reason == {"unknown_label": 2}
    ids = {(item.label, item.label_id) for _, example in read_dataset(tmp_path / "out") for item in example.objects}
    assert ids == {("Scotoplanes", 4), ("Peniagone sp. A", 9)}


def _fails(capfd, argv: list[str], *words: str) -> None:
    assert main(argv) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line


BAD_FLAGS = [
    (["--imagse=x"], ["--imagse", "--images"], "misspelt flag"),
    (["--splits=train=0.9"], ["add up to 1"], "bad splits"),
    (["--images=@/none/*.jpg"], ["--images", "/none/*.jpg", "no folder"], "missing folder"),
    (["--annotations=@/*.csv"], ["--annotations", "*.csv"], "empty glob"),
    (["--labels=@/none.pbtxt"], ["--labels", "none.pbtxt"], "missing label map"),
    (["--labels=@/images/first.jpg"], ["--labels", "first.jpg"], "no label map"),
    (["--output=@/images"], ["--output", "/images"], "the output is the input"),
    (["--output=@"], ["--output", "annotations/"], "the output holds something else"),
    (["--output=@/images/first.jpg"], ["first.jpg"], "the output is a file"),
    (["stray"], ["stray"], "a word that belongs to no flag"),
    (["--formats=cvat"], ["unknown flag --formats"], "a flag of another program"),
]


@pytest.mark.parametrize(("flags", "words", "reason"), BAD_FLAGS, ids=[row[2] for row in BAD_FLAGS])
def test_bad_request_is_one_line(source, tmp_path, capfd, read_folder, flags, words, reason):
    source.fill(1)
    source.add_image("first.jpg")
    before = read_folder(source.images)
    more = [flag.replace("@", str(source.root)) for flag in flags]
    _fails(capfd, [*source.flags(tmp_path / "out"), *more], *words)
    assert not (tmp_path / "out").exists(), reason
    assert read_folder(source.images) == before, reason


HOPELESS = [
    (b"not an image", "", "image_not_decodable", "unreadable images"),
    (None, "<annotation>", "xml_not_well_formed", "XML that is not XML"),
    (None, "<html/>", "annotation_kind_unknown", "XML of another kind"),
]


@pytest.mark.parametrize(("image", "xml", "words", "reason"), HOPELESS, ids=[row[3] for row in HOPELESS])
def test_nothing_left_is_one_line_and_no_data_set(source, tmp_path, capfd, image, xml, words, reason):
    source.add_image("a.jpg")
    source.add_annotation("a", [("crab", (1.0, 2.0, 9.0, 12.0))])
    if image:
        (source.images / "a.jpg").write_bytes(image)
    if xml:
        (source.annotations / "a.xml").write_text(xml)
    _fails(capfd, source.flags(tmp_path / "out"), "no image became an example", f"1 {words}", "rejected.jsonl")
    assert not (tmp_path / "out" / "dataset.json").exists(), reason
    assert (tmp_path / "out" / "rejected.jsonl").exists(), reason


def test_only_unknown_labels(source, tmp_path, capfd):
    source.add_image("a.jpg")
    source.add_annotation("a", [("crab", (1.0, 2.0, 9.0, 12.0))])
    labels = tmp_path / "labels.pbtxt"
    labels.write_text("item { id: 1 name: 'fish' }")
    _fails(capfd, source.flags(tmp_path / "out", f"--labels={labels}"), "unknown_label", "'crab'")


def test_label_drift_is_reported(source, tmp_path, caplog):
    """One animal in two spellings: the defect in the original sample data."""
    for number, label in enumerate(["Peniagone sp. A", "PENIAGONE_SP_A"]):
        source.add_image(f"{number}.jpg")
        source.add_annotation(str(number), [(label, (1.0, 2.0, 9.0, 12.0))])
    with caplog.at_level("INFO"):
        assert main(source.flags(tmp_path / "out", "--splits=train=1")) == 0
    assert "are one name in two spellings" in caplog.text
    labels = tmp_path / "labels.pbtxt"
    labels.write_text("item { id: 1 name: 'Peniagone sp. A' }")
    assert main(source.flags(tmp_path / "out", f"--labels={labels}", "--splits=train=1")) == 0
    assert "did you mean 'Peniagone sp. A'?" in (tmp_path / "out" / "rejected.jsonl").read_text()


def test_a_request_that_beam_rejects_deletes_no_data_set(source, tmp_path, capfd, read_folder):
    source.fill(2)
    assert main(source.flags(tmp_path / "out")) == 0
    whole = read_folder(tmp_path / "out")
    _fails(capfd, source.flags(tmp_path / "out", "--environment_type=PROCESS"), "process_command is required")
    assert read_folder(tmp_path / "out") == whole


def test_no_object_anywhere(source, tmp_path, capfd):
    source.add_image("a.jpg")
    source.add_annotation("a", [])
    _fails(capfd, source.flags(tmp_path / "out"), "no_labels", "--labels")


def _start(argv: list[str], **kwargs) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "beam_jobs", *argv], cwd=REPOSITORY, **kwargs)


def test_killed_job_leaves_no_data_set_and_is_resumed(source, tmp_path, read_folder):
    source.fill(60)
    output = tmp_path / "out"
    assert main(source.flags(output)) == 0
    whole = read_folder(output)
    for path in output.glob("*.tfrecord"):
        path.unlink()
    job = _start(source.flags(output))
    try:
        deadline = time.monotonic() + 60
        while not list(output.glob("train-0000[3-9]*.tfrecord")):
            assert job.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        job.send_signal(signal.SIGKILL)
        job.wait()
    assert not (output / "dataset.json").exists()
    assert main(source.flags(output, "--resume")) == 0
    assert read_folder(output) == whole


COMMANDS = [
    (["--help"], 0, "prepare"),
    (["prepare", "--help"], 0, "--num_shards"),
    (["check", "--help"], 0, "--max_rejected"),
    (["prepare", "--images=/none/*", "--annotations=/none/*", "--output=/none/out"], 2, "error: --images: "),
    (["labels", "--annotations=/none/*", "--output=/none/out", "--labels="], 2, "error: --labels: expected a value"),
]


@pytest.mark.parametrize(("argv", "status", "words"), COMMANDS)
def test_command(argv, status, words):
    job = _start(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    text, _ = job.communicate(timeout=60)
    assert job.returncode == status
    assert words in text
    assert "Traceback" not in text


def test_help_does_not_wait_for_beam():
    code = (
        "import sys; import beam_jobs.flags as flags; flags.make_prepare_parser(); print('apache_beam' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
