"""Repeat flags: which detections have one, where they are stored, and exports without these detections."""

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inference import repeats
from inference.main import main
from inference.repeats import (
    TABLE_COLUMNS,
    describe_locations,
    find_repeat_locations,
    flag_images,
    gather_detections,
)
from inference.rows.export_options import ExportOptions
from inference.rows.repeat_marks import RepeatFlags, with_repeat_flags, without_repeats
from retinanet_odm.errors import ContractError
from retinanet_odm.predictions.rows import Detection, PredictionRow
from tests.inference.outputs import contents, write_output
from tests.retinanet_odm.prediction_rows import CRAB, PIG, RUN, failed, scored

Fail = Callable[..., str]
ROCK = Detection(label="crab", label_id=1, score=0.5, box=(10.0, 10.0, 30.0, 26.0))


def _moved(item: Detection, by: float) -> Detection:
    xmin, ymin, xmax, ymax = item.box
    return dataclasses.replace(item, box=(xmin + by, ymin + by, xmax + by, ymax + by))


def _name(camera: str, hour: int) -> str:
    return f"{camera}_20161110_{hour:02}0000.jpg"


def _rows() -> list[PredictionRow]:
    """Two cameras: a rock before one of them, an animal that walks before both; frames without and with a failure."""
    rows = [scored(_name("east", hour), _moved(PIG, 30.0 * hour), _moved(ROCK, 0.3 * (hour % 3))) for hour in range(8)]
    rows += [scored(_name("west", hour), _moved(ROCK, 25.0 * hour)) for hour in range(8)]
    rows += [failed(_name("east", 8)), scored(_name("east", 9))]
    return sorted(rows, key=lambda row: row.image)


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return write_output(tmp_path / "out", _rows(), num_shards=3)


def test_repeat_flags_lie_beside_the_rows_and_drop_detections(output: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = contents(output)
    assert main(["repeats", str(output), "--min_frames=5"]) == 0
    assert "repeated: 8 of 24 detections, at 1 locations" in caplog.text
    after = contents(output)
    assert {name for name in after if after[name] != before.get(name)} == {
        "repeats.jsonl",
        "repeats.csv",
        "summary.json",
    }, "rows do not change"
    (place,) = _table(output / "repeats.csv")
    assert list(place) == list(TABLE_COLUMNS)
    assert list(place.values()) == [
        *("0", "east", "crab", "8", "9", "8", _name("east", 0), _name("east", 7)),
        *("10.26", "10.26", "30.26", "26.26", "0.5", "0.3"),
    ]
    lines = [json.loads(line) for line in after["repeats.jsonl"].splitlines()]
    assert lines == [{"image": _name("east", hour), "places": [None, 0]} for hour in range(8)]

    convert = ["convert", str(output), "--formats=csv,counts"]
    assert main(convert) == 0
    shown = [(line["image"], line["label"]) for line in _table(output / "detections.csv") if line["repeat"] == "0"]
    assert shown == [(_name("east", hour), "crab") for hour in range(8)]
    crabs = sum(int(line["count"] or 0) for line in _table(output / "counts.csv") if line["label"] == "crab")
    assert main([*convert, "--without_repeats", "--replace"]) == 0
    rest = sum(int(line["count"] or 0) for line in _table(output / "counts.csv") if line["label"] == "crab")
    assert (crabs, rest) == (16, 8)
    assert {line["repeat"] for line in _table(output / "detections.csv")} == {""}
    exports = {entry["name"]: entry for entry in json.loads((output / "summary.json").read_text())["exports"]}
    assert exports["counts.csv"]["options"]["without_repeats"] is True
    assert (exports["repeats.csv"]["iou"], exports["repeats.csv"]["min_frames"]) == (0.7, 5)


def test_weak_detections_make_no_location_and_their_files_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weak = dataclasses.replace(ROCK, score=0.2)
    output = write_output(tmp_path / "out", [scored(f"a/{hour}.jpg", weak) for hour in range(6)])
    repeats = ["repeats", str(output), "--min_frames=5"]
    assert main(repeats) == 0
    assert _table(output / "repeats.csv") == []
    assert main([*repeats, "--min_score=0.2", "--replace"]) == 0
    assert [line["threshold"] for line in _table(output / "repeats.csv")] == ["0.2"]
    assert main(["convert", str(output), "--formats=coco,counts", "--without_repeats"]) == 0
    told = [message.split()[0] for message in caplog.messages if "are not flagged, and stay" in message]
    assert told == ["coco_results.json", "coco_images.json"]


def test_repeat_flags_of_an_image_below_a_folder(tmp_path: Path) -> None:
    rows = [scored(f"a/{hour}.jpg", ROCK, CRAB) for hour in range(6)] + [scored("b/0.jpg", ROCK)]
    output = write_output(tmp_path / "out", rows)
    assert main(["repeats", str(output), "--min_frames=5", "--classes", "crab"]) == 0
    assert main(["convert", str(output), "--formats=csv", "--below=a", "--without_repeats"]) == 0
    assert {(line["image"], line["label"]) for line in _table(output / "detections.csv")} == {
        (f"{hour}.jpg", "") for hour in range(6)
    }, "the folder is the deployment if the name has none"


def _frames(folder: str, count: int) -> list[str]:
    return [f"{folder}/IMG_20240203_{hour:02}0500.jpg" for hour in range(count)]


@pytest.mark.parametrize(
    ("flags", "places"),
    [
        pytest.param([], ["camA", "camB"], id="two cameras that write the same names"),
        pytest.param([r"--deployment=IMG_\d{8}"], ["IMG_20240203"], id="the rule of the user"),
    ],
)
def test_deployments_of_repeats_and_exports(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, flags: list[str], places: list[str]
) -> None:
    rows = [scored(name, ROCK) for name in (*_frames("camA", 6), *_frames("camB", 6))]
    output = write_output(tmp_path / "out", rows)
    assert main(["repeats", str(output), "--min_frames=5", *flags]) == 0
    assert f"deployments: {len(places)} ({', '.join(places)})" in caplog.text
    assert [line["deployment"] for line in _table(output / "repeats.csv")] == places
    assert main(["repeats", str(output), "--min_frames=7", "--replace", *flags]) == 0
    assert len(_table(output / "repeats.csv")) == (len(places) == 1), "a place has 6 frames of its own"
    assert main(["convert", str(output), "--formats=counts", "--below=camA", *flags]) == 0
    found = {line["deployment"] for line in _table(output / "counts.csv")}
    assert found == {places[0]}, "the deployments of the run, whatever --below strips"


def test_the_rule_of_score_counts_for_later_commands(tmp_path: Path) -> None:
    exports = ExportOptions(formats=("counts",), deployment="^(...)")
    output = write_output(tmp_path / "out", [scored(name, ROCK) for name in _frames("camA", 6)], exports=exports)
    assert {line["deployment"] for line in _table(output / "counts.csv")} == {"cam"}


def test_frames_of_two_sizes_show_one_place(tmp_path: Path) -> None:
    small = [dataclasses.replace(scored(name, ROCK), width=640, height=480) for name in _frames("east", 6)]
    double = dataclasses.replace(ROCK, box=(20.0, 20.0, 60.0, 52.0))
    large = [
        dataclasses.replace(scored(f"east/2/{name[5:]}", double), width=1280, height=960) for name in _frames("east", 6)
    ]
    turned = [dataclasses.replace(scored(f"east/t{hour}.jpg", ROCK), width=480, height=640) for hour in range(6)]
    rows = sorted([*small, *large, *turned], key=lambda row: row.image)
    output = write_output(tmp_path / "out", rows)
    assert main(["repeats", str(output), "--min_frames=5", "--deployment=^east"]) == 0
    lines = _table(output / "repeats.csv")
    assert [(line["frames"], line["of_frames"]) for line in lines] == [("12", "12"), ("6", "6")], "turned: another view"
    assert [lines[0][edge] for edge in ("xmin", "ymin", "xmax", "ymax")] == ["20.0", "20.0", "60.0", "52.0"]


def test_only_the_given_classes_are_flagged(output: Path) -> None:
    assert main(["repeats", str(output), "--min_frames=5", "--classes", "sea pig"]) == 0
    assert contents(output)["repeats.jsonl"] == b""
    assert _table(output / "repeats.csv") == []


def test_a_new_run_has_no_repeat_flags(output: Path) -> None:
    assert main(["repeats", str(output)]) == 0
    write_output(output, _rows())
    assert not {"repeats.jsonl", "repeats.csv"} & contents(output).keys()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize("damage", [_cut, Path.unlink], ids=["cut", "gone"])
def test_repeat_flags_that_are_not_those_of_the_summary(
    damage: Callable[[Path], None], fail: Fail, output: Path
) -> None:
    assert main(["repeats", str(output), "--min_frames=5"]) == 0
    damage(output / "repeats.jsonl")
    before = contents(output)
    assert "repeats.jsonl" in fail("convert", output, "--formats=csv")
    assert contents(output) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["repeats", "nowhere"], "repeats: nowhere has no summary.json"),
        (["repeats", "out", "--iou=1"], "--iou: expected a number above 0 and below 1, found 1"),
        (["repeats", "out", "--iou=nan"], "--iou: expected a number above 0 and below 1, found nan"),
        (["repeats", "out", "--min_frames=1"], "--min_frames: expected 2 or more, found 1"),
        (["repeats", "out", "--classes", "crap"], "has no class 'crap'; did you mean 'crab'?"),
        (["repeats", "out", "--min_frame=3"], "unknown flag --min_frame; did you mean --min_frames?"),
        (
            ["convert", "out", "--formats=csv", "--without_repeats"],
            "--without_repeats: out has no flags of repeated detections",
        ),
    ],
)
@pytest.mark.usefixtures("output")
def test_bad_requests(
    words: list[str], message: str, fail: Fail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path / "out")
    assert message in fail(*words)
    assert contents(tmp_path / "out") == before


def _marks(rows: list[PredictionRow], min_frames: int = 4) -> list[RepeatFlags]:
    found = gather_detections(rows, RUN)
    return list(flag_images(rows, found, find_repeat_locations(found, iou=0.7, min_frames=min_frames)))


def test_rows_of_two_deployments_may_lie_between_each_other() -> None:
    rows = [scored(_name(camera, hour), ROCK) for hour in range(4) for camera in ("a", "b")]
    places = [mark.locations for mark in _marks(rows)]
    assert places == [(0,), (1,)] * 4, "one place never spans two deployments"
    assert _marks(rows, min_frames=5) == []


def test_a_long_deployment_is_searched_in_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "FRAMES_PER_SEGMENT", 5)
    rows = [scored(_name("a", hour), ROCK) for hour in range(12)]
    assert [mark.locations for mark in _marks(rows)] == [(0,)] * 5 + [(1,)] * 5, "the last two are too few"
    found = gather_detections(rows, RUN)
    assert [
        place.of_frames for place in describe_locations(found, find_repeat_locations(found, iou=0.7, min_frames=2))
    ] == [5, 5, 2]


def test_nothing_at_all() -> None:
    found = gather_detections([failed("a.jpg"), scored("b.jpg")], RUN)
    at = find_repeat_locations(found, iou=0.7, min_frames=2)
    assert (at.tolist(), describe_locations(found, at), found.frames) == ([], [], [1])
    assert at.dtype == np.int32


def test_repeat_flags_of_other_rows_are_an_error() -> None:
    line = RepeatFlags(image="a.jpg", locations=(None, 3)).to_line()
    row = scored("a.jpg", PIG, ROCK)
    (with_place,) = with_repeat_flags([row], [line], source="f")
    assert [item.repeat for item in with_place.detections] == [None, 3]
    assert without_repeats(with_place).detections == (PIG,)
    assert with_place.to_json() == row.to_json(), "a row does not contain repeat flags"
    for other in ([scored("a.jpg", PIG)], [scored("b.jpg", PIG, ROCK)], []):
        with pytest.raises(ContractError, match=r"f does not match the row of 'a\.jpg'"):
            list(with_repeat_flags(other, [line], source="f"))
    with pytest.raises(ContractError, match="f: expected the repeated detections of an image"):
        list(with_repeat_flags([row], [b"{"], source="f"))
