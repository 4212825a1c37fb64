"""The pages: whole, self-contained, escaped, and with the right numbers in them."""

import base64

import pytest
from lxml import html

from detection.labels import LabelMap
from detection.manifests import DatasetManifest, ShardInfo, SplitInfo
from detection.pages import Html, bar, escape, number, page, section, table
from detection.report import dataset_report, evaluation_report

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
        pytest.param({"step": 1200, "by": _EVIL}, ["1200", _EVIL], id="other values are kept"),
        pytest.param(
            {"per_class": {_EVIL: {"AP": 0.25, "AP50": 0.5, "ground_truth": 17}, "x": {}}},
            [_EVIL, "0.250", "0.500", "17"],
            id="classes, one of them without numbers",
        ),
    ],
)
def test_evaluation_page(metrics: dict, shown: list[str]) -> None:
    text = _tree(evaluation_report(metrics, [("x", b"")])).text_content()
    assert all(part in text for part in shown)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(1234567, "1,234,567", id="thousands"),
        pytest.param(0.5, "0.500", id="fractions align"),
        pytest.param(None, "–", id="none"),
        pytest.param(float("nan"), "–", id="nan"),
        pytest.param("<b>", "&lt;b&gt;", id="text is escaped"),
        pytest.param(Html("<b>"), "<b>", id="markup is not"),
    ],
)
def test_number(value: object, shown: str) -> None:
    assert number(value) == shown  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "maximum"), [(1, 0), (None, 1), (float("nan"), 1), (-1, 1), (5, 1)])
def test_bars_never_leave_their_track(value: float | None, maximum: float) -> None:
    assert 'style="width:0.0%"' in bar(value, maximum) or 'style="width:100.0%"' in bar(value, maximum)


def test_a_file_name_that_is_not_utf8_can_be_written() -> None:
    name = b"b\xe9.jpg".decode("utf-8", "surrogateescape")
    assert escape(name) == "b\\udce9.jpg"
    page("t", [section("s", name)]).encode("utf-8")


def test_an_empty_table_has_its_headers() -> None:
    assert "reason" in table(["file", "reason"], [])
