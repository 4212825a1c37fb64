"""Which files in an output folder are ours."""

import pytest

from beam_jobs.output_folder import check_dataset_folder, dataset_shard_name, delete_stale, is_ours
from retinanet_odm.errors import UsageError

NAMES = [
    ("dataset.json", True, "the commit mark"),
    (dataset_shard_name("train", 3, 32), True, "a shard"),
    ("train-00003-of-00032.tfrecord.tmp-0a1b2c3d", True, "half a shard of a killed run"),
    ("train-00003-of-00032.tfrecord.gz", False, "a file of another program"),
    ("Train-3.tfrecord", False, "a file of another program"),
    ("notes.tmp-1", False, "a temporary file of another program"),
    ("photo.jpg", False, "an image"),
]


@pytest.mark.parametrize(("name", "expected", "reason"), NAMES)
def test_is_ours(name, expected, reason):
    assert is_ours(name) is expected, reason


def test_shard_name():
    assert dataset_shard_name("train", 0, 32) == "train-00000-of-00032.tfrecord"


MANIFEST = '{"schema_version": 1, "fingerprint": "0"}'
GOOD_FOLDERS = {
    "empty": [],
    "an earlier data set": ["dataset.json", "val.json", "train-00000-of-00001.tfrecord"],
    "a killed run": ["receipts/train-00000-of-00001.jsonl", "train-00000-of-00001.tfrecord", ".retinanet-odm-lock"],
    "a check": ["problems.jsonl", "check.html"],
}


@pytest.mark.parametrize("names", GOOD_FOLDERS.values(), ids=GOOD_FOLDERS.keys())
def test_good_output(tmp_path, names):
    (tmp_path / "receipts").mkdir()
    for name in names:
        (tmp_path / name).write_text(MANIFEST)
    check_dataset_folder(str(tmp_path), ("/elsewhere/*",))


def test_absent_output(tmp_path):
    check_dataset_folder(str(tmp_path / "new [1]"), (f"{tmp_path}/images/*",))


@pytest.mark.parametrize("folder", ["out", "link", "./out"])
def test_the_users_label_map_is_not_overwritten(tmp_path, monkeypatch, folder):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "labels.pbtxt").touch()
    (tmp_path / "link").symlink_to("out")
    monkeypatch.chdir(tmp_path)
    check_dataset_folder(folder, ("/elsewhere/*",), given=["labels.pbtxt"])
    with pytest.raises(UsageError, match=r"labels\.pbtxt, which the job reads"):
        check_dataset_folder(folder, ("/elsewhere/*",), given=[str(tmp_path / "out" / "labels.pbtxt")])


BAD_FOLDERS = [
    ("out/notes.txt", "i/*", "notes.txt", "a file of another program"),
    ("out/holiday/beach.jpg", "i/*", "beach.jpg", "a folder of another program"),
    ("out/dataset.json", "i/*", "dataset.json", "a manifest of another program"),
    ("out/receipts/june.pdf", "i/*", "receipts/june.pdf", "a file of another program among the receipts"),
    ("other/x", "out/*", "read as input", "the images' own folder"),
    ("other/x", "**/*.jpg", "read as input", "below a recursive pattern"),
]


@pytest.mark.parametrize(("made", "pattern", "words", "reason"), BAD_FOLDERS)
def test_output_in_use(tmp_path, made, pattern, words, reason):
    path = tmp_path / made
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(UsageError, match="--output") as caught:
        check_dataset_folder(str(tmp_path / "out"), (str(tmp_path / pattern),))
    assert words in str(caught.value), reason
    assert path.exists()


def test_files_of_operating_systems_are_left_alone(tmp_path):
    """Looking into the folder must not make it a foreign one."""
    found = [tmp_path / name for name in ("Thumbs.db", ".DS_Store", "receipts/.DS_Store", "._dataset.json")]
    (tmp_path / "receipts").mkdir()
    for path in found:
        path.touch()
    check_dataset_folder(str(tmp_path), ("/elsewhere/*",))
    delete_stale(str(tmp_path), set())
    assert all(path.exists() for path in found)


def test_the_images_folder_by_other_names(tmp_path, monkeypatch):
    """One folder has many names: relative, by a link, and on some systems in another case."""
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to("images")
    monkeypatch.chdir(tmp_path)
    for output, pattern in (("images", f"{tmp_path}/images/*"), ("link/new", "images/**"), ("link", "images/*.jpg")):
        with pytest.raises(UsageError, match="read as input"):
            check_dataset_folder(output, (pattern,))
    check_dataset_folder("new", ("**/*.jpg",))


def test_delete_stale_keeps_what_was_written_and_what_is_not_ours(tmp_path):
    kept = {
        "a.txt",
        "labels.pbtxt",
        "check.html",
        "train-00000-of-00002.tfrecord",
        "receipts/train-00000-of-00002.jsonl",
    }
    stale = {
        "val.json",
        "train-00000-of-00001.tfrecord",
        "receipts/train-00000-of-00001.jsonl",
        "val.json.tmp-12345678",
    }
    (tmp_path / "receipts").mkdir()
    for name in (*kept, *stale):
        (tmp_path / name).touch()
    delete_stale(str(tmp_path), kept - {"a.txt", "check.html"})
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == kept
