"""Exports of the rows, written by score and by convert."""

import csv
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inference.main import main
from inference.rows.export_options import EXPORT_FILES, ExportOptions
from inference.rows.exports import choose_classes, run_of
from retinanet_odm.errors import UsageError
from retinanet_odm.predictions.formats import EXPORTERS
from retinanet_odm.predictions.rows import PredictionRow
from tests.inference.fake_model import BLUE, RED, make_image
from tests.inference.outputs import HEADER, contents, write_output
from tests.retinanet_odm.prediction_rows import PIG, ROWS, RUN, scored

Fail = Callable[..., str]
ALL = ",".join(EXPORT_FILES)
FILE_NAMES = {name for names in EXPORT_FILES.values() for name in names}


def _convert(output: Path, *words: str) -> None:
    assert main(["convert", str(output), *words]) == 0


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _exports(output: Path) -> dict[str, dict]:
    return {entry["name"]: entry for entry in json.loads((output / "summary.json").read_text())["exports"]}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "d").mkdir(parents=True)
    (folder / "d/a.png").write_bytes(make_image(40, 30, {RED: (5, 6, 20, 16), BLUE: (0, 0, 4, 4)}))
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "grey.png").write_bytes(make_image(40, 30))
    (folder / "caf\udce9.png").write_bytes(make_image(40, 30, {BLUE: (1, 2, 9, 8)}))  # a name that is no UTF-8
    return folder


def test_score_writes_what_convert_writes(
    images: Path, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["score", "--images", str(images), "--model", str(model), "--num_shards=2", "--min_score=0.3", "--output"]
    assert main([*words, str(tmp_path / "all"), f"--formats={ALL}"]) == 0
    assert str(tmp_path / "all/voc.zip") in caplog.text
    found = contents(tmp_path / "all")
    assert found.keys() - {name for name in found if name.startswith("predictions-")} == {*FILE_NAMES, "summary.json"}
    digests = {name: hashlib.sha256(found[name]).hexdigest() for name in FILE_NAMES}
    assert {name: entry["sha256"] for name, entry in _exports(tmp_path / "all").items()} == digests
    counted = [(row["image"], row["label"], row["count"]) for row in _table(tmp_path / "all/counts.csv")]
    assert counted == [
        ("caf\\udce9.png", "crab", "0"),
        ("caf\\udce9.png", "sea pig", "1"),
        ("d/a.png", "crab", "1"),
        ("d/a.png", "sea pig", "1"),
        ("empty.jpg", "crab", ""),
        ("empty.jpg", "sea pig", ""),
        ("grey.png", "crab", "0"),
        ("grey.png", "sea pig", "0"),
    ]

    assert main([*words, str(tmp_path / "rows")]) == 0
    _convert(tmp_path / "rows", f"--formats={ALL}")
    again = contents(tmp_path / "rows")
    assert {name: again[name] for name in FILE_NAMES} == {name: found[name] for name in FILE_NAMES}
    # A run that asks for none leaves those of an earlier run as they are.
    assert main([*words, str(tmp_path / "all")]) == 0
    assert {name: contents(tmp_path / "all")[name] for name in FILE_NAMES} == {name: found[name] for name in FILE_NAMES}
    assert _exports(tmp_path / "all").keys() == FILE_NAMES


def test_convert_adds_to_what_is_there(tmp_path: Path) -> None:
    output = write_output(tmp_path / "out", ROWS, exports=ExportOptions(formats=("csv", "viame")))
    before = contents(output)
    _convert(output, "--formats=counts, csv,counts", "--classes", "crab", "sea pig", "--min_score=0.6", "--replace")
    after = contents(output)
    assert {name for name in after if after[name] != before.get(name)} == {
        "detections.csv",
        "counts.csv",
        "summary.json",
    }
    entries = _exports(output)
    assert list(entries) == ["counts.csv", "detections.csv", "viame.csv"]
    assert entries["counts.csv"]["min_scores"] == {"crab": 0.6, "sea pig": 0.6}
    assert entries["viame.csv"]["min_scores"] == {"crab": 0.3, "sea pig": 0.4, 'Étoile "de", mer': 0.25}
    assert entries["viame.csv"]["classes"] == [*RUN.classes.values()]
    table = _table(output / "detections.csv")
    assert {row["label"] for row in table} == {"sea pig", ""}, "crabs have a score of 0.5; empty images stay"
    assert {row["image"] for row in table} == {row.image for row in ROWS}
    assert sum(int(row["count"] or 0) for row in _table(output / "counts.csv")) == 3
    summary = json.loads(after["summary.json"])
    assert summary == {**json.loads(before["summary.json"]), "exports": summary["exports"]}


def test_below_a_folder_names_begin_there(tmp_path: Path) -> None:
    rows = [scored("a.zip"), scored("a.zip/b/c.jpg", PIG), scored("a.zip/d.jpg"), scored("a.zipped/e.jpg")]
    output = write_output(tmp_path / "out", rows)
    _convert(output, "--formats=csv", "--below=a.zip/")
    assert [row["image"] for row in _table(output / "detections.csv")] == ["b/c.jpg", "d.jpg"]
    assert _exports(output)["detections.csv"]["options"]["below"] == "a.zip"


@pytest.mark.parametrize("rows", [[], [scored("a.jpg"), scored("b.jpg")]], ids=["no image", "no detection"])
def test_every_format_of_nothing(rows: list[PredictionRow], tmp_path: Path) -> None:
    output = write_output(tmp_path / "out", rows, exports=ExportOptions(formats=tuple(EXPORT_FILES)))
    assert contents(output).keys() >= FILE_NAMES
    assert json.loads((output / "coco_results.json").read_text()) == []
    assert len(_table(output / "detections.csv")) == len(rows)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["out", "--formats=csv,xml"], f"unknown format 'xml'; expected any of {ALL.replace(',', ', ')}"),
        (["out"], "--formats: expected one or more of csv, counts"),
        (["out", "--formats=csv", "--min_score=1.5"], "--min_score: expected a score from 0 to 1, found 1.5"),
        (["out", "--formats=csv", "--classes", "sea pg"], "has no class 'sea pg'; did you mean 'sea pig'?"),
        (["out", "--formats=csv", "--classes", "x"], "its classes are crab, sea pig"),
        (["out", "--formats=csv", "--below=emp"], "--below: no image's name begins with emp/"),
        (["nowhere", "--formats=csv"], "nowhere has no summary.json"),
        (["out", "--formats=csv", "--threshold=0.5"], "--threshold is now --min_score"),
    ],
)
def test_bad_requests(words: list[str], message: str, fail: Fail, tmp_path: Path) -> None:
    before = contents(write_output(tmp_path / "out", ROWS))
    folder, *flags = words
    assert message in fail("convert", tmp_path / folder, *flags)
    assert contents(tmp_path / "out") == before


def test_score_refuses_a_class_before_it_starts(fail: Fail, images: Path, model: Path, tmp_path: Path) -> None:
    words = ("--images", images, "--model", model, "--output", tmp_path / "out", "--formats=csv")
    assert "did you mean 'crab'?" in fail("score", *words, "--classes", "crap")
    assert not (tmp_path / "out").exists()


def _remove(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _edit(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"crab", b"carb"))


def _spoil(path: Path) -> None:
    path.write_bytes(b"{" + path.read_bytes())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_remove, "cannot be read"),
        (_cut, "is not the file that summary.json"),
        (_edit, "is not the file that summary.json"),
        (_spoil, "expected a row of predictions"),
    ],
)
def test_rows_that_are_not_those_of_the_summary(
    damage: Callable[[Path], None], message: str, fail: Fail, tmp_path: Path
) -> None:
    output = write_output(tmp_path / "out", ROWS, exports=ExportOptions(formats=("csv",)))
    damage(output / "predictions-00000-of-00001.jsonl")
    before = contents(output)
    assert message in fail("convert", output, "--formats=csv,counts")
    assert contents(output) == before, "a file appears when it is complete, or not at all"


def test_the_run_that_a_summary_describes() -> None:
    summary = {**HEADER, "detections": {"crab": 3}}
    assert run_of(summary, ExportOptions()) == RUN
    odd = {**HEADER, "detections": {"crab": 3, "id 3": 1}}
    assert run_of(odd, ExportOptions()).classes == {**RUN.classes, 3: "id 3"}, "an id that the label map leaves out"
    assert list(run_of(odd, ExportOptions()).classes) == [1, 2, 3, 4]
    assert run_of(odd, ExportOptions()).thresholds[3] == 0.4, "no evaluation knows it: the highest of all"


def test_choose_classes() -> None:
    assert choose_classes(RUN.classes, ["sea pig", "crab"]) == {1: "crab", 2: "sea pig"}
    with pytest.raises(UsageError, match="no class 'Crab'; did you mean 'crab'"):
        choose_classes(RUN.classes, ["Crab"])


# Without the report, which adds up all rows first.
BY_FILE = {name: exporter for exporters in EXPORTERS.values() for name, exporter in exporters.items()}
_IN_GROUPS = {"detections.parquet"}
_WITHOUT_ROWS = {"labelstudio.xml"}  # the classes alone


@pytest.mark.parametrize("name", sorted(BY_FILE.keys() - _IN_GROUPS - _WITHOUT_ROWS))
def test_rows_are_streamed(name: str) -> None:
    """Each row is taken when those before it have left."""
    taken = 0

    def rows() -> Iterator[PredictionRow]:
        nonlocal taken
        for taken in range(1, 101):
            yield scored(f"{taken:03}.jpg", PIG)

    for number, _ in enumerate(BY_FILE[name](rows(), RUN), start=1):
        assert taken <= number
    assert taken == 100


def test_convert_needs_no_tensorflow(tmp_path: Path) -> None:
    output = write_output(tmp_path / "out", ROWS)
    code = (
        "import sys; from inference.main import main\n"
        f"status = main(['convert', {str(output)!r}, '--formats={ALL}'])\n"
        "assert status == 0 and 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
