"""The pages of a data set (`report.html`) and of a check (`check.html`)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from retinanet_odm.dataset.leakage import Leakage
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.dataset.problems import Problem
from retinanet_odm.dataset.statistics import BoxStatistics
from retinanet_odm.imaging.drawing import colour_of
from retinanet_odm.labels.checks import ERROR, WARNING
from retinanet_odm.reports import dataset_sections as sections
from retinanet_odm.reports.dataset_verdict import dataset_verdict
from retinanet_odm.reports.rendering import Bar, Cell, ClassName, Percent, Table, facts_table, render

_MAX_REJECTS = 200  # rows on the page; rejected.jsonl holds them all


def dataset_report(
    manifest: DatasetManifest,
    rejects: Sequence[Mapping[str, Any]] = (),
    gallery: Sequence[tuple[str, bytes]] = (),
    *,
    statistics: BoxStatistics | None = None,
    training: BoxStatistics | None = None,
    leakage: Leakage | None = None,
    problems: Sequence[Problem] = (),
) -> str:
    """Render the page of a data set, without the sections of which nothing is known.

    Args:
      manifest: dataset.json.
      rejects: the lines of rejected.jsonl; ``name``, ``reason`` and ``detail`` of each are shown.
      gallery: captions and JPEG bytes of examples with their boxes drawn.
      statistics: of all examples.
      training: of those of the training split, for the anchors; None: as statistics.
      leakage: what the splits have in common.
      problems: everything that needs attention.
    """
    # Values only: the words, and which sections are shown, are in the template.
    examples = sum(split.examples for split in manifest.splits.values())
    return render(
        "dataset.html.j2",
        manifest=manifest,
        examples=examples,
        verdict=judge_dataset(manifest, statistics, leakage),
        tiles=_dataset_tiles(manifest, examples, statistics),
        problems=sections.summarise_problems(problems) if problems else None,
        splits=_splits(manifest),
        classes=_classes(manifest),
        reasons=_reasons(manifest),
        rejects=_rejects(rejects),
        rejects_count=len(rejects),
        gallery=gallery,
        origin=_origin(manifest),
        **_content(statistics, training, leakage),
    )


def check_report(
    images_in: int,
    would_be_examples: int,
    problems: Sequence[Problem] = (),
    *,
    splits: Mapping[str, int] | None = None,
    statistics: BoxStatistics | None = None,
    training: BoxStatistics | None = None,
    leakage: Leakage | None = None,
) -> str:
    """Render the page of a check, which writes no data set, without the sections of which nothing is known.

    Args:
      images_in: images found.
      would_be_examples: of them, those that prepare would keep.
      problems: everything that needs attention; the page holds the first ones, problems.jsonl all.
      splits: would-be examples by split.
      statistics: of all would-be examples.
      training: of those of the training split, for the verdict and the anchors; None: as statistics.
      leakage: what the splits have in common.
    """
    return render(
        "check.html.j2",
        images_in=images_in,
        would_be_examples=would_be_examples,
        verdict=_judge_check(statistics, training, leakage),
        tiles=_check_tiles(images_in, would_be_examples, problems, statistics),
        problems=sections.summarise_problems(problems),
        splits=sections.split_table(splits) if splits else None,
        has_statistics=statistics is not None,
        classes=sections.class_table(statistics) if statistics else None,
        all_problems=sections.problems_table(problems),
        problems_count=len(problems),
        **_content(statistics, training, leakage),
    )


def judge_dataset(
    manifest: DatasetManifest, statistics: BoxStatistics | None = None, leakage: Leakage | None = None
) -> list[str]:
    """Return the sentences of `dataset_verdict`, as far as these are known; arguments as of `dataset_report`."""
    # Every class of the label map, also one without any box.
    boxes = {
        name: {label: split.boxes_per_class.get(label, 0) for _, label in manifest.labels.items}
        for name, split in manifest.splits.items()
    }
    training = boxes.pop("train", {})
    return dataset_verdict(training, boxes, without_objects=_without_objects(statistics), leakage=leakage)


def _judge_check(
    statistics: BoxStatistics | None, training: BoxStatistics | None, leakage: Leakage | None
) -> list[str]:
    """Judge the boxes of the training split: those of the others are not counted by split."""
    counted = training or statistics or BoxStatistics()
    boxes = {name: classes.boxes for name, classes in counted.classes.items()}
    # Every class that any split has.
    missing = {name: 0 for name in (statistics.classes if statistics else ()) if name not in boxes}
    return dataset_verdict({**boxes, **missing}, {}, without_objects=_without_objects(statistics), leakage=leakage)


def _without_objects(statistics: BoxStatistics | None) -> float:
    return statistics.boxes_per_image[0] / statistics.images if statistics and statistics.images else 0.0


def _content(
    statistics: BoxStatistics | None, training: BoxStatistics | None, leakage: Leakage | None
) -> dict[str, object]:
    """Return the variables of the templates of statistics and leakage."""
    return {
        "statistics": sections.tabulate_statistics(statistics, training or statistics) if statistics else None,
        "leakage": leakage,
        "leaked": sections.tabulate_leakage(leakage) if leakage else None,
    }


def _check_tiles(
    images_in: int, would_be_examples: int, problems: Sequence[Problem], statistics: BoxStatistics | None
) -> list[tuple[str, Cell]]:
    # One count for each severity that is shown; information is no reason to act.
    counts = Counter(problem.severity for problem in problems)
    values: list[tuple[str, Cell]] = [("images in", images_in), ("would be examples", would_be_examples)]
    if statistics:
        # The order of the tiles is that of the page, from left to right.
        values.append(("without objects", _share_without_objects(statistics)))
        values += [("boxes", statistics.total.boxes), ("classes", len(statistics.classes))]
    return [*values, ("errors", counts[ERROR]), ("warnings", counts[WARNING])]


def _share_without_objects(statistics: BoxStatistics) -> Percent | None:
    return Percent(_without_objects(statistics)) if statistics.images else None


def _dataset_tiles(
    manifest: DatasetManifest, examples: int, statistics: BoxStatistics | None
) -> list[tuple[str, Cell]]:
    without = [("without objects", _share_without_objects(statistics))] if statistics else []
    return [
        ("images in", manifest.images_in),
        ("examples", examples),
        ("rejected", manifest.rejected),
        *without,
        ("boxes", sum(split.boxes for split in manifest.splits.values())),
        ("boxes dropped", sum(manifest.objects_dropped.values())),
        ("classes", len(manifest.labels.items)),
    ]


def _splits(manifest: DatasetManifest) -> Table:
    # Bars compare the splits with the largest of them.
    largest = max((split.examples for split in manifest.splits.values()), default=0)
    return Table(
        ["split", "examples", "boxes", "shards"],
        [
            (name, Bar.of(split.examples, largest), split.boxes, len(split.shards))
            for name, split in manifest.splits.items()
        ],
    )


def _classes(manifest: DatasetManifest) -> Table:
    """Tabulate boxes per class and split, the rarest class first; bars are relative to the most frequent one."""
    counts = {name: split.boxes_per_class for name, split in manifest.splits.items()}
    largest = {name: max(classes.values(), default=0) for name, classes in counts.items()}
    boxes = {label: sum(classes.get(label, 0) for classes in counts.values()) for _, label in manifest.labels.items}
    rows: list[list[Cell]] = [
        [
            ClassName(label, colour_of(label_id)),
            label_id,
            *(Bar.of(classes.get(label, 0), largest[name]) for name, classes in counts.items()),
            boxes[label],
        ]
        for label_id, label in sorted(manifest.labels.items, key=lambda item: (boxes[item[1]], item[0]))
    ]
    return Table(["class", "id", *counts, "all"], rows)


def _reasons(manifest: DatasetManifest) -> Table | None:
    rows = [
        *((reason, "image rejected", count) for reason, count in sorted(manifest.rejected_by_reason.items())),
        *((reason, "box dropped", count) for reason, count in sorted(manifest.objects_dropped.items())),
    ]
    return Table(["reason", "consequence", "count"], rows) if rows else None


def _rejects(rejects: Sequence[Mapping[str, Any]]) -> Table:
    columns = ("name", "reason", "detail")
    return Table(
        ["file", "reason", "detail"],
        [[str(row.get(column, "")) for column in columns] for row in rejects[:_MAX_REJECTS]],
    )


def _origin(manifest: DatasetManifest) -> Table:
    return facts_table(
        [
            ("fingerprint", manifest.fingerprint),
            ("code version", manifest.code_version),
            ("schema version", manifest.schema_version),
            ("most boxes in one image", manifest.max_boxes_per_image),
            ("width / height of images", f"{manifest.aspect_ratio_min:.3g} to {manifest.aspect_ratio_max:.3g}"),
            # With dashes, so that an option is found in the help of prepare.
            *((f"--{name}", value) for name, value in sorted(manifest.options.items())),
        ]
    )
