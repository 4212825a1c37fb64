"""Sections of the data set page: statistics of boxes, and leakage between splits."""

import numpy as np
import pytest

from retinanet_odm.dataset.anchor_coverage import CANVASES
from retinanet_odm.dataset.leakage import DuplicateGroup, Duplicates, Leakage, NearDuplicate, SplitLeakage
from retinanet_odm.dataset.statistics import BoxStatistics, ImageBoxes
from retinanet_odm.reports.dataset_page import check_report, dataset_report
from tests.retinanet_odm.reports.pages import EVIL, make_manifest, make_statistics, parse_page, tables_under


def test_sizes_and_shapes_of_boxes() -> None:
    tree = parse_page(dataset_report(make_manifest(), statistics=make_statistics()))
    (sizes,) = tables_under(tree, "Sizes of boxes")
    assert sizes[0] == ["16–32 px", "2", "1%"] and sizes[-1] == ["1024–2048 px", "2", "1%"]
    assert ["32–64 px", "0", "0%"] in sizes, "a gap shows as one"
    assert tables_under(tree, "Shapes of boxes") == [[["1:2", "101", "96%"], ["1:1", "4", "3%"]]]
    (images,) = tables_under(tree, "Boxes per image")
    assert [row[:2] for row in images if row[1] != "0"] == [["0", "1"], ["3–5", "1"], ["101", "1"]]
    assert tables_under(tree, "Sizes of images") == [[["4000 × 4000", "2", "66%"], ["1920 × 1080", "1", "33%"]]]
    assert f"1 with more than 100, the maximum of the legacy TPU loader: crowded {EVIL} (101)" in tree.text_content()


def test_low_recall_is_marked_with_a_suggestion() -> None:
    tree = parse_page(dataset_report(make_manifest(), statistics=make_statistics()))
    (rows,) = tables_under(tree, "Anchor recall")
    assert [row[0] for row in rows] == ["all classes", EVIL, "Actiniaria"]
    assert rows[1] == [EVIL, "2", *["0%"] * len(CANVASES)]
    assert rows[2] == ["Actiniaria", "103", *["100%"] * len(CANVASES)]
    assert len(tree.xpath("//*[@class='bad']")) == len(CANVASES), "the row of the small boxes"
    assert "train with --anchors=auto" in tree.text_content()


def test_without_boxes_for_training_no_recall_is_shown() -> None:
    tree = parse_page(check_report(3, 3, statistics=make_statistics(), training=BoxStatistics()))
    assert tables_under(tree, "Boxes per image") and "Anchor recall" not in tree.text_content()


def test_good_recall_has_no_suggestion() -> None:
    box = np.asarray([(0.2, 0.2, 0.6, 0.6)], np.float32)
    statistics = BoxStatistics.from_images([ImageBoxes("a.jpg", 400, 400, box, ["crab"])])
    text = parse_page(dataset_report(make_manifest(), statistics=statistics)).text_content()
    assert "Anchor recall" in text and "Highlighted" not in text


@pytest.mark.parametrize(
    "statistics",
    [pytest.param(BoxStatistics(), id="no image"), pytest.param(BoxStatistics.from_images([]), id="none to count")],
)
def test_statistics_of_nothing(statistics: BoxStatistics) -> None:
    text = parse_page(check_report(0, 0, statistics=statistics)).text_content()
    assert "There is no image." in text and "No image has a box." in text and "No problem was found." in text


def test_many_sizes_of_images_are_summed_up() -> None:
    none = np.zeros((0, 4), np.float32)
    statistics = BoxStatistics.from_images([ImageBoxes(f"{row}.jpg", 100 + row, 100, none, []) for row in range(50)])
    (rows,) = tables_under(parse_page(check_report(50, 50, statistics=statistics)), "Sizes of images")
    assert len(rows) == 13 and rows[-1] == ["38 other sizes", "38", "76%"]


_NONE = Duplicates(groups=0, images=0, examples=())


def _leakage(**changes: object) -> Leakage:
    plain: dict[str, object] = {
        "images": 1000,
        "hashed": 1000,
        "within": _NONE,
        "across": _NONE,
        "held_out": (SplitLeakage(split="val", images=100, exact=0, near=0, examples=()),),
        "reach": 4,
    }
    return Leakage(**{**plain, **changes})  # type: ignore[arg-type]


def test_leakage_is_shown_with_the_first_pairs() -> None:
    twin = NearDuplicate(name=f"val {EVIL}", train_name=f"train {EVIL}", distance=3)
    group = DuplicateGroup(images=9, members=(("train", EVIL), ("val", "b.jpg")))
    leakage = _leakage(
        held_out=(SplitLeakage(split="val", images=100, exact=2, near=69, examples=(twin,)),),
        across=Duplicates(groups=1, images=9, examples=(group,)),
        within=Duplicates(groups=40, images=80, examples=(group,)),
        hashed=990,
    )
    tree = parse_page(dataset_report(make_manifest(), leakage=leakage))
    shown = tables_under(tree, "Images in more than one split")
    assert shown[0] == [["val", "100", "2", "69", "71%"]]
    assert shown[1] == [[f"{EVIL} (train), b.jpg (val) and 7 more", "9"]]
    assert shown[3] == [[f"val {EVIL}", "val", f"train {EVIL}"]]
    text = tree.text_content()
    assert "--split_group=deployment+day" in text and "80 images, 40 different" in text and "among 990 of 1,000" in text


@pytest.mark.parametrize(
    ("leakage", "shown"),
    [
        pytest.param(_leakage(), "No held-out image was found in training", id="clean"),
        pytest.param(_leakage(reach=0), "too many images to search for nearly equal ones", id="too many to compare"),
        pytest.param(
            _leakage(held_out=(SplitLeakage(split="val", images=0, exact=0, near=0, examples=()),)),
            "–",
            id="an empty split",
        ),
        pytest.param(_leakage(held_out=()), "No held-out image", id="training alone"),
    ],
)
def test_no_leakage(leakage: Leakage, shown: str) -> None:
    text = parse_page(check_report(9, 9, leakage=leakage)).text_content()
    assert shown in text and "--split_group" not in text
