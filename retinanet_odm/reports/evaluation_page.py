"""Sections of the page of an evaluation, each from a part of eval.json; what is not there is left out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from retinanet_odm.reports.charts import COLOURS, ChartLine, ChartPoint, bubble_chart, chart_grid, line_chart, shade
from retinanet_odm.reports.dataset_page import _METRICS, _SHOWN_ABOVE, _plain
from retinanet_odm.reports.html_parts import (
    Figure,
    Html,
    PageCell,
    bar,
    code,
    columns,
    figures,
    html_table,
    page,
    section,
    tiles,
    titled,
)

Values = Mapping[str, Any]
_MOST_CHARTS = 12  # classes whose counts are drawn
_MOST_SLICES = 60  # deployments and days on the page
_NUMBERS = "the JSON file beside this page"
_KINDS = {
    "localisation": "the right class, but the box is too far off (IoU 0.1 to 0.5)",
    "classification": "on an object, but named as another class (IoU 0.5 or more)",
    "both": "near an object of another class (IoU 0.1 to 0.5)",
    "duplicate": "on an object that a higher score has found (IoU 0.5 or more)",
    "background": "where nothing is (IoU below 0.1)",
    "missed": "an object that was not found, nor is one of the first two kinds at it",
}


def evaluation_sections(details: Values, per_class: Mapping[str, Values]) -> list[Html]:
    """All that ``details`` of eval.json tells, the most useful first."""
    parts = [
        curve_section(details["curves"], per_class),
        mistakes_section(details["mistakes"]),
        confusion_section(**details["confusion"]),
        count_section(details["counts"], per_class),
        size_section(details["sizes"]),
        calibration_section(details["calibration"], per_class),
    ]
    return [*parts, slice_section(details["slices"])] if details["slices"] else parts


def class_table(per_class: Mapping[str, Values], intervals: Sequence[Values]) -> Html:
    """AP of each class with its interval, and what holds at its threshold."""
    ranges = intervals[-1]["per_class"] if intervals else {}
    rows: list[list[PageCell]] = [
        [
            name,
            values.get("ground_truth"),
            _with_interval(bar(values.get("AP50"), 1.0), ranges.get(name)),
            bar(values.get("AP"), 1.0),
            *(values.get(key) for key in ("threshold", "precision", "recall", "f1")),
        ]
        for name, values in sorted(per_class.items())
    ]
    headers = ["class", "true boxes", "AP50", "AP", "threshold", "precision", "recall", "F1"]
    note = (
        "Threshold: the score from which detections are kept, that of the best F1. Precision: the share of what is kept"
        " that is right (IoU 0.5 and the class); recall: the share of the true boxes that is found; F1: their harmonic"
        " mean."
    )
    return section("Each class", html_table(headers, rows), *map(_interval_note, intervals[-1:]), note)


def _with_interval(cell: Figure, interval: Sequence[float] | None) -> Figure:
    return Figure(titled(cell, interval_text(interval))) if interval else cell


def interval_text(interval: Sequence[float]) -> str:
    """A range as people write it."""
    low, high = interval
    return f"{low:.2f} to {high:.2f}"


def _interval_note(interval: Values) -> str:
    return (
        f"Below AP50: the interval in which it lies in 95 % of 1,000 draws, with replacement, of {interval['units']:,}"
        f" {interval['over']}."
    )


def curve_section(curves: Values, per_class: Mapping[str, Values]) -> Html:
    """Precision against recall, and F1 against the threshold, of the classes with the most true boxes."""
    shown = [(name, colour, curves["per_class"][name]) for name, colour in _coloured(per_class)]
    precision = [
        ChartLine(name=name, colour=colour, points=_reached(curves["recalls"], values["precision_at_recalls"]))
        for name, colour, values in shown
    ]
    f1 = [
        ChartLine(name=name, colour=colour, points=_joined(curves["thresholds"], values["f1"]))
        for name, colour, values in shown
    ]
    precision.append(_whole(_reached(curves["recalls"], curves["all"]["precision_at_recalls"])))
    f1.append(_whole(_joined(curves["thresholds"], curves["all"]["f1"])))
    drawn = columns(
        line_chart(precision, x="recall", y="precision"), line_chart(f1, x="threshold of the score", y="F1")
    )
    return section("Precision, recall and the threshold", drawn, *_left_out(len(per_class) - len(shown)))


def _whole(points: Sequence[ChartPoint]) -> ChartLine:
    return ChartLine(name="all classes", points=points, width=3)


def _left_out(classes: int) -> list[str]:
    if classes <= 0:
        return []
    return [f"Drawn are the classes with the most true boxes; the curves of {classes:,} more are in {_NUMBERS}."]


def _coloured(per_class: Mapping[str, Values]) -> Iterator[tuple[str, str]]:
    """Names and colours, by falling number of true boxes, as far as the colours go."""
    return zip(_commonest(per_class), COLOURS, strict=False)


def _commonest(per_class: Mapping[str, Values]) -> list[str]:
    return sorted(per_class, key=lambda name: (-(per_class[name].get("ground_truth") or 0), name))


def _joined(across: Sequence[float], up: Sequence[float | None]) -> list[ChartPoint]:
    return list(zip(across, up, strict=True))


def _reached(recalls: Sequence[float], precision: Sequence[float | None]) -> list[ChartPoint]:
    """The curve up to the recall that the detections reach; COCO has 0 beyond."""
    return _joined(recalls, [value or None for value in precision])


def confusion_section(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Html:
    """Who is taken for whom: rows of true classes, columns of found ones, and nothing."""
    rows: list[list[PageCell]] = []
    for row, found_as in enumerate(counts):
        total = sum(found_as) or 1
        name = titled("nothing", "false detections") if row == len(classes) else classes[row]
        cells = [shade(count, count / total, is_good=row == column) for column, count in enumerate(found_as)]
        rows.append([name, *cells])
    note = (
        "A row is what an object is, a column what it was found as, at the thresholds and by the box alone (IoU 0.5)."
        " The row of a class adds up to its true boxes."
    )
    return section("What was taken for what", note, html_table(["is", *classes, "nothing: missed"], rows))


def mistakes_section(mistakes: Values) -> Html:
    """Kinds of mistakes, how many, and what mending each would bring."""
    kinds = mistakes["kinds"]
    most = max((values["count"] for values in kinds.values()), default=0)
    rows = [
        (titled(name, _KINDS[name]), bar(values["count"], most), _gain(values["gain"]))
        for name, values in kinds.items()
    ]
    note = (
        f"At the thresholds: {mistakes['false']:,} false detections and {mistakes['not_found']:,} true boxes not found."
        " The last column is what AP50 would gain if no detection, of whatever score, had this fault (as TIDE, Bolya et"
        " al. 2020); the gains do not add up."
    )
    return section("What goes wrong", note, html_table(["kind", "count", "gain of AP50"], rows))


def _gain(value: float | None) -> Figure:
    return Figure("–" if value is None else f"{value:+.3f}")


def count_section(counts: Mapping[str, Values], per_class: Mapping[str, Values]) -> Html:
    """Counts of each class in each photograph, true against found."""
    rows = [
        (name, values["true"], values["found"], per_class[name]["count_error"], _gain(per_class[name]["count_bias"]))
        for name, values in sorted(counts.items())
    ]
    shown = _commonest(per_class)[:_MOST_CHARTS]
    drawn = [bubble_chart(counts[name]["images"], name=name, x="true", y="found") for name in shown]
    note = (
        "Found: detections at the class's threshold. Error: the mean over photographs of the difference without its"
        " sign; bias: with it, so that above 0 too many are counted. A bubble stands for photographs, its area for how"
        " many; on the dashed line the count is right."
    )
    headers = ["class", "true", "found", "error", "bias"]
    return section("Counting", html_table(headers, rows), note, chart_grid(drawn))


def size_section(sizes: Sequence[Values]) -> Html:
    """Recall and AP50 by size."""
    rows = [
        (
            f"{entry['low']}–{entry['high']} px" if entry["low"] else f"under {entry['high']} px",
            entry["objects"],
            bar(entry["found"] / entry["objects"] if entry["objects"] else None, 1.0),
            bar(entry["ap50"], 1.0),
        )
        for entry in sizes
    ]
    note = "Side: the root of the box's area, in pixels of the photograph. Recall at the thresholds."
    return section("Sizes", html_table(["side", "true boxes", "recall", "AP50"], rows), note)


def calibration_section(calibration: Values, per_class: Mapping[str, Values]) -> Html:
    """How often detections of a score are right."""
    lines = [
        ChartLine(name=name, colour=colour, points=_reliability(calibration["per_class"][name]))
        for name, colour in _coloured(per_class)
    ]
    lines.append(_whole(_reliability(calibration["all"])))
    chart = line_chart(lines, x="mean score", y="share that is right", diagonal=True)
    reading = (
        "On the dashed line, of detections with a score of 0.8 just 8 of 10 are right; above it the scores are too"
        " modest, below it too bold."
    )
    rows = [(name, values["expected_error"]) for name, values in sorted(calibration["per_class"].items())]
    rows.append(("all classes", calibration["all"]["expected_error"]))
    meaning = "The mean distance from the dashed line over the detections, in tenths of the score (ECE)."
    return columns(
        section("Scores as probabilities", reading, chart),
        section("Calibration error", meaning, html_table(["class", "error"], rows)),
    )


def _reliability(calibration: Values) -> list[ChartPoint]:
    return [(entry["score"], entry["right"]) for entry in calibration["bins"]]


def slice_section(slices: Sequence[Values]) -> Html:
    """AP50 of each deployment and day."""
    rows = [
        (entry["name"] or "no date in the name", entry["images"], entry["objects"], bar(entry["ap50"], 1.0))
        for entry in slices[:_MOST_SLICES]
    ]
    rest = len(slices) - len(rows)
    note = [f"{rest:,} more are in {_NUMBERS}."] if rest else []
    headers = ["deployment and day", "images", "true boxes", "AP50"]
    return section("Deployments and days", html_table(headers, rows), *note)


def picture_section(heading: str, pictures: Sequence[tuple[str, bytes]]) -> Html:
    """Photographs with captions."""
    note = "Blue: right. Red: false. Yellow: missed. At the thresholds of the classes."
    return section(heading, note, figures(pictures))


def evaluation_report(
    metrics: Mapping[str, Any],
    gallery: Mapping[str, Sequence[tuple[str, bytes]]] | None = None,
    *,
    first: Sequence[Html] = (),
) -> str:
    """The page of an evaluation (eval.json); shows what is there.

    Args:
      metrics: eval.json, see docs/training.md.
      gallery: captions and JPEG bytes of images, by heading; boxes are drawn as retinanet_odm.evaluation.gallery draws them.
      first: sections above the others.
    """
    per_class, details = metrics.get("per_class", {}), metrics.get("details", {})
    parts = [_evaluation_tiles(metrics), *first]
    if per_class:
        parts.append(class_table(per_class, metrics.get("intervals", [])))
    if details:
        parts += evaluation_sections(details, per_class)
    parts += [picture_section(heading, images) for heading, images in (gallery or {}).items() if images]
    summary = {name: metrics[name] for name in _METRICS if name in metrics}
    if summary:
        rows = [(name, _METRICS[name], bar(value, 1.0)) for name, value in summary.items()]
        parts.append(section("COCO metrics", html_table(["metric", "meaning", "value"], rows)))
    others = {name: value for name, value in metrics.items() if name not in summary and name not in _SHOWN_ABOVE}
    if others:
        parts.append(
            section("Run", html_table(["", ""], [(name, code(_plain(value))) for name, value in others.items()]))
        )
    return page("Evaluation", parts, lead="How well the model finds and names the objects of the evaluation images.")


def _evaluation_tiles(metrics: Mapping[str, Any]) -> Html:
    interval = metrics["intervals"][-1] if metrics.get("intervals") else {}
    values = {**metrics, **metrics.get("at_thresholds", {})}
    names = ("AP50", "AP", "precision", "recall", "f1", "images")
    return tiles([(_tile_name(name, interval.get(name)), values[name]) for name in names if name in values])


def _tile_name(name: str, interval: Sequence[float] | None) -> str:
    return f"{name}, {interval_text(interval)}" if interval else name.replace("f1", "F1")
