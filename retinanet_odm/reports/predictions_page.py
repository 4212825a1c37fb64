"""Sections of the page of a scored archive, each from a part of a Survey."""

import itertools
import statistics
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from retinanet_odm.imaging.drawing import draw_thumbnail
from retinanet_odm.predictions.drawing import drawn_detection
from retinanet_odm.predictions.formats.encoding import utf8
from retinanet_odm.predictions.rows import MIN_SHOWN_SCORE, Detection, PredictionRow, ScoringRun
from retinanet_odm.predictions.summary import SCORE_BINS, ClassSummary, PredictionSummary, Timeline
from retinanet_odm.predictions.uncertainty import UncertainImage
from retinanet_odm.reports.charts import COLOURS, ChartLine, chart_grid, histogram, time_chart
from retinanet_odm.reports.html_parts import (
    Html,
    PageCell,
    bar,
    code,
    figures,
    format_number,
    html_table,
    page,
    section,
    tiles,
    titled,
)

_MOST_CHARTS = 12  # classes whose scores, and deployments whose counts, are drawn
_MOST_DEPLOYMENTS = 60  # lines of the table
_MOST_PLACES = 20
_MOST_TICKS = 4  # dates are wide
_BROKEN_FROM = 2.5  # times the usual distance between photographs: a camera that misses one still has a line
_UNITS = (
    (timedelta(weeks=1), "week"),
    (timedelta(days=1), "day"),
    (timedelta(hours=1), "hour"),
    (timedelta(minutes=1), "minute"),
)


def survey_tiles(survey: PredictionSummary) -> Html:
    """The large figures."""
    seen = sum(found.detections > 0 for found in survey.classes.values())
    return tiles(
        [
            ("photographs", survey.ok + survey.failed),
            ("scored", survey.ok),
            ("failed", survey.failed),
            ("detections", survey.detections),
            ("classes found", seen),
        ]
    )


def class_section(survey: PredictionSummary) -> Html:
    """How many there are of each class, the commonest first."""
    most = max((found.detections for found in survey.classes.values()), default=0)
    rows: list[list[PageCell]] = [
        [
            survey.run.classes[label_id],
            bar(found.detections, most),
            found.images,
            found.detections / survey.ok if survey.ok else None,
            titled(format_number(found.max_per_image), found.max_image) if found.max_per_image else None,
        ]
        for label_id, found in _commonest(survey)
    ]
    headers = ["class", "detections", "photographs with it", "mean of a photograph", "most on one photograph"]
    note = (
        f"Detections with a score of {survey.run.threshold:g} or more, as in counts.csv. With --min_score a page of"
        " fewer and surer ones is made."
    )
    return section("Each class", html_table(headers, rows), note)


def _commonest(survey: PredictionSummary) -> list[tuple[int, ClassSummary]]:
    return sorted(survey.classes.items(), key=lambda item: (-item[1].detections, item[0]))


def time_section(survey: PredictionSummary) -> Html:
    """Detections over time, all together and in each deployment."""
    if not survey.timeline.images:
        return section("Over time", "No photograph that was scored has a time, in its name or in EXIF.")
    shown = [label_id for label_id, found in _commonest(survey) if found.detections][: len(COLOURS)]
    drawn = [(name or "–", line) for name, line in sorted(survey.deployments.items())[:_MOST_CHARTS]]
    if len(survey.deployments) > 1:
        drawn.insert(0, ("all deployments", survey.timeline))
    charts = [_timeline_chart(title, line, survey.run, shown) for title, line in drawn]
    note = "The mean number of detections on a photograph. Lines are broken where there were none for long."
    return section("Over time", note, chart_grid(charts), _deployment_table(survey, shown), *_not_in_time(survey))


def _timeline_chart(title: str, line: Timeline, run: ScoringRun, shown: Sequence[int]) -> Html:
    lines = [
        ChartLine(name=run.classes[label_id], colour=colour, points=_means(line, label_id))
        for label_id, colour in zip(shown, COLOURS, strict=False)
    ]
    about = f"{title}: {line.images:,} photographs, by {_duration(line.step_length)}"
    return time_chart(lines, times=_times(line), y="on a photograph", title=about)


def _means(line: Timeline, label_id: int) -> list[tuple[float, float | None]]:
    """Detections of a class on a photograph, for steps that have one; None between two that are unusually far apart."""
    at = sorted(line.steps)
    apart = [later - earlier for earlier, later in itertools.pairwise(at)]
    usual = statistics.median(apart) if apart else 1
    points: list[tuple[float, float | None]] = []
    for step, gap in zip(at, [0, *apart], strict=True):
        share = (step - at[0]) / _span(line)
        if gap > _BROKEN_FROM * usual:
            points.append((share, None))
        seen = line.steps[step]
        points.append((share, seen.counts[label_id] / seen.images))
    return points


def _times(line: Timeline) -> dict[str, float]:
    first, last = min(line.steps), max(line.steps)
    every = -(-(last - first + 1) // _MOST_TICKS)
    return {
        _moment(line.start(at), line.step_length): (at - first) / _span(line) for at in range(first, last + 1, every)
    }


def _span(line: Timeline) -> int:
    return max(max(line.steps) - min(line.steps), 1)


def _moment(when: datetime, step: timedelta) -> str:
    return f"{when:%Y-%m-%d}" if step >= timedelta(days=1) else f"{when:%m-%d %H:%M}"


def _duration(length: timedelta) -> str:
    unit, name = next((unit, name) for unit, name in _UNITS if length >= unit)
    count = length // unit
    return name if count == 1 else f"{count} {name}s"


def _deployment_table(survey: PredictionSummary, shown: Sequence[int]) -> Html:
    rows: list[list[PageCell]] = []
    for name, line in sorted(survey.deployments.items())[:_MOST_DEPLOYMENTS]:
        totals = line.totals()
        when = titled(f"{line.first:%Y-%m-%d %H:%M}", f"to {line.last:%Y-%m-%d %H:%M}")
        rows.append([name or "–", when, line.images, *(totals[label_id] for label_id in shown)])
    return html_table(
        ["deployment", "time", "photographs", *(survey.run.classes[label_id] for label_id in shown)], rows
    )


def _not_in_time(survey: PredictionSummary) -> Iterator[str]:
    if (rest := len(survey.deployments) - _MOST_DEPLOYMENTS) > 0:
        yield f"{rest:,} more deployments are in counts.csv."
    if survey.images_of_further_deployments:
        yield (
            f"{survey.images_of_further_deployments:,} photographs of further deployments are counted in the first chart alone. Where every"
            " photograph is a deployment of its own, its name has a number before the date."
        )
    if survey.images_without_time:
        yield f"{survey.images_without_time:,} photographs have no time, in their names or in EXIF."


def score_section(survey: PredictionSummary) -> Html:
    """How sure the model is of each class."""
    found = [(label_id, one) for label_id, one in _commonest(survey) if one.detections]
    if not found:
        return section("Scores", "Nothing was found.")
    charts = [
        histogram(one.scores, x="score", y="detections", title=survey.run.classes[label_id])
        for label_id, one in found[:_MOST_CHARTS]
    ]
    note = (
        f"Detections by score, in steps of {1 / SCORE_BINS:g}. A class that is told well has few scores in the middle; a"
        " threshold is best set in the gap."
    )
    rest = len(found) - len(charts)
    return section("Scores", note, chart_grid(charts), *([f"{rest:,} rarer classes are not drawn."] if rest else []))


def repeat_section(survey: PredictionSummary) -> Html:
    """Places where something comes back: what does not move is seldom an animal."""
    places = sorted(survey.repeats.items(), key=lambda item: (-item[1].detections, item[0]))
    marked, most = sum(place.detections for _, place in places), places[0][1].detections
    rows: list[list[PageCell]] = [
        [str(index), place.deployment or "–", place.label, bar(place.detections, most), place.first_image]
        for index, place in places[:_MOST_PLACES]
    ]
    note = (
        f"{marked:,} of {survey.detections:,} detections are at {len(places):,} places where their class is seen again"
        " and again; repeats.csv lists them all. They are counted above; --without_repeats leaves them out."
    )
    headers = ["place", "deployment", "class", "detections", "first photograph"]
    return section("Seen again and again", note, html_table(headers, rows))


def failure_section(survey: PredictionSummary) -> Html:
    """What could not be scored, and why."""
    if not survey.failures:
        return section("Failures", "Every photograph was scored.")
    most = max(failure.images for failure in survey.failures.values())
    rows = [
        (reason, bar(failure.images, most), failure.detail)
        for reason, failure in sorted(survey.failures.items(), key=lambda item: (-item[1].images, item[0]))
    ]
    return section("Failures", html_table(["reason", "photographs", "for example"], rows))


def doubt_table(chosen: Iterable[UncertainImage]) -> Html:
    """The least certain images, as to_label.csv lists them."""
    rows = [
        (
            found.image,
            bar(found.uncertainty, 1.0),
            found.most_uncertain.label,
            found.most_uncertain.score,
            len(found.row.detections),
        )
        for found in chosen
    ]
    return html_table(["photograph", "doubt", "least certain", "its score", "detections"], rows)


def origin_section(run: ScoringRun) -> Html:
    """Where the numbers are from."""
    facts = {
        "program": run.program,
        "model": run.model_hash,
        "scores from": f"{run.threshold:g}",
        "classes": ", ".join(run.classes.values()),
    }
    return section("How it was made", html_table(["", ""], [(name, code(value)) for name, value in facts.items()]))


# From names of images to (name, upright encoded bytes) of those that are to be had, in any order.
DecodedImages = Callable[[Collection[str]], Iterable[tuple[str, bytes]]]
_MOST_EXAMPLES = 12
_MOST_NAMED = 6  # detections in a caption


def no_images(_: Collection[str]) -> Iterable[tuple[str, bytes]]:
    """Photographs that are not to be had."""
    return ()


def predictions_page(
    rows: Iterable[PredictionRow], run: ScoringRun, photographs: DecodedImages = no_images
) -> Iterator[bytes]:
    """The page, in one piece: it has at most some 24 small pictures, whatever the number of rows.

    Args:
      rows: of the run.
      run: where they are from.
      photographs: asked once, for the images that the page shows.
    """
    survey = PredictionSummary(run)
    for row in rows:
        survey.add(row)
    examples, doubtful = _examples(survey), survey.least_certain
    wanted = {row.image: row for row in (*examples, *(found.row for found in doubtful))}
    sure_of = {found.image: found.most_uncertain for found in doubtful}
    drawn = {name: _drawn(data, wanted[name], sure_of.get(name)) for name, data in photographs(wanted)}
    lead = f"{survey.ok + survey.failed:,} photographs in = {survey.ok:,} scored + {survey.failed:,} failed."
    yield utf8(page("Scored photographs", _sections(survey, examples, doubtful, drawn), lead=lead))


def _sections(
    survey: PredictionSummary,
    examples: Sequence[PredictionRow],
    doubtful: Sequence[UncertainImage],
    drawn: Mapping[str, bytes],
) -> Iterator[Html]:
    yield survey_tiles(survey)
    yield class_section(survey)
    yield time_section(survey)
    yield score_section(survey)
    if survey.repeats:
        yield repeat_section(survey)
    yield failure_section(survey)
    if examples:
        note = f"Photographs with every class, at random. Boxes with a score of {MIN_SHOWN_SCORE:g} or more."
        yield section("Examples", note, _gallery(examples, drawn))
    if doubtful:
        note = (
            "What to label next; to_label.csv lists more. First the least certain photograph of each deployment and"
            " day, then the least certain of all. Doubt: 1 where three detections have a score of 0.5, 0 where every"
            " score is 0 or 1. The least certain box is drawn too."
        )
        rows = [found.row for found in doubtful]
        yield section("Least certain", note, doubt_table(doubtful), _gallery(rows, drawn))
    yield origin_section(survey.run)


def _gallery(rows: Iterable[PredictionRow], drawn: Mapping[str, bytes]) -> str:
    pictures = [(_caption(row), drawn[row.image]) for row in rows if row.image in drawn]
    return figures(pictures) if pictures else "The photographs were not to be had: say by --images where they are."


def _examples(survey: PredictionSummary) -> list[PredictionRow]:
    """One photograph of each class, then a second one of each, and so on; none comes twice."""
    by_class = [found.examples for found in survey.classes.values()]
    turns = (row for turn in itertools.zip_longest(*by_class) for row in turn if row is not None)
    return list({row.image: row for row in turns}.values())[:_MOST_EXAMPLES]


def _drawn(encoded: bytes, row: PredictionRow, weakest: Detection | None) -> bytes:
    shown = (item for item in row.detections if item.score >= MIN_SHOWN_SCORE or item is weakest)
    return draw_thumbnail(encoded, list(map(drawn_detection, shown)))


def _caption(row: PredictionRow) -> str:
    named = ", ".join(f"{item.label} {item.score:.2f}" for item in row.detections[:_MOST_NAMED])
    rest = len(row.detections) - _MOST_NAMED
    return f"{row.image}: {named}, and {rest} more" if rest > 0 else f"{row.image}: {named}"
