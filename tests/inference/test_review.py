"""The command: what ends it before a page is served. The page itself is tested in tests/inference/review_page."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.main import main
from inference.review_page import server
from inference.review_page.decisions import Decision
from tests.inference.outputs import contents
from tests.inference.review_page.made import write_run

Fail = Callable[..., str]


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run; the packages of the extra count as installed, and nothing is served."""
    monkeypatch.setattr("inference.review.check_extras", lambda *_, **__: None)
    monkeypatch.setattr(server, "serve", lambda make_app, **more: None)  # noqa: ARG005
    return write_run(tmp_path)


def _decide(output: Path, image: str = "a.jpg") -> None:
    line = Decision(image=image, row=None, action="done", done=True, objects=(), time="").to_line()
    with (output / "review.jsonl").open("ab") as file:
        file.write(line)


def test_a_review_begins_and_ends_with_its_progress(output: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    _decide(output)
    before = contents(output)
    assert main(["review", str(output), "--no_browser"]) == 0
    assert "review: 1 of 4 images reviewed, in" in caplog.text
    assert contents(output) == before, "the folder is as before"
    (output / "review.jsonl").unlink()
    assert main(["review", str(output)]) == 0
    assert not (output / "review.jsonl").exists(), "nothing was decided"


def test_files_are_written_without_a_page(output: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level("INFO")
    _decide(output)
    assert main(["review", str(output), "--export=cvat,voc"]) == 0
    assert "review: " + str(output / "review_voc.zip") in caplog.text
    names = {entry["name"] for entry in json.loads((output / "summary.json").read_text())["exports"]}
    assert names == {"review_cvat.xml", "review_voc.zip"}
    elsewhere = tmp_path / "mine" / "decisions.jsonl"
    elsewhere.parent.mkdir()
    (output / "review.jsonl").rename(elsewhere)
    assert main(["review", str(output), "--export=cvat", "--decisions", str(elsewhere)]) == 0


def test_what_ends_it_in_one_line(output: Path, fail: Fail, tmp_path: Path) -> None:
    assert "has no summary.json: it is not the output of a finished run" in fail("review", tmp_path)
    assert "--audited:" in fail("review", output, "--audited")
    assert "no image's name begins with dive 9/" in fail("review", output, "--below=dive 9")
    assert "unknown format 'coco'" in fail("review", output, "--export=coco")
    assert "--port: expected 0 to 65535, found 99999" in fail("review", output, "--port=99999")
    assert "--decisions: expected a file of this machine" in fail("review", "gs://bucket/OUT")
    assert "no image is reviewed yet" in fail("review", output, "--export=voc")
    (tmp_path / "images").rename(tmp_path / "moved")
    assert "say by --images where the images are now" in fail("review", output)
    assert main(["review", str(output), "--images", str(tmp_path / "moved")]) == 0
    (output / "review.jsonl").write_text("no decision\n")
    assert "review.jsonl, line 1: expected a decision of a review" in fail("review", output)


def test_without_the_extra(tmp_path: Path, fail: Fail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else object())
    said = fail("review", write_run(tmp_path))
    assert "review: needs uvicorn, which is not installed: pip install '.[review]'" in said
