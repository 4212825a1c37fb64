"""evaluate: metrics against hand-counted ones, our own exports as the truth, messages, refusals."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import html

from inference.main import main
from inference.rows import output_folder
from inference.rows.export_options import ExportOptions
from retinanet_odm.predictions.rows import PredictionRow
from tests.inference.outputs import write_output
from tests.retinanet_odm.prediction_rows import CRAB, PIG, STAR, failed, scored

# True: 2 crabs, 1 sea pig, on three images.
CVAT = """<annotations>
  <image id="0" name="a.png" width="40" height="30">
    <box label="crab" xtl="0" ytl="0" xbr="40" ybr="30" occluded="0"/>
    <box label="sea pig" xtl="5" ytl="6" xbr="20.25" ybr="16" occluded="0"/>
  </image>
  <image id="1" name="b.png" width="40" height="30"/>
  <image id="2" name="c.png" width="40" height="30">
    <box label="crab" xtl="0" ytl="0" xbr="40" ybr="30" occluded="0"/>
    <box label="Sea-Pig" xtl="5" ytl="6" xbr="20.25" ybr="16" occluded="0"/>
  </image>
</annotations>"""
ROWS = (scored("a.png", CRAB), scored("b.png", PIG), failed("c.png"), scored("d.png", CRAB))


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    path = tmp_path / "annotations.xml"
    path.write_text(CVAT)
    return path


def _evaluate(output: Path, *flags: object) -> dict:
    assert main(["evaluate", str(output), *map(str, flags)]) == 0
    return json.loads((output / "evaluation.json").read_text())


def test_numbers_by_hand(
    tmp_path: Path, annotations: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    output = write_output(tmp_path / "out", ROWS, num_shards=2)
    found = _evaluate(output, "--annotations", annotations, "--min_score=0.25")
    assert (found["images"], found["failed"], found["unknown_labels"]) == (3, 1, {"Sea-Pig": 1})
    crab, pig = found["per_class"]["crab"], found["per_class"]["sea pig"]
    # Of two crabs the one at rank 1 is found: precision 1 up to recall 0.5, that is at 51 of 101 recalls.
    assert crab["AP50"] == pytest.approx(51 / 101)
    assert (crab["precision"], crab["recall"]) == (1.0, 0.5)
    assert crab["count_error"] == pytest.approx(1 / 3, abs=1e-5), "c.png lacks one"
    assert crab["count_bias"] == pytest.approx(-1 / 3, abs=1e-5)
    assert pig["AP50"] == 0, "the only sea pig was found on another image"
    assert (pig["count_error"], pig["count_bias"]) == (pytest.approx(2 / 3, abs=1e-5), 0), "one short, one too many"
    assert "not compared: 1 image_without_annotation (d.png has no annotation)" in caplog.text
    assert "1 box of 'Sea-Pig', which is no class of the model; did you mean 'sea pig'?" in caplog.text
    assert "1 of them failed: their objects count as missed" in caplog.text
    assert f"evaluation: {output}/evaluation.html" in caplog.text
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("AP 0.") and any(line.split()[:3] == ["crab", "2", "1"] for line in printed)


def test_a_threshold_changes_counts_and_no_average_precision(tmp_path: Path, annotations: Path) -> None:
    output = write_output(tmp_path / "out", ROWS)
    low, high = (
        _evaluate(output, "--annotations", annotations, f"--min_score={score}", "--replace")["per_class"]["sea pig"]
        for score in (0.25, 0.95)
    )
    assert low["AP"] == high["AP"]
    assert (low["count_bias"], high["count_bias"]) == (0, pytest.approx(-1 / 3, abs=1e-5))


@pytest.mark.parametrize(
    ("flags", "thresholds", "origin"),
    [
        pytest.param((), {"crab": 0.55, "sea pig": 0.7}, "--min_score", id="as it was delivered"),
        pytest.param(("--min_score=best",), {"crab": 0.4, "sea pig": 0.95}, "model.json", id="those of the model"),
        pytest.param(("--min_score=0.2",), {"crab": 0.2, "sea pig": 0.2}, "--min_score", id="a score"),
        pytest.param(
            ("--refit",), {"crab": 0.21, "sea pig": 0.21}, "these images, by the best F1 (--refit)", id="refit"
        ),
    ],
)
def test_what_was_delivered_is_evaluated(
    flags: tuple[str, ...], thresholds: dict[str, float], origin: str, tmp_path: Path, annotations: Path
) -> None:
    """The counts are those of counts.csv of the same thresholds, and the page says where they come from."""
    known = {
        "score": 0.1,
        "nms_iou": 0.5,
        "from": "--min_score",
        "classes": {"crab": 0.55, "sea pig": 0.7, "star": 0.5},
        "best": {"crab": 0.4, "sea pig": 0.95, "star": 0.5},
    }
    rows = (scored("a.png", CRAB, replace(PIG, score=0.3)), scored("b.png", PIG))
    labels = {"1": "crab", "2": "sea pig", "3": "star"}
    output = write_output(tmp_path / "out", rows, thresholds=known, labels=labels)
    found = _evaluate(output, "--annotations", annotations, *flags)
    assert found["thresholds_from"] == origin
    if "--refit" not in flags:
        assert {name: found["thresholds"][name] for name in thresholds} == thresholds
        assert main(["convert", str(output), "--formats=counts", *flags]) == 0
        with (output / "counts.csv").open(newline="") as file:
            lines = list(csv.DictReader(file))
        counted = {name: sum(int(line["count"]) for line in lines if line["label"] == name) for name in labels.values()}
        assert {name: entry["found"] for name, entry in found["details"]["counts"].items()} == counted
    page = html.parse(output / "evaluation.html").getroot().text_content()
    assert f"taken from {origin}" in " ".join(page.split())


def test_a_file_that_counts_from_other_scores_is_named(
    tmp_path: Path, annotations: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = write_output(tmp_path / "out", ROWS)
    assert main(["convert", str(output), "--formats=counts", "--min_score=0.7"]) == 0
    _evaluate(output, "--annotations", annotations)
    assert 'counted from a score of crab 0.3, sea pig 0.4, Étoile "de", mer 0.25 (model.json)' in caplog.messages
    line = "check: counts.csv counts from other scores: 0.7 for every class (--min_score)"
    assert line in caplog.messages
    caplog.clear()
    _evaluate(output, "--annotations", annotations, "--min_score=0.7", "--replace")
    assert line not in caplog.messages


def test_counts_are_those_of_counts_csv_with_crowds_too(tmp_path: Path) -> None:
    crowd = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 40, 30], "iscrowd": 1}
    value = {
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
        "categories": [{"id": 1, "name": "crab"}, {"id": 2, "name": "sea pig"}],
        "annotations": [crowd, {**crowd, "id": 2, "category_id": 2, "bbox": [5, 6, 15.25, 10], "iscrowd": 0}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(value))
    weak = replace(CRAB, score=0.3)
    exports = ExportOptions(formats=("counts",), min_score=0.30001)  # rounded like the scores: 0.3 counts
    output = write_output(tmp_path / "out", [scored("a.png", PIG, CRAB, weak)], exports=exports)
    found = _evaluate(output, "--annotations", tmp_path / "truth.json", "--min_score=0.30001")
    counts = found["details"]["counts"]
    with (output / "counts.csv").open(newline="") as file:
        written = {line["label"]: int(line["count"]) for line in csv.DictReader(file)}
    assert {label: entry["found"] + entry["in_crowds"] for label, entry in counts.items()} == written
    assert (counts["crab"]["true"], found["per_class"]["crab"]["ground_truth"], written["crab"]) == (0, 0, 2)


def test_dense_images_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    boxes = [(x, y) for x in range(0, 39, 3) for y in range(0, 29, 3)]
    crabs = [replace(CRAB, box=(float(x), float(y), x + 2.0, y + 2.0)) for x, y in boxes]
    shapes = "".join(
        f'<box label="crab" xtl="{x}" ytl="{y}" xbr="{x + 2}" ybr="{y + 2}" occluded="0"/>' for x, y in boxes
    )
    (tmp_path / "a.xml").write_text(
        f'<annotations><image id="0" name="a.png" width="40" height="30">{shapes}</image></annotations>'
    )
    output = write_output(tmp_path / "out", [scored("a.png", *crabs)])
    found = _evaluate(output, "--annotations", tmp_path / "a.xml")
    assert found["AP50"] < 0.8 < found["at_limit"]["AP50"] == found["per_class"]["crab"]["AP50_at_limit"] == 1
    assert "1 images have more than 100 objects or detections of one class" in caplog.text
    page = html.fromstring((output / "evaluation.html").read_text())
    assert "AP50 beyond 100" in page.xpath("//th/text()")
    limited = _evaluate(output, "--annotations", tmp_path / "a.xml", "--max_detections=100", "--replace")
    assert limited["at_limit"]["AP50"] == pytest.approx(limited["AP50"], abs=1e-5)


def test_boxes_that_were_annotated_before_the_exif_rotation(tmp_path: Path) -> None:
    """As stored 32 × 16 with a crab at the top left; turned clockwise it is at the top right."""
    (tmp_path / "a.xml").write_text(
        '<annotations><image id="0" name="a.jpg" width="32" height="16">'
        '<box label="crab" xtl="0" ytl="0" xbr="8" ybr="8" occluded="0"/></image></annotations>'
    )
    turned = PredictionRow(
        image="a.jpg", width=16, height=32, orientation=6, detections=(replace(CRAB, box=(8.0, 0.0, 16.0, 8.0)),)
    )
    found = _evaluate(write_output(tmp_path / "out", [turned]), "--annotations", tmp_path / "a.xml")
    assert (found["images"], found["per_class"]["crab"]["AP"]) == (1, pytest.approx(1.0))


def test_aliases(tmp_path: Path, annotations: Path) -> None:
    (tmp_path / "aliases.csv").write_text("alias,name\nSea-Pig,sea pig\n")
    output = write_output(tmp_path / "out", ROWS)
    found = _evaluate(output, "--annotations", annotations, "--label_aliases", tmp_path / "aliases.csv")
    assert found["unknown_labels"] == {}
    assert found["per_class"]["sea pig"]["ground_truth"] == 2


@pytest.mark.parametrize("name", ["cvat.xml", "voc.zip"])
def test_its_own_exports_match_perfectly(tmp_path: Path, name: str) -> None:
    rows = (scored("d/a.png", PIG, CRAB), scored("d/b.png"), scored("é c.png", STAR))
    exports = ExportOptions(formats=(name.partition(".")[0],))
    output = write_output(tmp_path / "out", rows, exports=exports)
    found = _evaluate(output, "--annotations", output / name)
    assert (found["images"], found["left_out"], found["AP"]) == (3, {}, pytest.approx(1))
    assert {values["count_error"] for values in found["per_class"].values()} == {0}


def test_partial_labels(
    tmp_path: Path, annotations: Path, caplog: pytest.LogCaptureFixture, fail: Callable[..., str]
) -> None:
    output, given = write_output(tmp_path / "out", ROWS), tmp_path / "e.csv"
    given.write_text("image,exhaustive_classes\na.png,*\nlost.png,*\nb.png,crab\n")
    flags = ("--annotations", annotations, "--min_score=0.25")
    found = _evaluate(output, *flags, "--exhaustive", given, "--ignore_label", "Sea-Pig", "Sea-Pgi")
    pig = found["per_class"]["sea pig"]
    assert (pig["exhaustive_images"], pig["count_bias"]) == (2, -0.5), "the false one of b.png does not count"
    assert "sea pig: exhaustive in 2 of 3 images, and counted only there" in caplog.text
    assert "check: 1 row of --exhaustive without a compared image, such as 'lost.png'" in caplog.text
    assert found["unknown_labels"] == {}, "the label of an ignored area is no class"
    notes = [line for line in caplog.text.splitlines() if "--ignore_label" in line]
    assert len(notes) == 1, "a line for a label that no box has, and none for the other"
    assert "check: --ignore_label: no box of the annotations is labelled 'Sea-Pgi'; did you mean 'Sea-Pig'?" in notes[0]
    assert "exhaustive in images" in (output / "evaluation.html").read_text()
    given.write_text("image,exhaustive_classes\nlost.png,*\n")
    line = fail("evaluate", output, *flags, "--exhaustive", given, "--replace")
    assert "--exhaustive: expected images that are compared, such as a.png; found none of them" in line
    line = fail("evaluate", output, *flags, "--ignore_label", "sea pig", "--replace")
    assert "--ignore_label: 'sea pig' is a class of the model: expected labels of areas only" in line


def test_taxa(tmp_path: Path, annotations: Path, caplog: pytest.LogCaptureFixture, fail: Callable[..., str]) -> None:
    output, taxa = write_output(tmp_path / "out", ROWS), tmp_path / "taxa.csv"
    lines = ["label,AphiaID,rank,parent", "Animalia,2,kingdom,", "crab,106673,infraorder,Animalia"]
    taxa.write_text("\n".join([*lines, "sea pig,123083,class,Animalia\n"]))
    flags = ("--annotations", annotations, "--min_score=0.25", "--taxa", taxa)
    line = fail("evaluate", output, *flags)
    assert f"{taxa}: expected a row for every class, found none for 'Étoile \"de\", mer'" in line
    with taxa.open("a") as file:
        file.write('"Étoile ""de"", mer",123080,class,Animalia\n')
    found = _evaluate(output, *flags)
    ranks = {entry["rank"]: entry["AP50"] for entry in found["taxa"]["ranks"]}
    assert ranks["infraorder"] == found["per_class"]["crab"]["AP50"]
    # The sea pig of b.png is wrong at every rank.
    assert "rolled up: right infraorder 1 of 1, class 0 of 1; found 1 of 3 objects" in caplog.text
    assert list(found)[-2:] == ["taxa", "details"]
    assert "Ranks of taxa" in (output / "evaluation.html").read_text()


def test_the_page_shows_what_was_not_compared(tmp_path: Path, annotations: Path) -> None:
    output = write_output(tmp_path / "out", ROWS)
    _evaluate(output, "--annotations", annotations)
    text = html.parse(output / "evaluation.html", html.HTMLParser(recover=False)).getroot().text_content()
    assert "image_without_annotation" in text and "'Sea-Pig', unknown to the model" in text and "Counting" in text


def test_an_evaluation_goes_with_its_rows(tmp_path: Path, annotations: Path) -> None:
    output = write_output(tmp_path / "out", ROWS)
    _evaluate(output, "--annotations", annotations)
    output_folder.check_predictions_folder(str(output))  # a file of ours: score may write to this folder again
    write_output(output, ROWS)
    assert not list(output.glob("evaluation.*"))


REFUSED = [
    ("{out}", "nothing*.xml", "--annotations: expected at least one file", "no such file"),
    ("{out}", "other.xml", "--annotations: expected annotations of scored images, found none", "of other images"),
    ("{out}", "empty", "--annotations: expected at least one file, found none that matches {tmp}/empty/**", "a folder"),
    ("{tmp}", "annotations.xml", "evaluate: {tmp} has no summary.json", "no finished run"),
]


@pytest.mark.parametrize(("folder", "pattern", "message", "why"), REFUSED)
def test_refusals(
    tmp_path: Path, annotations: Path, fail: Callable[..., str], folder: str, pattern: str, message: str, why: str
) -> None:
    output = write_output(tmp_path / "out", ROWS)
    annotations.with_name("other.xml").write_text(CVAT.replace('.png"', 'z.png"'))
    (tmp_path / "empty").mkdir()
    places = {"out": output, "tmp": tmp_path}
    line = fail("evaluate", folder.format(**places), "--annotations", tmp_path / pattern)
    assert message.format(**places) in line, why
    assert not list(output.glob("evaluation.*")), why
