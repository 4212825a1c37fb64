import io
import zipfile
from pathlib import Path

import pytest

from inference.main import main
from inference.review_page.decisions import Decision, ReviewedObject
from inference.review_page.reviewed_labels import reviewed_rows, write_labels
from retinanet_odm.annotations.cvat import read_cvat
from retinanet_odm.annotations.voc import parse_voc
from retinanet_odm.errors import UsageError
from tests.inference.outputs import contents
from tests.inference.review_page.made import ROWS, listed, write_run


def _object(label: str, verdict: str = "accepted") -> ReviewedObject:
    return ReviewedObject(label=label, box=(1, 2, 11, 12.5), verdict=verdict)


def _done(image: str, *objects: ReviewedObject, done: bool = True) -> Decision:
    return Decision(image=image, row=None, action="done", done=done, objects=objects, time="")


_STATES = {
    "a.jpg": _done("a.jpg", _object("crab"), _object("sea pig", "rejected")),
    "b.jpg": _done("b.jpg", _object("crab"), done=False),
    "broken.jpg": _done("broken.jpg"),
    "empty.jpg": _done("empty.jpg"),
    "of another run.jpg": _done("of another run.jpg"),
}


def test_only_what_is_done_and_accepted_is_written(tmp_path: Path) -> None:
    output = write_run(tmp_path)
    paths = write_labels(str(output), ("cvat", "voc"), listed(), _STATES)
    assert paths == [str(output / "review_cvat.xml"), str(output / "review_voc.zip")]
    images = list(read_cvat(io.BytesIO((output / "review_cvat.xml").read_bytes()), source="cvat"))
    boxes = {image.filename: [(item.label, item.box) for item in image.objects] for image in images}
    assert boxes == {"a.jpg": [("crab", (2, 1, 12.5, 11))], "empty.jpg": []}
    with zipfile.ZipFile(output / "review_voc.zip") as archive:
        read = {name: parse_voc(archive.read(name), source=name) for name in archive.namelist() if name.endswith("xml")}
    assert {name: len(image.objects) for name, image in read.items()} == {
        "Annotations/a.xml": 1,
        "Annotations/empty.xml": 0,
    }
    first = contents(output)
    write_labels(str(output), ("cvat", "voc"), listed(), _STATES)
    assert contents(output) == first, "the same decisions, the same bytes"


def test_rows_are_in_the_order_of_names_whatever_was_reviewed_first() -> None:
    names = [row.image for row in reviewed_rows(listed(), dict(reversed(_STATES.items())))]
    assert names == ["a.jpg", "empty.jpg"]


def test_labels_of_an_audit_are_those_that_abundance_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = write_run(tmp_path)
    assert main(["audit", str(output), "--size=10"]) == 0
    images = listed(audited=frozenset(row.image for row in ROWS if row.status == "ok"))
    with pytest.raises(
        UsageError, match=r"expected a review of all 4 images of the audit; 2 are not reviewed yet, such as"
    ):
        write_labels(str(output), ("audit",), images, _STATES)
    assert not (output / "review_audit.xml").exists()
    states = _STATES | {row.image: _done(row.image, _object("crab")) for row in (ROWS[1], ROWS[3])}
    (path,) = write_labels(str(output), ("audit",), images, states)
    assert main(["abundance", str(output), "--audit", path]) == 0
    assert "crab: mean count per image 0.75" in capsys.readouterr().out


REFUSED = [
    ("cvat", {}, r"--export=cvat: no image is reviewed yet"),
    ("audit", _STATES, r"--export=audit: there is no audit"),
]


@pytest.mark.parametrize(("name", "states", "message"), REFUSED)
def test_nothing_to_write(tmp_path: Path, name: str, states: dict[str, Decision], message: str) -> None:
    output = write_run(tmp_path)
    before = contents(output)
    with pytest.raises(UsageError, match=message):
        write_labels(str(output), ("voc", name) if states else (name,), listed(), states)
    assert contents(output) == before


def test_a_file_that_a_person_has_changed_stays(tmp_path: Path) -> None:
    output = write_run(tmp_path)
    write_labels(str(output), ("cvat",), listed(), _STATES)
    (output / "review_cvat.xml").write_text("mine")
    with pytest.raises(UsageError, match=r"review_cvat.xml"):
        write_labels(str(output), ("cvat",), listed(), _STATES)
    assert (output / "review_cvat.xml").read_text() == "mine"
