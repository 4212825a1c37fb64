"""A bad request ends with exit status 2 and one line that names the error, and writes nothing."""

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.main import main
from tests.inference.fake_model import make_image, write_manifest, write_model

Fail = Callable[..., str]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "images" / "a.png"
    path.parent.mkdir()
    path.write_bytes(make_image(8, 8))
    return path


@pytest.fixture
def bad_zip(tmp_path: Path) -> Path:
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("a.png", make_image(8, 8))
    path.write_bytes(path.read_bytes()[:-10])  # the end of the directory is cut off
    return path


@pytest.mark.parametrize(
    ("images", "message"),
    [
        pytest.param("nowhere", "no file or folder {tmp}/nowhere", id="missing folder"),
        pytest.param("images/*.bmp", "found none in {tmp}/images/*.bmp", id="empty glob"),
        pytest.param("empty", "found none in {tmp}/empty", id="folder without images"),
        pytest.param("bad.zip", "{tmp}/bad.zip is not a readable zip archive", id="broken zip"),
        pytest.param("b*.zip", "{tmp}/bad.zip is not a readable zip archive", id="broken zip in a glob"),
        pytest.param("bad.tar", "{tmp}/bad.tar is not a readable tar archive", id="broken tar"),
    ],
)
@pytest.mark.usefixtures("image", "bad_zip")
def test_bad_images(images: str, message: str, fail: Fail, model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.tar").write_bytes(b"no tar")
    out = tmp_path / "out"
    line = fail("score", "--images", tmp_path / images, "--model", model, "--output", out)
    assert message.format(tmp=tmp_path) in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--min_score=1.5", "--min_score: expected a score from 0 to 1, found 1.5"),
        ("--min_score=nan", "--min_score: expected a score from 0 to 1, found nan"),
        ("--min_score=good", "argument --min_score: expected a score or 'best', found 'good'"),
        ("--min_score=best", "--min_score=best: the model has no thresholds per class"),
        ("--threshold=best", "--threshold is now --min_score; rows always hold all detections"),
        ("--batch_size=0", "--batch_size: expected 1 or more, found 0"),
        ("--batch_size=many", "argument --batch_size: invalid int value: 'many'"),
        ("--batch_megabytes=0", "--batch_megabytes: expected 1 or more, found 0"),
        ("--tile=8", "--tile: expected 32 pixels or more, found 8"),
        ("--tile_overlap=0.3", "--tile_overlap and --tile_merge have no effect without --tile"),
        ("--num_shards=0", "--num_shards: expected 1 to 99999, found 0"),
        ("--formats=jpg", "--formats: unknown format 'jpg'"),
        ("--classes=crab", "--classes and --below have no effect without --formats"),
        ("--images=", "--images: expected a folder, file or glob, found an empty name"),
        ("--below=a.zip", "--below is no flag of score, but of convert"),
        ("--min_scor=0.5", "unknown flag --min_scor; did you mean --min_score?"),
        ("--direct_num_worker=2", "unknown flag --direct_num_worker; did you mean --direct_num_workers?"),
        ("stray", "no file or folder stray"),  # a word after --images is one more source
    ],
)
def test_bad_flags(flag: str, message: str, fail: Fail, image: Path, model: Path, tmp_path: Path) -> None:
    words = ("--model", model, "--output", tmp_path / "out", "--images", image)
    assert message in fail("score", *words, flag)
    assert not (tmp_path / "out").exists()


def _without_manifest(folder: Path) -> None:
    (folder / "model.json").unlink()


def _other_schema(folder: Path) -> None:
    value = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**value, "schema_version": 99}))


def _not_json(folder: Path) -> None:
    (folder / "model.json").write_text("{")


def _without_file(folder: Path) -> None:
    next(folder.glob("variables/*.index")).unlink()


def _half_copied(folder: Path) -> None:
    path = folder / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:-1])


def _without_saved_model(folder: Path) -> None:
    (folder / "saved_model.pb").unlink()
    write_manifest(folder)


def _within_another(folder: Path) -> None:
    inner = folder / "export"
    inner.mkdir()
    (folder / "model.json").rename(inner / "model.json")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "there is no folder {model}"),
        (_without_manifest, "{model} has no model.json"),
        (_other_schema, "schema version 1 expected, found 99"),
        (_not_json, "{model}/model.json: not JSON"),
        (_without_file, "variables.index is missing, though model.json lists it"),
        (_half_copied, "{model}/saved_model.pb differs from the exported file"),
        (_without_saved_model, "lists no saved_model.pb"),
        (_within_another, "did you mean {model}/export?"),
    ],
)
@pytest.mark.parametrize("command", ["score", "detect"])
def test_bad_model(
    command: str,
    damage: Callable[[Path], None],
    message: str,
    fail: Fail,
    image: Path,
    model: Path,
    tmp_path: Path,
) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "model"))
    damage(copy)
    out = tmp_path / "out"
    rest = ("--images", image, "--output", out) if command == "score" else (image, "--draw", out)
    assert message.format(model=copy) in fail(command, *rest, "--model", copy)
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("thesis.txt", "", id="another file"),
        pytest.param("deep/er/thesis.txt", "", id="another file, deeper"),
        pytest.param("deep/summary.json", "{}", id="our name, but not where we write"),
        pytest.param("summary.json", '{"by": "another program"}', id="our name, other content"),
        pytest.param("summary.json", "[", id="our name, no JSON"),
    ],
)
def test_output_in_use_is_refused_and_not_touched(
    name: str, content: str, fail: Fail, image: Path, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert name in fail("score", "--images", image, "--model", model, "--output", tmp_path / "out")
    assert [found.read_text() for found in (tmp_path / "out").rglob("*") if found.is_file()] == [content]


def test_a_run_that_breaks_leaves_no_summary(
    image: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    words = ["score", "--images", str(image), "--model", str(model), "--output", str(out)]
    assert main(words) == 0
    assert (out / "summary.json").exists()

    def disk_full(*_: object) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr("inference.rows.part_files.write_predictions_shard", disk_full)
    with pytest.raises(RuntimeError, match="disk full"):
        main([*words, "--tile=64", "--replace"])
    assert not (out / "summary.json").exists()


def test_a_model_that_fails_on_everything_ends_the_run_with_one_line(fail: Fail, image: Path, tmp_path: Path) -> None:
    """Instead of a failed row for each of a hundred thousand images."""
    broken, out = tmp_path / "broken", tmp_path / "out"
    write_model(broken, broken=True)
    message = f"--model: {broken} fails on every image, and on a plain grey image too: InvalidArgument"
    assert f"{message}Error: assertion failed: [this model is broken]" in fail("detect", image, "--model", broken)
    assert message in fail("score", "--images", image, "--model", broken, "--output", out)
    assert not out.exists()


def test_output_that_is_a_file(fail: Fail, image: Path, model: Path) -> None:
    assert "is a file" in fail("score", "--images", image, "--model", model, "--output", image)


@pytest.mark.parametrize("words", [[], ["score"], ["repeats"], ["detect"]])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*words, "--help"])
    assert "usage: python -m inference" in capsys.readouterr().out


def test_launcher_needs_no_tensorflow() -> None:
    code = (
        "import sys, inference.main, inference.score, inference.detect\n"
        "heavy = {'tensorflow', 'keras', 'trainer', 'beam_jobs'} & set(sys.modules)\n"
        "print(*heavy, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")
