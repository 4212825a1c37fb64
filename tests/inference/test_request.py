"""No image is scored twice and none is lost, in runs that finish, are killed, or whose images change in between."""

import csv
import json
import logging
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from inference.image_sources import listing
from inference.main import main
from inference.options import ScoreOptions, make_score_parser, score_options
from inference.request import find_pending_work
from inference.rows.earlier_rows import keep_earlier_rows
from inference.rows.output_folder import JOURNAL_FILE
from inference.score import check_request
from retinanet_odm.storage.folder_lock import lock_folder
from retinanet_odm.storage.local import LOCK_FILE
from tests.inference.fake_model import BLUE, RED, make_image, read_rows
from tests.inference.outputs import contents

ROOT = Path(__file__).parents[3]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in "abcd":
        (folder / f"{name}.png").write_bytes(make_image(20, 10, {BLUE: (1, 2, 3, 4)}))
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


class Runs:
    """Runs ``score`` on the same folder into the same output; returns how many images each run scored."""

    def __init__(self, images: Path, model: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.images, self.model, self.output = images, model, images.parent / "out"
        self.caplog = caplog

    def __call__(self, *flags: str) -> int:
        self.caplog.clear()
        words = ["score", "--images", str(self.images), "--model", str(self.model), "--output", str(self.output)]
        assert main([*words, *flags]) == 0
        assert json.loads((self.output / "summary.json").read_text())["images"] == len(self.rows())
        return int(next(text.split()[0] for text in self.caplog.messages if "images to score" in text))

    def rows(self) -> dict[str, dict]:
        return read_rows(self.output)

    def counted(self) -> dict[str, int]:
        """The counts of counts.csv by class, without those of 0; summary.json must agree."""
        with (self.output / "counts.csv").open(newline="") as file:
            counts: Counter[str] = Counter()
            for line in csv.DictReader(file):
                counts[line["label"]] += int(line["count"] or 0)
        assert json.loads((self.output / "summary.json").read_text())["counted"] == dict(+counts)
        return dict(+counts)

    def red(self) -> set[str]:
        """Images with a red rectangle in their rows."""
        return {name for name, row in self.rows().items() if any(d["label"] == "crab" for d in row["detections"])}


@pytest.fixture
def runs(images: Path, model: Path, caplog: pytest.LogCaptureFixture) -> Runs:
    caplog.set_level(logging.INFO, "inference")
    return Runs(images, model, caplog)


def _kill_before_summary(path: Path) -> None:
    """What a run leaves that was killed when it had written everything else."""
    written = {entry["name"]: [entry["sha256"]] for entry in json.loads(path.read_text())["exports"]}
    (path.parent / JOURNAL_FILE).write_text(json.dumps({"written": written}))
    path.unlink()


def test_only_new_and_changed_images_are_scored(runs: Runs) -> None:
    assert runs() == 5
    before = runs.rows()
    (runs.images / "A.png").write_bytes(
        make_image(20, 10, {RED: (1, 2, 3, 4)})
    )  # before all others: chunks begin elsewhere
    (runs.images / "c.png").write_bytes(make_image(20, 10, {RED: (1, 2, 3, 4), BLUE: (5, 5, 7, 7)}))
    (runs.images / "d.png").unlink()
    assert runs("--replace") == 2
    assert "--replace: 2 rows of images that are not in --images or have changed (first: c.png)" in runs.caplog.text
    after = runs.rows()
    assert after.keys() == before.keys() - {"d.png"} | {"A.png"}
    assert {name: after[name] for name in ("a.png", "b.png", "broken.jpg")} == {
        name: before[name] for name in ("a.png", "b.png", "broken.jpg")
    }
    assert runs.red() == {"A.png", "c.png"}


def test_rows_of_another_model_do_not_stay(runs: Runs, tmp_path: Path) -> None:
    assert runs() == 5
    runs.model = shutil.copytree(runs.model, tmp_path / "other")
    manifest = json.loads((runs.model / "model.json").read_text())
    manifest["labels"]["1"] = "spider crab"  # the same SavedModel, but its rows differ
    (runs.model / "model.json").write_text(json.dumps(manifest))
    assert runs("--replace") == 5
    assert "--replace: 5 rows of other labels (first: a.png)" in runs.caplog.text


def test_another_min_score_scores_nothing_anew(runs: Runs) -> None:
    assert runs("--formats=counts") == 5
    rows = runs.rows()
    assert any(row["detections"] for row in rows.values()), "blue has 0.4: rows hold it, whatever counts"
    assert runs.counted() == {}
    assert runs("--formats=counts", "--min_score=0.4", "--replace") == 0
    assert (runs.rows(), runs.counted()) == (rows, {"sea pig": 4})
    assert runs("--formats=counts", "--replace") == 0
    assert (runs.rows(), runs.counted()) == (rows, {})


def test_a_finished_output_is_left_as_it_is(runs: Runs) -> None:
    runs("--formats=csv")
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in runs.output.iterdir()}
    assert runs("--formats=csv") == 0
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in runs.output.iterdir()} == before


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        pytest.param((), {"predictions-00000-of-00001.jsonl", "detections.csv"}, id="no files"),
        pytest.param(("--formats=csv",), {"predictions-00000-of-00001.jsonl", "detections.csv"}, id="same files"),
        pytest.param(
            ("--formats=viame",), {"predictions-00000-of-00001.jsonl", "detections.csv", "viame.csv"}, id="other files"
        ),
        pytest.param(
            ("--formats=csv", "--min_score=0.6", "--replace"), {"predictions-00000-of-00001.jsonl", "detections.csv"}
        ),
        pytest.param(
            ("--num_shards=2",),
            {"detections.csv", *(f"predictions-0000{n}-of-00002.jsonl" for n in range(2))},
            id="two shards",
        ),
    ],
)
def test_other_files_without_scoring(flags: Sequence[str], names: set[str], runs: Runs) -> None:
    """Other exports may be requested: they are those of a first run with these flags, and the others stay."""
    runs("--formats=csv")
    before = contents(runs.output)
    assert runs(*flags) == 0
    again = contents(runs.output)
    assert again.keys() == names | {"summary.json"}
    listed = {entry["name"] for entry in json.loads(again["summary.json"])["exports"]}
    assert listed == names - {name for name in names if name.startswith("predictions-")}
    shutil.rmtree(runs.output)
    assert runs(*flags) == 5
    first = contents(runs.output)
    del first["summary.json"]
    assert {"detections.csv": before["detections.csv"], **first} == {
        name: data for name, data in again.items() if name != "summary.json"
    }


@pytest.mark.parametrize(
    ("name", "damage", "scored"),
    [
        pytest.param("predictions-00000-of-00001.jsonl", Path.unlink, 5, id="rows lost"),
        pytest.param("detections.csv", Path.unlink, 0, id="an export lost"),
        pytest.param("summary.json", _kill_before_summary, 0, id="killed before the summary"),
    ],
)
def test_a_damaged_output_is_repaired(name: str, damage: Callable[[Path], object], scored: int, runs: Runs) -> None:
    runs("--formats=csv")
    whole = contents(runs.output)
    damage(runs.output / name)
    assert runs("--formats=csv") == scored
    assert contents(runs.output) == whole


def test_parts_shards_and_halves_of_a_killed_run_are_one_set_of_rows(runs: Runs) -> None:
    """The state after a kill during a change from one shard to two: some rows exist twice, one only in a part file."""
    runs("--num_shards=2")
    shards = [path.read_bytes() for path in sorted(runs.output.glob("predictions-*"))]
    whole = contents(runs.output)
    lines = sorted(b"".join(shards).splitlines(keepends=True))
    for path in runs.output.iterdir():
        path.unlink()
    (runs.output / "predictions-00000-of-00001.jsonl").write_bytes(b"".join(lines[:3]))
    (runs.output / "predictions-00001-of-00002.jsonl").write_bytes(shards[1])
    (runs.output / "part-00ff.jsonl").write_bytes(b"".join(lines[2:4]))
    (runs.output / "part-11ff.jsonl.tmp-0123abcd").write_bytes(lines[4][:20])
    missing = set(lines) - set(lines[:4]) - set(shards[1].splitlines(keepends=True))
    assert runs("--num_shards=2") == len(missing)
    assert contents(runs.output) == whole


def test_an_output_of_an_earlier_version_is_reused(runs: Runs) -> None:
    runs()
    now = contents(runs.output)
    summary = json.loads(now["summary.json"])
    summary["options"]["asking"] = summary["options"].pop("model_options")  # its former name
    (runs.output / "summary.json").write_text(json.dumps(summary))
    assert runs() == 0
    assert contents(runs.output) == now


def test_a_summary_that_names_other_files_deletes_none(runs: Runs) -> None:
    runs()
    path = runs.output / "summary.json"
    summary = json.loads(path.read_text())
    summary["shards"].append({"name": "../images/a.png", "images": 1, "sha256": "0" * 64})
    path.write_text(json.dumps(summary))
    assert runs() == 0
    assert (runs.images / "a.png").exists()
    assert len(json.loads(path.read_text())["shards"]) == 1


def test_rows_of_a_killed_run_go_into_other_shards(runs: Runs) -> None:
    runs()
    rows = runs.rows()
    (runs.output / "predictions-00000-of-00001.jsonl").rename(runs.output / "part-0123.jsonl")
    (runs.output / "summary.json").unlink()
    assert runs("--num_shards=3") == 0
    assert runs.rows() == rows
    assert len(list(runs.output.iterdir())) == 4


def test_planning_again_copies_nothing(runs: Runs) -> None:
    """A worker's second attempt, after the first has copied the rows of the prediction file, which is replaced soon."""
    runs()
    request = check_request(_options(runs))
    listed = listing.list_source_files(request.sources)
    works = [find_pending_work(listed, str(runs.output), request.run_key) for _ in range(2)]
    assert works[0] == works[1] and (works[0].images, works[0].chunks) == (5, ())
    attempts = [list(keep_earlier_rows(str(runs.output), work.choice, 2)) for work in works]
    assert attempts[0] == attempts[1]
    assert sum(spans.counts.images for _, spans in attempts[0]) == 5
    assert len(list(runs.output.glob("part-*"))) == 1


def _options(runs: Runs) -> ScoreOptions:
    words = ["score", "--images", str(runs.images), "--model", str(runs.model), "--output", str(runs.output)]
    return score_options(make_score_parser().parse_args(words))


def test_one_run_at_a_time(runs: Runs, fail: Callable[..., str]) -> None:
    words = ["score", "--images", runs.images, "--model", runs.model, "--output", runs.output]
    runs.output.mkdir()
    with lock_folder(str(runs.output)):
        assert "another run is writing into" in fail(*words)
    assert not list(runs.output.iterdir())


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("score", ("--images", "images", "--model", "model", "--output", "out")),
        ("convert", ("out", "--formats=csv")),
        ("repeats", ("out",)),
        ("evaluate", ("out", "--annotations", "*.xml")),
    ],
)
def test_no_command_looks_at_rows_that_another_run_replaces(
    command: str, flags: Sequence[str], runs: Runs, fail: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs()
    monkeypatch.chdir(runs.output.parent)
    Path("model").symlink_to(runs.model)
    with lock_folder(str(runs.output)):
        before = contents(runs.output)
        assert "another run is writing into" in fail(command, *flags)
        assert contents(runs.output) == before


def test_the_lock_of_a_run_killed_after_its_summary_goes_with_the_next(runs: Runs) -> None:
    runs()
    whole = contents(runs.output)
    (runs.output / LOCK_FILE).touch()
    assert runs() == 0
    assert contents(runs.output) == whole


def test_files_of_operating_systems_do_not_make_the_folder_foreign(runs: Runs) -> None:
    runs()
    (runs.output / ".DS_Store").touch()
    assert runs() == 0
    assert (runs.output / ".DS_Store").exists()


def test_archives_in_a_folder_are_reported_unless_they_are_named(runs: Runs) -> None:
    """Otherwise their images would be missed silently."""
    for name in ("x.zip", "y.zip"):
        with zipfile.ZipFile(runs.images / name, "w") as target:
            target.writestr("a.png", b"")
    runs()
    message = f"archives inside folders (for example {runs.images}"
    assert f"Skipped 2 {message}/x.zip)" in runs.caplog.text
    assert runs("--images", str(runs.images), str(runs.images / "x.zip")) == 1
    assert f"Skipped 1 {message}/y.zip)" in runs.caplog.text


def test_a_refused_archive_leaves_no_folder_behind(runs: Runs, fail: Callable[..., str]) -> None:
    (runs.images / "x.zip").write_bytes(b"no archive")
    words = ["score", "--images", runs.images / "*", "--model", runs.model, "--output", runs.output / "of" / "today"]
    assert "x.zip is not a readable zip archive" in fail(*words)
    assert not runs.output.exists()


def test_what_could_not_be_read_is_tried_again(runs: Runs) -> None:
    (runs.images / "e.png").symlink_to("nowhere.png")
    assert runs() == 6
    assert runs.rows()["e.png"]["reason"] == "file_not_readable"
    assert runs() == 1


def test_nothing_new_needs_neither_tensorflow_nor_beam(runs: Runs) -> None:
    runs()
    words = ["score", "--images", str(runs.images), "--model", str(runs.model), "--output", str(runs.output)]
    code = (
        f"import sys; from inference.main import main; main({words!r})\n"
        "print(*{'tensorflow', 'apache_beam', 'google.cloud.storage'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_repeated_kills(model: Path, tmp_path: Path) -> None:
    """kill -9 after one more part file, twice; then undisturbed: the same bytes as without kills."""
    images = tmp_path / "images"
    images.mkdir()
    for number in range(300):
        (images / f"{number:04}.png").write_bytes(make_image(400, 300, {RED: (number % 300, 5, 350, 250)}))
    (images / "0000.png").write_bytes(b"")
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    saved = [_kill_after_a_part(images, model, killed) for _ in range(2)]
    assert 0 < saved[0] < saved[1] < 300
    for output in (killed, whole):
        assert main(["score", "--images", str(images), "--model", str(model), "--output", str(output)]) == 0
    name = "predictions-00000-of-00001.jsonl"
    assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert {path.name for path in killed.iterdir()} == {name, "summary.json"}


def _kill_after_a_part(images: Path, model: Path, output: Path) -> int:
    """Kills a run as soon as one more part is there; returns how many rows are saved by then."""
    before = len(list(output.glob("part-*.jsonl")))
    words = ["--images", str(images), "--model", str(model), "--output", str(output)]
    job = subprocess.Popen([sys.executable, "-m", "inference", "score", *words], cwd=ROOT, stderr=subprocess.DEVNULL)
    while len(list(output.glob("part-*.jsonl"))) == before:
        assert job.poll() is None, "it ended before it was killed: give it more images"
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    job.wait()
    assert not (output / "summary.json").exists()
    return sum(path.read_bytes().count(b"\n") for path in output.glob("part-*.jsonl"))
