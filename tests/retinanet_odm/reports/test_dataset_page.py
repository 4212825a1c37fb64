"""The pages of a data set and of a check: complete, self-contained, escaped, and with the right numbers in them."""

import base64

import pytest

from retinanet_odm.dataset.problem_codes import INFO
from retinanet_odm.dataset.problems import Problem, make_problem
from retinanet_odm.reports.dataset_page import check_report, dataset_report
from tests.retinanet_odm.reports.components import render_cell
from tests.retinanet_odm.reports.pages import EVIL, make_manifest, make_statistics, parse_page, tables_under


def test_dataset_page_holds_the_counts() -> None:
    tree = parse_page(dataset_report(make_manifest(), [{"name": EVIL, "reason": "image_empty", "detail": "0 bytes"}]))
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
    for expected in (EVIL, "1,236 images in = 1,234 examples + 2 rejected", "5,600", "box_without_area", "0 bytes"):
        assert expected in text
    assert make_manifest().fingerprint in text


def test_dataset_page_has_the_share_of_images_without_objects() -> None:
    tree = parse_page(dataset_report(make_manifest(), statistics=make_statistics()))
    tiles = {tile.xpath("string(span)"): tile.xpath("string(b)") for tile in tree.xpath("//div[@class='tile']")}
    assert tiles["without objects"] == "33%"


def test_only_the_first_200_rejects_are_listed() -> None:
    rejects = [{"name": f"bad {n}.jpg", "reason": "image_empty", "detail": ""} for n in range(300)]
    text = parse_page(dataset_report(make_manifest(), rejects)).text_content()
    assert "first 200 of 300 lines" in text
    assert "bad 199.jpg" in text
    assert "bad 200.jpg" not in text


def test_a_data_set_without_rejects() -> None:
    clean = make_manifest(images_in=1234, rejected=0, rejected_by_reason={}, objects_dropped={})
    assert "Nothing was rejected" in dataset_report(clean)


def test_gallery_images_are_inside_the_page() -> None:
    (image,) = parse_page(dataset_report(make_manifest(), [], [("a & b", b"\xff\xd8jpeg")])).xpath("//img")
    mime, _, payload = image.get("src").partition(";base64,")
    assert (mime, base64.b64decode(payload), image.get("alt")) == ("data:image/jpeg", b"\xff\xd8jpeg", "a & b")


def test_a_file_name_that_is_not_utf8_can_be_written() -> None:
    name = b"b\xe9.jpg".decode("utf-8", "surrogateescape")
    assert render_cell(name) == "b\\udce9.jpg"
    dataset_report(make_manifest(), [{"name": name}]).encode("utf-8")


def _problems() -> list[Problem]:
    lost = [
        make_problem("unknown_label", f"{number_}: {EVIL}", kind="image", file=f"{EVIL}.xml", line=number_)
        for number_ in range(1, 401)
    ]
    return [make_problem("boxes_clipped", "812 boxes were cut"), make_problem("rare_label", "few", label=EVIL), *lost]


def test_problems_are_summed_up_the_worst_first() -> None:
    tree = parse_page(dataset_report(make_manifest(), problems=_problems()))
    (rows,) = tables_under(tree, "2 things need attention")
    assert [row[:2] for row in rows] == [
        ["errorunknown label", "400"],
        ["warningrare label", "1"],
        ["infoboxes clipped", "1"],
    ]
    assert "--label_aliases" in rows[0][2], "what to do"
    assert tree.xpath("//h2/text()")[0] == "2 things need attention", "at the top of the page"
    assert EVIL in tree.text_content()


@pytest.mark.parametrize(
    ("problems", "heading"),
    [
        pytest.param([make_problem("rare_label", "few")], "1 thing needs attention", id="one"),
        pytest.param([make_problem("boxes_clipped", "cut")], "Nothing needs attention", id="for information only"),
        pytest.param([], "Nothing needs attention", id="none"),
    ],
)
def test_how_many_things(problems: list[Problem], heading: str) -> None:
    assert parse_page(check_report(1, 1, problems)).xpath("//h2/text()")[0] == heading


def test_suggestions_that_name_labels_are_shown_where_they_are_all_of_one_kind() -> None:
    doctor = {"code": "rare_label", "severity": INFO, "detail": "few"}
    one, other = (Problem(**doctor, suggestion=text) for text in ("annotate crabs", "annotate urchins"))  # type: ignore[arg-type]
    alone = tables_under(parse_page(check_report(1, 1, [one])), "Nothing needs attention")
    both = tables_under(parse_page(check_report(1, 1, [one, other])), "Nothing needs attention")
    assert "annotate crabs" in alone[0][0][2]
    assert "crabs" not in both[0][0][2] and "annotate more of them" in both[0][0][2]


def test_check_page() -> None:
    page_ = check_report(402, 2, _problems(), splits={"train": 1, "val": 1}, statistics=make_statistics())
    tree = parse_page(page_)
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
    assert tables_under(tree, "Splits") == [[["train", "1"], ["val", "1"]]]
    assert tables_under(tree, "Boxes of each class")[0][0][:2] == [EVIL, "2"]
    (rows,) = tables_under(tree, "All problems")
    assert len(rows) == 300 and rows[0][0] == f"{EVIL}.xml:1"
    assert "The first 300 of 402 lines of problems.jsonl" in tree.text_content()
