"""A few images, without Beam."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.detect import format_detections, free_copy_name, list_image_paths
from inference.main import main
from tests.inference.fake_model import BLUE, RED, make_image
from tests.retinanet_odm.prediction_rows import CRAB, failed, scored


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.png").write_bytes(make_image(300, 200, {RED: (50, 60, 150, 120), BLUE: (200, 80, 260, 180)}))
    (folder / "deep/b.tif").write_bytes(make_image(200, 100, kind="TIFF"))
    monkeypatch.chdir(folder)
    return folder


def test_table_and_drawn_copies(images: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in images.rglob("*.*")}
    words = ["a.png", "deep/b.tif", "a.png", "--model", str(model), "--min_score=0.3"]
    assert main(["detect", *words, "--draw", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "image       label          score  box: xmin ymin xmax ymax (pixels)",
        "a.png       crab           0.900     50.0    60.0   150.0   120.0",
        "a.png       sea pig        0.400    200.0    80.0   260.0   180.0",
        "deep/b.tif  no detections",
    ]
    assert {path: path.read_bytes() for path in images.rglob("*.*")} == before
    drawn = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert drawn == ["a.png", "deep/b.tif.png"]
    with Image.open(tmp_path / "out/a.png") as copy, Image.open(images / "a.png") as original:
        changed = np.argwhere((np.asarray(copy) != np.asarray(original.convert("RGB"))).any(-1))
    assert len(changed) > 100
    assert (changed.min(0) > 20).all(), "boxes lie well inside the image, and so does what was drawn"


def test_min_score(images: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(images / "a.png"), "--model", str(model), "--min_score=0.5"]) == 0
    assert "sea pig" not in capsys.readouterr().out


def test_unreadable_image_is_named_and_the_others_are_shown(
    images: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "c.jpg").write_bytes(b"not an image")
    assert main(["detect", "c.jpg", "a.png", "--model", str(model)]) == 2
    printed = capsys.readouterr()
    assert "crab" in printed.out
    assert "c.jpg" in printed.out
    assert printed.err.startswith("error: detect: c.jpg: not a readable image")


def test_every_row_of_the_table_is_one_line() -> None:
    text = format_detections([scored("a\nb.jpg", CRAB), failed("c\r\udce9.jpg")])
    assert [line.split()[0] for line in text.splitlines()] == ["image", r"a\x0ab.jpg", r"c\x0d\udce9.jpg"]


FOUND = [
    (["."], ["./a.png", "./deep/b.tif"], "a folder, and those below it"),
    (["deep/", "a.png"], ["deep/b.tif", "a.png"], "a folder and a file"),
    (["*.png", "a.png"], ["a.png"], "a pattern, as Windows passes it on; each image once"),
]


@pytest.mark.parametrize(("values", "names", "reason"), FOUND)
@pytest.mark.usefixtures("images")
def test_find_images(values: list[str], names: list[str], reason: str) -> None:
    Path("deep/b.xml").touch()
    assert list_image_paths(values) == names, reason


def test_bad_requests(images: Path, model: Path, fail: Callable[..., str]) -> None:
    link = images.parent / "link"
    link.symlink_to(images)
    assert "no image nowhere.jpg" in fail("detect", "nowhere.jpg", "--model", model)
    assert "named without a flag" in fail("detect", "--images", "a.png", "--model", model)
    assert "unknown flag --runner" in fail("detect", "a.png", "--model", model, "--runner=x")
    for folder in (images, ".", link, images.parent):
        assert "choose another folder" in fail("detect", "a.png", "--model", model, "--draw", folder)
    assert "is a file" in fail("detect", "a.png", "--model", model, "--draw", "deep/b.tif")
    assert sorted(path.name for path in images.iterdir()) == ["a.png", "deep"]


NAMES = [
    (["a.jpg", "A.JPG", "a.Jpg"], ["a.jpg", "A#2.JPG", "a#3.Jpg"], "one file where case is ignored"),
    (["A/b.jpg", "a/B.jpg"], ["A/b.jpg", "a/B#2.jpg"], "folders too"),
    (["a.tif", "a.jpg", "a.tif.jpg"], ["a.tif.jpg", "a.jpg", "a.tif#2.jpg"], "a copy that is named like an image"),
    (["cafe\u0301.jpg", "caf\u00e9.jpg"], ["cafe\u0301.jpg", "caf\u00e9#2.jpg"], "one file on macOS"),
]


@pytest.mark.parametrize(("names", "expected", "reason"), NAMES)
def test_no_copy_replaces_another(names: list[str], expected: list[str], reason: str) -> None:
    taken: set[str] = set()
    assert [free_copy_name(name, "jpeg", taken) for name in names] == expected, reason
