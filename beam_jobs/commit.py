"""Commit: everything beside the shards, then, as the very last file, the manifest that makes the data set whole."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from beam_jobs import folder
from beam_jobs.findings import Findings, find_problems
from beam_jobs.gallery import make_gallery
from beam_jobs.options import REFUSE, PrepareOptions
from beam_jobs.rows import COCO_SPLIT, IMAGE, NO_IMAGE, OBJECT, Plan, Reject, ShardResult
from beamio import files
from detection import __version__, id_maps
from detection.formats import coco
from detection.id_maps import IdMap, IdRow, carry_over, format_id_map
from detection.labels import LabelMap, format_label_map
from detection.manifests import DatasetManifest, SplitInfo
from detection.problems import format_problems
from detection.report import check_report, dataset_report


def commit(plan: Plan, shards: Iterable[ShardResult], options: PrepareOptions, previous: IdMap) -> None:
    """Ends a build or a check.

    Args:
      plan: what is known of the whole.
      shards: all of them, in any order.
      options: the request.
      previous: the ids of earlier builds.
    """
    ordered = sorted(shards, key=lambda shard: shard.info.name)
    rejects = sort_rejects([*plan.rejects, *(reject for shard in ordered for reject in shard.rejects)])
    findings = find_problems(plan, ordered, rejects, options)
    if options.writes:
        commit_dataset(plan, ordered, rejects, findings, options, previous)
    else:
        commit_check(plan, ordered, findings, options)


def commit_check(plan: Plan, shards: Sequence[ShardResult], findings: Findings, options: PrepareOptions) -> None:
    """Writes what a check has found."""
    examples = sum(shard.info.examples for shard in shards)
    page = check_report(
        plan.images_in,
        examples,
        findings.problems,
        splits={
            name: sum(shard.info.examples for shard in shards if shard.split == name) for name in options.splits.names
        },
        statistics=findings.statistics,
        leakage=findings.leakage,
    )
    _write(options.output, {folder.CHECK: page, folder.PROBLEMS: format_problems(findings.problems)})


def commit_dataset(
    plan: Plan,
    shards: Sequence[ShardResult],
    rejects: Sequence[Reject],
    findings: Findings,
    options: PrepareOptions,
    previous: IdMap,
) -> None:
    """Writes label map, id map, ground truth, rejects, report and manifest, and deletes what an earlier build left.

    Without a single example, or with more left out than the options allow, only rejects and problems are written: no
    manifest, so nothing that looks like a data set.

    Args:
      plan: what is known of the whole.
      shards: sorted by name.
      rejects: of the plan and of the shards, sorted.
      findings: what is doubtful.
      options: the request.
      previous: the ids of earlier builds.
    """
    artifacts = {folder.REJECTED: format_rejects(rejects), folder.PROBLEMS: format_problems(findings.problems)}
    if plan.labels is None or not any(shard.info.examples for shard in shards) or is_refused(plan, rejects, options):
        _write(options.output, artifacts)
        return
    manifest = make_manifest(plan, shards, rejects, plan.labels, options)
    artifacts[folder.LABELS] = format_label_map(plan.labels)
    artifacts[folder.ID_MAP] = format_id_map(carry_over(previous, id_rows(shards)))
    if COCO_SPLIT in options.splits.names:
        artifacts[folder.VAL] = format_ground_truth(shards, plan.labels)
    artifacts[folder.REPORT] = dataset_report(
        manifest,
        [dataclasses.asdict(reject) for reject in rejects],
        make_gallery(options.output, shards),
        statistics=findings.statistics,
        leakage=findings.leakage,
        problems=findings.problems,
    )
    _write(options.output, artifacts)
    names = [shard.info.name for shard in shards]
    folder.delete_stale(options.output, {*artifacts, *names, *map(folder.receipt_name, names)})
    _write(options.output, {DatasetManifest.FILE: manifest.to_json()})


def is_refused(plan: Plan, rejects: Sequence[Reject], options: PrepareOptions) -> bool:
    """Whether more is left out than the request allows."""
    left_out = sum(reject.kind == IMAGE for reject in rejects)
    return left_out > options.max_rejected * plan.images_in or bool(forbidden(rejects, options))


def forbidden(rejects: Iterable[Reject], options: PrepareOptions) -> list[Reject]:
    """Annotations without image, where the request allows none."""
    return [row for row in rejects if row.reason == NO_IMAGE] if options.without_image == REFUSE else []


def _write(output: str, artifacts: Mapping[str, str]) -> None:
    for name, text in artifacts.items():
        files.write_text(files.join(output, name), text)


def make_manifest(
    plan: Plan,
    shards: Sequence[ShardResult],
    rejects: Sequence[Reject],
    labels: LabelMap,
    options: PrepareOptions,
) -> DatasetManifest:
    """The manifest of shards that are sorted by name.

    Raises:
      ContractError: an image was lost or counted twice on the way.
    """
    by_reason = count_reasons(rejects, IMAGE)
    ratios = [edge for shard in shards if shard.aspect_ratios for edge in shard.aspect_ratios]
    return DatasetManifest(
        labels=labels,
        splits={name: _split([shard for shard in shards if shard.split == name]) for name in options.splits.names},
        max_boxes_per_image=max(shard.max_boxes for shard in shards),
        aspect_ratio_min=min(ratios),
        aspect_ratio_max=max(ratios),
        images_in=plan.images_in,
        rejected=sum(by_reason.values()),
        rejected_by_reason=by_reason,
        objects_dropped=count_reasons(rejects, OBJECT),
        shapes_ignored=dict(sorted(plan.ignored.items())),
        options=options.to_json(),
        code_version=__version__,
    )


def _split(shards: Sequence[ShardResult]) -> SplitInfo:
    boxes: Counter[str] = Counter()
    for shard in shards:
        boxes.update(shard.boxes_per_class)
    return SplitInfo(
        examples=sum(shard.info.examples for shard in shards),
        boxes=boxes.total(),
        boxes_per_class=dict(sorted(boxes.items())),
        shards=tuple(shard.info for shard in shards),
    )


def count_reasons(rejects: Iterable[Reject], kind: str) -> dict[str, int]:
    """How many rejects of a kind there are, by reason."""
    return dict(sorted(Counter(reject.reason for reject in rejects if reject.kind == kind).items()))


def sort_rejects(rejects: Iterable[Reject]) -> list[Reject]:
    """In the order of the images' names, whatever the order of arrival."""
    return sorted(rejects, key=lambda reject: (reject.name, *map(str, dataclasses.astuple(reject))))


def format_rejects(rejects: Iterable[Reject]) -> str:
    """rejected.jsonl: one JSON object a line."""
    lines = (json.dumps(dataclasses.asdict(reject), ensure_ascii=False) for reject in rejects)
    return "".join(f"{line}\n" for line in lines)


def parse_rejects(text: str) -> list[Reject]:
    """Inverse of format_rejects, for a file that this job has written."""
    # Not splitlines: a file name may hold one of the many other characters that Unicode calls a line break.
    return [Reject(**json.loads(line)) for line in text.split("\n") if line]


def id_rows(shards: Iterable[ShardResult]) -> Iterator[IdRow]:
    """Which image has which source id; a rejected image keeps its number, without a split."""
    for shard in shards:
        for source_id, image, written in shard.names:
            status = id_maps.WRITTEN if written else id_maps.REJECTED
            yield IdRow(source_id=source_id, image=image, split=shard.split if written else "", status=status)


def format_ground_truth(shards: Iterable[ShardResult], labels: LabelMap) -> str:
    """val.json: COCO ground truth, image ids equal to source ids."""
    rows = list(shards)
    images = [entry for shard in rows for entry in shard.coco_images]
    annotations = [entry for shard in rows for entry in shard.coco_annotations]
    return json.dumps(coco.ground_truth(images, annotations, labels), ensure_ascii=False) + "\n"
