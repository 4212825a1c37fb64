"""report.html: a page to look at what was found in an archive, with everything it shows inside it."""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from detection.doubt import Doubtful
from detection.drawing import SHOWN_FROM, detected_box, draw_thumbnail
from detection.formats.pieces import utf8
from detection.pages import Html, figures, page, section
from detection.prediction_sections import (
    class_section,
    doubt_table,
    failure_section,
    origin_section,
    repeat_section,
    score_section,
    survey_tiles,
    time_section,
)
from detection.predictions import Detection, PredictionRow, Run
from detection.survey import Survey

# From names of images to (name, upright encoded bytes) of those that are to be had, in any order.
Photographs = Callable[[Collection[str]], Iterable[tuple[str, bytes]]]

_MOST_EXAMPLES = 12
_MOST_NAMED = 6  # detections in a caption


def no_photographs(_: Collection[str]) -> Iterable[tuple[str, bytes]]:
    """Photographs that are not to be had."""
    return ()


def to_report(rows: Iterable[PredictionRow], run: Run, photographs: Photographs = no_photographs) -> Iterator[bytes]:
    """The page, in one piece: it has at most some 24 small pictures, whatever the number of rows.

    Args:
      rows: of the run.
      run: where they are from.
      photographs: asked once, for the images that the page shows.
    """
    survey = Survey(run)
    for row in rows:
        survey.add(row)
    examples, doubtful = _examples(survey), survey.least_certain
    wanted = {row.image: row for row in (*examples, *(found.row for found in doubtful))}
    sure_of = {found.image: found.weakest for found in doubtful}
    drawn = {name: _drawn(data, wanted[name], sure_of.get(name)) for name, data in photographs(wanted)}
    lead = f"{survey.ok + survey.failed:,} photographs in = {survey.ok:,} scored + {survey.failed:,} failed."
    yield utf8(page("Scored photographs", _sections(survey, examples, doubtful, drawn), lead=lead))


def _sections(
    survey: Survey, examples: Sequence[PredictionRow], doubtful: Sequence[Doubtful], drawn: Mapping[str, bytes]
) -> Iterator[Html]:
    yield survey_tiles(survey)
    yield class_section(survey)
    yield time_section(survey)
    yield score_section(survey)
    if survey.places:
        yield repeat_section(survey)
    yield failure_section(survey)
    if examples:
        note = f"Photographs with every class, at random. Boxes with a score of {SHOWN_FROM:g} or more."
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


def _examples(survey: Survey) -> list[PredictionRow]:
    """One photograph of each class, then a second one of each, and so on; none comes twice."""
    by_class = [found.examples for found in survey.classes.values()]
    turns = (row for turn in itertools.zip_longest(*by_class) for row in turn if row is not None)
    return list({row.image: row for row in turns}.values())[:_MOST_EXAMPLES]


def _drawn(encoded: bytes, row: PredictionRow, weakest: Detection | None) -> bytes:
    shown = (item for item in row.detections if item.score >= SHOWN_FROM or item is weakest)
    return draw_thumbnail(encoded, list(map(detected_box, shown)))


def _caption(row: PredictionRow) -> str:
    named = ", ".join(f"{item.label} {item.score:.2f}" for item in row.detections[:_MOST_NAMED])
    rest = len(row.detections) - _MOST_NAMED
    return f"{row.image}: {named}, and {rest} more" if rest > 0 else f"{row.image}: {named}"
