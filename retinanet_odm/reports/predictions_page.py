"""The page of a scored archive (`report.html`): counts, time, scores, failures, examples and what to label next."""

import dataclasses
import heapq
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from retinanet_odm.imaging.drawing import DrawnBox, colour_of, draw_thumbnail
from retinanet_odm.predictions.drawing import drawn_detection
from retinanet_odm.predictions.rows import Detection, PredictionRow, ScoringRun, reaches, utf8
from retinanet_odm.predictions.sampling import MIN_SAMPLES
from retinanet_odm.predictions.summary import SCORE_BINS, PredictionSummary
from retinanet_odm.predictions.uncertainty import UncertainImage
from retinanet_odm.reports.measured_counts import count_error_cell, why_not_measured
from retinanet_odm.reports.methods_text import methods_text
from retinanet_odm.reports.novelty_section import novelty_table
from retinanet_odm.reports.predictions_charts import line_colours, score_charts, time_charts
from retinanet_odm.reports.predictions_verdict import predictions_verdict
from retinanet_odm.reports.rendering import Bar, Cell, ClassName, Table, Titled, facts_table, render

_MAX_CLASSES = 12  # whose scores and deployments are shown
_MAX_DEPLOYMENTS = 60  # rows of the table
_MAX_LOCATIONS = 20
_MAX_EXAMPLES = 12
_MAX_NAMED = 6  # detections in a caption

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
    example_drawings, uncertain_drawings = _draw_images([examples, shown_rows], read_images, summary.run)
    shown = _most_frequent(summary)
    lines = line_colours(summary, shown)
    return render(
        "predictions.html.j2",
        summary=summary,
        images=summary.ok + summary.failed,
        tiles=_tiles(summary),
        classes=_class_table(summary),
        verdict=list(predictions_verdict(summary)),
        evaluation=summary.run.facts.get("evaluation"),
        error_unknown=why_not_measured(summary.run),
        methods=methods_text(summary),
        has_intervals=any(summary.spread.interval(label_id) for label_id in summary.classes),
        min_samples=MIN_SAMPLES,
        time_charts=time_charts(summary, lines),
        undrawn=len(shown) - len(lines),
        deployments=_deployment_table(summary, shown),
        more_deployments=max(len(summary.deployments) - _MAX_DEPLOYMENTS, 0),
        bin_width=f"{1 / SCORE_BINS:g}",
        score_charts=score_charts(summary, shown),
        more_classes=sum(found.detections > 0 for found in summary.classes.values()) - len(shown),
        locations=_location_table(summary),
        repeats=sum(place.detections for place in summary.repeats.values()),
        failures=_failure_table(summary),
        examples=examples,
        example_gallery=_captioned(examples, example_drawings, summary.run),
        uncertain=_uncertain_table(uncertain, summary.run),
        uncertain_gallery=_captioned(shown_rows, uncertain_drawings, summary.run),
        novelty=summary.novelty,
        novelty_table=novelty_table(summary.novelty),
        origin=_origin(run=summary.run),
    )


def _most_frequent(summary: PredictionSummary) -> list[int]:
    """Return the ids of the classes that are shown in charts, in order of the ids, as in every table."""
    found = {label_id: one.detections for label_id, one in summary.classes.items() if one.detections}
    return sorted(heapq.nsmallest(_MAX_CLASSES, found, key=lambda label_id: (-found[label_id], label_id)))


def _class_cell(run: ScoringRun, label_id: int) -> ClassName:
    return ClassName(run.classes[label_id], colour_of(label_id))


def _tiles(summary: PredictionSummary) -> list[tuple[str, int]]:
    return [
        ("images", summary.ok + summary.failed),
        ("scored", summary.ok),
        ("failed", summary.failed),
        ("detections", summary.detections),
        ("classes found", sum(found.detections > 0 for found in summary.classes.values())),
    ]


def _class_table(summary: PredictionSummary) -> Table:
    # All classes, also those without a detection: their absence is a result, too.
    most = max((found.detections for found in summary.classes.values()), default=0)
    is_measured = not why_not_measured(summary.run)
    rows: list[list[Cell]] = [
        [
            _class_cell(summary.run, label_id),
            summary.run.thresholds[label_id],
            Bar.of(found.detections, most),
            *([count_error_cell(summary.run, label_id)] if is_measured else []),
            found.images,
            _mean_cell(summary, label_id),
            Titled(found.max_per_image, found.max_image) if found.max_per_image else None,
        ]
        for label_id, found in summary.classes.items()
    ]
    measured = ["count error"] if is_measured else []
    headers = ["class", "from score", "detections", *measured, "images with it", "mean per image", "most in one image"]
    return Table(headers, rows)


def _mean_cell(summary: PredictionSummary, label_id: int) -> Cell:
    """Return the mean number of detections per scored image, with its interval where there is one."""
    mean = summary.classes[label_id].detections / summary.ok if summary.ok else None
    interval = summary.spread.interval(label_id)
    return Titled(mean, "{:.2f} to {:.2f}".format(*interval)) if interval else mean


def _deployment_table(summary: PredictionSummary, shown: Sequence[int]) -> Table:
    rows: list[list[Cell]] = []
    for name, timeline in sorted(summary.deployments.items())[:_MAX_DEPLOYMENTS]:
        totals = timeline.totals()
        when = Titled(f"{timeline.first:%Y-%m-%d %H:%M}", f"to {timeline.last:%Y-%m-%d %H:%M}")
        rows.append([name or "–", when, timeline.images, *(totals[label_id] for label_id in shown)])
    return Table(["deployment", "time", "images", *(summary.run.classes[label_id] for label_id in shown)], rows)


def _location_table(summary: PredictionSummary) -> Table:
    """Tabulate the locations of repeated detections: what does not move is rarely an animal."""
    # The most repeated first: these are most probably rocks.
    locations = sorted(summary.repeats.items(), key=lambda item: (-item[1].detections, item[0]))[:_MAX_LOCATIONS]
    most = max((location.detections for _, location in locations), default=0)
    rows: list[list[Cell]] = [
        [
            str(index),
            location.deployment or "–",
            _class_cell(summary.run, location.label_id),
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


def _uncertain_table(chosen: Iterable[UncertainImage], run: ScoringRun) -> Table:
    """Tabulate the least certain images, as to_label.csv lists them."""
    rows: list[list[Cell]] = [
        [
            found.image,
            Bar.of(found.uncertainty, 1.0),
            _class_cell(run, found.most_uncertain.label_id),
            found.most_uncertain.score,
            run.thresholds[found.most_uncertain.label_id],
            len(found.row.detections),
        ]
        for found in chosen
    ]
    return Table(["image", "uncertainty", "class", "its least certain score", "threshold", "counted"], rows)


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


def _draw_images(
    galleries: Sequence[Sequence[PredictionRow]], read_images: ImageReader, run: ScoringRun
) -> list[dict[str, bytes]]:
    """Return for each gallery JPEG bytes by name of the image, with the detections of its row there."""
    rows = [{row.image: row for row in gallery} for gallery in galleries]
    drawings: list[dict[str, bytes]] = [{} for _ in galleries]
    for name, encoded in read_images({name: None for by_name in rows for name in by_name}):
        for by_name, drawn in zip(rows, drawings, strict=True):
            if name in by_name:
                drawn[name] = draw_thumbnail(encoded, [_drawn(item, run) for item in by_name[name].detections])
    return drawings


def _drawn(item: Detection, run: ScoringRun) -> DrawnBox:
    """Return the box to draw for a detection. One that does not count says so: the captions of the page may be far."""
    box = drawn_detection(item)
    return box if reaches(item, run.thresholds) else dataclasses.replace(box, label=f"not counted: {box.label}")


def _captioned(
    rows: Iterable[PredictionRow], drawings: Mapping[str, bytes], run: ScoringRun
) -> list[tuple[str, bytes]]:
    # An image that cannot be read any more has no entry, and is left out.
    return [(detections_caption(row, run.thresholds), drawings[row.image]) for row in rows if row.image in drawings]


def detections_caption(row: PredictionRow, thresholds: Mapping[int, float]) -> str:
    """Return the caption of an image: what is counted on it, and what is drawn without being counted.

    Args:
      row: the image, with the detections that are drawn.
      thresholds: by label id, the minimum score of the detections that count.
    """
    counted = [item for item in row.detections if reaches(item, thresholds)]
    others = [item for item in row.detections if item not in counted]
    parts = [f"{len(counted)} counted: {_name_detections(counted)}" if counted else "nothing counted"]
    if others:
        parts.append(f"not counted: {_name_detections(others)}")
    return f"{row.image}: {'; '.join(parts)}"


def _name_detections(items: Sequence[Detection]) -> str:
    named = ", ".join(f"{item.label} {item.score:.2f}" for item in items[:_MAX_NAMED])
    rest = len(items) - _MAX_NAMED
    return f"{named}, and {rest} more" if rest > 0 else named
