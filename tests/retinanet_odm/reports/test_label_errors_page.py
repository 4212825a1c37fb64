"""The page of label errors: pictures in the order of the list, and names that are no markup."""

import io
from collections.abc import Collection, Iterator

from lxml import html
from PIL import Image

from retinanet_odm.evaluation.matching import ScoredSplit
from retinanet_odm.reports.label_errors_page import label_errors_report
from tests.retinanet_odm.evaluation.scenes import coco_truth, thing
from tests.retinanet_odm.reports.pages import EVIL

CONTENT = {
    "images": 3,
    "boxes": 12_345,
    "listed": 2,
    "min_probability": 0.5,
    "errors": [{"error": "missing", "class": EVIL, "listed": 1, "expected": 100.4}],
}
BOX = {"xmin": 1.0, "ymin": 2.0, "xmax": 30.0, "ymax": 40.0}
PROPOSED = {f"proposed_{edge}": value for edge, value in BOX.items()}


def _row(rank: int, image: str, **more: object) -> dict[str, object]:
    common = {"rank": rank, "image": image, "probability": 1 - rank / 10, "score": 0.9, "reason": f"why {rank} {EVIL}"}
    return {**common, "proposed_label": EVIL, **PROPOSED, **more}


ROWS = [
    _row(1, "3.jpg", error="missing", label=None, xmin=None, ymin=None, xmax=None, ymax=None),
    _row(2, "1.jpg", error="class", label="crab", **BOX),
    _row(3, "2.jpg", error="loose", label="crab", **BOX),
]


def _split() -> ScoredSplit:
    return ScoredSplit.from_coco(coco_truth([thing([1, 2, 29, 38], image=image) for image in (1, 2)], images=3), [])


def _images(names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Reads all but 2.jpg, in the order of names."""
    for name in sorted({*names} - {"2.jpg"}):
        buffer = io.BytesIO()
        Image.new("RGB", (64, 48)).save(buffer, "PNG")
        yield name, buffer.getvalue()


def test_pictures_are_in_the_order_of_the_list() -> None:
    text = label_errors_report(CONTENT, ROWS, _split(), _images)
    captions = [figure.text_content() for figure in html.fromstring(text).findall(".//figcaption")]
    assert [caption.partition(",")[0] for caption in captions] == ["1. missing box", "2. wrong class"], "of those there"
    assert captions[0].endswith("3.jpg") and "0.90" in captions[0]
    assert "About 100 labels are expected to be wrong, 0.8% of 12,345 boxes." in text
    assert "<script>" not in text and "&lt;script&gt;" in text


def test_a_page_without_errors() -> None:
    text = label_errors_report({**CONTENT, "errors": [], "listed": 0, "boxes": 0}, [], _split())
    assert "<figure" not in text and "About 0 labels are expected to be wrong." in text
