"""The pages: whole, self-contained, escaped, and with the right numbers in them."""

import base64

import numpy as np
import pytest
from lxml import html

from retinanet_odm.dataset.leakage import DuplicateGroup, Duplicates, Leakage, NearDuplicate, SplitLeakage
from retinanet_odm.dataset.manifest import DatasetManifest, ShardInfo, SplitInfo
from retinanet_odm.dataset.problems import INFO, Problem, make_problem
from retinanet_odm.dataset.statistics import CANVASES, MAX_BOXES_PER_IMAGE, BoxStatistics, ImageBoxes
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.reports.cells import Badge, Bar, Percent, Table, format_number
from retinanet_odm.reports.dataset_page import check_report, dataset_report
from retinanet_odm.reports.evaluation_page import evaluation_report
from retinanet_odm.reports.rendering import mark_flags
from tests.retinanet_odm.reports.components import render_cell, render_table

_EVIL = '<script>alert("x")</script>&amp;'


def _manifest(**changes: object) -> DatasetManifest:
    shard = ShardInfo(name="train-00000-of-00001.tfrecord", examples=1234, sha256="ab")
    train = SplitInfo(examples=1234, boxes=5678, boxes_per_class={"Actiniaria": 5600, _EVIL: 78}, shards=(shard,))
    plain: dict[str, object] = {
        "labels": LabelMap.from_names(["Actiniaria", _EVIL]),
        "splits": {"train": train, "val": SplitInfo(examples=0, boxes=0, boxes_per_class={}, shards=())},
        "max_boxes_per_image": 7,
        "aspect_ratio_min": 1.5,
        "aspect_ratio_max": 2.0,
        "images_in": 1236,
        "rejected": 2,
        "rejected_by_reason": {"image_empty": 2},
        "objects_dropped": {"box_without_area": 3},
        "options": {"images": _EVIL, "labels": None},
        "code_version": "0.1.0",
    }
    return DatasetManifest(**{**plain, **changes})  # type: ignore[arg-type]


def _tree(text: str) -> html.HtmlElement:
    tree = html.document_fromstring(text, parser=html.HTMLParser(recover=False))
    assert not tree.xpath("//script | //link | //*[starts-with(@src, 'http')]"), "self-contained, and nothing got in"
    return tree


def test_dataset_page_holds_the_counts() -> None:
    tree = _tree(dataset_report(_manifest(), [{"name": _EVIL, "reason": "image_empty", "detail": "0 bytes"}]))
    tiles = {tile.xpath("string(span)"): tile.xpath("string(b)") for tile in tree.xpath("//div[@class='tile']")}
    assert tiles == {
        "images in": "1,236",
        "examples": "1,234",
        "rejected": "2",
        "boxes": "5,678",
        "boxes dropped": "3",
        "classes": "2",
    }
    text = tree.text_content()
    for expected in (_EVIL, "1,236 images in = 1,234 examples + 2 rejected", "5,600", "box_without_area", "0 bytes"):
        assert expected in text
    assert _manifest().fingerprint in text


def test_dataset_page_has_the_share_of_images_without_objects() -> None:
    tree = _tree(dataset_report(_manifest(), statistics=_statistics()))
    tiles = {tile.xpath("string(span)"): tile.xpath("string(b)") for tile in tree.xpath("//div[@class='tile']")}
    assert tiles["without objects"] == "33%"


def test_only_the_first_200_rejects_are_listed() -> None:
    rejects = [{"name": f"bad {n}.jpg", "reason": "image_empty", "detail": ""} for n in range(300)]
    text = _tree(dataset_report(_manifest(), rejects)).text_content()
    assert "first 200 of 300 lines" in text
    assert "bad 199.jpg" in text
    assert "bad 200.jpg" not in text


def test_a_clean_data_set_says_so() -> None:
    clean = _manifest(images_in=1234, rejected=0, rejected_by_reason={}, objects_dropped={})
    assert "Nothing was rejected" in dataset_report(clean)


def test_gallery_pictures_are_inside_the_page() -> None:
    (image,) = _tree(dataset_report(_manifest(), [], [("a & b", b"\xff\xd8jpeg")])).xpath("//img")
    mime, _, payload = image.get("src").partition(";base64,")
    assert (mime, base64.b64decode(payload), image.get("alt")) == ("data:image/jpeg", b"\xff\xd8jpeg", "a & b")


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [
        pytest.param({}, ["Evaluation"], id="nothing known"),
        pytest.param({"AP50": 0.8714, "APs": None}, ["0.871", "–"], id="no small objects: a dash"),
        pytest.param({"AP": float("nan")}, ["–"], id="nan: a dash"),
        pytest.param(
            {"AP50": 0.5, "intervals": [{"AP50": [0.41, 0.59], "over": _EVIL, "units": 7, "per_class": {}}]},
            ["AP50, 0.41 to 0.59"],
            id="how sure it is",
        ),
        pytest.param({"step": 1200, "by": _EVIL}, ["1200", _EVIL], id="other values are kept"),
        pytest.param(
            {"per_class": {_EVIL: {"AP": 0.25, "AP50": 0.5, "ground_truth": 17}, "x": {}}},
            [_EVIL, "0.250", "0.500", "17"],
            id="classes, one of them without numbers",
        ),
    ],
)
def test_evaluation_page(metrics: dict, shown: list[str]) -> None:
    text = _tree(evaluation_report(metrics, {"The worst": [("x", b"")]})).text_content()
    assert all(part in text for part in [*shown, "The worst"])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(1234567, "1,234,567", id="thousands"),
        pytest.param(0.5, "0.500", id="fractions align"),
        pytest.param(None, "–", id="none"),
        pytest.param(float("nan"), "–", id="nan"),
        pytest.param("<b>", "<b>", id="text as it is"),
    ],
)
def test_number(value: object, shown: str) -> None:
    assert format_number(value) == shown  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "maximum"), [(1, 0), (None, 1), (float("nan"), 1), (-1, 1), (5, 1)])
def test_bars_never_leave_their_track(value: float | None, maximum: float) -> None:
    assert 'style="width:0.0%"' in (cell := render_cell(Bar.of(value, maximum))) or 'style="width:100.0%"' in cell


def test_a_file_name_that_is_not_utf8_can_be_written() -> None:
    name = b"b\xe9.jpg".decode("utf-8", "surrogateescape")
    assert render_cell(name) == "b\\udce9.jpg"
    dataset_report(_manifest(), [{"name": name}]).encode("utf-8")


@pytest.mark.parametrize(("rows", "shown"), [(20, 20), (21, 15), (300, 15)])
def test_long_tables_are_folded(rows: int, shown: int) -> None:
    tree = html.fromstring(f"<div>{render_table(Table(['n', 'value'], [(str(n), n) for n in range(rows)]))}</div>")
    assert len(tree.xpath("./div//tbody/tr")) == shown
    assert len(tree.xpath("./details//tbody/tr")) == rows - shown
    assert [summary.text for summary in tree.xpath(".//summary")] == (
        [f"{rows - shown} more rows"] if rows > shown else []
    )


def test_an_empty_table_has_its_headers() -> None:
    assert "reason" in render_table(Table(["file", "reason"], []))


def _statistics() -> BoxStatistics:
    """Small boxes of one class and large ones of another, on one photograph and on a crowded one."""
    small, large = (0.5, 0.5, 0.505, 0.505), (0.2, 0.2, 0.6, 0.6)
    boxes = np.asarray([small, small, large, large], np.float32)
    many = np.tile(np.asarray([large], np.float32), (MAX_BOXES_PER_IMAGE + 1, 1))
    return BoxStatistics.from_images(
        [
            ImageBoxes("a.jpg", 4000, 4000, boxes, [_EVIL, _EVIL, "Actiniaria", "Actiniaria"]),
            ImageBoxes(f"crowded {_EVIL}", 1920, 1080, many, ["Actiniaria"] * len(many)),
            ImageBoxes("empty.jpg", 4000, 4000, many[:0], []),
        ]
    )


def _tables(tree: html.HtmlElement, heading: str) -> list[list[list[str]]]:
    """The cells of every table under a heading, without the headers."""
    (place,) = (part for part in tree.xpath("//section") if part.xpath("string(h2)") == heading)
    tables: list[list[list[str]]] = []
    for table in place.xpath(".//table"):
        rows = [[cell.text_content().strip() for cell in row] for row in table.xpath("tbody/tr")]
        if table.xpath("ancestor::details"):  # the folded rest of the table before it
            tables[-1] += rows
        else:
            tables.append(rows)
    return tables


def test_what_the_boxes_are_like() -> None:
    tree = _tree(dataset_report(_manifest(), statistics=_statistics()))
    (sizes,) = _tables(tree, "Sizes of boxes")
    assert sizes[0] == ["16–32 px", "2", "1%"] and sizes[-1] == ["1024–2048 px", "2", "1%"]
    assert ["32–64 px", "0", "0%"] in sizes, "a gap shows as one"
    assert _tables(tree, "Shapes of boxes") == [[["1:2", "101", "96%"], ["1:1", "4", "3%"]]]
    (images,) = _tables(tree, "Boxes per image")
    assert [row[:2] for row in images if row[1] != "0"] == [["0", "1"], ["3–5", "1"], ["101", "1"]]
    assert _tables(tree, "Sizes of images") == [[["4000 × 4000", "2", "66%"], ["1920 × 1080", "1", "33%"]]]
    assert f"1 with more than 100, the maximum of the legacy TPU loader: crowded {_EVIL} (101)" in tree.text_content()


def test_recall_that_is_low_is_marked_and_what_to_do_is_said() -> None:
    tree = _tree(dataset_report(_manifest(), statistics=_statistics()))
    (rows,) = _tables(tree, "Anchor recall")
    assert [row[0] for row in rows] == ["all classes", _EVIL, "Actiniaria"]
    assert rows[1] == [_EVIL, "2", *["0%"] * len(CANVASES)]
    assert rows[2] == ["Actiniaria", "103", *["100%"] * len(CANVASES)]
    assert len(tree.xpath("//*[@class='bad']")) == len(CANVASES), "the row of the small boxes"
    assert "smaller --anchor_scale" in tree.text_content()


def test_recall_that_is_good_needs_no_advice() -> None:
    box = np.asarray([(0.2, 0.2, 0.6, 0.6)], np.float32)
    statistics = BoxStatistics.from_images([ImageBoxes("a.jpg", 400, 400, box, ["crab"])])
    text = _tree(dataset_report(_manifest(), statistics=statistics)).text_content()
    assert "Anchor recall" in text and "Highlighted" not in text


@pytest.mark.parametrize(
    "statistics",
    [pytest.param(BoxStatistics(), id="no image"), pytest.param(BoxStatistics.from_images([]), id="none to count")],
)
def test_statistics_of_nothing(statistics: BoxStatistics) -> None:
    text = _tree(check_report(0, 0, statistics=statistics)).text_content()
    assert "There is no image." in text and "No image has a box." in text and "No problem was found." in text


def test_many_sizes_of_images_are_summed_up() -> None:
    none = np.zeros((0, 4), np.float32)
    statistics = BoxStatistics.from_images([ImageBoxes(f"{row}.jpg", 100 + row, 100, none, []) for row in range(50)])
    (rows,) = _tables(_tree(check_report(50, 50, statistics=statistics)), "Sizes of images")
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
    twin = NearDuplicate(name=f"val {_EVIL}", train_name=f"train {_EVIL}", distance=3)
    group = DuplicateGroup(images=9, members=(("train", _EVIL), ("val", "b.jpg")))
    leakage = _leakage(
        held_out=(SplitLeakage(split="val", images=100, exact=2, near=69, examples=(twin,)),),
        across=Duplicates(groups=1, images=9, examples=(group,)),
        within=Duplicates(groups=40, images=80, examples=(group,)),
        hashed=990,
    )
    tree = _tree(dataset_report(_manifest(), leakage=leakage))
    shown = _tables(tree, "Images in more than one split")
    assert shown[0] == [["val", "100", "2", "69", "71%"]]
    assert shown[1] == [[f"{_EVIL} (train), b.jpg (val) and 7 more", "9"]]
    assert shown[3] == [[f"val {_EVIL}", "val", f"train {_EVIL}"]]
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
def test_leakage_that_is_none(leakage: Leakage, shown: str) -> None:
    text = _tree(check_report(9, 9, leakage=leakage)).text_content()
    assert shown in text and "--split_group" not in text


def _problems() -> list[Problem]:
    lost = [
        make_problem("unknown_label", f"{number_}: {_EVIL}", kind="image", file=f"{_EVIL}.xml", line=number_)
        for number_ in range(1, 401)
    ]
    return [make_problem("boxes_clipped", "812 boxes were cut"), make_problem("rare_label", "few", label=_EVIL), *lost]


def test_problems_are_summed_up_the_worst_first() -> None:
    tree = _tree(dataset_report(_manifest(), problems=_problems()))
    (rows,) = _tables(tree, "2 things need attention")
    assert [row[:2] for row in rows] == [
        ["errorunknown label", "400"],
        ["warningrare label", "1"],
        ["infoboxes clipped", "1"],
    ]
    assert "--label_aliases" in rows[0][2], "what to do"
    assert tree.xpath("//h2/text()")[0] == "2 things need attention", "at the top of the page"
    assert _EVIL in tree.text_content()


@pytest.mark.parametrize(
    ("problems", "heading"),
    [
        pytest.param([make_problem("rare_label", "few")], "1 thing needs attention", id="one"),
        pytest.param([make_problem("boxes_clipped", "cut")], "Nothing needs attention", id="for information only"),
        pytest.param([], "Nothing needs attention", id="none"),
    ],
)
def test_how_many_things(problems: list[Problem], heading: str) -> None:
    assert _tree(check_report(1, 1, problems)).xpath("//h2/text()")[0] == heading


def test_suggestions_that_name_labels_are_shown_where_they_are_all_of_one_kind() -> None:
    doctor = {"code": "rare_label", "severity": INFO, "detail": "few"}
    one, other = (Problem(**doctor, suggestion=text) for text in ("annotate crabs", "annotate urchins"))  # type: ignore[arg-type]
    alone = _tables(_tree(check_report(1, 1, [one])), "Nothing needs attention")
    both = _tables(_tree(check_report(1, 1, [one, other])), "Nothing needs attention")
    assert "annotate crabs" in alone[0][0][2]
    assert "crabs" not in both[0][0][2] and "annotate more of them" in both[0][0][2]


def test_check_page() -> None:
    page_ = check_report(402, 2, _problems(), splits={"train": 1, "val": 1}, statistics=_statistics())
    tree = _tree(page_)
    tiles = {tile.xpath("string(span)"): tile.xpath("string(b)") for tile in tree.xpath("//div[@class='tile']")}
    assert tiles == {
        "images in": "402",
        "would be examples": "2",
        "without objects": "33%",
        "boxes": "105",
        "classes": "2",
        "errors": "400",
        "warnings": "1",
    }
    assert _tables(tree, "Splits") == [[["train", "1"], ["val", "1"]]]
    assert _tables(tree, "Boxes of each class")[0][0][:2] == [_EVIL, "2"]
    (rows,) = _tables(tree, "All problems")
    assert len(rows) == 300 and rows[0][0] == f"{_EVIL}.xml:1"
    assert "The first 300 of 402 lines of problems.jsonl" in tree.text_content()


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        pytest.param(0.0, "0%", id="none"),
        pytest.param(0.0004, "<1%", id="few, but not none"),
        pytest.param(0.29, "29%", id="0.29 * 100 is 28.999…"),
        pytest.param(0.899, "89%", id="below 90 is not 90"),
        pytest.param(0.9999, "99%", id="not all"),
        pytest.param(1.0, "100%", id="all"),
    ],
)
def test_percent(share: float, shown: str) -> None:
    assert str(Percent(share)) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("a --image_size=640, b", 'a <code class="flag">--image_size=640</code>, b', id="a flag"),
        pytest.param("<b> --x", '&lt;b&gt; <code class="flag">--x</code>', id="the rest is escaped"),
        pytest.param("a – b -- c", "a – b -- c", id="dashes alone"),
        pytest.param("--x=<b>", '<code class="flag">--x</code>=&lt;b&gt;', id="no markup gets into a value"),
    ],
)
def test_flags_stand_out(text: str, shown: str) -> None:
    assert mark_flags(text) == shown


def test_a_badge_is_escaped() -> None:
    assert "<script" not in render_cell(Badge(_EVIL))
