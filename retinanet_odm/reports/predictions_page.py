"""The page of a scored archive (`report.html`): counts, time, scores, failures, examples and what to label next."""

import itertools
import statistics
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from retinanet_odm.imaging.drawing import draw_thumbnail
from retinanet_odm.predictions.drawing import drawn_detection
from retinanet_odm.predictions.rows import PredictionRow, ScoringRun, utf8
from retinanet_odm.predictions.summary import ClassSummary, PredictionSummary, Timeline
from retinanet_odm.predictions.uncertainty import UncertainImage
from retinanet_odm.reports.charts import COLOURS, Chart, ChartLine, histogram, time_chart
from retinanet_odm.reports.rendering import Bar, Cell, Table, Titled, facts_table, render
from retinanet_odm.wording import plural

_MAX_CHARTS = 12  # classes whose scores, and deployments whose counts, are drawn
_MAX_DEPLOYMENTS = 60  # rows of the table
_MAX_LOCATIONS = 20
_MAX_TICKS = 4  # dates are wide
_MAX_EXAMPLES = 12
_MAX_NAMED = 6  # detections in a caption
_BROKEN_FROM = 2.5  # times the usual distance between images: the line of a camera that misses one is not broken
_UNITS = (
    (timedelta(weeks=1), "week"),
    (timedelta(days=1), "day"),
    (timedelta(hours=1), "hour"),
    (timedelta(minutes=1), "minute"),
)

# From names of images to (name, upright encoded bytes) of those that are available, in any order.
ImageReader = Callable[[Collection[str]], Iterable[tuple[str, bytes]]]


def no_images(_: Collection[str]) -> Iterable[tuple[str, bytes]]:
    """Read no image, for a report without images."""
    return ()


def predictions_report(
    rows: Iterable[PredictionRow], run: ScoringRun, read_images: ImageReader = no_images
) -> Iterator[bytes]:
    """Render the page, in one piece: it holds at most some 24 small images, whatever the number of rows.

    Args:
      rows: of the run, read once; with weak detections too, which are not counted but may be uncertain.
      run: where they come from.
      read_images: called once, with the names of the images that the page shows.
    """
    # All numbers first: which images the page shows is known only after the last row.
    summary = PredictionSummary(run)
    for row in rows:
        summary.add(row)
    yield utf8(_render(summary, read_images))


def _render(summary: PredictionSummary, read_images: ImageReader) -> str:
    # What is shown is chosen here, the template only places it.
    examples, uncertain = _choose_examples(summary), summary.least_certain
    # In one call: the reader goes through the images of the run once, and an image of both galleries is read once.
    shown_rows = [found.shown_row for found in uncertain]
    example_drawings, uncertain_drawings = _draw_images([examples, shown_rows], read_images)
    shown = [label_id for label_id, found in _most_frequent(summary) if found.detections]
    return render(
        "predictions.html.j2",
        summary=summary,
        images=summary.ok + summary.failed,
        tiles=_tiles(summary),
        classes=_class_table(summary),
        time_charts=_time_charts(summary, shown[: len(COLOURS)]),
        deployments=_deployment_table(summary, shown[: len(COLOURS)]),
        more_deployments=max(len(summary.deployments) - _MAX_DEPLOYMENTS, 0),
        score_charts=_score_charts(summary, shown[:_MAX_CHARTS]),
        more_classes=max(len(shown) - _MAX_CHARTS, 0),
        locations=_location_table(summary),
        repeats=sum(place.detections for place in summary.repeats.values()),
        failures=_failure_table(summary),
        examples=examples,
        example_gallery=_captioned(examples, example_drawings),
        uncertain=_uncertain_table(uncertain, summary.run.thresholds),
        uncertain_gallery=_captioned(shown_rows, uncertain_drawings),
        origin=_origin(run=summary.run),
    )


def _tiles(summary: PredictionSummary) -> list[tuple[str, int]]:
    return [
        ("images", summary.ok + summary.failed),
        ("scored", summary.ok),
        ("failed", summary.failed),
        ("detections", summary.detections),
        ("classes found", sum(found.detections > 0 for found in summary.classes.values())),
    ]


def _class_table(summary: PredictionSummary) -> Table:
    """Tabulate the number of detections of each class, the most frequent first."""
    # All classes, also those without a detection: their absence is a result, too.
    most = max((found.detections for found in summary.classes.values()), default=0)
    rows: list[list[Cell]] = [
        [
            summary.run.classes[label_id],
            summary.run.thresholds[label_id],
            Bar.of(found.detections, most),
            found.images,
            found.detections / summary.ok if summary.ok else None,
            Titled(found.max_per_image, found.max_image) if found.max_per_image else None,
        ]
        for label_id, found in _most_frequent(summary)
    ]
    return Table(["class", "from score", "detections", "images with it", "mean per image", "most in one image"], rows)


def _most_frequent(summary: PredictionSummary) -> list[tuple[int, ClassSummary]]:
    return sorted(summary.classes.items(), key=lambda item: (-item[1].detections, item[0]))


def _time_charts(summary: PredictionSummary, shown: Sequence[int]) -> list[Chart]:
    """Mean counts over time: of all images, where there are several deployments, and of each deployment."""
    if not summary.timeline.images:
        return []
    lines = [(name or "–", line) for name, line in sorted(summary.deployments.items())[:_MAX_CHARTS]]
    # With a single deployment, its chart is that of all.
    if len(summary.deployments) > 1:
        lines.insert(0, ("all deployments", summary.timeline))
    return [_time_chart(title, line, summary.run, shown) for title, line in lines]


def _time_chart(title: str, timeline: Timeline, run: ScoringRun, shown: Sequence[int]) -> Chart:
    lines = [
        ChartLine(name=run.classes[label_id], colour=colour, points=_means(timeline, label_id))
        for label_id, colour in zip(shown, COLOURS, strict=False)
    ]
    description = f"{title}: {timeline.images:,} images, by {_duration(timeline.step_length)}"
    return time_chart(lines, times=_times(timeline), y="per image", title=description)


def _means(timeline: Timeline, label_id: int) -> list[tuple[float, float | None]]:
    """Return the detections of a class per image, for steps with images; None between steps unusually far apart."""
    at = sorted(timeline.steps)
    distances = [later - earlier for earlier, later in itertools.pairwise(at)]
    # The median, because one long gap between deployments would raise a mean.
    usual = statistics.median(distances) if distances else 1
    points: list[tuple[float, float | None]] = []
    for step, distance in zip(at, [0, *distances], strict=True):
        share = (step - at[0]) / _span(timeline)
        if distance > _BROKEN_FROM * usual:
            points.append((share, None))
        seen = timeline.steps[step]
        points.append((share, seen.counts[label_id] / seen.images))
    return points


def _times(timeline: Timeline) -> dict[str, float]:
    first, last = min(timeline.steps), max(timeline.steps)
    # Rounded up, so that there are never more names than fit.
    every = -(-(last - first + 1) // _MAX_TICKS)
    return {
        _moment(timeline.start(at), timeline.step_length): (at - first) / _span(timeline)
        for at in range(first, last + 1, every)
    }


def _span(timeline: Timeline) -> int:
    return max(max(timeline.steps) - min(timeline.steps), 1)


def _moment(when: datetime, step: timedelta) -> str:
    return f"{when:%Y-%m-%d}" if step >= timedelta(days=1) else f"{when:%m-%d %H:%M}"


def _duration(length: timedelta) -> str:
    # The largest unit that fits; steps are whole multiples of one of them.
    unit, name = next((unit, name) for unit, name in _UNITS if length >= unit)
    count = length // unit
    return name if count == 1 else f"{count} {plural(name, count)}"


def _deployment_table(summary: PredictionSummary, shown: Sequence[int]) -> Table:
    rows: list[list[Cell]] = []
    for name, timeline in sorted(summary.deployments.items())[:_MAX_DEPLOYMENTS]:
        totals = timeline.totals()
        when = Titled(f"{timeline.first:%Y-%m-%d %H:%M}", f"to {timeline.last:%Y-%m-%d %H:%M}")
        rows.append([name or "–", when, timeline.images, *(totals[label_id] for label_id in shown)])
    return Table(["deployment", "time", "images", *(summary.run.classes[label_id] for label_id in shown)], rows)


def _score_charts(summary: PredictionSummary, shown: Sequence[int]) -> list[Chart]:
    return [
        # Only what counts is drawn, so the title says where the bars begin.
        histogram(summary.classes[label_id].scores, x="score", y="detections", title=f"{name}, from {threshold:g}")
        for label_id in shown
        for name, threshold in [(summary.run.classes[label_id], summary.run.thresholds[label_id])]
    ]


def _location_table(summary: PredictionSummary) -> Table:
    """Tabulate the locations of repeated detections: what does not move is seldom an animal."""
    # The most repeated first: these are the likeliest to be rocks.
    locations = sorted(summary.repeats.items(), key=lambda item: (-item[1].detections, item[0]))[:_MAX_LOCATIONS]
    most = max((location.detections for _, location in locations), default=0)
    rows: list[list[Cell]] = [
        [
            str(index),
            location.deployment or "–",
            location.label,
            Bar.of(location.detections, most),
            location.first_image,
        ]
        for index, location in locations
    ]
    return Table(["location", "deployment", "class", "detections", "first image"], rows)


def _failure_table(summary: PredictionSummary) -> Table:
    most = max((failure.images for failure in summary.failures.values()), default=0)
    rows = [
        (reason, Bar.of(failure.images, most), failure.detail)
        for reason, failure in sorted(summary.failures.items(), key=lambda item: (-item[1].images, item[0]))
    ]
    return Table(["reason", "images", "for example"], rows)


def _uncertain_table(chosen: Iterable[UncertainImage], thresholds: Mapping[int, float]) -> Table:
    """Tabulate the least certain images, as to_label.csv lists them; thresholds by label id."""
    rows: list[list[Cell]] = [
        [
            found.image,
            Bar.of(found.uncertainty, 1.0),
            found.most_uncertain.label,
            found.most_uncertain.score,
            thresholds[found.most_uncertain.label_id],
            len(found.row.detections),
        ]
        for found in chosen
    ]
    return Table(["image", "uncertainty", "class", "its least certain score", "threshold", "detections"], rows)


def _origin(run: ScoringRun) -> Table:
    return facts_table(
        {
            "program": run.program,
            "model": run.model_hash,
            "classes": ", ".join(run.classes.values()),
        }.items()
    )


def _choose_examples(summary: PredictionSummary) -> list[PredictionRow]:
    """Choose one image of each class, then a second one of each, and so on; none is chosen twice."""
    by_class = [found.examples for found in summary.classes.values()]
    # In turns, so that a frequent class does not fill the gallery before a rare one gets its place.
    turns = (row for turn in itertools.zip_longest(*by_class) for row in turn if row is not None)
    # A dict keeps the first place of each image, and drops repetitions.
    return list({row.image: row for row in turns}.values())[:_MAX_EXAMPLES]


def _draw_images(galleries: Sequence[Sequence[PredictionRow]], read_images: ImageReader) -> list[dict[str, bytes]]:
    """Return for each gallery JPEG bytes by name of the image, with the detections of its row there."""
    rows = [{row.image: row for row in gallery} for gallery in galleries]
    drawings: list[dict[str, bytes]] = [{} for _ in galleries]
    for name, encoded in read_images({name: None for by_name in rows for name in by_name}):
        for by_name, drawn in zip(rows, drawings, strict=True):
            if name in by_name:
                drawn[name] = draw_thumbnail(encoded, list(map(drawn_detection, by_name[name].detections)))
    return drawings


def _captioned(rows: Iterable[PredictionRow], drawings: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    # An image that cannot be read any more has no entry, and is left out.
    return [(_caption(row), drawings[row.image]) for row in rows if row.image in drawings]


def _caption(row: PredictionRow) -> str:
    named = ", ".join(f"{item.label} {item.score:.2f}" for item in row.detections[:_MAX_NAMED])
    rest = len(row.detections) - _MAX_NAMED
    return f"{row.image}: {named}, and {rest} more" if rest > 0 else f"{row.image}: {named}"
