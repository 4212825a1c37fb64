"""Everything that is wrong or doubtful about a data set, gathered from all that was left out and counted."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from beam_jobs.options import REFUSE, PrepareOptions
from beam_jobs.rows import NO_IMAGE, DatasetPlan, Reject, ShardResult
from retinanet_odm.dataset import problems
from retinanet_odm.dataset.leakage import ImageHashes, Leakage, find_leakage
from retinanet_odm.dataset.problems import Problem, make_problem
from retinanet_odm.dataset.statistics import BoxStatistics
from retinanet_odm.labels.checks import check_labels


@dataclass(frozen=True, kw_only=True)
class ProblemSources:
    """What the report of a data set says beside its manifest."""

    problems: tuple[Problem, ...]
    statistics: BoxStatistics
    leakage: Leakage


def find_problems(
    plan: DatasetPlan, shards: Sequence[ShardResult], rejects: Iterable[Reject], options: PrepareOptions
) -> ProblemSources:
    """All that can be told of a data set when its images have been read.

    Args:
      plan: what was known before.
      shards: sorted by name.
      rejects: of the plan and of the shards.
      options: the request.
    """
    statistics = functools.reduce(BoxStatistics.merge, (shard.statistics for shard in shards), BoxStatistics())
    leakage = find_leakage(_hashes(shards))
    found = [
        *(of_reject(reject, options) for reject in rejects),
        *(of_reject(remark, options) for shard in shards for remark in shard.remarks),
        *_of_labels(plan, options),
        *problems.from_statistics(statistics),
        *problems.from_splits({name: _boxes_of(name, shards) for name in options.splits.names}),
        *problems.from_leakage(leakage),
        *_of_counts(plan, shards),
    ]
    return ProblemSources(problems=tuple(found), statistics=statistics, leakage=leakage)


def _hashes(shards: Iterable[ShardResult]) -> Iterator[ImageHashes]:
    for shard in shards:
        written = (name for _, name, is_written in shard.names if is_written)
        for name, (sha256, perceptual_hash) in zip(written, shard.twins, strict=True):
            yield ImageHashes(name, shard.split, bytes.fromhex(sha256), perceptual_hash)


def _boxes_of(split: str, shards: Iterable[ShardResult]) -> Mapping[str, int]:
    boxes: Counter[str] = Counter()
    for shard in shards:
        if shard.split == split:
            boxes.update(shard.boxes_per_class)
    return boxes


def of_reject(reject: Reject, options: PrepareOptions) -> Problem:
    """The problem that a reject or a remark is; an error where the request allows no such thing."""
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
    is_forbidden = reject.reason == NO_IMAGE and options.without_image == REFUSE
    return dataclasses.replace(problem, severity=problems.ERROR) if is_forbidden else problem


def _of_labels(plan: DatasetPlan, options: PrepareOptions) -> Iterator[Problem]:
    findings = check_labels(plan.label_counts, options.labels, aliases=options.aliases)
    yield from map(problems.from_label_problem, findings)


def _of_counts(plan: DatasetPlan, shards: Sequence[ShardResult]) -> Iterator[Problem]:
    clipped = sum(shard.clipped for shard in shards)
    if clipped:
        yield make_problem(
            "boxes_clipped", f"{clipped} boxes were cut at the border of their image", value=str(clipped)
        )
    for kind, count in sorted(plan.ignored.items()):
        yield make_problem("shapes_ignored", f"{count} shapes without a box: {kind}", label=kind, value=str(count))
