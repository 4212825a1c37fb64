"""Publications, from the command line: which files they need, and what each message names."""

import csv
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.main import main
from inference.rows.export_options import PUBLISHED_FILES
from retinanet_odm.predictions.rows import PredictionRow
from tests.inference.fake_model import BLUE, RED, make_image
from tests.inference.outputs import contents, write_output
from tests.retinanet_odm.prediction_rows import CRAB, PIG, scored

Fail = Callable[..., str]
NAMES = ("reef/20161110_142412.png", "reef/20161110_142413.png", "sand/20161111_100000.png")
ROWS: list[PredictionRow] = [scored(NAMES[0], PIG, CRAB), scored(NAMES[1]), scored(NAMES[2], CRAB)]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_image(40, 30, {(RED, BLUE)[number % 2]: (number, 2, 20, 16)}))
    return tmp_path / "images"


@pytest.fixture
def output(images: Path, tmp_path: Path) -> Path:
    return write_output(tmp_path / "out", ROWS, sources=[{"images": [str(images)], "passed_over": {}}])


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_hashes_are_those_of_the_files(output: Path, images: Path, tmp_path: Path) -> None:
    before = contents(images / "reef")
    assert main(["convert", str(output), "--formats=fathomnet"]) == 0
    lines = _table(output / "fathomnet.csv")
    assert [line["image"] for line in lines] == [NAMES[0], NAMES[0], NAMES[2]]
    digests = {name: hashlib.sha256((images / name).read_bytes()).hexdigest() for name in NAMES}
    assert [line["image_sha256"] for line in lines] == [digests[line["image"]] for line in lines]
    assert contents(images / "reef") == before
    written = (output / "fathomnet.csv").read_bytes()

    # The same bytes from where the images are now, also from an archive.
    shutil.make_archive(str(tmp_path / "moved"), "zip", images)
    shutil.rmtree(images)
    assert (
        main(
            [
                "convert",
                str(output),
                "--formats=fathomnet",
                "--below=reef",
                "--replace",
                "--images",
                str(tmp_path / "moved.zip"),
            ]
        )
        == 2
    )
    renamed = [PredictionRow(**{**vars(row), "image": f"moved.zip/{row.image}"}) for row in ROWS]
    moved = write_output(tmp_path / "out2", renamed)
    assert (
        main(
            ["convert", str(moved), "--formats=fathomnet", "--below=moved.zip", "--images", str(tmp_path / "moved.zip")]
        )
        == 0
    )
    assert (moved / "fathomnet.csv").read_bytes() == written


def test_the_audit_of_the_run(images: Path, tmp_path: Path) -> None:
    names = [f"reef/{second}.png" for second in range(12)] + ["sand/1.png"]
    for name in names:
        shutil.copy(images / NAMES[0], images / name)
    rows = [scored(name, CRAB) for name in sorted(names)]
    output = write_output(tmp_path / "out", rows, sources=[{"images": [str(images)], "passed_over": {}}])
    assert main(["audit", str(output), "--size=10"]) == 0
    sampled = {line["image"] for line in _table(output / "audit.csv") if line["audited"] == "1"}
    assert 0 < len(sampled) < len(names)
    for folder in ("", "reef"):
        assert main(["convert", str(output), "--formats=fathomnet", f"--below={folder}", "--replace"]) == 0
        found = {line["image"]: line["audit"] for line in _table(output / "fathomnet.csv")}
        prefix = f"{folder}/" if folder else ""
        assert found == {name: "sampled" if prefix + name in sampled else "not sampled" for name in found}


def test_crops_of_images_in_an_archive(images: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "a"), "zip", images)
    rows = [PredictionRow(**{**vars(row), "image": f"a.zip/{row.image}"}) for row in ROWS]
    output = write_output(tmp_path / "out", rows, sources=[{"images": [str(tmp_path / "a.zip")], "passed_over": {}}])
    assert main(["convert", str(output), "--formats=crops", "--classes", "sea pig"]) == 0
    with zipfile.ZipFile(output / "crops.zip") as archive:
        assert archive.namelist() == [f"sea pig/a.zip/{NAMES[0][:-4]}_1.png", "index.csv"]


def test_missing_images_and_files(output: Path, images: Path, fail: Fail, tmp_path: Path) -> None:
    (images / NAMES[2]).unlink()
    before = contents(output)
    assert f"--formats=fathomnet: {NAMES[2]} was not found: say by --images" in fail(
        "convert", output, "--formats=fathomnet"
    )
    words = ("convert", output, "--formats=csv,fathomnet", "--deployments", tmp_path / "none.csv")
    assert "--deployments: " in fail(*words)
    assert contents(output) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--formats=csv", "--deployments=d.csv"],
            f"--deployments has no effect without any of --formats={', '.join(PUBLISHED_FILES)}",
        ),
        (["--formats=csv", "--publication=p.json"], "--publication has no effect without any of --formats="),
        (
            ["--formats=csv", "--images=x"],
            f"--images has no effect without any of --formats=report, {', '.join(PUBLISHED_FILES)}",
        ),
    ],
)
def test_flags_without_effect(words: list[str], message: str, output: Path, fail: Fail) -> None:
    assert message in fail("convert", output, *words)


@pytest.mark.parametrize("name", PUBLISHED_FILES)
def test_score_names_the_command(name: str, fail: Fail, tmp_path: Path) -> None:
    words = ("--images", tmp_path, "--model", tmp_path, "--output", tmp_path / "new", f"--formats={name}")
    assert f"{name} is written from a finished run: `python -m inference convert " in fail("score", *words)
    assert not (tmp_path / "new").exists()


def test_summary_lists_what_was_given(output: Path, tmp_path: Path) -> None:
    table = tmp_path / "d.csv"
    table.write_text("deploymentID,latitude\nreef,1\nsand,2\n")
    assert main(["convert", str(output), "--formats=fathomnet", "--deployments", str(table)]) == 0
    (entry,) = json.loads((output / "summary.json").read_text())["exports"]
    assert entry["options"]["deployments"] == str(table)
    assert [line["latitude"] for line in _table(output / "fathomnet.csv")] == ["1", "1", "2"]
