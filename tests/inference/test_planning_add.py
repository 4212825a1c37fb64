"""--add: several archives, one after the other, in one folder."""

import json
from collections.abc import Callable
from pathlib import Path

from inference.main import main
from inference.options import make_score_parser, score_options
from inference.rows.output_folder import JOURNAL_FILE
from inference.score import check_request
from tests.inference.earlier_run import ROWS, leave_as_killed, score_words, write_archive
from tests.inference.fake_model import read_rows
from tests.inference.outputs import contents

Fail = Callable[..., str]


def test_a_second_archive_is_added(scored: Path, model: Path, out: Path, tmp_path: Path) -> None:
    rows = read_rows(out)
    assert main(score_words(scored, model, out, "b.zip", "--add", "--formats=counts,viame")) == 0
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
        assert main(score_words(scored, model, out, images, "--add")) == 0
        assert {**contents(out), "summary.json": b""} == {**found, "summary.json": b""}
    summary = json.loads((out / "summary.json").read_text())
    assert [source["images"] for source in summary["sources"]] == [[str(scored / "b.zip")], [str(scored / "a.zip")]]


def test_files_that_nobody_asked_for_keep_what_they_count(scored: Path, model: Path, out: Path, tmp_path: Path) -> None:
    assert main(["convert", str(out), "--formats=coco"]) == 0
    write_archive(scored / "c.zip", "7.png")
    # The second addition finds a summary with the thresholds of the first one.
    for images in ("b.zip", "c.zip"):
        assert main(score_words(scored, model, out, images, "--add", "--min_score=0.95", "--formats=viame")) == 0
    names = ("a.zip", "b.zip", "c.zip")
    words = [
        "--images",
        *(str(scored / name) for name in names),
        "--model",
        str(model),
        "--output",
        str(tmp_path / "3"),
    ]
    assert main(["score", *words, "--formats=counts,cvat,coco"]) == 0
    found, expected = contents(out), contents(tmp_path / "3")
    for name in ("counts.csv", "cvat.xml", "coco_results.json", "coco_images.json"):
        assert found[name] == expected[name], name
    listed = {entry["name"]: entry for entry in json.loads(found["summary.json"])["exports"]}
    assert set(listed["viame.csv"]["min_scores"].values()) == {0.95}
    assert set(listed["counts.csv"]["min_scores"].values()) == {0.5}


def test_the_report_shows_images_of_every_source(scored: Path, model: Path, out: Path) -> None:
    assert main(score_words(scored, model, out, "b.zip", "--add", "--formats=report")) == 0
    page = (out / "report.html").read_text()
    assert page.count("data:image") >= 2
    for name in ("a.zip/2.png", "b.zip/4.png"):
        assert name in page


def test_rows_of_a_run_that_has_not_finished_are_not_added_to(scored: Path, model: Path, out: Path, fail: Fail) -> None:
    leave_as_killed(out)
    assert "has not finished: run its command again first" in fail(*score_words(scored, model, out, "b.zip", "--add"))
    assert main(score_words(scored, model, out, "a.zip", "--add")) == 0, (
        "its own command, with --add from the beginning"
    )


def test_an_interrupted_addition_continues_by_the_same_command(scored: Path, model: Path, out: Path) -> None:
    words = score_words(scored, model, out, "b.zip", "--add")
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


def _run_key(words: list[str]) -> str:
    return check_request(score_options(make_score_parser().parse_args(words))).run_key
