"""The charts of `report.html`: mean counts over time, and histograms of the scores that count."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from retinanet_odm.imaging.drawing import colour_of
from retinanet_odm.predictions.rows import ScoringRun
from retinanet_odm.predictions.sampling import SAMPLE_TIME
from retinanet_odm.predictions.summary import PredictionSummary, Timeline
from retinanet_odm.reports.charts import Chart, ChartLine, histogram, most_frequent_by_colour, time_chart
from retinanet_odm.wording import plural

_MAX_DEPLOYMENT_CHARTS = 12
_MAX_TICKS = 4  # dates are wide
_BROKEN_FROM = 2.5  # times the usual distance between images: the line of a camera that misses one is not broken
_UNITS = (
    (timedelta(weeks=1), "week"),
    (timedelta(days=1), "day"),
    (timedelta(hours=1), "hour"),
    (timedelta(minutes=1), "minute"),
)


def time_charts(summary: PredictionSummary, lines: Mapping[int, str]) -> list[Chart]:
    """Make charts of mean counts: of all images, where there are several deployments, and of each deployment.

    Args:
      summary: of the rows.
      lines: colours by label id of the classes to draw: see `line_colours`.
    """
    if not summary.timeline.images:
        return []
    timelines = [(name or "–", line) for name, line in sorted(summary.deployments.items())[:_MAX_DEPLOYMENT_CHARTS]]
    # With a single deployment, its chart is that of all.
    if len(summary.deployments) > 1:
        timelines.insert(0, ("all deployments", summary.timeline))
    return [_time_chart(title, timeline, summary.run, lines) for title, timeline in timelines]


def line_colours(summary: PredictionSummary, shown: Sequence[int]) -> dict[int, str]:
    """Return the colours of the lines, by label id: of shown classes with one colour, the most frequent has a line."""
    counts = {label_id: summary.classes[label_id].detections for label_id in shown}
    return most_frequent_by_colour({label_id: colour_of(label_id) for label_id in shown}, counts)


def score_charts(summary: PredictionSummary, shown: Sequence[int]) -> list[Chart]:
    """Make a histogram for each class: the scores that count."""
    return [
        histogram(
            summary.classes[label_id].scores,
            x="score",
            y="detections",
            title=summary.run.classes[label_id],
            start=summary.run.thresholds[label_id],
            colour=colour_of(label_id),
            note=describe_cut(
                summary.classes[label_id].detections,
                summary.classes[label_id].weaker,
                threshold=summary.run.thresholds[label_id],
                rows_from=summary.run.rows_from,
            ),
        )
        for label_id in shown
    ]


def describe_cut(counted: int, weaker: int, *, threshold: float, rows_from: float) -> str:
    """Return where a histogram of scores is cut, and how much lies outside of it.

    Args:
      counted, weaker: numbers of detections from the threshold, and below it.
      threshold: of the class.
      rows_from: the lowest score of the rows.

    Example:
      >>> describe_cut(24, 310, threshold=0.43, rows_from=0.05)
      '24 counted, from 0.43; 310 weaker ones, from 0.05, are not drawn'
    """
    start = f"{counted:,} counted, from {threshold:g}"
    if not weaker:
        return f"{start}; the rows hold no weaker ones"
    below = f", from {rows_from:g}," if rows_from else ""
    return f"{start}; {weaker:,} weaker {plural('one', weaker)}{below} {plural('is', weaker)} not drawn"


def _time_chart(title: str, timeline: Timeline, run: ScoringRun, colours: Mapping[int, str]) -> Chart:
    lines = [
        ChartLine(
            name=run.classes[label_id],
            colour=colour,
            points=_means(timeline, label_id),
            intervals=_intervals(timeline, label_id),
        )
        for label_id, colour in colours.items()
    ]
    description = f"{title}: {timeline.images:,} images, by {_duration(timeline.step_length)}"
    return time_chart(lines, times=_times(timeline), y="per image", title=description)


def _means(timeline: Timeline, label_id: int) -> list[tuple[float, float | None]]:
    """Return the detections of a class per image, for steps with images; None between steps unusually far apart."""
    at = sorted(timeline.steps)
    places = _places(timeline)
    distances = [later - earlier for earlier, later in itertools.pairwise(at)]
    # The median, because one long gap between deployments would raise a mean.
    usual = statistics.median(distances) if distances else 1
    points: list[tuple[float, float | None]] = []
    for step, distance in zip(at, [0, *distances], strict=True):
        if distance > _BROKEN_FROM * usual:
            points.append((places[step], None))
        seen = timeline.steps[step]
        points.append((places[step], seen.counts[label_id] / seen.images))
    return points


def _intervals(timeline: Timeline, label_id: int) -> list[tuple[float, float, float]]:
    """Return the 95 % intervals of the means of a class, for steps with enough samples."""
    if timeline.step_length < SAMPLE_TIME:
        return []  # steps would share a sample
    places = _places(timeline)
    found = ((step, seen.interval(label_id)) for step, seen in sorted(timeline.steps.items()))
    return [(places[step], *interval) for step, interval in found if interval]


def _places(timeline: Timeline) -> dict[int, float]:
    """Return where each step with images lies on the lower axis, 0..1."""
    first = min(timeline.steps)
    return {step: (step - first) / _span(timeline) for step in timeline.steps}


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
