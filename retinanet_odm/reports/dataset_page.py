"""The pages that people read: what a data set holds, and how well a model does on it."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from retinanet_odm.dataset.leakage import Leakage
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.dataset.problems import Problem
from retinanet_odm.dataset.statistics import BoxStatistics
from retinanet_odm.labels.checks import ERROR, WARNING
from retinanet_odm.reports.dataset_sections import (
    class_counts,
    leakage_section,
    problems_list,
    problems_summary,
    split_counts,
    statistics_sections,
)
from retinanet_odm.reports.html_parts import (
    Html,
    PageCell,
    bar,
    code,
    figures,
    html_table,
    page,
    paragraph,
    section,
    tiles,
)

# Parts of eval.json that the page shows in sections of their own.
_SHOWN_ABOVE = {"per_class", "details", "intervals", "at_thresholds", "thresholds", "images"}
_MOST_REJECTS = 200  # lines on the page; rejected.jsonl holds them all

# Summary numbers of COCO evaluation (pycocotools.cocoeval), with what they mean.
_METRICS = {
    "AP": "average precision, mean over IoU 0.50–0.95",
    "AP50": "average precision at IoU 0.50",
    "AP75": "average precision at IoU 0.75",
    "APs": "AP of objects under 32² pixels",
    "APm": "AP of objects of 32² to 96² pixels",
    "APl": "AP of objects over 96² pixels",
    "AR1": "average recall with 1 detection an image",
    "AR10": "average recall with 10 detections an image",
    "AR100": "average recall with 100 detections an image",
    "ARs": "AR100 of objects under 32² pixels",
    "ARm": "AR100 of objects of 32² to 96² pixels",
    "ARl": "AR100 of objects over 96² pixels",
}


def dataset_report(
    manifest: DatasetManifest,
    rejects: Sequence[Mapping[str, Any]] = (),
    gallery: Sequence[tuple[str, bytes]] = (),
    *,
    statistics: BoxStatistics | None = None,
    leakage: Leakage | None = None,
    problems: Sequence[Problem] = (),
) -> str:
    """The page of a data set; sections of which nothing is known are left out.

    Args:
      manifest: dataset.json.
      rejects: the lines of rejected.jsonl; ``name``, ``reason`` and ``detail`` of each are shown.
      gallery: captions and JPEG bytes of examples, boxes drawn.
      statistics: of all examples.
      leakage: what the splits have in common.
      problems: everything to look at.
    """
    examples = sum(split.examples for split in manifest.splits.values())
    lead = f"{manifest.images_in:,} images in = {examples:,} examples + {manifest.rejected:,} rejected."
    parts = [_dataset_tiles(manifest, examples)]
    if problems:
        parts.append(problems_summary(problems))
    parts += [_splits(manifest), _classes(manifest)]
    parts += _content(statistics, leakage)
    parts.append(_rejects(manifest, rejects))
    if gallery:
        parts.append(section("Examples", figures(gallery)))
    parts.append(_origin(manifest))
    return page("Data set", parts, lead=lead)


def _content(statistics: BoxStatistics | None, leakage: Leakage | None) -> list[Html]:
    parts = statistics_sections(statistics) if statistics else []
    return [*parts, leakage_section(leakage)] if leakage else parts


def check_report(
    images_in: int,
    would_be_examples: int,
    problems: Sequence[Problem] = (),
    *,
    splits: Mapping[str, int] | None = None,
    statistics: BoxStatistics | None = None,
    leakage: Leakage | None = None,
) -> str:
    """The page of a check, which writes no data set; sections of which nothing is known are left out.

    Args:
      images_in: images found.
      would_be_examples: of them, those that prepare would keep.
      problems: everything to look at; the page holds the first ones, problems.jsonl all.
      splits: would-be examples by split.
      statistics: of all would-be examples.
      leakage: what the splits have in common.
    """
    lead = f"Of {images_in:,} images, {would_be_examples:,} would become examples. No data set was written."
    parts = [_check_tiles(images_in, would_be_examples, problems, statistics), problems_summary(problems)]
    if splits:
        parts.append(split_counts(splits))
    if statistics:
        parts.append(class_counts(statistics))
    parts += _content(statistics, leakage)
    if problems:
        parts.append(problems_list(problems))
    return page("Check", parts, lead=lead)


def _check_tiles(
    images_in: int, would_be_examples: int, problems: Sequence[Problem], statistics: BoxStatistics | None
) -> Html:
    counts = Counter(problem.severity for problem in problems)
    values: list[tuple[str, PageCell]] = [("images in", images_in), ("would be examples", would_be_examples)]
    if statistics:
        values += [("boxes", statistics.total.boxes), ("classes", len(statistics.classes))]
    return tiles([*values, ("errors", counts[ERROR]), ("warnings", counts[WARNING])])


def _dataset_tiles(manifest: DatasetManifest, examples: int) -> Html:
    return tiles(
        [
            ("images in", manifest.images_in),
            ("examples", examples),
            ("rejected", manifest.rejected),
            ("boxes", sum(split.boxes for split in manifest.splits.values())),
            ("boxes dropped", sum(manifest.objects_dropped.values())),
            ("classes", len(manifest.labels.items)),
        ]
    )


def _splits(manifest: DatasetManifest) -> Html:
    largest = max((split.examples for split in manifest.splits.values()), default=0)
    rows = [
        (name, bar(split.examples, largest), split.boxes, len(split.shards)) for name, split in manifest.splits.items()
    ]
    return section("Splits", html_table(["split", "examples", "boxes", "shards"], rows))


def _classes(manifest: DatasetManifest) -> Html:
    """Boxes per class and split; each split's bars are shares of its own commonest class, so that they compare."""
    counts = {name: split.boxes_per_class for name, split in manifest.splits.items()}
    largest = {name: max(classes.values(), default=0) for name, classes in counts.items()}
    rows: list[list[PageCell]] = [
        [
            label,
            label_id,
            *(bar(classes.get(label, 0), largest[name]) for name, classes in counts.items()),
            sum(classes.get(label, 0) for classes in counts.values()),
        ]
        for label_id, label in sorted(manifest.labels.items)
    ]
    return section("Boxes of each class", html_table(["class", "id", *counts, "all"], rows))


def _rejects(manifest: DatasetManifest, rejects: Sequence[Mapping[str, Any]]) -> Html:
    reasons = [
        *((reason, "image left out", count) for reason, count in sorted(manifest.rejected_by_reason.items())),
        *((reason, "box dropped", count) for reason, count in sorted(manifest.objects_dropped.items())),
    ]
    if not reasons and not rejects:
        return section("Rejected", "Nothing was rejected, and no box was dropped.")
    parts = [html_table(["reason", "what became of it", "count"], reasons)] if reasons else []
    if rejects:
        lines = [tuple(str(row.get(key, "")) for key in ("name", "reason", "detail")) for row in rejects]
        parts.append(paragraph(_first_of(len(rejects))))
        parts.append(html_table(["file", "reason", "detail"], lines[:_MOST_REJECTS]))
    return section("Rejected", *parts)


def _first_of(count: int) -> str:
    if count <= _MOST_REJECTS:
        return f"All {count:,} lines of rejected.jsonl:" if count > 1 else "The line of rejected.jsonl:"
    return f"The first {_MOST_REJECTS} of {count:,} lines of rejected.jsonl:"


def _origin(manifest: DatasetManifest) -> Html:
    facts: list[tuple[PageCell, ...]] = [
        ("fingerprint", code(manifest.fingerprint)),
        ("code version", code(manifest.code_version)),
        ("schema version", code(manifest.schema_version)),
        ("most boxes in one image", code(manifest.max_boxes_per_image)),
        ("width / height of images", code(f"{manifest.aspect_ratio_min:.3g} to {manifest.aspect_ratio_max:.3g}")),
        *((f"--{name}", code(_plain(value))) for name, value in sorted(manifest.options.items())),
    ]
    return section("How it was made", html_table(["", ""], facts))


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
