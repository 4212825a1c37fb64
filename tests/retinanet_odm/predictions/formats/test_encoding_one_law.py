"""One law for all formats: at the same thresholds, every file has the same counts, boxes, and one name per image."""

import csv
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from pyarrow import parquet

from retinanet_odm.annotations.class_names import parse_class_names
from retinanet_odm.annotations.cvat import read_cvat
from retinanet_odm.annotations.voc import parse_voc
from retinanet_odm.predictions.formats import EXPORTERS
from retinanet_odm.predictions.formats.encoding import legible
from retinanet_odm.predictions.rows import OK, Detection, PredictionRow, ScoringRun
from retinanet_odm.predictions.summary import PredictionSummary
from tests.retinanet_odm.prediction_rows import rows_named

LABELS = ("crab", "id: 3", "#hash", "=1+2", 'Étoile "de", mer', "a\nb", "<b>&amp;", "c\\x01", "c\x01", "🐟", "-", "1")
CLASSES = dict(enumerate(LABELS, start=1))
# Every second class counts from a higher score.
THRESHOLDS = {label_id: (0.5, 0.6)[label_id % 2] for label_id in CLASSES}
RUN = ScoringRun(
    classes=CLASSES,
    model_hash="0123456789abcdef" * 4,
    thresholds=THRESHOLDS,
    min_scores=THRESHOLDS,
    nms_iou=0.5,
    code_version="1.2.3",
)

# Names that a format may confuse with a neighbour, beside arbitrary ones.
ODD_NAMES = (
    *("a.jpg", "a.png", "A.jpg", "a.jpg#2", "a", "d/a.jpg", "d/a.png", "d//a.jpg", "../a.jpg", "..", "=a.jpg"),
    *("#a.jpg", "é.jpg", "e\u0301.jpg", "\udce9.jpg", "\\udce9.jpg", "\\x5cudce9.jpg", "\x01.jpg", "\\x01.jpg"),
    *("[1].jpg", "a,b.jpg", 'a"b.jpg', "a\nb.jpg", "a\r\nb.jpg", "a b.jpg", "a  b.jpg", "<a>&lt;.jpg", "🐟.jpg"),
    *("null", "1.0"),
)
# Of the surrogates, a name has only those that stand for bytes that are not UTF-8 (os.fsdecode).
_CHARACTERS = st.characters(exclude_characters="\\", exclude_categories=["Cs"]) | st.sampled_from("\udc80\udce9\udcff")
_NAMES = st.sampled_from(ODD_NAMES) | st.text(_CHARACTERS, min_size=1, max_size=9)
_rows = rows_named(_NAMES, CLASSES)


class Found(NamedTuple):
    """What a file says: name, label and score of its detections with their boxes, and the images that it lists."""

    detections: list[tuple[str, str, float | None, tuple[float, ...]]]
    images: list[str]


def _write(file: str, rows: list[PredictionRow]) -> bytes:
    exporter = {name: made for exporters in EXPORTERS.values() for name, made in exporters.items()}[file]
    return b"".join(exporter((row.filtered(RUN.min_scores) for row in rows), RUN))


def _csv(rows: list[PredictionRow], file: str = "detections.csv") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(_write(file, rows).decode(), newline="")))


def _read_csv(rows: list[PredictionRow]) -> Found:
    return _table(_csv(rows))


def _read_parquet(rows: list[PredictionRow]) -> Found:
    return _table(parquet.read_table(io.BytesIO(_write("detections.parquet", rows))).to_pylist())


def _table(lines: list[dict[str, str]]) -> Found:
    edges = ("xmin", "ymin", "xmax", "ymax")
    kept = [line for line in lines if line["label"]]
    found = [
        (line["image"], line["label"], float(line["score"]), tuple(float(line[edge]) for edge in edges))
        for line in kept
    ]
    return Found(found, list(dict.fromkeys(line["image"] for line in lines if line["status"] == OK)))


def _read_coco(rows: list[PredictionRow]) -> Found:
    listed = json.loads(_write("coco_images.json", rows))
    names = {entry["id"]: entry["file_name"] for entry in listed["images"]}
    labels = {entry["id"]: entry["name"] for entry in listed["categories"]}
    found = []
    for entry in json.loads(_write("coco_results.json", rows)):
        x, y, width, height = entry["bbox"]
        box = (x, y, x + width, y + height)
        found.append((names[entry["image_id"]], labels[entry["category_id"]], entry["score"], box))
    return Found(found, list(names.values()))


def _read_megadetector(rows: list[PredictionRow]) -> Found:
    value = json.loads(_write("megadetector.json", rows))
    found = []
    for image in value["images"]:
        for entry in image["detections"] or ():
            x, y, width, height = entry["bbox"]
            fractions = (x, y, x + width, y + height)
            sides = (image["width"], image["height"]) * 2
            box = tuple(edge * side for edge, side in zip(fractions, sides, strict=True))
            found.append((image["file"], value["detection_categories"][entry["category"]], entry["conf"], box))
    return Found(found, [image["file"] for image in value["images"] if "failure" not in image])


def _read_cvat(rows: list[PredictionRow]) -> Found:
    data = _write("cvat.xml", rows)
    scores = [float(text) for text in etree.fromstring(data).xpath("//attribute[@name='score']/text()")]
    images = list(read_cvat(io.BytesIO(data), source="cvat.xml"))
    boxes = [(image.filename, item.label, item.box) for image in images for item in image.objects]
    found = [
        (name, label, score, (box[1], box[0], box[3], box[2]))
        for (name, label, box), score in zip(boxes, scores, strict=True)
    ]
    return Found(found, [image.filename for image in images])


def _read_voc(rows: list[PredictionRow]) -> Found:
    archive = zipfile.ZipFile(io.BytesIO(_write("voc.zip", rows)))
    found, images = [], []
    for member in archive.namelist():
        if member.endswith(".xml"):
            annotation = parse_voc(archive.read(member), source=member)
            # As CVAT reads it; our own reader strips blanks.
            images.append(etree.fromstring(archive.read(member)).findtext("filename"))
            found += [(images[-1], item.label, None, _turned(item.box)) for item in annotation.objects]
    assert len(set(archive.namelist())) == len(archive.namelist())
    return Found(found, images)


def _turned(box: tuple[float, ...]) -> tuple[float, ...]:
    ymin, xmin, ymax, xmax = box
    return xmin, ymin, xmax, ymax


def _read_viame(rows: list[PredictionRow]) -> Found:
    _, _, *lines = csv.reader(io.StringIO(_write("viame.csv", rows).decode(), newline=""))
    found = [(line[1], line[9], float(line[7]), tuple(map(float, line[3:7]))) for line in lines]
    return Found(found, list(dict.fromkeys(line[1] for line in lines)))


def _read_sdcat(rows: list[PredictionRow]) -> Found:
    sides = {legible(row.image): _sides(row) for row in rows}
    lines = _csv(rows, "sdcat.csv")
    found = []
    for line in lines:
        fractions = (float(line[column]) for column in ("x", "y", "xx", "xy"))
        box = tuple(edge * side for edge, side in zip(fractions, sides[line["image_path"]], strict=True))
        found.append((line["image_path"], line["class"], float(line["score"]), box))
    return Found(found, list(dict.fromkeys(line["image_path"] for line in lines)))


def _read_yolo(rows: list[PredictionRow]) -> Found:
    archive = zipfile.ZipFile(io.BytesIO(_write("yolo.zip", rows)))
    names = parse_class_names(archive.read("data.yaml"), source="data.yaml").names
    members = [member for member in archive.namelist() if member != "data.yaml"]
    found = []
    for member, row in zip(members, (row for row in rows if row.status == OK), strict=True):
        for line in archive.read(member).decode().splitlines():
            index, *numbers = line.split()
            x, y, width, height, score = map(float, numbers)
            fractions = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            box = tuple(edge * side for edge, side in zip(fractions, _sides(row), strict=True))
            found.append((member, names[int(index)], score, box))
    return Found(found, members)


def _sides(row: PredictionRow) -> tuple[int, ...]:
    return (row.width or 0, row.height or 0) * 2


def _read_labelstudio(rows: list[PredictionRow]) -> Found:
    tasks = json.loads(_write("labelstudio.json", rows))
    found = []
    for task in tasks:
        for region in task["predictions"][0]["result"]:
            value = region["value"]
            percent = (value["x"], value["y"], value["x"] + value["width"], value["y"] + value["height"])
            sides = (region["original_width"], region["original_height"]) * 2
            box = tuple(edge * side / 100 for edge, side in zip(percent, sides, strict=True))
            found.append((task["data"]["image"], value["rectanglelabels"][0], region["score"], box))
    return Found(found, [task["data"]["image"] for task in tasks])


# Name, how it is read, and the largest error of an edge: in pixels, and as a share of the side.
READERS: list[tuple[Callable[[list[PredictionRow]], Found], float, float]] = [
    (_read_csv, 0, 0),
    (_read_parquet, 0, 0),
    (_read_coco, 0.0011, 0),
    (_read_megadetector, 1e-9, 1.1e-6),
    (_read_cvat, 1e-9, 0),
    (_read_voc, 1e-9, 0),
    (_read_viame, 0, 0),
    (_read_sdcat, 1e-9, 1.1e-8),
    (_read_yolo, 1e-9, 1.1e-6),
    (_read_labelstudio, 1e-9, 2.1e-8),
]


def _expected(rows: list[PredictionRow]) -> Iterator[tuple[PredictionRow, Detection]]:
    return ((row, item) for row in rows for item in row.detections if item.score >= THRESHOLDS[item.label_id])


@pytest.mark.parametrize(("read", "pixels", "share"), READERS, ids=[reader[0].__name__[6:] for reader in READERS])
@settings(max_examples=40)
@given(rows=_rows)
def test_counts_boxes_and_names(
    read: Callable[[list[PredictionRow]], Found], pixels: float, share: float, rows: list[PredictionRow]
) -> None:
    found, expected = read(rows), list(_expected(rows))
    assert len(found.detections) == len(expected)
    names: dict[str, str] = {}
    labels: dict[str, str] = {}
    for (name, label, score, box), (row, item) in zip(found.detections, expected, strict=True):
        assert names.setdefault(row.image, name) == name
        assert labels.setdefault(item.label, label) == label
        assert score is None or score == item.score
        for edge, wanted, side in zip(box, item.box, (row.width, row.height) * 2, strict=True):
            assert abs(edge - wanted) <= pixels + share * (side or 0)
    assert len(set(labels.values())) == len(labels)
    ok = [row.image for row in rows if row.status == OK]
    listed = [row.image for row, _ in expected] if read in (_read_viame, _read_sdcat) else ok
    assert len(found.images) == len(set(found.images)) == len(set(listed)), "names one to one"


@settings(max_examples=40)
@given(_rows)
def test_the_report_and_the_table_of_counts(rows: list[PredictionRow]) -> None:
    expected = Counter((row.image, item.label) for row, item in _expected(rows))
    written = _csv(rows, "counts.csv")
    assert all(float(line["threshold"]) == (0.5, 0.6)[(LABELS.index(line["label"]) + 1) % 2] for line in written)
    assert [int(line["count"]) for line in written if line["count"]] == [
        expected[row.image, label] for row in rows if row.status == OK for label in LABELS
    ]
    summary = PredictionSummary(RUN)
    for row in rows:
        summary.add(row)  # with the weak ones, as the report gets them
    totals = Counter(item.label for _, item in _expected(rows))
    assert {RUN.classes[key]: found.detections for key, found in summary.classes.items()} == {
        label: totals[label] for label in LABELS
    }


def test_every_odd_name_and_label_at_once() -> None:
    boxes = [
        Detection(label=label, label_id=key, score=0.9, box=(1.0, 2.0, 30.0, 20.0)) for key, label in CLASSES.items()
    ]
    rows = [PredictionRow(image=name, width=40, height=30, detections=tuple(boxes)) for name in sorted(ODD_NAMES)]
    for read, _, _ in READERS:
        found = read(rows)
        assert len(set(found.images)) == len(ODD_NAMES), read.__name__
        assert len({label for _, label, _, _ in found.detections}) == len(LABELS), read.__name__
        counts = Counter(name for name, _, _, _ in found.detections)
        assert set(counts.values()) == {len(LABELS)}, read.__name__


def test_a_label_that_labelmap_cannot_hold_is_left_out_and_named() -> None:
    archive = zipfile.ZipFile(io.BytesIO(_write("voc.zip", [])))
    lines = archive.read("labelmap.txt").decode().splitlines()
    # As CVAT and Datumaro read it: lines of fields between colons, comments after #.
    names = [line.split(":")[0] for line in lines if line.strip() and not line.startswith("#")]
    assert names == ["crab", "=1+2", 'Étoile "de", mer', "<b>&amp;", "c\\x5cx01", "c\\x01", "🐟", "-", "1"]
    assert "# not listed, because this file cannot hold it: '#hash'" in lines
    assert "# not listed, because this file cannot hold it: 'id: 3'" in lines
