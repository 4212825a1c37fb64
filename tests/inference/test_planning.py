"""Nothing of an earlier run disappears: refusals that name what would go, --replace, --add, files changed by hand."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.main import main
from inference.options import make_score_parser, score_options
from inference.planning import describe_other_settings
from inference.rows.journal import EarlierRun, set_summary_aside
from inference.rows.output_folder import JOURNAL_FILE
from inference.score import check_request
from tests.inference.fake_model import BLUE, RED, make_image, read_rows
from tests.inference.outputs import contents

Fail = Callable[..., str]
ROWS = "predictions-00000-of-00001.jsonl"


def _archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for number, name in enumerate(names):
            target.writestr(name, make_image(20 + number, 10, {RED: (1, 2, 3, 4), BLUE: (5, 5, 7, 7)}))
    return path


@pytest.fixture(scope="module")
def scored(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with archives, and OUT, where a.zip was scored."""
    folder = tmp_path_factory.mktemp("scored")
    _archive(folder / "a.zip", "1.png", "2.png")
    _archive(folder / "b.zip", "1.png", "3.png", "4.png")
    (folder / "again").mkdir()
    _archive(folder / "again" / "a.zip", "2.png", "1.png", "5.png")  # other images of the same names
    words = ["--images", str(folder / "a.zip"), "--model", str(model), "--output", str(folder / "OUT")]
    assert main(["score", *words, "--formats=counts,cvat"]) == 0
    return folder


@pytest.fixture
def out(scored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scored / "OUT", tmp_path / "OUT"))


def _words(scored: Path, model: Path, out: Path, images: str, *flags: str) -> list[str]:
    return ["score", "--images", str(scored / images), "--model", str(model), "--output", str(out), *flags]


def _nothing(out: Path) -> None:
    """Leaves the output as it is."""


def _edit_cvat(out: Path) -> None:
    path = out / "cvat.xml"
    path.write_text(path.read_text().replace("crab", "king crab"))


def _edit_rows(out: Path) -> None:
    path = out / ROWS
    path.write_text(path.read_text().replace("crab", "king crab"))


def _edit_while_unfinished(out: Path) -> None:
    """A person edits a file in the output of a run that was killed."""
    (out / JOURNAL_FILE).write_text(json.dumps({"summary": json.loads((out / "summary.json").read_text())}))
    (out / "summary.json").unlink()
    _edit_cvat(out)


def _forget_files(out: Path) -> None:
    """The summary of an earlier version of this program, which does not list them."""
    summary = json.loads((out / "summary.json").read_text())
    (out / "summary.json").write_text(json.dumps({**summary, "exports": []}))


REFUSED = [
    ("b.zip", (), _nothing, "holds 2 rows of images that are not in --images", "another archive"),
    ("b.zip", (), _nothing, "(first: a.zip/1.png), counts.csv and cvat.xml, which this would", "what would go"),
    ("b.zip", (), _nothing, "keep its rows with --add, permit it with --replace", "what can be done"),
    ("again/a.zip", (), _nothing, "holds 2 rows of images that are not in --images or have changed", "same names"),
    ("again/a.zip", ("--add",), _nothing, "rows of images that are not in --images or have changed", "same names"),
    ("a.zip", ("--tile=64",), _nothing, "2 rows of other tiles (first: a.zip/1.png)", "tiles"),
    ("b.zip", ("--tile=64", "--add"), _nothing, "--add: the rows in", "tiles and none are never in one folder"),
    ("a.zip", ("--formats=cvat", "--min_score=0.5"), _nothing, "holds cvat.xml, which", "other settings of a file"),
    ("a.zip", ("--formats=cvat",), _edit_cvat, "cvat.xml in", "the same file, which was changed by hand"),
    ("b.zip", ("--replace",), _edit_cvat, "changed after this program wrote it", "--replace spares it too"),
    ("b.zip", ("--add",), _edit_cvat, "move it out of this folder", "it would be written over all rows"),
    ("b.zip", ("--replace",), _edit_while_unfinished, "cvat.xml in", "known though the summary is set aside"),
    ("a.zip", (), _edit_rows, f"{ROWS} in", "rows changed by hand"),
    ("a.zip", ("--replace",), _edit_rows, "the images are then scored again", "rows changed by hand"),
    ("a.zip", ("--formats=cvat",), _forget_files, "cvat.xml (not listed in summary.json)", "nobody knows its digest"),
]


@pytest.mark.parametrize(("images", "flags", "change", "words", "reason"), REFUSED)
def test_refused_and_nothing_changed(
    images: str,
    flags: tuple[str, ...],
    change: Callable[[Path], None],
    words: str,
    reason: str,
    scored: Path,
    model: Path,
    out: Path,
    fail: Fail,
) -> None:
    change(out)
    before = contents(out)
    assert words in fail(*_words(scored, model, out, images, *flags)), reason
    assert contents(out) == before, reason


UNCHANGED = [
    ((), _nothing, "the same request, without its formats: they stay"),
    (("--formats=counts,cvat",), _nothing, "the same request"),
    ((), _edit_cvat, "what is not written need not be unchanged"),
    ((), _forget_files, "nor known"),
]


@pytest.mark.parametrize(("flags", "change", "reason"), UNCHANGED)
def test_files_that_stay(
    flags: tuple[str, ...], change: Callable[[Path], None], reason: str, scored: Path, model: Path, out: Path
) -> None:
    change(out)
    before = contents(out)
    assert main(_words(scored, model, out, "a.zip", *flags)) == 0
    after = contents(out)
    assert {**after, "summary.json": b""} == {**before, "summary.json": b""}, reason


def test_replace_leaves_what_a_first_run_would(scored: Path, model: Path, out: Path, tmp_path: Path) -> None:
    assert main(_words(scored, model, out, "b.zip", "--formats=counts", "--replace")) == 0
    assert main(_words(scored, model, tmp_path / "first", "b.zip", "--formats=counts")) == 0
    again, first = contents(out), contents(tmp_path / "first")
    assert again.keys() == first.keys() == {ROWS, "counts.csv", "summary.json"}
    assert (again[ROWS], again["counts.csv"]) == (first[ROWS], first["counts.csv"])


def test_a_second_archive_is_added(scored: Path, model: Path, out: Path, tmp_path: Path) -> None:
    rows = read_rows(out)
    assert main(_words(scored, model, out, "b.zip", "--add", "--formats=counts,viame")) == 0
    added = read_rows(out)
    assert {name: added[name] for name in rows} == rows
    assert added.keys() - rows.keys() == {"b.zip/1.png", "b.zip/3.png", "b.zip/4.png"}
    # The files that were asked for, and the one of the first run, are those of one run over both archives.
    both = ["--images", *(str(scored / name) for name in ("a.zip", "b.zip")), "--model", str(model)]
    assert main(["score", *both, "--output", str(tmp_path / "both"), "--formats=counts,viame,cvat"]) == 0
    found, expected = contents(out), contents(tmp_path / "both")
    assert found.keys() == expected.keys()
    for name in ("counts.csv", "viame.csv", "cvat.xml"):
        assert found[name] == expected[name], name
    # A second time: nothing new. The first archive alone is a smaller request, unless it is added too.
    for images in ("b.zip", "a.zip"):
        assert main(_words(scored, model, out, images, "--add")) == 0
        assert {**contents(out), "summary.json": b""} == {**found, "summary.json": b""}
    summary = json.loads((out / "summary.json").read_text())
    assert [source["images"] for source in summary["sources"]] == [[str(scored / "b.zip")], [str(scored / "a.zip")]]


def test_the_report_shows_images_of_every_source(scored: Path, model: Path, out: Path) -> None:
    assert main(_words(scored, model, out, "b.zip", "--add", "--formats=report")) == 0
    page = (out / "report.html").read_text()
    assert page.count("data:image") >= 2
    for name in ("a.zip/2.png", "b.zip/4.png"):
        assert name in page


def test_rows_of_a_run_that_has_not_finished_are_not_added_to(scored: Path, model: Path, out: Path, fail: Fail) -> None:
    (out / ROWS).rename(out / "part-0123.jsonl")
    for name in ("summary.json", "counts.csv", "cvat.xml"):
        (out / name).unlink()
    assert "has not finished: run its command again first" in fail(*_words(scored, model, out, "b.zip", "--add"))
    assert main(_words(scored, model, out, "a.zip", "--add")) == 0, "its own command, with --add from the beginning"


def test_an_interrupted_addition_continues_by_the_same_command(scored: Path, model: Path, out: Path) -> None:
    words = _words(scored, model, out, "b.zip", "--add")
    assert main(words) == 0
    whole = contents(out)
    # As a kill leaves it: one row of the addition is missing, the files are half written again, no summary.
    adding = json.loads(whole["summary.json"])
    lines = whole[ROWS].splitlines(keepends=True)
    (out / ROWS).unlink()
    (out / "part-0123.jsonl").write_bytes(b"".join(lines[:-1]))
    written = {entry["name"]: [entry["sha256"]] for entry in adding["exports"]}
    run_key = _run_key(words)
    journal = {"summary": adding, "written": written, "adding": [run_key, str(scored / "b.zip")]}
    (out / JOURNAL_FILE).write_text(json.dumps(journal))
    (out / "summary.json").unlink()
    assert main(words) == 0
    assert contents(out) == whole


def test_what_a_run_leaves_that_was_killed_after_its_summary_goes(scored: Path, model: Path, out: Path) -> None:
    words = _words(scored, model, out, "a.zip", "--formats=counts,cvat")
    assert main(words) == 0
    before = contents(out)
    written = {entry["name"]: [entry["sha256"], "0"] for entry in json.loads(before["summary.json"])["exports"]}
    (out / JOURNAL_FILE).write_text(json.dumps({"written": written}))
    assert main(words) == 0
    assert contents(out) == before
    # As of a killed `convert`: only unfinished.json knows the file, so it stays, and the file is not a person's.
    (out / "cvat.xml").write_text("<annotations/>")
    digest = hashlib.sha256(b"<annotations/>").hexdigest()
    (out / JOURNAL_FILE).write_text(json.dumps({"written": {"cvat.xml": [digest]}}))
    assert main(_words(scored, model, out, "a.zip", "--formats=counts")) == 0
    assert (out / JOURNAL_FILE).exists()
    assert main(words) == 0
    assert contents(out) == before


def _run_key(words: list[str]) -> str:
    return check_request(score_options(make_score_parser().parse_args(words))).run_key


CONVERTED = [
    (("--formats=cvat",), _edit_cvat, "cvat.xml in", "a file that was changed by hand"),
    (("--formats=cvat", "--replace"), _edit_cvat, "was changed after this program wrote it", "--replace spares it too"),
    (("--formats=cvat", "--min_score=0.5"), _nothing, "holds cvat.xml, which", "other settings"),
    (("--formats=cvat",), _forget_files, "not listed in summary.json", "nobody knows its digest"),
]


@pytest.mark.parametrize(("flags", "change", "words", "reason"), CONVERTED)
def test_convert_refuses(
    flags: tuple[str, ...], change: Callable[[Path], None], words: str, reason: str, out: Path, fail: Fail
) -> None:
    change(out)
    before = contents(out)
    assert words in fail("convert", out, *flags), reason
    assert contents(out) == before, reason


def test_convert_writes_the_same_again_and_something_else_if_it_may(out: Path) -> None:
    before = contents(out)
    assert main(["convert", str(out), "--formats=cvat,counts"]) == 0
    assert contents(out) == before
    assert main(["convert", str(out), "--formats=cvat", "--min_score=0.95", "--replace"]) == 0
    assert contents(out)["cvat.xml"] != before["cvat.xml"]


def test_repeats_and_evaluations_are_of_the_rows_so_far(scored: Path, model: Path, out: Path, fail: Fail) -> None:
    annotations = scored / "truth.xml"
    annotations.write_text(
        '<annotations><image id="0" name="a.zip/1.png" width="20" height="10">'
        '<box label="crab" xtl="1" ytl="2" xbr="3" ybr="4" occluded="0"/></image></annotations>'
    )
    assert main(["repeats", str(out)]) == 0
    assert main(["evaluate", str(out), "--annotations", str(annotations)]) == 0
    names = ["evaluation.html", "evaluation.json", "repeats.csv", "repeats.jsonl"]
    listed = {entry["name"] for entry in json.loads((out / "summary.json").read_text())["exports"]}
    assert listed == {*names, "counts.csv", "cvat.xml"}
    assert "evaluation.html and evaluation.json" in fail(
        "evaluate", out, "--annotations", annotations, "--max_detections=7"
    )
    assert main(["evaluate", str(out), "--annotations", str(annotations)]) == 0, "the same once more"
    # Other formats leave them; new rows do not, unlike the files of --formats.
    assert main(["convert", str(out), "--formats=viame"]) == 0
    assert main(_words(scored, model, out, "a.zip", "--formats=csv")) == 0
    assert contents(out).keys() >= {*names, "detections.csv", "viame.csv", "cvat.xml"}
    line = fail(*_words(scored, model, out, "b.zip", "--add"))
    assert "evaluation.html, evaluation.json, repeats.csv and repeats.jsonl, which this would delete" in line
    assert main(_words(scored, model, out, "b.zip", "--add", "--replace")) == 0
    assert not set(names) & contents(out).keys()
    assert contents(out).keys() >= {"detections.csv", "viame.csv", "cvat.xml"}


def test_a_file_that_is_changed_while_the_images_are_scored_stays(
    scored: Path, model: Path, out: Path, fail: Fail, monkeypatch: pytest.MonkeyPatch
) -> None:
    def aside(output: str, earlier: EarlierRun, *, adding: tuple[str, ...]) -> None:
        set_summary_aside(output, earlier, adding=adding)
        _edit_cvat(out)

    monkeypatch.setattr("inference.score.set_summary_aside", aside)
    assert "cvat.xml in" in fail(*_words(scored, model, out, "b.zip", "--replace"))
    assert "king crab" in (out / "cvat.xml").read_text()


SETTINGS = {"model_hash": "m", "labels": {"1": "crab"}, "thresholds": {"score": 0.3, "nms_iou": 0.5}, "tiling": None}


@pytest.mark.parametrize(
    ("change", "words", "reason"),
    [
        ({}, "", "the same"),
        ({"model_hash": "n"}, "another model", "one setting"),
        ({"model_hash": "n", "tiling": {"side": 64}}, "another model and other tiles", "two of them"),
        ({"options": {"num_shards": 2}}, "", "no setting of the rows"),
        ({"thresholds": {"score": 0.3, "nms_iou": 0.5, "classes": {"crab": 0.6}}}, "", "what counts changes no row"),
        ({"thresholds": {"score": 0.4, "nms_iou": 0.5, "classes": {}}}, "another threshold", "rows that were cut"),
    ],
)
def test_other_settings(change: dict, words: str, reason: str) -> None:
    now = {**SETTINGS, "max_detections": 100, "code_version": "1"}
    assert describe_other_settings({**SETTINGS, **change}, now) == words, reason
    assert describe_other_settings({}, now) == "", "no earlier run"
