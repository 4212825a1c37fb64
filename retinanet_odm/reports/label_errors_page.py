"""The page of `python -m inference label_errors`, label_errors.html: pictures of labels that are probably wrong."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np

from retinanet_odm.annotations.types import BoxCorners
from retinanet_odm.evaluation.label_errors import LabelErrorKind
from retinanet_odm.evaluation.matching import ScoredSplit
from retinanet_odm.imaging.drawing import DrawnBox, draw_crop
from retinanet_odm.reports.predictions_page import ImageReader, no_images
from retinanet_odm.reports.rendering import Bar, Cell, Table, render
from retinanet_odm.wording import plural

_Row = Mapping[str, Any]
_MAX_PICTURES = 60
_MAX_ROWS = 500
_KIND_NAMES = {
    LabelErrorKind.MISSING: "missing box",
    LabelErrorKind.WRONG_CLASS: "wrong class",
    LabelErrorKind.LOOSE: "loose box",
}


class _Colour(IntEnum):
    """Label ids with these colours in imaging.drawing.PALETTE."""

    OTHER = 1  # yellow
    PROPOSAL = 2  # light blue
    DOUBTFUL = 6  # red


def label_errors_report(
    content: Mapping[str, Any],
    rows: Sequence[_Row],
    split: ScoredSplit,
    read_images: ImageReader = no_images,
    *,
    about: Sequence[str] = (),
) -> str:
    """Render the page.

    Args:
      content: label_errors.json, see docs/label_errors.md.
      rows: of label_errors.csv.
      split: the labels, which are drawn around an error.
      read_images: finds the images.
      about: which rows and labels, and when.
    """
    return render(
        "label_errors.html.j2",
        about=about,
        content=content,
        verdict=list(_verdict(content)),
        expected=_expected_table(content),
        pictures=_draw(rows[:_MAX_PICTURES], split, read_images),
        errors=_error_table(rows[:_MAX_ROWS]) if rows else None,
        more=max(len(rows) - _MAX_ROWS, 0),
    )


def _verdict(content: Mapping[str, Any]) -> Iterator[str]:
    expected = sum(row["expected"] for row in content["errors"])
    boxes = content["boxes"]
    share = f", {expected / boxes:.1%} of {boxes:,} {plural('box', boxes)}" if boxes else ""
    yield f"About {expected:,.0f} labels are expected to be wrong{share}."
    yield (
        f"{content['listed']:,} are listed, each with a probability of at least {content['min_probability']:g}, the"
        " most probable first."
    )


def _expected_table(content: Mapping[str, Any]) -> Table:
    rows: list[list[Cell]] = [
        [f"{_KIND_NAMES[LabelErrorKind(row['error'])]}, {row['class']}", row["listed"], round(row["expected"])]
        for row in content["errors"]
    ]
    return Table(["error, class", "listed", "expected"], rows)


def _error_table(rows: Sequence[_Row]) -> Table:
    cells: list[list[Cell]] = [
        [
            row["rank"],
            row["image"],
            _KIND_NAMES[LabelErrorKind(row["error"])],
            Bar.of(row["probability"], 1.0),
            row["reason"],
        ]
        for row in rows
    ]
    return Table(["rank", "image", "error", "probability", "reason"], cells)


def _draw(rows: Sequence[_Row], split: ScoredSplit, read_images: ImageReader) -> list[tuple[str, bytes]]:
    """Return captions and pictures of errors, in their order; an image that is not found has none."""
    by_image: defaultdict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        by_image[row["image"]].append(row)
    pictures: dict[int, bytes] = {}
    numbers = {name: number for number, name in enumerate(split.images)}
    for name, encoded in read_images(by_image):
        others = list(_labels(split, numbers[name]))
        for row in by_image[name]:
            pictures[row["rank"]] = draw_crop(encoded, [*others, *_boxes_of(row)], around=_union(row))
    return [(_caption(row), pictures[row["rank"]]) for row in rows if row["rank"] in pictures]


def _caption(row: _Row) -> str:
    return (
        f"{row['rank']}. {_KIND_NAMES[LabelErrorKind(row['error'])]}, {row['probability']:.2f}: {row['reason']}."
        f" {row['image']}"
    )


def _labels(split: ScoredSplit, image: int) -> Iterator[DrawnBox]:
    """Yield the labels of an image."""
    truth = split.truth
    for item in np.flatnonzero((truth.image == image) & ~truth.is_crowd):
        x, y, width, height = truth.box[item].tolist()
        name = split.classes[truth.label[item]]
        yield DrawnBox(box=(y, x, y + height, x + width), label=name, label_id=_Colour.OTHER)


def _boxes_of(row: _Row) -> Iterator[DrawnBox]:
    """Yield the label of an error, drawn over its own box in _labels, and what is proposed."""
    if row["label"] is not None:
        yield DrawnBox(box=_corners(row, ""), label=row["label"], label_id=_Colour.DOUBTFUL, score=None)
    if row["error"] != LabelErrorKind.WRONG_CLASS:
        name = row["proposed_label"]
        yield DrawnBox(box=_corners(row, "proposed_"), label=name, label_id=_Colour.PROPOSAL, score=row["score"])


def _corners(row: _Row, prefix: str) -> BoxCorners:
    ymin, xmin, ymax, xmax = (float(row[f"{prefix}{edge}"]) for edge in ("ymin", "xmin", "ymax", "xmax"))
    return ymin, xmin, ymax, xmax


def _union(row: _Row) -> BoxCorners:
    boxes = [item.box for item in _boxes_of(row)]
    (ymin, xmin), (ymax, xmax) = np.min(boxes, axis=0)[:2].tolist(), np.max(boxes, axis=0)[2:].tolist()
    return ymin, xmin, ymax, xmax
