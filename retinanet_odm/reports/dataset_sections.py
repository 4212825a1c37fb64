"""Sections that the page of a data set and that of a check share: problems, boxes, anchors, leakage."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from retinanet_odm.dataset.leakage import Leakage
from retinanet_odm.dataset.problems import (
    CATALOGUE,
    INFO,
    MIN_ANCHOR_RECALL,
    Problem,
    describe_duplicates,
    sort_problems,
)
from retinanet_odm.dataset.statistics import CANVASES, MAX_ASPECT_OCTAVE, MAX_BOXES_PER_CLASS, BoxStatistics
from retinanet_odm.reports.html_parts import (
    Html,
    PageCell,
    advice,
    badge,
    bar,
    columns,
    html_table,
    paragraph,
    percent,
    section,
    titled,
)

MOST_PROBLEMS = 300  # lines on the page; problems.jsonl holds them all
_MOST_SIZES = 12  # distinct sizes of images
_MOST_PAIRS = 20  # pairs and groups of duplicates
# Upper ends of the rows of the table of boxes per image; the last row is open.
_BOXES_UP_TO = (0, 1, 2, 5, 10, 20, 50, MAX_BOXES_PER_CLASS)


def problems_summary(problems: Iterable[Problem]) -> Html:
    """What there is to look at: a row for each code, the worst first, and what to do."""
    by_code: dict[str, list[Problem]] = defaultdict(list)
    for problem in sort_problems(problems):
        by_code[f"{problem.severity} {problem.code}"].append(problem)
    groups = list(by_code.values())
    things = sum(group[0].severity != INFO for group in groups)
    heading = f"{things} {'thing' if things == 1 else 'things'} to look at" if things else "Nothing to look at"
    if not groups:
        return section(heading, "No problem was found.")
    headers = ["what", "count", "for example"]
    return section(heading, html_table(headers, map(_summary_row, groups)))


def _summary_row(group: Sequence[Problem]) -> list[PageCell]:
    first = group[0]
    # The label doctor's suggestions name labels: of several, the general one is for all.
    is_one = len({problem.suggestion for problem in group}) == 1
    suggestion = first.suggestion if is_one else CATALOGUE[first.code][1]
    return [_what(first), len(group), _cured(first.detail, suggestion)]


def _what(problem: Problem) -> Html:
    return titled(badge(problem.severity), problem.code.replace("_", " "))


def _cured(detail: str, suggestion: str) -> Html:
    return titled(advice(detail), advice(f"→ {suggestion}"))


def problems_list(problems: Iterable[Problem]) -> Html:
    """The problems themselves with their places, the worst first."""
    ordered = sort_problems(problems)
    rows = [
        [_place(problem), _what(problem), _cured(problem.detail, problem.suggestion)]
        for problem in ordered[:MOST_PROBLEMS]
    ]
    count = (
        f"The first {MOST_PROBLEMS:,} of {len(ordered):,} lines of problems.jsonl:"
        if len(ordered) > MOST_PROBLEMS
        else f"All {len(ordered):,}, as in problems.jsonl:"
    )
    return section("All problems", count, html_table(["where", "what", "what is wrong"], rows))


def _place(problem: Problem) -> str:
    place = problem.file or problem.image or problem.object
    return f"{place}:{problem.line}" if problem.line is not None else place


def statistics_sections(statistics: BoxStatistics) -> list[Html]:
    """Sizes and shapes of boxes, what the anchors can reach, boxes per image and sizes of images."""
    if not statistics.classes:
        return [_image_sizes(statistics)]
    return [
        columns(_box_sizes(statistics), _box_shapes(statistics)),
        _recall(statistics),
        columns(_boxes_per_image(statistics), _image_sizes(statistics)),
    ]


def _bars(headers: Sequence[str], counts: Sequence[tuple[str, int]]) -> Html:
    """A histogram: a row for each count, the longest bar the largest."""
    largest, total = max(count for _, count in counts), sum(count for _, count in counts)
    return html_table(
        [*headers, "share"], [(name, bar(count, largest), percent(count / total)) for name, count in counts]
    )


def _box_sizes(statistics: BoxStatistics) -> Html:
    sides = statistics.total.sides
    rows = [(_octave(octave), sides[octave]) for octave in range(min(sides), max(sides) + 1)]
    note = "Side: the root of the box's area, in pixels of the photograph."
    return section("Sizes of boxes", _bars(["side", "boxes"], rows), note)


def _octave(octave: int) -> str:
    return f"{2**octave}–{2 ** (octave + 1)} px" if octave else "under 2 px"


def _box_shapes(statistics: BoxStatistics) -> Html:
    aspects = statistics.total.aspects
    rows = [(_shape(octave), aspects[octave]) for octave in range(min(aspects), max(aspects) + 1)]
    note = "Rounded to doublings. RetinaNet's anchors are of 1:2, 1:1 and 2:1."
    return section("Shapes of boxes", _bars(["height:width", "boxes"], rows), note)


def _shape(octave: int) -> str:
    ratio = f"{2**octave}:1" if octave >= 0 else f"1:{2**-octave}"
    return f"{ratio} and beyond" if abs(octave) == MAX_ASPECT_OCTAVE else ratio


def _recall(statistics: BoxStatistics) -> Html:
    """Share of boxes with an anchor of IoU 0.5, class by canvas."""
    named = [("all classes", statistics.total), *sorted(statistics.classes.items())]
    shares = [(name, counts.boxes, [counts.recall(canvas) for canvas in CANVASES]) for name, counts in named]
    rows: list[list[PageCell]] = [
        [name, boxes, *(percent(share, is_bad=share < MIN_ANCHOR_RECALL) for share in row)]
        for name, boxes, row in shares
    ]
    explained = (
        "The share of boxes that at least one anchor overlaps by half (IoU 0.5), by the longest side of the trainer's"
        " canvas: an object that no anchor fits is hardly learned."
    )
    cure = (
        f"Marked: below {MIN_ANCHOR_RECALL:.0%}. Train with the --image_size of a column that is not marked; where small boxes"
        " are marked in all of them, with a smaller --anchor_scale too."
    )
    low = any(share < MIN_ANCHOR_RECALL for _, _, row in shares for share in row)
    headers = ["class", "boxes", *map(str, CANVASES)]
    return section(
        "Best possible recall", explained, html_table(headers, rows), *([paragraph(advice(cure))] if low else [])
    )


def _boxes_per_image(statistics: BoxStatistics) -> Html:
    counts = statistics.boxes_per_image
    rows = []
    for low, high in zip((-1, *_BOXES_UP_TO), (*_BOXES_UP_TO, max(counts)), strict=True):
        name = str(high) if high == low + 1 else f"{low + 1}–{high}"
        rows.append((name, sum(images for boxes, images in counts.items() if low < boxes <= high)))
    while not rows[-1][1]:
        rows.pop()
    histogram = _bars(["boxes", "images"], rows)
    if not statistics.crowded:
        return section("Boxes per image", histogram)
    most = ", ".join(f"{name} ({boxes:,})" for boxes, name in statistics.crowded[:5])
    crowded = f"{statistics.crowded_images:,} with more than {MAX_BOXES_PER_CLASS}, at which the legacy TPU loader stops: {most}"
    return section("Boxes per image", histogram, crowded)


def _image_sizes(statistics: BoxStatistics) -> Html:
    sizes = sorted(statistics.image_sizes.items(), key=lambda item: (-item[1], item[0]))
    rows = [(f"{width} × {height}", count) for (width, height), count in sizes[:_MOST_SIZES]]
    if others := sizes[_MOST_SIZES:]:
        rows.append((f"{len(others):,} other sizes", sum(count for _, count in others)))
    if not rows:
        return section("Sizes of images", "There is no image.")
    return section("Sizes of images", _bars(["width × height", "images"], rows))


def class_counts(statistics: BoxStatistics) -> Html:
    """Boxes of each class, where there is no manifest with splits."""
    counts = {name: classes.boxes for name, classes in sorted(statistics.classes.items())}
    if not counts:
        return section("Boxes of each class", "No image has a box.")
    return section("Boxes of each class", _bars(["class", "boxes"], list(counts.items())))


def split_counts(splits: Mapping[str, int]) -> Html:
    """Images of each split, where there is no manifest."""
    largest = max(splits.values(), default=0)
    rows = [(name, bar(count, largest)) for name, count in splits.items()]
    return section("Splits", html_table(["split", "images"], rows))


def leakage_section(leakage: Leakage) -> Html:
    """How much of the held-out splits was seen in training, with the first pairs."""
    rows = [
        (split.split, split.images, split.exact, split.near, _seen_share(split.exact + split.near, split.images))
        for split in leakage.held_out
    ]
    headers = ["split", "images", "same file in train", "nearly the same", "together"]
    return section(
        "Pictures in more than one split",
        html_table(headers, rows),
        *_verdict(leakage),
        *_groups(leakage),
        *_pairs(leakage),
    )


def _seen_share(seen: int, images: int) -> Html:
    return percent(seen / images, is_bad=seen > 0) if images else Html("–")


def _verdict(leakage: Leakage) -> Iterator[str]:
    if any(split.exact + split.near for split in leakage.held_out):
        yield paragraph(
            advice(
                "A model is judged too kindly on pictures that it has seen. Keep the frames of one dive or day in one"
                " split: prepare again with --split_group, for example --split_group=deployment+day."
            )
        )
    else:
        yield "No picture that is held out was found in training."
    if leakage.hashed < leakage.images:
        compared = f"Nearly equal pictures were looked for among {leakage.hashed:,} of {leakage.images:,}"
        yield f"{compared}; the others were not decoded, or are of one colour."
    if not leakage.reach:
        yield "There are so many pictures that nearly equal ones were not searched for, only equal ones."


def _groups(leakage: Leakage) -> Iterator[str]:
    for title, found in (("in several splits", leakage.across), ("within one split", leakage.within)):
        if found.groups:
            yield f"Equal files {title}: {found.images:,} images, {found.groups:,} different."
            rows = [(describe_duplicates(group), group.images) for group in found.examples[:_MOST_PAIRS]]
            yield html_table(["equal files", "how many"], rows)


def _pairs(leakage: Leakage) -> Iterator[str]:
    rows = [(twin.name, split.split, twin.train_name) for split in leakage.held_out for twin in split.examples]
    if rows:
        yield "The first nearly equal pictures:"
        yield html_table(["picture", "split", "resembles, in train"], rows[:_MOST_PAIRS])
