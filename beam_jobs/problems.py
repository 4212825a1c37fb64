"""Everything wrong or doubtful about a data set, gathered from its rejects, labels, boxes, splits and images."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from beam_jobs.named_files import load_exhaustive
from beam_jobs.options import REFUSE, PrepareOptions
from beam_jobs.rows import NO_MATCHING_IMAGE, DatasetPlan, Reject
from beam_jobs.shard_results import ShardResult, sum_boxes, sum_statistics
from retinanet_odm.annotations.collector import OBJECTS_WITHOUT_BOX
from retinanet_odm.dataset import problems
from retinanet_odm.dataset.leakage import ImageHashes, Leakage, find_leakage
from retinanet_odm.dataset.problems import Problem, make_problem
from retinanet_odm.dataset.splits import TRAIN_SPLIT
from retinanet_odm.dataset.statistics import BoxStatistics
from retinanet_odm.labels.checks import ERROR, check_labels
from retinanet_odm.sources.row_names import PAIRED_ACROSS_FOLDERS, PAIRED_BY_FILENAME
from retinanet_odm.storage.file_kinds import describe_suffixes, may_hold_images
from retinanet_odm.wording import plural

_PAIRINGS = {
    PAIRED_ACROSS_FOLDERS: "with an annotation for another folder",
    PAIRED_BY_FILENAME: "by the <filename> in a file of another name",
}


@dataclass(frozen=True, kw_only=True)
class DatasetAnalysis:
    """What the reports show beside the manifest.

    Attributes:
      problems: everything wrong or doubtful, unsorted.
      statistics: of all examples.
      training: of the examples from which the trainer learns, which may be none.
      leakage: what the splits have in common.
    """

    problems: tuple[Problem, ...]
    statistics: BoxStatistics
    training: BoxStatistics
    leakage: Leakage


def analyse_dataset(
    plan: DatasetPlan, shards: Sequence[ShardResult], rejects: Sequence[Reject], options: PrepareOptions
) -> DatasetAnalysis:
    """Gather all problems of a data set whose images have been read.

    Args:
      plan: what was known before an image was read.
      shards: sorted by name.
      rejects: all of them, those of the shards included.
      options: the request.
    """
    # Both pages show these: report.html of a build and check.html of a check.
    statistics = sum_statistics(shards)
    training = sum_statistics(shard for shard in shards if shard.split == TRAIN_SPLIT)
    leakage = find_leakage(_hashes(shards))
    remarks = (remark for shard in shards for remark in shard.remarks)
    # By split, because a class may be absent from one of them.
    boxes = {name: sum_boxes(shard for shard in shards if shard.split == name) for name in options.splits.names}
    # In any order: format_problems sorts them. A new kind of problem is one more line here.
    found = [
        *(problem_of(reject, options) for reject in (*rejects, *remarks)),
        *map(problems.from_label_problem, check_labels(plan.label_counts, options.labels, aliases=options.aliases)),
        *problems.from_statistics(statistics),
        *problems.from_anchor_coverage(training),
        *problems.from_splits(boxes),
        *problems.from_split_shares(_examples(shards), _fractions(options)),
        *problems.from_leakage(leakage),
        *_classes_not_exhaustive(statistics, training),
        *_unused_partial_labels(plan, shards, rejects, statistics, options),
        *_notes(plan, shards),
    ]
    return DatasetAnalysis(problems=tuple(found), statistics=statistics, training=training, leakage=leakage)


def _examples(shards: Iterable[ShardResult]) -> Counter[str]:
    examples: Counter[str] = Counter()
    for shard in shards:
        examples[shard.split] += shard.examples
    return examples


def _fractions(options: PrepareOptions) -> Mapping[str, float]:
    """Return the fractions that the splits were to have; none where a list has chosen for each image."""
    return {} if options.split_from else dict(options.splits.fractions)


def _hashes(shards: Iterable[ShardResult]) -> Iterator[ImageHashes]:
    for shard in shards:
        for image in shard.images:
            # Rejected images are in no split, so they cannot leak.
            if image.is_written:
                yield ImageHashes(image.name, shard.split, bytes.fromhex(image.sha256), image.perceptual_hash)


def problem_of(reject: Reject, options: PrepareOptions) -> Problem:
    """Turn a reject or a remark into a problem: an error if the request forbids it."""
    problem = make_problem(
        reject.reason,
        reject.detail,
        kind=reject.kind,
        file=reject.source,
        line=reject.line,
        image=reject.name,
        label=reject.label,
        value=reject.value,
    )
    # An annotation without an image is a warning, unless --without_image=refuse.
    is_forbidden = reject.reason == NO_MATCHING_IMAGE and options.without_image == REFUSE
    return dataclasses.replace(problem, severity=ERROR) if is_forbidden else problem


def _classes_not_exhaustive(statistics: BoxStatistics, training: BoxStatistics) -> Iterator[Problem]:
    """Find classes that are not known everywhere; those known in no training image are learned without background."""
    for name, count in sorted(statistics.not_exhaustive.items()):
        known = f"{statistics.images - count} of {statistics.images} {plural('image', statistics.images)}"
        if 0 < training.images == training.not_exhaustive[name]:
            code, detail = "class_never_exhaustive", f"{name!r} is exhaustive in {known}, and in none of training"
        else:
            code, detail = "class_not_exhaustive", f"{name!r} is exhaustive in {known}"
        yield make_problem(code, detail, label=name, value=str(count))


def _unused_partial_labels(
    plan: DatasetPlan,
    shards: Iterable[ShardResult],
    rejects: Iterable[Reject],
    statistics: BoxStatistics,
    options: PrepareOptions,
) -> Iterator[Problem]:
    """Find what --exhaustive and --ignore_label name and the data lack: often a typing error."""
    if options.ignore_labels and not statistics.ignored_regions:
        named = ", ".join(map(repr, options.ignore_labels))
        yield make_problem("ignore_label_never_seen", f"no box has a label of --ignore_label: {named}", value=named)
    exhaustive = load_exhaustive(options)
    if not exhaustive:
        return
    for name in exhaustive.unknown_classes(plan.labels.name_by_id.values() if plan.labels else ()):
        detail = f"--exhaustive names a class that no box has: {name!r}"
        yield make_problem("exhaustive_class_never_seen", detail, label=name, value=name)
    images = {image.name for shard in shards for image in shard.images} | {reject.name for reject in rejects}
    if unused := exhaustive.unused_rows(images):
        kind = "deployment" if exhaustive.by_deployment else "image"
        detail = f"--exhaustive lists {len(unused)} unknown {plural(kind, len(unused))}, such as {unused[0]!r}"
        yield make_problem("exhaustive_row_unused", detail, value=str(len(unused)))


def _notes(plan: DatasetPlan, shards: Sequence[ShardResult]) -> Iterator[Problem]:
    clipped = sum(shard.clipped for shard in shards)
    if clipped:
        detail = f"{_were('box', clipped)} cut at the border of their image"
        yield make_problem("boxes_clipped", detail, value=str(clipped))
    for pairing, (count, example) in sorted(plan.pairings.items()):
        detail = f"{_were('image', count)} paired {_PAIRINGS[pairing]}, such as {example}"
        yield make_problem(pairing, detail, value=str(count))
    yield from _passed_over(plan.passed_over)
    for kind, count in sorted(plan.ignored.items()):
        # Points and skeletons are objects, which are lost; tags and parts are not.
        code = "shapes_ignored" if kind in OBJECTS_WITHOUT_BOX else "tags_ignored"
        yield make_problem(code, f"{count} shapes without a box: {kind}", label=kind, value=str(count))


def _were(noun: str, count: int) -> str:
    return f"{count} {plural(noun, count)} {plural('was', count)}"


def _passed_over(counts: Mapping[str, int]) -> Iterator[Problem]:
    """Name the files that no flag reads: one problem for those that may hold images, one for all others."""
    for code, is_image in (("images_passed_over", True), ("files_passed_over", False)):
        found = {suffix: count for suffix, count in counts.items() if may_hold_images(suffix) is is_image}
        if found:
            detail = f"passed over: {describe_suffixes(found)}"
            yield make_problem(code, detail, value=str(sum(found.values())))
