"""report.html: complete, self-contained, escaped, with the right numbers; small, whatever the rows."""

import dataclasses
import io
from collections.abc import Collection, Iterable, Iterator

import pytest
from hypothesis import given, settings
from lxml import html
from PIL import Image

from retinanet_odm.imaging.drawing import DrawnBox, colour_of
from retinanet_odm.predictions.rows import Detection, PredictionRow, ScoringRun
from retinanet_odm.reports import predictions_page
from retinanet_odm.reports.predictions_charts import describe_cut
from retinanet_odm.reports.predictions_page import ImageReader, detections_caption, no_images, predictions_report
from tests.retinanet_odm.prediction_rows import CRAB, FRAME, PIG, ROWS, RUN, STAR, failed, random_rows, scored

_EVIL = '<script>alert("x")</script>&amp;'


def _page(
    rows: Iterable[PredictionRow], run: ScoringRun = RUN, read_images: ImageReader = no_images
) -> html.HtmlElement:
    text = b"".join(predictions_report(rows, run, read_images)).decode()
    tree = html.document_fromstring(text, parser=html.HTMLParser(recover=False))
    assert not tree.xpath("//script | //link | //iframe | //@onload | //@onerror"), "nothing runs"
    assert all(address.startswith("data:image/jpeg;base64,") for address in tree.xpath("//@src | //@href"))
    assert "url(" not in text and "@import" not in text, "nothing is fetched"
    return tree


def _image() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def _tiles(tree: html.HtmlElement) -> dict[str, str]:
    return {tile.xpath("string(span)"): tile.xpath("string(b)") for tile in tree.xpath("//div[@class='tile']")}


def _lines(tree: html.HtmlElement, heading: str) -> list[list[str]]:
    rows = tree.xpath(f"//section[h2='{heading}']//tbody/tr")
    return [[cell.text_content().strip() for cell in row] for row in rows]


def test_the_numbers() -> None:
    tree = _page(ROWS)
    assert _tiles(tree) == {
        "images": "8",
        "scored": "6",
        "failed": "2",
        "detections": "8",
        "classes found": "3",
    }
    assert _lines(tree, "Each class") == [
        ["crab", "0.300", "3", "3", "0.5000.00 to 1.07", "1a.png"],
        ["sea pig", "0.400", "3", "2", "0.5000.00 to 1.38", "2a.png"],
        ['Étoile "de", mer', "0.250", "2", "2", "0.3330.00 to 0.87", "1" + FRAME],
    ]
    assert [line[:2] for line in _lines(tree, "Failures")] == [
        ["image_not_decodable", "1"],
        ["model_refused_image", "1"],
    ]
    (deployment,) = _lines(tree, "Over time")
    assert deployment == ["dive 1/StaM_6701", "2016-11-10 14:24to 2016-11-10 14:24", "1", "0", "0", "1"]
    assert "5 images have no time" in tree.text_content()


def test_what_is_drawn_is_what_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[str]] = []

    def draw(encoded: bytes, boxes: Iterable[DrawnBox]) -> bytes:
        drawn.append([box.caption for box in boxes])
        return encoded

    monkeypatch.setattr(predictions_page, "draw_thumbnail", draw)
    weak = dataclasses.replace(CRAB, score=0.29)
    tree = _page([scored("a.jpg", PIG, weak)], read_images=lambda names: ((name, _image()) for name in names))
    assert _tiles(tree)["detections"] == "1"
    assert tree.xpath("//section[h2='Examples']//figcaption/text()") == ["a.jpg: 1 counted: sea pig 0.90"]
    # The weak one is what the image was chosen for: it is drawn, counted nowhere, and says so.
    (caption,) = tree.xpath("//section[h2='Least certain']//figcaption/text()")
    assert caption == "a.jpg: 1 counted: sea pig 0.90; not counted: crab 0.29"
    assert drawn == [["sea pig 0.90"], ["sea pig 0.90", "not counted: crab 0.29"]]
    ((*_, label, score, threshold, detections),) = _lines(tree, "Least certain")
    assert (label, score, threshold, detections) == ("crab", "0.290", "0.300", "1")


def test_a_histogram_says_where_it_is_cut() -> None:
    weak = [dataclasses.replace(PIG, score=score) for score in (0.39, 0.1)]
    tree = _page([scored("a.jpg", PIG, *weak)], RUN)
    (caption,) = tree.xpath("//section[h2='Scores']//figcaption")
    text = " ".join(" ".join(caption.itertext()).split())
    assert text == "sea pig 1 counted, from 0.4; 2 weaker ones, from 0.1, are not drawn"
    lefts = sorted(float(bar.get("x")) for bar in tree.xpath("//section[h2='Scores']//*[@class='bars']/rect"))
    (cut,) = tree.xpath("//section[h2='Scores']//rect[@class='uncounted']")
    assert float(cut.get("x")) + float(cut.get("width")) == pytest.approx(lefts[0], abs=1)


@pytest.mark.parametrize(
    ("counted", "weaker", "rows_from", "text"),
    [
        pytest.param(3, 0, 0.05, "3 counted, from 0.5; the rows hold no weaker ones", id="nothing outside"),
        pytest.param(1, 1, 0.05, "1 counted, from 0.5; 1 weaker one, from 0.05, is not drawn", id="one"),
        pytest.param(2, 1234, 0.0, "2 counted, from 0.5; 1,234 weaker ones are not drawn", id="a model without limit"),
    ],
)
def test_what_lies_outside_a_histogram(counted: int, weaker: int, rows_from: float, text: str) -> None:
    assert describe_cut(counted, weaker, threshold=0.5, rows_from=rows_from) == text


@pytest.mark.parametrize(
    ("items", "caption"),
    [
        pytest.param([PIG, PIG], "a: 2 counted: sea pig 0.90, sea pig 0.90", id="all count"),
        pytest.param(
            [PIG] * 8,
            "a: 8 counted: " + ", ".join(["sea pig 0.90"] * 6) + ", and 2 more",
            id="more than a caption names",
        ),
        pytest.param(
            [dataclasses.replace(CRAB, score=0.1)], "a: nothing counted; not counted: crab 0.10", id="none counts"
        ),
    ],
)
def test_captions(items: list[Detection], caption: str) -> None:
    assert detections_caption(scored("a", *items), RUN.thresholds) == caption


def test_classes_have_one_order_and_the_colours_of_their_boxes() -> None:
    frames = [f"cam_20161110_{hour:02}0000.jpg" for hour in range(3)]
    tree = _page([scored(frames[0], PIG, PIG), scored(frames[1], STAR), scored(frames[2], CRAB, STAR, STAR)])
    names, colours = list(RUN.classes.values()), [colour_of(label_id) for label_id in RUN.classes]
    assert [line[0] for line in _lines(tree, "Each class")] == names
    legend = tree.xpath("//section[h2='Over time']//*[@class='legend']")
    assert [item.text_content() for item in legend] == names
    assert [item.get("style") for item in tree.xpath("//*[@class='legend']/i")] == [f"background:{c}" for c in colours]
    assert tree.xpath("//section[h2='Over time']//thead//th[position() > 3]/text()") == names
    assert tree.xpath("//section[h2='Scores']//figcaption/b/text()") == names
    patches = tree.xpath("//section[h2='Each class']//i[@class='patch']/@style")
    assert patches == [f"background:{colour}" for colour in colours]


def test_images_unlike_the_training_images() -> None:
    assert "unlike" not in _page(ROWS).text_content(), "a model without a reference"
    known = [dataclasses.replace(scored(f"d/{number}.jpg"), novelty=0.5) for number in range(40)]
    assert "0 of 40 images are unlike the training images." in _page(known).text_content()
    pond = [dataclasses.replace(scored(f"pond/{number}.jpg", CRAB), novelty=1.5) for number in range(3)]
    tree = _page([*known, *pond])
    sentence = (
        "3 of 43 images are unlike the training images: counts there are not trustworthy; most of all in pond (3 of 3)."
    )
    assert sentence in tree.text_content().partition("Each class")[0], "before the counts"
    assert _lines(tree, "Unlike the training images") == [
        ["pond", "3", "3", "100%", "1.500"],
        ["d", "40", "0", "0%", "0.500"],
    ]


def test_locations_of_repeated_detections() -> None:
    rows = [
        dataclasses.replace(row, detections=tuple(dataclasses.replace(item, repeat=place) for item in row.detections))
        for row, place in (
            (scored("d/1.jpg", CRAB), 0),
            (scored("d/2.jpg", CRAB, CRAB), 0),
            (scored("e/3.jpg", PIG), 7),
        )
    ]
    tree = _page([*rows, scored("d/4.jpg", CRAB)])
    assert _lines(tree, "Repeated detections") == [
        ["0", "d", "crab", "3", "d/1.jpg"],
        ["7", "e", "sea pig", "1", "e/3.jpg"],
    ]
    assert "4 of 5 detections are at 2 locations" in tree.text_content()
    assert "Repeated detections" not in _page(ROWS).text_content(), "repeats was not run"


def test_names_of_every_kind_are_escaped() -> None:
    image = f"{_EVIL}_20161110_14_24_12.JPG"
    rows = [
        scored(image, dataclasses.replace(PIG, label=_EVIL), dataclasses.replace(PIG, label=_EVIL, score=0.5)),
        dataclasses.replace(failed("b"), reason=_EVIL, detail=_EVIL),
        failed("caf\udce9"),
    ]
    run = dataclasses.replace(RUN, classes={2: _EVIL}, code_version=_EVIL)
    tree = _page(rows, run, lambda names: ((name, _image()) for name in names))
    assert len(tree.xpath("//img")) == 2
    for heading in ("Each class", "Over time", "Scores", "Failures", "Examples", "Least certain", "How it was made"):
        assert _EVIL in tree.xpath(f"string(//section[h2='{heading}'])"), heading


@given(random_rows)
@settings(max_examples=30)
def test_any_rows_make_a_page(rows: list[PredictionRow]) -> None:
    assert _tiles(_page(rows))["images"] == str(len(rows))


def test_few_images_are_read_and_once() -> None:
    asked: list[Collection[str]] = []

    def read_images(names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        asked.append(names)
        for name in sorted(names)[1:]:  # one no longer exists
            yield name, _image()

    tree = _page((scored(f"{number:04}.jpg", PIG, CRAB, STAR) for number in range(500)), read_images=read_images)
    (names,) = asked
    assert 12 <= len(names) <= 24
    captions = tree.xpath("//figure[.//img]/figcaption/text()")
    assert {caption.partition(": ")[0] for caption in captions} == set(names) - {min(names)}
    assert "sea pig 0.90, crab 0.50" in captions[0]


def test_a_page_without_images() -> None:
    tree = _page([scored("a.jpg", PIG)])
    assert not tree.xpath("//img")
    assert "Pass their location with --images" in tree.text_content()


@pytest.mark.parametrize("name", ["cam{0}_20161110_142412.jpg", "cam_{0:08}.jpg", "cam_20161110_{1:06}.jpg"])
def test_the_page_does_not_grow_with_the_rows(name: str) -> None:
    def size(count: int) -> int:
        rows = (scored(name.format(number, number % 60), PIG) for number in range(count))
        return len(b"".join(predictions_report(rows, RUN)))

    assert size(3000) < 1.05 * size(1000)


def test_examples_show_rare_classes() -> None:
    rows = [scored(f"{number:03}.jpg", PIG) for number in range(300)]
    rows[170] = scored("170.jpg", dataclasses.replace(STAR, score=0.31))
    asked: list[str] = []
    _page(rows, read_images=lambda names: asked.extend(names) or ())
    assert "170.jpg" in asked


def test_a_chart_for_each_deployment_and_one_for_all() -> None:
    rows = [
        scored(f"{camera}_201611{day:02}_120000.jpg", *[PIG] * day)
        for camera in ("east", "west")
        for day in range(1, 9)
    ]
    titles = _page(rows).xpath("//section[h2='Over time']//figcaption/b/text()")
    assert titles == [
        "all deployments: 16 images, by 6 hours",
        "east: 8 images, by 6 hours",
        "west: 8 images, by 6 hours",
    ]


@pytest.mark.parametrize(
    ("hours", "lines"),
    [
        pytest.param([1, 2, 3, 4], 1, id="hourly"),
        pytest.param([1, 2, 3, 5, 6], 1, id="one is missing"),
        pytest.param([1, 2, 3, 4, 12, 13, 14], 2, id="many are missing"),
        pytest.param([5], 1, id="a single one"),
    ],
)
def test_lines_are_broken_where_images_are_missing(hours: list[int], lines: int) -> None:
    tree = _page(scored(f"c_20161110_{hour:02}0000.jpg", PIG) for hour in hours)
    (path,) = tree.xpath("//section[h2='Over time']//path[title]/@d")
    assert path.count("M") == lines
    assert path.count("M") + path.count("L") == len(hours)


@pytest.mark.parametrize(
    ("every", "bars"),
    [pytest.param(1, 1, id="24 samples a day"), pytest.param(8, 0, id="3 samples a day")],
)
def test_means_have_intervals_where_there_are_enough_samples(every: int, bars: int) -> None:
    hours = range(0, 20 * 24, every)
    rows = (scored(f"c_201611{hour // 24 + 1:02}_{hour % 24:02}0000.jpg", *[PIG] * (hour % 5)) for hour in hours)
    tree = _page(rows)
    assert len(tree.xpath("//section[h2='Over time']//path[@class='interval']")) == bars
    assert " to " in _lines(tree, "Each class")[1][4], "of all samples"


def test_steps_shorter_than_a_sample_have_no_intervals() -> None:
    minutes = range(0, 90, 10)
    rows = [scored(f"{camera}_20161101_{at // 60:02}{at % 60:02}00.jpg", PIG) for camera in "abcdef" for at in minutes]
    tree = _page(rows)
    assert "by 10 minutes" in tree.xpath("string(//section[h2='Over time']//figcaption/b)")
    assert not tree.xpath("//section[h2='Over time']//path[@class='interval']")
