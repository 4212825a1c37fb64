"""The program that writes the sample data set."""

from pathlib import Path

import pytest

from retinanet_odm.samples.command import main

_SMALL = ["--images=1", "--archive_images=0"]


def test_it_writes_confirms_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sample"
    assert main([str(out), *_SMALL]) == 0
    assert capsys.readouterr().out == f"sample: 5 files in {out}\n"
    assert len(list((out / "images").iterdir())) == 1
    (image,) = (out / "images").iterdir()
    before, written = image.stat().st_mtime_ns, image.read_bytes()
    (out / "cvat" / "annotations.xml").write_text("corrupt")
    assert main([str(out), *_SMALL]) == 0
    assert image.stat().st_mtime_ns == before, "a file that is right is left alone"
    assert image.read_bytes() == written
    assert (out / "cvat" / "annotations.xml").read_bytes().startswith(b"<?xml")
    assert main([str(out), "--images=2"]) == 2
    assert "another sample" in capsys.readouterr().err


FAULTS = [
    (["{out}"], "no sample", "a folder that is no sample is left as it is"),
    (["{out}/mine.txt"], "expected a folder, found a file", "a file"),
    (["{out}/mine.txt/sample"], "Not a directory", "below a file"),
    (["{out}/new", "--images=0"], "expected images of 1 or more", "no image"),
    (["{out}/new", "--image=4"], "--image=4", "no such flag"),
]


@pytest.mark.parametrize(("argv", "message", "reason"), FAULTS)
def test_a_bad_request_is_one_line(
    argv: list[str], message: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main([word.format(out=tmp_path) for word in argv]) == 2, reason
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
