"""The command label_errors: files, refusals, and that the same input gives the same bytes."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lxml import etree, html
from PIL import Image

from inference.main import main
from retinanet_odm.annotations import read
from retinanet_odm.predictions.rows import Detection, PredictionRow
from tests.inference.outputs import contents, write_output

Fail = Callable[..., str]

LABELS = {"crab": 1, "sea pig": 2}
BOXES = {"crab": (10.0, 10.0, 50.0, 50.0), "sea pig": (60.0, 10.0, 100.0, 50.0)}
NAMES = [f"dive/{number}.png" for number in range(60)]


def _row(number: int) -> PredictionRow:
    """Finds both animals, a pixel or two beside their boxes."""
    shift = (37 * number % 41) / 10 - 2
    found = [
        Detection(
            label=label, label_id=LABELS[label], score=0.9 - number / 1000, box=(x + shift, y, right + shift, bottom)
        )
        for label, (x, y, right, bottom) in BOXES.items()
    ]
    return PredictionRow(image=NAMES[number], width=120, height=80, detections=tuple(found))


def _write_labels(folder: Path) -> Path:
    """Writes CVAT's file: a missing sea pig in image 3, a wrong class in 5, a crab beside its place in 8."""
    root = etree.Element("annotations")
    for number, name in enumerate(NAMES):
        image = etree.SubElement(root, "image", {"id": str(number), "name": name, "width": "120", "height": "80"})
        for label, (x, y, right, bottom) in BOXES.items():
            if (number, label) == (3, "sea pig"):
                continue
            shown = "sea pig" if (number, label) == (5, "crab") else label
            moved = 18 if (number, label) == (8, "crab") else 0
            edges = {"xtl": x + moved, "ytl": y, "xbr": right + moved, "ybr": bottom}
            etree.SubElement(image, "box", {"label": shown, "occluded": "0", **{k: str(v) for k, v in edges.items()}})
    path = folder / "labels.xml"
    etree.ElementTree(root).write(path)
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    images = tmp_path / "images" / "dive"
    images.mkdir(parents=True)
    for number in (3, 5):
        Image.new("RGB", (120, 80), "navy").save(images / f"{number}.png")
    _write_labels(tmp_path)
    return write_output(tmp_path / "OUT", [_row(number) for number in range(60)], num_shards=2)


def _command(output: Path, *more: str) -> list[str]:
    return ["label_errors", str(output), "--annotations", str(output.parent / "labels.xml"), *more]


def test_the_list_the_page_and_the_proposals(
    output: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    assert main(_command(output, "--images", str(tmp_path / "images"))) == 0
    told = capsys.readouterr().out
    assert "missing: 1 listed" in told and "class: 1 listed" in told and "loose: 1 listed" in told
    assert "the model must not have been trained on these labels" in caplog.text
    with (output / "label_errors.csv").open(newline="") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert {name: (row["error"], row["label"], row["proposed_label"]) for name, row in rows.items()} == {
        NAMES[3]: ("missing", "", "sea pig"),
        NAMES[5]: ("class", "sea pig", "crab"),
        NAMES[8]: ("loose", "crab", "crab"),
    }
    assert [rows[NAMES[5]][f"proposed_{edge}"] for edge in ("xmin", "xmax")] == ["10.0", "50.0"], (
        "a person has drawn it"
    )
    page = html.fromstring((output / "label_errors.html").read_text())
    assert len(page.findall(".//figure")) == 2, "of the images that are there"
    proposed = {image.filename: image.objects for image in read(output / "label_errors_cvat.xml")}
    assert {name: [item.label for item in items] for name, items in proposed.items()} == {
        NAMES[3]: ["sea pig"],
        NAMES[5]: ["crab"],
        NAMES[8]: ["crab"],
    }
    content = json.loads((output / "label_errors.json").read_text())
    assert (content["images"], content["boxes"], content["listed"]) == (60, 119, 3)


def test_the_same_input_gives_the_same_bytes(output: Path) -> None:
    assert main(_command(output)) == 0
    first = contents(output)
    assert main(_command(output)) == 0
    assert contents(output) == first


def test_other_settings_need_replace(output: Path, fail: Fail) -> None:
    assert main(_command(output)) == 0
    before = contents(output)
    assert "permit it with --replace" in fail(*_command(output, "--min_probability=0.9"))
    assert contents(output) == before
    assert main(_command(output, "--min_probability=0.9", "--replace")) == 0


def test_a_class_that_is_not_exhaustive_is_never_missing(output: Path) -> None:
    table = output.parent / "exhaustive.csv"
    lines = [f"{name},{'crab' if number == 3 else 'crab;sea pig'}\n" for number, name in enumerate(NAMES)]
    table.write_text("image,exhaustive_classes\n" + "".join(lines))
    assert main(_command(output, "--exhaustive", str(table))) == 0
    assert NAMES[3] not in (output / "label_errors.csv").read_text()


REFUSED = [
    ("a probability", ["--min_probability=1"], "--min_probability: expected 0 or more and below 1, found 1"),
    ("no number", ["--min_probability=nan"], "--min_probability: expected 0 or more and below 1, found nan"),
    ("a class as area", ["--ignore_label", "crab"], "--ignore_label: 'crab' is a class of the model"),
    ("a pattern without files", ["--annotations", "nothing/*.xml"], "--annotations: "),
]


@pytest.mark.parametrize(("why", "flags", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_bad_requests(output: Path, fail: Fail, why: str, flags: list[str], message: str) -> None:
    before = contents(output)
    assert message in fail(*_command(output, *flags)), why
    assert contents(output) == before


def test_it_needs_a_finished_run(output: Path, fail: Fail) -> None:
    (output / "summary.json").unlink()
    assert "it is not the output of a finished run" in fail(*_command(output))


def test_scores_and_images_in_another_order_change_nothing(output: Path) -> None:
    """The order of the rows is that of their names, whatever the number of files."""
    assert main(_command(output)) == 0
    random = np.random.default_rng(0)
    rows = [_row(number) for number in random.permutation(60).tolist()]
    other = write_output(output.parent / "OTHER", rows)
    assert main(_command(other)) == 0
    assert (other / "label_errors.csv").read_bytes() == (output / "label_errors.csv").read_bytes()
