"""The page of an evaluation: `eval.html` of the trainer and `evaluation.html` of ``inference evaluate``."""

from collections.abc import Mapping, Sequence
from typing import Any

from retinanet_odm.imaging.drawing import colour_of
from retinanet_odm.reports.charts import Chart, ChartLine, ChartPoint, bubble_chart, line_chart, most_frequent_by_colour
from retinanet_odm.reports.evaluation_verdict import evaluation_verdict
from retinanet_odm.reports.measured_counts import ratio_cell
from retinanet_odm.reports.rendering import Bar, Cell, ClassName, Gain, Shade, Table, Titled, facts_table, render
from retinanet_odm.reports.taxa_section import taxa_tables

_Values = Mapping[str, Any]
_MAX_CHARTS = 12  # classes whose counts are drawn
_MAX_SLICES = 60  # deployments and days on the page
# Parts of eval.json that have sections of their own.
_OWN_SECTIONS = {"per_class", "details", "intervals", "at_thresholds", "at_limit", "thresholds", "images", "taxa"}
_ERROR_TYPES = {
    "localisation": "the right class, but the box is inaccurate (IoU 0.1 to 0.5)",
    "classification": "on an object, but with another class (IoU 0.5 or more)",
    "both": "near an object of another class (IoU 0.1 to 0.5)",
    "duplicate": "on an object that a detection of a higher score has found (IoU 0.5 or more)",
    "background": "where there is no object (IoU below 0.1)",
    "missed": "an object that was not found, without an error of the first two types at it",
}
# The large numbers, with what they mean.
_TILES = {
    "recall": "recall: share of the objects that is found",
    "precision": "precision: share of the boxes that is right",
    "f1": "F1: harmonic mean of both",
    "AP50": "AP50: precision at all thresholds, 1 is perfect",
    "AP": "AP: the same for boxes that fit more and more tightly",
    "images": "images",
}
# Summary numbers of COCO evaluation (pycocotools.cocoeval) and their meaning.
_COCO_METRICS = {
    "AP": "average precision, mean over IoU 0.50–0.95",
    "AP50": "average precision at IoU 0.50",
    "AP75": "average precision at IoU 0.75",
    "APs": "AP of objects under 32² pixels",
    "APm": "AP of objects of 32² to 96² pixels",
    "APl": "AP of objects over 96² pixels",
    "AR1": "average recall with 1 detection per image",
    "AR10": "average recall with 10 detections per image",
    "AR100": "average recall with 100 detections per image",
    "ARs": "AR100 of objects under 32² pixels",
    "ARm": "AR100 of objects of 32² to 96² pixels",
    "ARl": "AR100 of objects over 96² pixels",
}


def evaluation_report(
    metrics: Mapping[str, Any],
    gallery: Mapping[str, Sequence[tuple[str, bytes]]] | None = None,
    *,
    excluded: Sequence[tuple[str, int, str]] = (),
    about: Sequence[str] = (),
) -> str:
    """Render the page of an evaluation; parts that are not in the metrics have no section.

    Args:
      metrics: eval.json, see docs/training.md.
      gallery: captions and JPEG bytes of images by heading; boxes are drawn as by retinanet_odm.evaluation.gallery.
      excluded: what the numbers do not include: reason, count and the first example of each.
      about: which model was evaluated on which data, and when.
    """
    per_class, details = metrics.get("per_class", {}), metrics.get("details", {})
    intervals = metrics.get("intervals", [])
    # What has no section of its own is listed below the metrics, so that nothing of eval.json is lost on the page.
    summary = {name: metrics[name] for name in _COCO_METRICS if name in metrics}
    others = {name: value for name, value in metrics.items() if name not in summary and name not in _OWN_SECTIONS}
    return render(
        "evaluation.html.j2",
        about=about,
        verdict=evaluation_verdict(metrics),
        tiles=_tiles(metrics),
        excluded=Table(["reason", "count", "for example"], excluded),
        classes=_class_table(per_class, intervals, metrics.get("at_limit")),
        at_limit=metrics.get("at_limit"),
        thresholds_from=metrics.get("thresholds_from"),
        interval=intervals[-1] if intervals else None,
        taxa=taxa_tables(metrics["taxa"]) if "taxa" in metrics else None,
        details=_tabulate_details(details, per_class, intervals) if details else None,
        gallery={heading: images for heading, images in (gallery or {}).items() if images},
        summary=Table(
            ["metric", "meaning", "value"],
            [(name, _COCO_METRICS[name], Bar.of(value, 1.0)) for name, value in summary.items()],
        ),
        run=facts_table(others.items()),
    )


def format_interval(interval: Sequence[float]) -> str:
    """Format a confidence interval for people.

    Example:
      >>> format_interval((0.412, 0.598))
      '0.41 to 0.60'
    """
    low, high = interval
    return f"{low:.2f} to {high:.2f}"


def _tiles(metrics: _Values) -> list[tuple[str, Cell]]:
    # The last interval is over groups of images where there are enough of them: it does not count frames that resemble
    # each other as independent.
    interval = metrics["intervals"][-1] if metrics.get("intervals") else {}
    # Precision, recall and F1 depend on the thresholds, and so lie in a part of their own.
    values = {**metrics, **metrics.get("at_thresholds", {})}
    return [(_describe_tile(name, interval.get(name)), values[name]) for name in _TILES if name in values]


def _describe_tile(name: str, interval: Sequence[float] | None) -> str:
    return f"{_TILES[name]}, {format_interval(interval)}" if interval else _TILES[name]


def _class_table(per_class: Mapping[str, _Values], intervals: Sequence[_Values], at_limit: _Values | None) -> Table:
    """AP of each class with its interval, and precision, recall and F1 at its threshold.

    AP beyond COCO's limit has a column if images are that crowded.
    """
    is_crowded = bool(at_limit and at_limit["images_beyond_coco"])
    is_partial = any("exhaustive_images" in values for values in per_class.values())
    ranges = intervals[-1]["per_class"] if intervals else {}
    rows: list[list[Cell]] = [
        [
            _class_cell(name, per_class),
            *([values.get("exhaustive_images")] if is_partial else []),
            values.get("ground_truth"),
            _with_interval(Bar.of(values.get("AP50"), 1.0), ranges.get(name)),
            Bar.of(values.get("AP"), 1.0),
            *([Bar.of(values.get("AP50_at_limit"), 1.0)] if is_crowded else []),
            *(values.get(key) for key in ("threshold", "precision", "recall", "f1")),
        ]
        for name, values in per_class.items()
    ]
    beyond = ["AP50 beyond 100"] if is_crowded else []
    names = ["class", "exhaustive in images", "true boxes"] if is_partial else ["class", "true boxes"]
    return Table([*names, "AP50", "AP", *beyond, "threshold", "precision", "recall", "F1"], rows)


def _with_interval(cell: Bar, interval: Sequence[float] | None) -> Cell:
    return Titled(cell, format_interval(interval)) if interval else cell


def _tabulate_details(
    details: _Values, per_class: Mapping[str, _Values], intervals: Sequence[_Values]
) -> dict[str, Any]:
    """Return the tables and charts of ``details`` of eval.json, by the names that the template uses."""
    rates = intervals[-1].get("rates_per_class", {}) if intervals else {}
    # What docs/training.md describes as "details"; the template has a section for each name below.
    curves, counts, calibration = details["curves"], details["counts"], details["calibration"]
    return {
        "curves": _curves(curves, per_class),
        "undrawn": len(per_class) - len(_coloured(per_class)),
        "error_types": _error_types(details["mistakes"]),
        "errors": details["mistakes"],
        "confusion": _confusion(**details["confusion"], per_class=per_class),
        "counts": _counts(counts, per_class, rates),
        "count_charts": [
            bubble_chart(counts[name]["images"], title=name, colour=_colour(name, per_class), x="true", y="found")
            for name in list(per_class)[:_MAX_CHARTS]
        ],
        "sizes": _sizes(details["sizes"]),
        "reliability": _reliability_chart(calibration, per_class),
        "calibration": _calibration(calibration, per_class),
        "slices": _slices(details["slices"][:_MAX_SLICES]),
        "more_slices": max(len(details["slices"]) - _MAX_SLICES, 0),
    }


def _curves(curves: _Values, per_class: Mapping[str, _Values]) -> list[Chart]:
    """Precision against recall, and F1 against the threshold, of the classes with the most true boxes."""
    # The key None is the curve of all classes, which no class can have as its name.
    values = {name: curves["per_class"][name] for name in _coloured(per_class)} | {None: curves["all"]}
    precision = {name: _reached(curves["recalls"], curve["precision_at_recalls"]) for name, curve in values.items()}
    f1 = {name: _points(curves["thresholds"], curve["f1"]) for name, curve in values.items()}
    return [
        line_chart(_lines(precision, per_class), x="recall", y="precision"),
        line_chart(_lines(f1, per_class), x="score threshold", y="F1"),
    ]


def _lines(points: Mapping[str | None, Sequence[ChartPoint]], per_class: Mapping[str, _Values]) -> list[ChartLine]:
    """Draw a line for each class that has a colour, and the line of all classes, whose key is None."""
    lines = [ChartLine(name=name, colour=colour, points=points[name]) for name, colour in _coloured(per_class).items()]
    return [*lines, ChartLine(name="all classes", points=points[None], width=3)]


def _coloured(per_class: Mapping[str, _Values]) -> dict[str, str]:
    """Return the classes that have lines, with their colours."""
    # In the order of the classes, which is that of all tables.
    colours = {name: _colour(name, per_class) for name in per_class}
    counts = {name: values.get("ground_truth") or 0 for name, values in per_class.items()}
    return most_frequent_by_colour(colours, counts)


def _colour(name: str, per_class: Mapping[str, _Values]) -> str:
    """Return the colour in which the boxes of a class are drawn on images."""
    return colour_of(per_class[name].get("label_id", 1))


def _class_cell(name: str, per_class: Mapping[str, _Values]) -> ClassName:
    return ClassName(name, _colour(name, per_class))


def _points(across: Sequence[float], up: Sequence[float | None]) -> list[ChartPoint]:
    return list(zip(across, up, strict=True))


def _reached(recalls: Sequence[float], precision: Sequence[float | None]) -> list[ChartPoint]:
    """Draw the curve up to the recall that the detections reach; COCO has 0 beyond."""
    # None breaks the line: see ChartLine.points.
    return _points(recalls, [value or None for value in precision])


def _error_types(errors: _Values) -> Table:
    kinds = errors["kinds"]
    most = max((values["count"] for values in kinds.values()), default=0)
    rows = [
        (Titled(name, _ERROR_TYPES[name]), Bar.of(values["count"], most), Gain(values["gain"]))
        for name, values in kinds.items()
    ]
    return Table(["error type", "count", "AP50 gain"], rows)


def _confusion(classes: Sequence[str], counts: Sequence[Sequence[int]], per_class: Mapping[str, _Values]) -> Table:
    """Tabulate the confusion matrix: rows of true classes, columns of predicted ones; last, nothing."""
    rows: list[list[Cell]] = []
    # Shades are relative to the row: each shows what becomes of the objects of one class.
    for row, predicted in enumerate(counts):
        total = sum(predicted) or 1
        name: Cell = (
            Titled("nothing", "false detections") if row == len(classes) else _class_cell(classes[row], per_class)
        )
        cells = [Shade(count, count / total, is_good=row == column) for column, count in enumerate(predicted)]
        rows.append([name, *cells])
    return Table(["true class", *classes, "nothing: missed"], rows, is_matrix=True)


def _counts(counts: Mapping[str, _Values], per_class: Mapping[str, _Values], rates: Mapping[str, _Values]) -> Table:
    """Tabulate the count of each class over all images, and the errors of the counts of single images."""
    rows = [
        (
            _class_cell(name, per_class),
            values["true"],
            values["found"],
            ratio_cell(values["found"] / values["true"], rates.get(name, {}).get("count_ratio"))
            if values["true"]
            else None,
            per_class[name]["count_error"],
            Gain(per_class[name]["count_bias"]),
        )
        for name, values in counts.items()
    ]
    return Table(["class", "true", "found", "over all images", "error per image", "bias per image"], rows)


def _sizes(sizes: Sequence[_Values]) -> Table:
    rows = [
        (
            f"{entry['low']}–{entry['high']} px" if entry["low"] else f"under {entry['high']} px",
            entry["objects"],
            Bar.of(entry["found"] / entry["objects"] if entry["objects"] else None, 1.0),
            Bar.of(entry["ap50"], 1.0),
        )
        for entry in sizes
    ]
    return Table(["side", "true boxes", "recall", "AP50"], rows)


def _reliability_chart(calibration: _Values, per_class: Mapping[str, _Values]) -> Chart:
    """How often detections of a score are right."""
    values = {name: calibration["per_class"][name] for name in _coloured(per_class)} | {None: calibration["all"]}
    points = {name: [(entry["score"], entry["right"]) for entry in one["bins"]] for name, one in values.items()}
    return line_chart(_lines(points, per_class), x="mean score", y="share that is right", diagonal=True)


def _calibration(calibration: _Values, per_class: Mapping[str, _Values]) -> Table:
    rows: list[list[Cell]] = [
        [_class_cell(name, per_class), values["expected_error"]] for name, values in calibration["per_class"].items()
    ]
    return Table(["class", "error"], [*rows, ["all classes", calibration["all"]["expected_error"]]])


def _slices(slices: Sequence[_Values]) -> Table:
    rows = [
        (entry["name"] or "no date in the name", entry["images"], entry["objects"], Bar.of(entry["ap50"], 1.0))
        for entry in slices
    ]
    return Table(["deployment and day", "images", "true boxes", "AP50"], rows)
