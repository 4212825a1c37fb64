"""A data set's manifest and statistics for the pages, and what a test reads from a page."""

import numpy as np
from lxml import html

from retinanet_odm.dataset.manifest import DatasetManifest, ShardInfo, SplitInfo
from retinanet_odm.dataset.statistics import MAX_BOXES_PER_IMAGE, BoxStatistics, ImageBoxes
from retinanet_odm.labels.label_map import LabelMap

EVIL = '<script>alert("x")</script>&amp;'


def make_manifest(**changes: object) -> DatasetManifest:
    shard = ShardInfo(name="train-00000-of-00001.tfrecord", examples=1234, sha256="ab")
    train = SplitInfo(examples=1234, boxes=5678, boxes_per_class={"Actiniaria": 5600, EVIL: 78}, shards=(shard,))
    plain: dict[str, object] = {
        "labels": LabelMap.from_names(["Actiniaria", EVIL]),
        "splits": {"train": train, "val": SplitInfo(examples=0, boxes=0, boxes_per_class={}, shards=())},
        "max_boxes_per_image": 7,
        "aspect_ratio_min": 1.5,
        "aspect_ratio_max": 2.0,
        "images_in": 1236,
        "rejected": 2,
        "rejected_by_reason": {"image_empty": 2},
        "objects_dropped": {"box_without_area": 3},
        "options": {"images": EVIL, "labels": None},
        "code_version": "0.1.0",
    }
    return DatasetManifest(**{**plain, **changes})  # type: ignore[arg-type]


def make_statistics() -> BoxStatistics:
    """Small boxes of one class and large ones of another, on one image and on a crowded one."""
    small, large = (0.5, 0.5, 0.505, 0.505), (0.2, 0.2, 0.6, 0.6)
    boxes = np.asarray([small, small, large, large], np.float32)
    many = np.tile(np.asarray([large], np.float32), (MAX_BOXES_PER_IMAGE + 1, 1))
    return BoxStatistics.from_images(
        [
            ImageBoxes("a.jpg", 4000, 4000, boxes, [EVIL, EVIL, "Actiniaria", "Actiniaria"]),
            ImageBoxes(f"crowded {EVIL}", 1920, 1080, many, ["Actiniaria"] * len(many)),
            ImageBoxes("empty.jpg", 4000, 4000, many[:0], []),
        ]
    )


def parse_page(text: str) -> html.HtmlElement:
    tree = html.document_fromstring(text, parser=html.HTMLParser(recover=False))
    assert not tree.xpath("//script | //link | //*[starts-with(@src, 'http')]"), "self-contained, and nothing got in"
    return tree


def tables_under(tree: html.HtmlElement, heading: str) -> list[list[list[str]]]:
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
