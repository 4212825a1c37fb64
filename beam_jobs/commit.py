"""The last step of a job: writes the files beside the shards. Begin with `commit`.

The order matters: dataset.json is written last, after everything that it stands for, so that a data set with a manifest
is complete whenever the job is killed.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from beam_jobs import output_folder
from beam_jobs.dataset_gallery import make_gallery
from beam_jobs.named_files import load_id_map
from beam_jobs.options import REFUSE, PrepareOptions
from beam_jobs.problems import DatasetAnalysis, analyse_dataset
from beam_jobs.rows import (
    COCO_SPLIT,
    IMAGE_REJECT,
    NO_MATCHING_IMAGE,
    OBJECT_REJECT,
    DatasetPlan,
    Reject,
    count_reasons,
    format_rejects,
    sort_rejects,
)
from beam_jobs.shard_results import ShardResult, sum_boxes, sum_statistics
from retinanet_odm import __version__
from retinanet_odm.dataset import source_ids, tfds_metadata
from retinanet_odm.dataset.coco import ground_truth
from retinanet_odm.dataset.example_keys import PARTIAL_SCHEMA_VERSION, SCHEMA_VERSION
from retinanet_odm.dataset.manifest import DatasetManifest, SplitInfo
from retinanet_odm.dataset.problems import format_problems
from retinanet_odm.dataset.source_ids import IdRow, format_id_map, merge_id_maps
from retinanet_odm.labels.label_map import LabelMap, format_label_map
from retinanet_odm.reports.dataset_page import check_report, dataset_report
from retinanet_odm.storage import files


def commit(
    options: PrepareOptions,
    shards: Iterable[ShardResult],
    rejects: Iterable[Reject],
    *,
    images_in: int,
    labels: LabelMap | None,
    label_counts: Mapping[str, int],
    ignored: Mapping[str, int],
    pairings: Mapping[str, tuple[int, str]],
    passed_over: Mapping[str, int],
) -> None:
    """End a build or a check.

    Args:
      options: the request.
      shards: the results of all shards, in any order.
      rejects: images and annotations that were rejected before an image was read, in any order.
      images_in: distinct image files found.
      labels: the label map, or None.
      label_counts: boxes by label, as the annotations write it.
      ignored: shapes that have no box by design, by kind.
      pairings: number and first example of images by the way they were paired, if a person should look at them.
      passed_over: number of files by suffix that no flag reads.
    """
    # Sorted, so that no file depends on the order in which workers finish.
    plan = DatasetPlan(
        images_in=images_in,
        labels=labels,
        label_counts=label_counts,
        ignored=ignored,
        pairings=pairings,
        passed_over=passed_over,
    )
    ordered = sorted(shards, key=lambda shard: shard.name)
    # Two sources: rejects of the plan come as rows, those of images in the results of their shards.
    all_rejects = sort_rejects([*rejects, *(reject for shard in ordered for reject in shard.rejects)])
    analysis = analyse_dataset(plan, ordered, all_rejects, options)
    if options.writes:
        commit_dataset(plan, ordered, all_rejects, analysis, options)
    else:
        commit_check(plan, ordered, analysis, options)


def commit_check(
    plan: DatasetPlan, shards: Sequence[ShardResult], analysis: DatasetAnalysis, options: PrepareOptions
) -> None:
    """Write what a check has found: check.html and problems.jsonl."""
    # Splits without an example are shown too, with 0.
    examples = Counter(dict.fromkeys(options.splits.names, 0))
    for shard in shards:
        examples[shard.split] += shard.examples
    page = check_report(
        plan.images_in,
        examples.total(),
        analysis.problems,
        splits=examples,
        statistics=analysis.statistics,
        training=analysis.training,
        leakage=analysis.leakage,
    )
    _write(options, {output_folder.CHECK_PAGE: page, output_folder.PROBLEMS: format_problems(analysis.problems)})


def commit_dataset(
    plan: DatasetPlan,
    shards: Sequence[ShardResult],
    rejects: Sequence[Reject],
    analysis: DatasetAnalysis,
    options: PrepareOptions,
) -> None:
    """Write everything beside the shards, delete what an earlier build left, and write the manifest last.

    Without a single example, or with more rejects than the options allow, only rejects and problems are written: no
    manifest, so nothing that looks like a data set.

    Args:
      plan: what was known before an image was read.
      shards: sorted by name.
      rejects: all of them, sorted.
      analysis: of the plan and the shards.
      options: the request.
    """
    artifacts = {
        output_folder.REJECTED: format_rejects(rejects),
        output_folder.PROBLEMS: format_problems(analysis.problems),
    }
    # Prepare explains this to the user afterwards: see beam_jobs.prepare._refusal.
    if plan.labels is None or not analysis.statistics.images or is_refused(plan, rejects, options):
        _write(options, artifacts)  # they tell the user why there is no data set
        return
    manifest = make_manifest(plan, plan.labels, shards, rejects, options)
    # The id map is read before _write replaces it: --id_map may name the file of this folder.
    artifacts |= _label_files(plan.labels, shards, options)
    artifacts |= {
        tfds_metadata.FEATURES_FILE: tfds_metadata.format_features(is_partial=manifest.is_partial),
        tfds_metadata.INFO_FILE: tfds_metadata.format_info(manifest),
    }
    artifacts[output_folder.REPORT_PAGE] = _report(manifest, shards, rejects, analysis, options)
    digests = _write(options, artifacts)
    # The order matters: stale files go before the manifest comes, so that a manifest never lies beside foreign shards.
    names = [shard.name for shard in shards]
    output_folder.delete_stale(options.output, {*artifacts, *names, *map(output_folder.receipt_name, names)})
    recorded = {name: digests[name] for name in output_folder.BESIDE_SHARDS if name in digests}
    _write(options, {DatasetManifest.FILE: dataclasses.replace(manifest, files=recorded).to_json()})


def _write(options: PrepareOptions, artifacts: Mapping[str, str]) -> dict[str, str]:
    """Write files into the output folder; return their digests."""
    return {name: files.write_text(files.join(options.output, name), text) for name, text in artifacts.items()}


def is_refused(plan: DatasetPlan, rejects: Sequence[Reject], options: PrepareOptions) -> bool:
    """Return whether more was rejected than the request allows."""
    rejected = sum(reject.kind == IMAGE_REJECT for reject in rejects)
    return rejected > options.max_rejected * plan.images_in or bool(forbidden_rejects(rejects, options))


def forbidden_rejects(rejects: Iterable[Reject], options: PrepareOptions) -> list[Reject]:
    """Return the annotations without an image, if the request allows none."""
    return [row for row in rejects if row.reason == NO_MATCHING_IMAGE] if options.without_image == REFUSE else []


# --- The manifest ---


def make_manifest(
    plan: DatasetPlan,
    labels: LabelMap,
    shards: Sequence[ShardResult],
    rejects: Sequence[Reject],
    options: PrepareOptions,
) -> DatasetManifest:
    """Make the manifest of shards that are sorted by name.

    Raises:
      ContractError: an image was lost or counted twice on the way.
    """
    rejected = count_reasons(rejects, IMAGE_REJECT)
    # Of the distinct sizes: only the extremes are recorded.
    ratios = [width / height for shard in shards for width, height in shard.statistics.image_sizes]
    splits = {name: _split_info([shard for shard in shards if shard.split == name]) for name in options.splits.names}
    is_partial = any(split.is_partial for split in splits.values())
    most_regions = max((regions for shard in shards for regions in shard.statistics.regions_per_image), default=0)
    return DatasetManifest(
        schema_version=PARTIAL_SCHEMA_VERSION if is_partial else SCHEMA_VERSION,
        labels=labels,
        splits=splits,
        max_boxes_per_image=most_regions + max(boxes for shard in shards for boxes in shard.statistics.boxes_per_image),
        aspect_ratio_min=min(ratios),
        aspect_ratio_max=max(ratios),
        images_in=plan.images_in,
        rejected=sum(rejected.values()),
        rejected_by_reason=rejected,
        objects_dropped=count_reasons(rejects, OBJECT_REJECT),
        shapes_ignored=dict(sorted(plan.ignored.items())),
        options=options.to_json(),
        code_version=__version__,
    )


def _split_info(shards: Sequence[ShardResult]) -> SplitInfo:
    boxes = sum_boxes(shards)
    statistics = sum_statistics(shards)
    return SplitInfo(
        examples=sum(shard.examples for shard in shards),
        boxes=boxes.total(),
        boxes_per_class=dict(sorted(boxes.items())),
        shards=tuple(shard.info for shard in shards),
        not_exhaustive=dict(sorted(statistics.not_exhaustive.items())),
        ignored_regions=statistics.ignored_regions,
    )


# --- Labels, ids and ground truth ---


def _label_files(labels: LabelMap, shards: Sequence[ShardResult], options: PrepareOptions) -> dict[str, str]:
    found = {
        output_folder.LABEL_MAP: format_label_map(labels),
        # Rows of earlier builds are kept, so that an image that comes back gets its old id.
        output_folder.ID_MAP: format_id_map(merge_id_maps(load_id_map(options), id_rows(shards))),
    }
    # Evaluators that read no TFRecords, such as pycocotools, take this file.
    if COCO_SPLIT in options.splits.names:
        found[output_folder.VAL] = format_ground_truth(shards, labels)
    return found


def id_rows(shards: Iterable[ShardResult]) -> Iterator[IdRow]:
    """Yield the rows of id_map.csv. A rejected image keeps its id, without a split."""
    for shard in shards:
        for image in shard.images:
            split = shard.split if image.is_written else ""
            status = source_ids.ID_WRITTEN if image.is_written else source_ids.ID_REJECTED
            yield IdRow(source_id=image.source_id, image=image.name, split=split, status=status)


def format_ground_truth(shards: Iterable[ShardResult], labels: LabelMap) -> str:
    """Return the text of val.json: COCO ground truth whose image ids are source ids."""
    rows = list(shards)
    images = [entry for shard in rows for entry in shard.coco_images]
    annotations = [entry for shard in rows for entry in shard.coco_annotations]
    return json.dumps(ground_truth(images, annotations, labels), ensure_ascii=False) + "\n"


# --- The report ---


def _report(
    manifest: DatasetManifest,
    shards: Sequence[ShardResult],
    rejects: Sequence[Reject],
    analysis: DatasetAnalysis,
    options: PrepareOptions,
) -> str:
    return dataset_report(
        manifest,
        [reject.to_json() for reject in rejects],
        make_gallery(options.output, shards),
        statistics=analysis.statistics,
        training=analysis.training,
        leakage=analysis.leakage,
        problems=analysis.problems,
    )
