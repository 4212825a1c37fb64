"""SDCAT CSV, as MBARI's aidata loads it into Tator.

The reader is aidata's own where it is installed (python -m benchmarks.doors installs it), and always a plain version of
what it does: mbari_aidata 1.80, plugins/extractors/tap_sdcat_csv.py.
"""

import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from retinanet_odm.predictions.formats.sdcat import to_sdcat
from retinanet_odm.predictions.rows import Detection, PredictionRow
from tests.retinanet_odm.prediction_rows import CRAB, PIG, ROWS, RUN, STAR, failed, scored

# Image, label, score, and x, y, xx, xy.
Loaded = list[tuple[str, str, float, tuple[float, ...]]]
EDGES = ("x", "y", "xx", "xy")


def _by_its_rules(path: Path) -> Loaded:
    """Equal boxes of an image are one, whatever their classes; edges are cut at 0 and 1."""
    kept = {}
    for line in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")):
        box = tuple(float(line[edge]) for edge in EDGES)
        kept.setdefault((line["image_path"], box), (line["class"], float(line["score"])))
    return [
        (image, label, score, tuple(min(max(edge, 0.0), 1.0) for edge in box))
        for (image, box), (label, score) in kept.items()
    ]


def _by_aidata(path: Path) -> Loaded:
    extractor = pytest.importorskip("mbari_aidata.plugins.extractors.tap_sdcat_csv")
    table = extractor.extract_sdcat_csv(path).to_dict("records")
    return [(line["image_path"], line["label"], line["score"], tuple(line[edge] for edge in EDGES)) for line in table]


READERS = [pytest.param(_by_its_rules, id="its rules"), pytest.param(_by_aidata, id="aidata")]


def _write(path: Path, rows: Iterable[PredictionRow]) -> Path:
    path.write_bytes(b"".join(to_sdcat(rows, RUN)))
    return path


def test_the_text() -> None:
    rows = [scored("a.jpg", PIG), failed("b.jpg"), scored("c.jpg"), scored("d, 1/d.jpg", STAR)]
    assert b"".join(to_sdcat(rows, RUN)).decode().splitlines() == [
        "image_path,class,score,area,saliency,x,y,xx,xy,w,h",
        "a.jpg,sea pig,0.9,152.5,-1,0.125,0.2,0.50625,0.53333333,0.38125,0.33333333",
        '"d, 1/d.jpg","Étoile ""de"", mer",0.25,3.94,-1,0.0375,0.075,0.09375,0.13333333,0.05625,0.05833333',
    ]


@pytest.mark.parametrize("read", READERS)
def test_boxes_and_labels_come_back(read: Callable[[Path], Loaded], tmp_path: Path) -> None:
    rows = [scored(row.image, *dict.fromkeys(row.detections)) for row in ROWS if row.detections]
    # Its table has the line breaks of text files.
    rows = [row for row in rows if "\r" not in row.image]
    expected = [
        (
            row.image,
            item.label,
            item.score,
            pytest.approx([edge / side for edge, side in zip(item.box, [40, 30] * 2, strict=True)]),
        )
        for row in rows
        for item in row.detections
    ]
    assert sorted(read(_write(tmp_path / "sdcat.csv", rows))) == sorted(expected, key=lambda line: line[:3])


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("found", "count"),
    [
        pytest.param((PIG, PIG), 1, id="equal boxes"),
        pytest.param((PIG, Detection(label="crab", label_id=1, score=0.5, box=PIG.box)), 1, id="of two classes"),
        pytest.param(
            (CRAB, Detection(label="crab", label_id=1, score=0.5, box=(0, 0, 40, 29.99))),
            2,
            id="a hundredth of a pixel",
        ),
        pytest.param(
            (CRAB, Detection(label="crab", label_id=1, score=0.5, box=(-1, 0, 41, 30))), 1, id="equal within the image"
        ),
    ],
)
def test_which_boxes_it_drops(
    read: Callable[[Path], Loaded], found: tuple[Detection, ...], count: int, tmp_path: Path
) -> None:
    assert len(read(_write(tmp_path / "sdcat.csv", [scored("a.jpg", *found)]))) == count
