"""Which detections count: what a flag means, and one law for every form: a plain count of the rows' boxes."""

import csv
import dataclasses
import io
import json
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree, html
from pyarrow import parquet

from inference.rows.export_options import EXPORT_FILES, ExportOptions
from inference.rows.thresholds import choose_thresholds, thresholds_of_run
from retinanet_odm.errors import UsageError
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.predictions.formats import ALL_SCORES
from retinanet_odm.predictions.rows import Detection, PredictionRow
from tests.inference.outputs import HEADER, write_output
from tests.retinanet_odm.prediction_rows import RUN, scored

LABELS = tuple(RUN.classes.values())
Counts = dict[str, int]


def _manifest(**thresholds: float) -> ModelManifest:
    fields: dict[str, Any] = {name: {} for name in ("anchors", "metrics", "config", "files")}
    fields |= {"labels": LabelMap.from_names(["crab", "pig"]), "image_size": (64, 64), "nms_iou": 0.5}
    fields |= {"max_detections": 9, "dataset_fingerprint": "", "code_version": ""}
    return ModelManifest(**fields, score_threshold=0.1, thresholds=thresholds)


@pytest.mark.parametrize(
    ("value", "known", "expected", "origin", "warning"),
    [
        pytest.param(None, {"crab": 0.6, "pig": 0.4}, (0.6, 0.4), "model.json", "", id="those of the model"),
        pytest.param("best", {"crab": 0.6, "pig": 0.4}, (0.6, 0.4), "model.json", "", id="the same, by name"),
        pytest.param(0.3, {"crab": 0.6, "pig": 0.4}, (0.3, 0.3), "--min_score", "", id="a score overrules them"),
        pytest.param(None, {}, (0.5, 0.5), "default", "no thresholds per class: detections count from", id="none"),
        pytest.param(None, {"pig": 0.4}, (0.5, 0.4), "model.json", "no thresholds for 'crab'", id="a class without"),
        pytest.param(0.05, {}, (0.1, 0.1), "--min_score", "--min_score=0.05 has no effect", id="below the model's own"),
        pytest.param(None, {"crab": 0.02, "pig": 0.4}, (0.1, 0.4), "model.json", "", id="a best one below its own"),
    ],
)
def test_a_flag_and_a_model(
    value: float | str | None,
    known: dict[str, float],
    expected: tuple[float, float],
    origin: str,
    warning: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = choose_thresholds(value, _manifest(**known))
    assert (tuple(found.by_name.values()), found.origin) == (expected, origin)
    assert len(caplog.messages) == bool(warning)
    assert warning in caplog.text


_OLD = {"labels": {"1": "crab", "2": "pig"}, "thresholds": {"score": 0.25, "nms_iou": 0.5}}
_NEW = {**_OLD, "thresholds": {**_OLD["thresholds"], "classes": {"crab": 0.3, "pig": 0.7}, "from": "--min_score"}}
_NO_BEST = {**_NEW, "thresholds": {**_NEW["thresholds"], "best": {}}}
_BEST = {**_NEW, "thresholds": {**_NEW["thresholds"], "best": {"crab": 0.6, "pig": 0.4}}}


@pytest.mark.parametrize(
    ("value", "summary", "expected", "origin"),
    [
        pytest.param(None, _NEW, (0.3, 0.7), "--min_score", id="as it was delivered"),
        pytest.param("best", _BEST, (0.6, 0.4), "model.json", id="those of the model"),
        pytest.param(0.5, _BEST, (0.5, 0.5), "--min_score", id="a score"),
        pytest.param(0.1, _BEST, (0.25, 0.25), "--min_score", id="rows have no weaker ones"),
        pytest.param(None, _OLD, (0.25, 0.25), "rows", id="a run of an earlier version counted everything"),
    ],
)
def test_a_flag_and_a_run(
    value: float | str | None, summary: Mapping[str, Any], expected: tuple[float, float], origin: str
) -> None:
    found = thresholds_of_run(value, summary)
    assert (tuple(found.by_name.values()), found.origin) == (expected, origin)


@pytest.mark.parametrize(
    "choose",
    [lambda: choose_thresholds("best", _manifest()), lambda: thresholds_of_run("best", _NO_BEST)],
    ids=["a model", "a run"],
)
def test_best_needs_an_evaluation(choose: Callable[[], object]) -> None:
    with pytest.raises(UsageError, match=r"--min_score=best: the model has no thresholds per class"):
        choose()


def test_the_warning_names_the_score_that_holds(caplog: pytest.LogCaptureFixture) -> None:
    manifest = dataclasses.replace(_manifest(), score_threshold=0.7)
    assert choose_thresholds(None, manifest).by_name == {"crab": 0.7, "pig": 0.7}
    assert "the model has no thresholds per class: detections count from a score of 0.7;" in caplog.text


def test_an_earlier_version_did_not_record_the_best_ones() -> None:
    with pytest.raises(UsageError, match=r"--min_score=best: the run is of an earlier version"):
        thresholds_of_run("best", _OLD)


# --- One law for every form ---


def _from_table(lines: Iterable[Mapping[str, Any]]) -> Counts:
    kept = [line for line in lines if line["label"]]
    assert all(line["score"] >= str(line["threshold"]) for line in kept if isinstance(line["score"], str))
    return Counter(line["label"] for line in kept)


def _csv(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def _detections_csv(out: Path) -> Counts:
    return _from_table(_csv((out / "detections.csv").read_bytes()))


def _counts_csv(out: Path) -> Counts:
    counts: Counter[str] = Counter()
    for line in _csv((out / "counts.csv").read_bytes()):
        counts[line["label"]] += int(line["count"])
    return counts


def _parquet(out: Path) -> Counts:
    return _from_table(parquet.read_table(out / "detections.parquet").to_pylist())


def _coco(out: Path) -> Counts:
    """What a reader counts who applies the thresholds that the file states."""
    head = json.loads((out / "coco_images.json").read_text())
    names = {entry["id"]: entry["name"] for entry in head["categories"]}
    entries = json.loads((out / "coco_results.json").read_text())
    found = [(names[entry["category_id"]], entry["score"]) for entry in entries]
    return Counter(name for name, score in found if score >= head["info"]["thresholds"][name])


def _megadetector(out: Path) -> Counts:
    value = json.loads((out / "megadetector.json").read_text())
    names, stated = value["detection_categories"], value["info"]["detector_metadata"]["thresholds"]
    found = [(names[item["category"]], item["conf"]) for image in value["images"] for item in image["detections"]]
    return Counter(name for name, score in found if score >= stated[name])


def _cvat(out: Path) -> Counts:
    return Counter(etree.parse(out / "cvat.xml").xpath("//box/@label"))


def _voc(out: Path) -> Counts:
    with zipfile.ZipFile(out / "voc.zip") as archive:
        members = [archive.read(name) for name in archive.namelist() if name.endswith(".xml")]
    return Counter(name for data in members for name in etree.fromstring(data).xpath("object/name/text()"))


def _viame(out: Path) -> Counts:
    _, _, *lines = csv.reader(io.StringIO((out / "viame.csv").read_text(), newline=""))
    return Counter(line[9] for line in lines)


def _report(out: Path) -> Counts:
    rows = html.parse(out / "report.html").xpath("//section[h2='Each class']//tbody/tr")
    cells = [[cell.text_content().strip() for cell in row] for row in rows]
    return {name: int(count) for name, _, count, *_ in cells}


def _to_label(out: Path) -> Counts:
    """How many detections count, by image."""
    return {line["image"]: int(line["detections"]) for line in _csv((out / "to_label.csv").read_bytes())}


def _summary(out: Path) -> Counts:
    return json.loads((out / "summary.json").read_text())["counted"]


FORMS: tuple[Callable[[Path], Counts], ...] = (
    *(_detections_csv, _counts_csv, _parquet, _coco, _megadetector, _cvat, _voc, _viame, _report),
)
_SCORES = st.integers(10_00, 99_99).map(lambda parts: parts / 1_00_00)
_DETECTIONS = st.builds(
    lambda label_id, score: Detection(
        label=RUN.classes[label_id], label_id=label_id, score=score, box=(1.0, 2.0, 9.0, 8.0)
    ),
    st.sampled_from(sorted(RUN.classes)),
    _SCORES,
)
_ROWS = st.lists(st.lists(_DETECTIONS, max_size=6), max_size=5).map(
    lambda images: [scored(f"{number}.jpg", *found) for number, found in enumerate(images)]
)
_THRESHOLDS = st.lists(_SCORES | st.sampled_from([0.1, 0.5, 1.0]), min_size=3, max_size=3).map(
    lambda scores: dict(zip(LABELS, scores, strict=True))
)


def _plain_count(rows: Iterable[PredictionRow], thresholds: Mapping[str, float]) -> Counts:
    return Counter(item.label for row in rows for item in row.detections if item.score >= thresholds[item.label])


@settings(max_examples=15, deadline=None)
@given(_ROWS, _THRESHOLDS, _THRESHOLDS, st.none() | st.just("best") | _SCORES)
def test_every_form_is_a_plain_count(
    rows: list[PredictionRow],
    delivered: dict[str, float],
    best: dict[str, float],
    flag: float | str | None,
) -> None:
    known = {**HEADER["thresholds"], "classes": delivered, "best": best}
    exports = ExportOptions(formats=tuple(EXPORT_FILES), min_score=flag)
    thresholds = dict.fromkeys(LABELS, flag) if isinstance(flag, float) else best if flag else delivered
    with tempfile.TemporaryDirectory() as folder:
        out = write_output(Path(folder), rows, exports=exports, thresholds=known)
        expected = _plain_count(rows, thresholds)
        for form in FORMS:
            assert +Counter(form(out)) == +Counter(expected), form.__name__
        assert _summary(out) == dict(_plain_count(rows, delivered)), "of the run, whatever a file counts"
        # No score is exactly 0 or 1, so no detection is certain, and every image with one is listed.
        assert _to_label(out) == {
            row.image: sum(_plain_count([row], thresholds).values()) for row in rows if row.detections
        }
        entries = {entry["name"]: entry for entry in json.loads((out / "summary.json").read_text())["exports"]}
        everything = {name for format_name in ALL_SCORES for name in EXPORT_FILES[format_name]}
        for name, entry in entries.items():
            holds_all = flag is None and name in everything
            assert entry["min_scores"] == (dict.fromkeys(LABELS, 0.1) if holds_all else thresholds), name


def test_forms_for_other_thresholds_hold_everything_unless_one_is_asked_for(tmp_path: Path) -> None:
    weak = Detection(label="crab", label_id=1, score=0.1, box=(1.0, 2.0, 9.0, 8.0))
    for number, (flag, entries) in enumerate([(None, 1), ("best", 0), (0.1, 1)]):
        exports = ExportOptions(formats=("coco", "megadetector"), min_score=flag)
        out = write_output(tmp_path / str(number), [scored("a.jpg", weak)], exports=exports)
        assert len(json.loads((out / "coco_results.json").read_text())) == entries
        (image,) = json.loads((out / "megadetector.json").read_text())["images"]
        assert len(image["detections"]) == entries
