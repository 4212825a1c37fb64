"""Crops: the pixels of each box, and the line that says where they come from."""

import csv
import hashlib
import io
import zipfile

import pytest
from PIL import Image

from retinanet_odm.errors import UsageError
from retinanet_odm.predictions.formats import crops
from retinanet_odm.predictions.formats.crops import to_crops
from retinanet_odm.predictions.publication import Publication
from retinanet_odm.predictions.rows import Detection, PredictionRow
from tests.retinanet_odm.prediction_rows import CRAB, PIG, RUN, STAR, failed, scored

PIG_COLOUR = (200, 30, 30)


def _image(kind: str = "PNG", size: tuple[int, int] = (40, 30)) -> bytes:
    """An image whose pixels in PIG's box are red."""
    image, buffer = Image.new("RGB", size), io.BytesIO()
    image.paste(PIG_COLOUR, (5, 6, 21, 16))
    image.save(buffer, kind)
    return buffer.getvalue()


def _crops(rows: list[PredictionRow], files: dict[str, bytes]) -> tuple[dict[str, Image.Image], list[dict[str, str]]]:
    publication = Publication(files=lambda names: ((name, files[name]) for name in sorted(files) if name in names))
    with zipfile.ZipFile(io.BytesIO(b"".join(to_crops(rows, RUN, publication)))) as archive:
        index = list(csv.DictReader(io.StringIO(archive.read("index.csv").decode(), newline="")))
        members = [name for name in archive.namelist() if name != "index.csv"]
        return {name: Image.open(io.BytesIO(archive.read(name))) for name in members}, index


@pytest.mark.parametrize("at_a_time", [1, 1000])
def test_crops_and_their_lines(at_a_time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crops, "_ROWS_AT_A_TIME", at_a_time)
    rows = [scored("b/a.png", PIG, PIG, CRAB), scored("blank.png"), failed("broken.jpg"), scored("c.jpg", STAR)]
    files = {"b/a.png": _image(), "c.jpg": _image("JPEG")}
    made, index = _crops(rows, files)
    assert [line["crop"] for line in index] == [
        *("sea pig/b/a_1.png", "sea pig/b/a_2.png", "crab/b/a_3.png", "", ""),
        'Étoile "de", mer/c_1.jpg',
    ]
    assert {line["crop"] for line in index} - {""} == set(made)
    assert [line["status"] for line in index[3:]] == ["ok", "failed", "ok"]
    pig = made["sea pig/b/a_1.png"]
    assert (pig.size, pig.getcolors()) == ((16, 10), [(160, PIG_COLOUR)]), "exactly the pixels of the box"
    assert made["crab/b/a_3.png"].size == (40, 30)
    assert index[0]["image_sha256"] == hashlib.sha256(files["b/a.png"]).hexdigest()
    assert (index[0]["model_sha256"], index[0]["threshold"], index[0]["audit"]) == (RUN.model_hash, "0.4", "none")


def test_names_that_meet() -> None:
    rows = [scored("a.jpg", PIG), scored("a.png", PIG)]
    made, index = _crops(rows, {"a.jpg": _image(), "a.png": _image()})
    assert [line["crop"] for line in index] == ["sea pig/a_1.png", "sea pig/a.png_1.png"]
    assert len(made) == 2
    odd = Detection(label="../x", label_id=1, score=0.5, box=(0, 0, 4, 4))
    assert list(_crops([scored("../../a.png", odd)], {"../../a.png": _image()})[0]) == ["x/a_1.png"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "--formats=crops: a.png was not found: say by --images where the images are"),
        ({"a.png": b"no image"}, "--formats=crops: a.png"),
        ({"a.png": _image(size=(30, 40))}, "a.png has 30×40 pixels, but 40×30 when"),
    ],
    ids=["missing", "damaged since", "another image"],
)
def test_images_that_changed(files: dict[str, bytes], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        _crops([scored("a.png", PIG)], files)
    assert message in str(caught.value)


def test_the_same_rows_give_the_same_bytes() -> None:
    rows, files = [scored("a.png", PIG, CRAB)], {"a.png": _image()}
    publication = Publication(files=lambda names: ((name, files[name]) for name in names))
    assert b"".join(to_crops(rows, RUN, publication)) == b"".join(to_crops(rows, RUN, publication))
