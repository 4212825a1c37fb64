"""Objects of gs://, from a server that counts the requests; then the whole job from bucket to bucket."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.auth.credentials import AnonymousCredentials

from beam_jobs.main import main
from inference.main import main as score
from retinanet_odm.errors import UsageError
from retinanet_odm.storage import files, gcs_client
from retinanet_odm.storage.file_names import escape_glob, name_below
from retinanet_odm.storage.file_system import ListedFile
from retinanet_odm.storage.no_match import check_matches
from tests.beam_jobs.conftest import Source
from tests.inference.fake_model import BLUE, RED, make_image, write_model

NAMES = ["a.jpg", "a.jpg2", "b.JPG", "ab.jpg", "a [1].jpg", "é.jpg", "sub/a.jpg", "sub/deep/c.jpg", "substitute.jpg"]
PATTERNS = [
    ("*", "one folder"),
    ("*.jpg", "by the end of the name"),
    ("**", "all below"),
    ("**.jpg", "below, by the end of the name"),
    ("*/*.jpg", "a wildcard in a folder's name"),
    ("?.jpg", "one character"),
    ("[ab].jpg", "one of"),
    ("[!a].jpg", "none of"),
    (escape_glob("a [1].jpg"), "brackets that stand for themselves"),
    ("a.jpg", "no wildcard, and other names begin so"),
    ("sub", "a folder is no file"),
    ("sub/", "a folder stands for the files in it"),
    ("none/*", "nothing"),
]


@pytest.mark.parametrize(("pattern", "reason"), PATTERNS)
def test_a_pattern_means_what_it_means_for_local_files(cloud, tmp_path, pattern, reason):
    for name in NAMES:
        cloud.put(f"images/{name}", b"x")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    local = [name_below(str(tmp_path), path) for path in files.iter_matches(f"{tmp_path}/{pattern}")]
    remote = [name_below("gs://bucket/images", path) for path in files.iter_matches(f"gs://bucket/images/{pattern}")]
    assert remote == local, reason
    # Names with brackets are asked for first: is there a file, or a folder, of exactly this name?
    as_written = 2 if "[" in pattern and escape_glob("[") not in pattern else 0
    assert len(cloud.requests) == 1 + as_written


def test_all_pages_are_listed_with_generations_and_sizes(cloud):
    listed = [ListedFile(path=f"gs://bucket/i/{n}", version=cloud.put(f"i/{n}", bytes(n)), size=n) for n in range(5)]
    cloud.page_size = 2
    assert list(files.list_files("gs://bucket/i/*")) == listed
    assert len(cloud.requests) == 3


def test_no_more_is_listed_than_is_needed(cloud):
    for number in range(5):
        cloud.put(f"i/{number}")
    cloud.page_size = 1
    check_matches(["gs://bucket/i/*", "gs://bucket/i/0"], flag="--images")
    assert not list(files.iter_matches("gs://bucket/i"))
    assert len(cloud.requests) == 3, "the first page of each"


def test_the_empty_object_of_a_folder_is_no_file(cloud):
    cloud.put("i/")
    cloud.put("i/a.jpg")
    assert list(files.iter_matches("gs://bucket/i/*")) == ["gs://bucket/i/a.jpg"]


UNLISTABLE = [
    ("gs://other/*", "no such", "there is no such bucket"),
    ("gs://buck*/a", "in full", "a wildcard in the bucket's name"),
    ("gs://bucket", "gs://BUCKET/NAME", "no name"),
    ("gs:///a", "gs://BUCKET/NAME", "no bucket"),
    ("gs://bucket/[z-a]*", "bad character range", "no pattern"),
    ("gs://bucket/secret/*", "no permission to read it: as the test wants$", "HTTP 403"),
]


@pytest.mark.parametrize(("pattern", "words", "reason"), UNLISTABLE)
def test_what_cannot_be_listed(cloud, pattern, words, reason):
    cloud.statuses["secret/"] = [403]
    with pytest.raises(UsageError, match=words) as caught:
        list(files.list_files(pattern))
    assert str(caught.value).startswith(f"cannot list {pattern}: "), reason


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("gs://bucket/i/*.png", r"\*\.png, but 1 \.jpg$"), ("gs://bucket/j/*", r"there is no folder gs://bucket/j")],
)
def test_check_matches_knows_folders_of_a_bucket(cloud, pattern, words):
    cloud.put("i/a.jpg")
    with pytest.raises(UsageError, match=words):
        check_matches([pattern], flag="--images")


def test_each_object_is_read_by_one_request_over_connections_that_are_kept(cloud):
    listed = {f"gs://bucket/i/{number}": cloud.put(f"i/{number}", bytes([number])) for number in range(100)}
    cloud.pause = 0.01  # long enough for all threads to wait at once
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda path: files.read_bytes(path, version=listed[path]), listed))
    assert found == [bytes([number]) for number in range(100)]
    assert Counter(cloud.requests) == {("GET", f"/download/storage/v1/b/bucket/o/i%2F{n}"): 1 for n in range(100)}
    assert cloud.connections <= 16


@pytest.mark.usefixtures("cloud")
def test_threads_that_begin_together_share_one_client(monkeypatch):
    def make(**options):
        time.sleep(0.02)
        return made(**options)

    made = gcs_client.storage.Client
    monkeypatch.setattr(gcs_client.storage, "Client", make)
    with ThreadPoolExecutor(4) as threads:
        assert len({id(client) for client in threads.map(lambda _: gcs_client.shared_client(), range(4))}) == 1


def test_what_is_stored_is_read_as_it_is(cloud):
    cloud.put("empty")
    cloud.put("odd #1?%.jpg", b"\x1f\x8b\0")
    assert files.read_bytes("gs://bucket/empty") == b""
    assert files.read_bytes("gs://bucket/odd #1?%.jpg") == b"\x1f\x8b\0"


def test_an_object_that_was_replaced_is_not_read(cloud):
    old, new = cloud.put("a", b"old"), cloud.put("a", b"new")
    assert files.read_bytes("gs://bucket/a") == files.read_bytes("gs://bucket/a", version=new) == b"new"
    with pytest.raises(files.FileError, match=f"gs://bucket/a.*expected generation {old}.*found another") as caught:
        files.read_bytes("gs://bucket/a", version=old)
    assert caught.value.reason == "file_changed"
    assert len(cloud.requests) == 3


UNREADABLE = [
    ("gone", [], "there is no such object or bucket$", "never there, or deleted"),
    ("a", [404], "there is no such object or bucket$", "reported by the server"),
    ("a", [403], "no permission to read it: as the test wants$", "no right"),
    ("a", [400], "400 .*as the test wants", "no retry"),
    ("corrupt", [], "[Cc]hecksum", "corrupted on its way"),
]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("name", "statuses", "words", "reason"), UNREADABLE)
def test_what_cannot_be_read(cloud, name, statuses, words, reason):
    for stored in ("a", "corrupt"):
        cloud.put(stored, b"data")
    cloud.spoil("corrupt")
    cloud.statuses[name] = list(statuses)
    with pytest.raises(files.FileError, match=words) as caught:
        files.read_bytes(f"gs://bucket/{name}")
    assert (caught.value.reason, "\n" in str(caught.value)) == ("file_not_readable", False), reason
    assert str(caught.value).count(f"gs://bucket/{name}") == 1


AWAY = [
    (
        [401],
        r"no permission to read it without valid Google credentials \(gcloud auth .* login\)$",
        "no credentials",
    ),
    ([503] * 99, "Timeout of .*503", "retried until the timeout"),
]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("statuses", "words", "reason"), AWAY)
def test_an_unavailable_storage_is_no_fault_of_an_object(cloud, statuses, words, reason):
    """Otherwise an outage would cause all later images to be rejected."""
    cloud.put("a", b"data")
    cloud.statuses["a"] = list(statuses)
    with pytest.raises(UsageError, match=rf"^gs://bucket/a: cannot be read: .*{words}"):
        files.read_bytes("gs://bucket/a")
    cloud.statuses["a"] = list(statuses)
    with pytest.raises(UsageError, match=words), files.open_binary("gs://bucket/a") as file:
        pytest.fail(f"{reason}: opened {file}")


@pytest.mark.usefixtures("cloud", "impatient")
def test_a_network_that_is_down(monkeypatch, caplog):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    with pytest.raises(UsageError, match=r"cannot be read: .*refused"):
        files.read_bytes("gs://bucket/a")
    assert "Retrying a Google Cloud Storage request: " in caplog.records[0].message, "a waiting user sees the reason"
    with pytest.raises(UsageError, match=r"cannot list .*refused"):
        list(files.list_files("gs://bucket/*"))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_temporary_error_is_retried(cloud, status):
    version = cloud.put("a", b"data")
    cloud.statuses.update({"a": [status] * 2, "": [status] * 2})
    assert list(files.list_files("gs://bucket/*")) == [ListedFile(path="gs://bucket/a", version=version, size=4)]
    assert files.read_bytes("gs://bucket/a", version=version) == b"data"
    assert len(cloud.requests) == 6


@pytest.mark.usefixtures("cloud")
def test_without_credentials_public_buckets_are_read(monkeypatch, caplog):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/key.json")
    assert isinstance(gcs_client._make_client()._credentials, AnonymousCredentials)
    assert "/no/such/key.json" in caplog.text


_FLAGS = ["prepare", "--images=gs://bucket/in/images/*", "--annotations=gs://bucket/in/annotations/*.xml"]


def _records(files_by_name):
    return {name: data for name, data in files_by_name.items() if name.endswith(".tfrecord")}


def test_score_continues_from_bucket_to_bucket(cloud, tmp_path):
    write_model(tmp_path / "model")
    for name in "ab":
        cloud.put(f"in/{name}.png", make_image(20, 10, {RED: (1, 2, 9, 8)}))
    words = ["score", "--images=gs://bucket/in/*", "--model", str(tmp_path / "model"), "--output=gs://bucket/out"]
    assert score(words) == 0
    for name in "bc":
        cloud.put(f"in/{name}.png", make_image(20, 10, {BLUE: (1, 2, 9, 8)}))
    cloud.requests.clear()
    assert score([*words, "--replace"]) == 0
    assert sorted(name for name in cloud.reads() if name.startswith("in/")) == ["in/b.png", "in/c.png"]
    written = cloud.read_all("out/")
    assert written.keys() == {"predictions-00000-of-00001.jsonl", "summary.json"}
    rows = map(json.loads, written["predictions-00000-of-00001.jsonl"].splitlines())
    labels = {row["image"]: [item["label"] for item in row["detections"]] for row in rows}
    assert labels == {"a.png": ["crab"], "b.png": ["sea pig"], "c.png": ["sea pig"]}


def test_a_resumed_run_sees_that_an_object_was_replaced(cloud, tmp_path):
    source = Source(tmp_path / "source").fill(3)
    for path in source.root.rglob("*.*"):
        cloud.put(f"in/{path.relative_to(source.root).as_posix()}", path.read_bytes())
    flags = [*_FLAGS, "--output=gs://bucket/out"]
    assert main(flags) == 0
    first, *_ = sorted(path.name for path in source.images.iterdir())
    before = _records(cloud.read_all("out/"))
    cloud.put(f"in/images/{first}", source.add_image(first, shade=200).read_bytes())
    cloud.requests.clear()
    assert main([*flags, "--resume"]) == 0
    assert [name for name in cloud.reads() if name.startswith("in/images/")] == [f"in/images/{first}"]
    after = _records(cloud.read_all("out/"))
    assert sum(before[name] != after[name] for name in before) == 1
