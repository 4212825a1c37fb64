"""The images of a run are found again for its report, in all kinds of sources."""

import base64
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import html
from PIL import Image

from inference.main import main
from inference.rows.page_images import find_images
from retinanet_odm.errors import UsageError
from tests.inference.fake_model import make_image
from tests.inference.outputs import contents, write_output
from tests.retinanet_odm.prediction_rows import CRAB, PIG, scored

Fail = Callable[..., str]
NAMES = [f"dive/{number:02}.png" for number in range(40)]


def _folder(path: Path) -> str:
    for number, name in enumerate(NAMES):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(make_image(40, 30 + number))
    return str(path)


def _zip(path: Path) -> str:
    with zipfile.ZipFile(path / "a.zip", "w") as target:
        for number, name in enumerate(NAMES):
            target.writestr(name, make_image(40, 30 + number))
    return str(path / "a.zip")


def _tar(path: Path, name: str = "a.tar", mode: str = "w") -> str:
    with tarfile.open(path / name, mode) as target:  # type: ignore[call-overload]
        for number, member in enumerate(NAMES):
            info = tarfile.TarInfo(member)
            data = make_image(40, 30 + number)
            info.size = len(data)
            target.addfile(info, io.BytesIO(data))
    return str(path / name)


def _packed(path: Path) -> str:
    return _tar(path, "a.tgz", "w:gz")


def _height(data: bytes) -> int:
    with Image.open(io.BytesIO(data)) as image:
        return image.height


@pytest.mark.parametrize(
    ("make", "prefix"),
    [(_folder, ""), (_zip, "a.zip/"), (_tar, "a.tar/"), (_packed, "a.tgz/")],
    ids=["folder", "zip", "tar", "packed tar"],
)
def test_only_requested_images_are_read(make: Callable[[Path], str], prefix: str, tmp_path: Path) -> None:
    images = [make(tmp_path)]
    wanted = [prefix + NAMES[0], prefix + NAMES[39], prefix + "dive/gone.png"]
    found = {name: _height(data) for name, data in find_images(images, wanted)}
    assert found == {wanted[0]: 30, wanted[1]: 69}
    below = f"{prefix}dive"
    found = {name: _height(data) for name, data in find_images(images, ["07.png"], below=below)}
    assert found == {"07.png": 37}


def test_upright_and_readable_ones(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "sideways.jpg").write_bytes(make_image(32, 16, kind="JPEG", exif=exif))
    (tmp_path / "damaged.jpg").write_bytes(b"x")
    found = dict(find_images([str(tmp_path)], ["sideways.jpg", "damaged.jpg"]))
    assert {name: _height(data) for name, data in found.items()} == {"sideways.jpg": 32}


def test_nothing_wanted_reads_nothing(tmp_path: Path) -> None:
    assert list(find_images([str(tmp_path / "nowhere")], [])) == []


def test_none_of_them_is_an_error(tmp_path: Path) -> None:
    _folder(tmp_path)
    with pytest.raises(UsageError, match=r"b/00\.png is not in .*: give the same values as to score"):
        list(find_images([str(tmp_path)], ["b/00.png", "b/01.png"]))


def _shown(output: Path) -> list[int]:
    """Returns the heights of the images on the page."""
    sources = html.document_fromstring((output / "report.html").read_text()).xpath("//img/@src")
    return [_height(base64.b64decode(source.partition(",")[2])) for source in sources]


def test_convert_shows_the_images(tmp_path: Path) -> None:
    output = write_output(tmp_path / "out", [scored("dive/00.png", PIG), scored("dive/39.png", CRAB)])
    images = _folder(tmp_path / "images")
    words = ["convert", str(output), "--formats=report"]
    assert main(words) == 0
    assert _shown(output) == [], "no source of images is given"
    assert main([*words, "--images", images]) == 0
    assert sorted(_shown(output)) == [30, 30, 69, 69]
    exports = json.loads((output / "summary.json").read_text())["exports"]
    assert [entry["name"] for entry in exports] == ["report.html", "to_label.csv"]


def test_where_score_read_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    output = write_output(tmp_path / "out", [scored("dive/00.png", PIG)])
    path = output / "summary.json"
    images = tmp_path / "images"
    path.write_text(json.dumps({**json.loads(path.read_text()), "options": {"images": [str(images)]}}))
    words = ["convert", str(output), "--formats=report"]
    assert main(words) == 0
    assert f"The report shows no images: --images: there is no file or folder {images}" in caplog.text
    assert _shown(output) == []
    _folder(images)
    assert main(words) == 0
    assert _shown(output) == [30, 30]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--formats=csv", "--images", "nowhere"], "--images has no effect without any of --formats=report"),
        (["--formats=report", "--images", "nowhere"], "--images: there is no file or folder nowhere"),
        (["--formats=report", "--images", "here"], "is not in here: give the same values as to score"),
    ],
)
def test_images_that_were_named_but_do_not_exist(
    words: list[str], message: str, fail: Fail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = write_output(tmp_path / "out", [scored("elsewhere/00.png", PIG)])
    _folder(tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    before = contents(output)
    assert message in fail("convert", output, *words)
    assert contents(output) == before
