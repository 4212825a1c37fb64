"""Tables that the page of a data set and that of a check share: problems, boxes, anchor recall, leakage."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from retinanet_odm.dataset.anchor_coverage import CANVASES, MIN_ANCHOR_RECALL
from retinanet_odm.dataset.leakage import Duplicates, Leakage
from retinanet_odm.dataset.problem_codes import CATALOGUE, INFO
from retinanet_odm.dataset.problems import Problem, describe_duplicates, sort_problems
from retinanet_odm.dataset.statistics import MAX_ASPECT_OCTAVE, MAX_BOXES_PER_IMAGE, BoxStatistics
from retinanet_odm.reports.rendering import Advice, Badge, Bar, Cell, Percent, Table, Titled, histogram_table
from retinanet_odm.wording import plural

MAX_PROBLEMS = 300  # rows on the page; problems.jsonl holds them all
_MAX_SIZES = 12  # distinct sizes of images
_MAX_PAIRS = 20  # pairs and groups of duplicates
# Upper ends of the rows of the table of boxes per image; the last row is open.
_BOXES_UP_TO = (0, 1, 2, 5, 10, 20, 50, MAX_BOXES_PER_IMAGE)


@dataclass(frozen=True, kw_only=True)
class ProblemsSummary:
    """Problems by code; `things` counts the codes that are more than information."""

    things: int
    table: Table


def summarise_problems(problems: Iterable[Problem]) -> ProblemsSummary:
    """Make a row for each code, the worst first, with an example and what to do."""
    by_code: dict[str, list[Problem]] = defaultdict(list)
    for problem in sort_problems(problems):
        # Severity and code together: a code may be an error in one place and a warning in another (`make_problem`).
        by_code[f"{problem.severity} {problem.code}"].append(problem)
    groups = list(by_code.values())
    things = sum(group[0].severity != INFO for group in groups)
    return ProblemsSummary(things=things, table=Table(["what", "count", "for example"], [*map(_summary_row, groups)]))


def _summary_row(group: Sequence[Problem]) -> list[Cell]:
    first = group[0]
    # The suggestions of the label checks name labels: where there are several, the general one is shown.
    is_one = len({problem.suggestion for problem in group}) == 1
    suggestion = first.suggestion if is_one else CATALOGUE[first.code][1]
    return [_what(first), len(group), _with_fix(first.detail, suggestion)]


def _what(problem: Problem) -> Titled:
    return Titled(Badge(problem.severity), problem.code.replace("_", " "))


def _with_fix(detail: str, suggestion: str) -> Titled:
    return Titled(Advice(detail), Advice(f"→ {suggestion}"))


def problems_table(problems: Iterable[Problem]) -> Table:
    """Make a row for each of the first MAX_PROBLEMS problems with its place, the worst first."""
    return Table(
        ["where", "what", "what is wrong"],
        [
            [_place(problem), _what(problem), _with_fix(problem.detail, problem.suggestion)]
            for problem in sort_problems(problems)[:MAX_PROBLEMS]
        ],
    )


def _place(problem: Problem) -> str:
    place = problem.file or problem.image or problem.object
    return f"{place}:{problem.line}" if problem.line is not None else place


@dataclass(frozen=True, kw_only=True)
class StatisticsTables:
    """Tables of a BoxStatistics; those of boxes are None where no image has one.

    Attributes:
      known: in how many images each class is exhaustive; None where all are in all images.
      ignored: how many areas are ignored, in words; "" for none.
      recall: of the boxes of the training split; None where there are none.
      crowded: images with more boxes than the legacy TPU loader takes, in words; "" for none.
      recall_is_low: whether the recall table has a value below MIN_ANCHOR_RECALL.
    """

    image_sizes: Table | None
    box_sizes: Table | None = None
    box_shapes: Table | None = None
    recall: Table | None = None
    recall_is_low: bool = False
    boxes_per_image: Table | None = None
    crowded: str = ""
    known: Table | None = None
    ignored: str = ""


def tabulate_statistics(statistics: BoxStatistics, training: BoxStatistics) -> StatisticsTables:
    """Make the tables of sizes and shapes of boxes, anchor recall in training, boxes per image and sizes of images."""
    image_sizes, known, ignored = _image_sizes(statistics), _known(statistics), _ignored(statistics)
    if not statistics.classes:
        return StatisticsTables(image_sizes=image_sizes, known=known, ignored=ignored)
    # From the smallest to the largest octave that occurs, with empty ones in between.
    sides, aspects = statistics.total.sides, statistics.total.aspects
    recall = _recall(training) if training.classes else None
    return StatisticsTables(
        image_sizes=image_sizes,
        box_sizes=histogram_table(
            ["side", "boxes"], [(_octave(octave), sides[octave]) for octave in range(min(sides), max(sides) + 1)]
        ),
        box_shapes=histogram_table(
            ["height:width", "boxes"],
            [(_shape(octave), aspects[octave]) for octave in range(min(aspects), max(aspects) + 1)],
        ),
        recall=recall,
        recall_is_low=_is_low(recall) if recall else False,
        boxes_per_image=_boxes_per_image(statistics),
        crowded=_crowded(statistics),
        known=known,
        ignored=ignored,
    )


def _known(statistics: BoxStatistics) -> Table | None:
    """Make the table of the images in which each class is exhaustive, the least known first."""
    unknown, images = statistics.not_exhaustive, statistics.images
    if not unknown:
        return None
    names = sorted({*statistics.classes, *unknown}, key=lambda name: (-unknown[name], name))
    rows = [(name, images - unknown[name], Percent(1 - unknown[name] / images), unknown[name]) for name in names]
    return Table(["class", "exhaustive in", "of all images", "not exhaustive in"], rows)


def _ignored(statistics: BoxStatistics) -> str:
    regions, images = statistics.ignored_regions, statistics.regions_per_image.total()
    return f"{regions:,} in {images:,} {plural('image', images)}" if regions else ""


def _is_low(recall: Table) -> bool:
    return any(cell.is_bad for row in recall.rows for cell in row if isinstance(cell, Percent))


def _octave(octave: int) -> str:
    return f"{2**octave}–{2 ** (octave + 1)} px" if octave else "under 2 px"


def _shape(octave: int) -> str:
    ratio = f"{2**octave}:1" if octave >= 0 else f"1:{2**-octave}"
    return f"{ratio} and beyond" if abs(octave) == MAX_ASPECT_OCTAVE else ratio


def _recall(statistics: BoxStatistics) -> Table:
    """Make the table of the share of boxes with an anchor of IoU 0.5, class by canvas."""
    # All classes first: the row that most readers need.
    named = [("all classes", statistics.total), *sorted(statistics.classes.items())]
    shares = [(name, counts.boxes, [counts.recall(canvas) for canvas in CANVASES]) for name, counts in named]
    rows: list[list[Cell]] = [
        [name, boxes, *(Percent(share, is_bad=share < MIN_ANCHOR_RECALL) for share in row)]
        for name, boxes, row in shares
    ]
    return Table(["class", "boxes", *map(str, CANVASES)], rows)


def _boxes_per_image(statistics: BoxStatistics) -> Table:
    counts = statistics.boxes_per_image
    rows = []
    # Each row counts low < boxes <= high; the last one ends at the largest number there is.
    for low, high in zip((-1, *_BOXES_UP_TO), (*_BOXES_UP_TO, max(counts)), strict=True):
        name = str(high) if high == low + 1 else f"{low + 1}–{high}"
        rows.append((name, sum(images for boxes, images in counts.items() if low < boxes <= high)))
    # Empty rows at the end would only say that no image has so many boxes.
    while not rows[-1][1]:
        rows.pop()
    return histogram_table(["boxes", "images"], rows)


def _crowded(statistics: BoxStatistics) -> str:
    if not statistics.crowded:
        return ""
    most = ", ".join(f"{name} ({boxes:,})" for boxes, name in statistics.crowded[:5])
    limit = f"{statistics.crowded_images:,} with more than {MAX_BOXES_PER_IMAGE}"
    return f"{limit}, the maximum of the legacy TPU loader: {most}"


def _image_sizes(statistics: BoxStatistics) -> Table | None:
    sizes = sorted(statistics.image_sizes.items(), key=lambda item: (-item[1], item[0]))
    rows = [(f"{width} × {height}", count) for (width, height), count in sizes[:_MAX_SIZES]]
    # Rare sizes share a row, so that the shares still add up.
    if others := sizes[_MAX_SIZES:]:
        rows.append((f"{len(others):,} other sizes", sum(count for _, count in others)))
    return histogram_table(["width × height", "images"], rows) if rows else None


def class_table(statistics: BoxStatistics) -> Table | None:
    """Make the table of boxes of each class, where there is no manifest with splits; None where there is no box."""
    counts = {name: classes.boxes for name, classes in sorted(statistics.classes.items())}
    return histogram_table(["class", "boxes"], list(counts.items())) if counts else None


def split_table(splits: Mapping[str, int]) -> Table:
    """Make the table of images of each split, where there is no manifest."""
    largest = max(splits.values(), default=0)
    return Table(["split", "images"], [(name, Bar.of(count, largest)) for name, count in splits.items()])


@dataclass(frozen=True, kw_only=True)
class LeakageTables:
    """What the splits have in common.

    Attributes:
      splits: how much of each held-out split was seen in training.
      is_seen: whether anything was.
      groups: groups of equal files, by where they are.
      pairs: the first nearly equal images; None for none.
    """

    splits: Table
    is_seen: bool
    groups: list[tuple[str, Duplicates, Table]]
    pairs: Table | None


def tabulate_leakage(leakage: Leakage) -> LeakageTables:
    """Make the tables of images that are in more than one split."""
    rows: list[list[Cell]] = [
        [split.split, split.images, split.exact, split.near, _seen_share(split.exact + split.near, split.images)]
        for split in leakage.held_out
    ]
    # Of all held-out splits in one table, each image with its nearest one in training.
    pairs = [(twin.name, split.split, twin.train_name) for split in leakage.held_out for twin in split.examples]
    return LeakageTables(
        splits=Table(["split", "images", "same file in train", "nearly the same", "together"], rows),
        is_seen=any(split.exact + split.near for split in leakage.held_out),
        groups=[
            (title, found, _groups(found))
            for title, found in (("in several splits", leakage.across), ("within one split", leakage.within))
            if found.groups
        ],
        pairs=Table(["image", "split", "resembles, in train"], pairs[:_MAX_PAIRS]) if pairs else None,
    )


def _seen_share(seen: int, images: int) -> Percent | None:
    return Percent(seen / images, is_bad=seen > 0) if images else None


def _groups(found: Duplicates) -> Table:
    return Table(
        ["equal files", "count"], [(describe_duplicates(group), group.images) for group in found.examples[:_MAX_PAIRS]]
    )
