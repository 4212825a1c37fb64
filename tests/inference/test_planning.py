"""Nothing of an earlier run disappears: refusals that name what would go, --replace, files changed by hand."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.main import main
from inference.planning import describe_other_settings
from inference.rows.journal import EarlierRun, set_summary_aside
from inference.rows.output_folder import JOURNAL_FILE
from tests.inference.earlier_run import ROWS, leave_as_killed, score_words
from tests.inference.outputs import contents

Fail = Callable[..., str]


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


def _as_earlier_version(threshold: float, **beside: str) -> Callable[[Path], None]:
    """An entry of each file as versions before per-class thresholds wrote it."""

    def change(out: Path) -> None:
        summary = json.loads((out / "summary.json").read_text())
        kept = ("name", "format", "sha256", "classes")
        old = {"threshold": threshold, "below": "", **beside}
        exports = [{**{name: entry[name] for name in kept}, **old} for entry in summary["exports"]]
        (out / "summary.json").write_text(json.dumps({**summary, "exports": exports}))

    return change


UNFINISHED = "2 rows of a run that has not finished, with other images or settings (first: a.zip/1.png), which"
REFUSED = [
    ("a.zip", ("--tile=64",), leave_as_killed, UNFINISHED, "no summary says of which settings the rows are"),
    ("b.zip", (), leave_as_killed, "finish it by its own command, permit", "--add would be refused too"),
    ("a.zip", ("--formats=counts",), _as_earlier_version(0.9), "holds counts.csv, which", "another threshold"),
    ("a.zip", ("--formats=cvat",), _as_earlier_version(0.5, below="a"), "holds cvat.xml", "beside `options` once"),
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
    assert words in fail(*score_words(scored, model, out, images, *flags)), reason
    assert contents(out) == before, reason


UNCHANGED = [
    ((), _nothing, "the same request, without its formats: they stay"),
    (("--formats=counts,cvat",), _nothing, "the same request"),
    ((), _edit_cvat, "what is not written need not be unchanged"),
    ((), _forget_files, "nor known"),
    (("--formats=counts,cvat",), _as_earlier_version(0.5), "an earlier version recorded the same otherwise"),
]


@pytest.mark.parametrize(("flags", "change", "reason"), UNCHANGED)
def test_files_that_stay(
    flags: tuple[str, ...], change: Callable[[Path], None], reason: str, scored: Path, model: Path, out: Path
) -> None:
    change(out)
    before = contents(out)
    assert main(score_words(scored, model, out, "a.zip", *flags)) == 0
    after = contents(out)
    assert {**after, "summary.json": b""} == {**before, "summary.json": b""}, reason


def test_replace_leaves_what_a_first_run_would(scored: Path, model: Path, out: Path, tmp_path: Path) -> None:
    assert main(score_words(scored, model, out, "b.zip", "--formats=counts", "--replace")) == 0
    assert main(score_words(scored, model, tmp_path / "first", "b.zip", "--formats=counts")) == 0
    again, first = contents(out), contents(tmp_path / "first")
    assert again.keys() == first.keys() == {ROWS, "counts.csv", "summary.json"}
    assert (again[ROWS], again["counts.csv"]) == (first[ROWS], first["counts.csv"])


def test_what_a_run_leaves_that_was_killed_after_its_summary_goes(scored: Path, model: Path, out: Path) -> None:
    words = score_words(scored, model, out, "a.zip", "--formats=counts,cvat")
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
    assert main(score_words(scored, model, out, "a.zip", "--formats=counts")) == 0
    assert (out / JOURNAL_FILE).exists()
    assert main(words) == 0
    assert contents(out) == before


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
    assert main(score_words(scored, model, out, "a.zip", "--formats=csv")) == 0
    assert contents(out).keys() >= {*names, "detections.csv", "viame.csv", "cvat.xml"}
    line = fail(*score_words(scored, model, out, "b.zip", "--add"))
    assert "evaluation.html, evaluation.json, repeats.csv and repeats.jsonl, which this would delete" in line
    assert main(score_words(scored, model, out, "b.zip", "--add", "--replace")) == 0
    assert not set(names) & contents(out).keys()
    assert contents(out).keys() >= {"detections.csv", "viame.csv", "cvat.xml"}


def test_a_file_that_is_changed_while_the_images_are_scored_stays(
    scored: Path, model: Path, out: Path, fail: Fail, monkeypatch: pytest.MonkeyPatch
) -> None:
    def aside(output: str, earlier: EarlierRun, *, adding: tuple[str, ...]) -> None:
        set_summary_aside(output, earlier, adding=adding)
        _edit_cvat(out)

    monkeypatch.setattr("inference.score.set_summary_aside", aside)
    assert "cvat.xml in" in fail(*score_words(scored, model, out, "b.zip", "--replace"))
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
