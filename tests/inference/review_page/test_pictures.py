import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from inference.review_page.pictures import Pictures, locate_images
from retinanet_odm.errors import DataError, UsageError
from tests.inference.review_page.made import encoded


def _size(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    """A folder and an archive; one image is not in the rows."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "large.jpg").write_bytes(encoded("navy", (2000, 1000)))
    (folder / "turned.jpg").write_bytes(encoded("navy", (300, 400), orientation=6))
    (folder / "secret.jpg").write_bytes(encoded("red"))
    (folder / "broken.jpg").write_bytes(encoded("navy")[:200])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/one.png", encoded("navy", (500, 250), "PNG"))
        archive.writestr("../two.png", encoded("navy", kind="PNG"))
    names = ["large.jpg", "turned.jpg", "broken.jpg", "missing.jpg"]
    members = ["a.zip/in/one.png", "a.zip/../two.png"]
    folders, archives = [str(folder)], [str(tmp_path / "a.zip")]
    return Pictures(locate_images([folders, archives, [str(tmp_path / "elsewhere")]], [*names, *members]))


SIZES = [
    ("large.jpg", "thumbnail", (240, 120), "a thumbnail"),
    ("large.jpg", "screen", (1600, 800), "for the screen"),
    ("large.jpg", "full", (2000, 1000), "all pixels"),
    ("turned.jpg", "full", (400, 300), "upright"),
    ("turned.jpg", "thumbnail", (240, 180), "upright and small"),
    ("a.zip/in/one.png", "full", (500, 250), "of an archive"),
    ("a.zip/in/one.png", "thumbnail", (240, 120), "a PNG becomes a JPEG"),
]


@pytest.mark.parametrize(("name", "size", "expected", "reason"), SIZES)
def test_sizes(pictures: Pictures, name: str, size: str, expected: tuple[int, int], reason: str) -> None:
    found = pictures.picture(name, size)
    assert _size(found.data) == expected, reason
    assert found.media_type == ("image/png" if name.endswith("png") and size == "full" else "image/jpeg")


NOT_SHOWN = [
    ("broken.jpg", "image_not_decodable", "a damaged image"),
    ("missing.jpg", "image_not_found", "of the rows, but not in the sources"),
    ("secret.jpg", "image_not_found", "in the sources, but not in the rows"),
    ("../images/large.jpg", "image_not_found", "a path to a listed image is no name"),
    ("/etc/passwd", "image_not_found", "a path"),
]


@pytest.mark.parametrize(("name", "why", "reason"), NOT_SHOWN)
def test_what_is_not_shown(pictures: Pictures, name: str, why: str, reason: str) -> None:
    with pytest.raises(DataError) as error:
        pictures.picture(name, "thumbnail")
    assert error.value.reason == why, reason


def test_a_link_in_place_of_an_image_shows_no_file_that_is_none(pictures: Pictures, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("password")
    listed = tmp_path / "images" / "large.jpg"
    listed.unlink()
    listed.symlink_to(secret)
    with pytest.raises(DataError):
        pictures.picture("large.jpg", "full")


def test_images_that_are_elsewhere_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no file or folder .*/gone.*: say by --images where the images are now"):
        locate_images([[str(tmp_path / "gone")]], ["a.jpg"])
    (tmp_path / "b.jpg").write_bytes(encoded("navy"))
    with pytest.raises(UsageError, match=r"a.jpg is not in .*: say by --images where"):
        locate_images([[str(tmp_path)]], ["a.jpg"])
