"""A few examples with their boxes, for the report, read back from the shards as a trainer would read them."""

import dataclasses
import json
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from beam_jobs import output_folder
from beam_jobs.options import REFUSE, PrepareOptions
from beam_jobs.problems import ProblemSources, find_problems
from beam_jobs.rows import COCO_SPLIT, IMAGE_REJECT, NO_IMAGE, OBJECT_REJECT, DatasetPlan, Reject, ShardResult
from retinanet_odm import __version__
from retinanet_odm import boxes as box_ops
from retinanet_odm.dataset import source_ids
from retinanet_odm.dataset.coco import ground_truth
from retinanet_odm.dataset.examples import DetectionExample, decode_example
from retinanet_odm.dataset.manifest import DatasetManifest, SplitInfo
from retinanet_odm.dataset.problems import format_problems
from retinanet_odm.dataset.source_ids import IdMap, IdRow, format_id_map, merge_id_maps
from retinanet_odm.imaging.drawing import DrawnBox, draw_thumbnail
from retinanet_odm.labels.label_map import LabelMap, format_label_map
from retinanet_odm.reports.dataset_page import check_report, dataset_report
from retinanet_odm.storage import files

_PICTURES = 12
_HEADER = 12  # bytes before a record's data: length and its checksum


def make_gallery(output: str, shards: Iterable[ShardResult]) -> list[tuple[str, bytes]]:
    """Captions and JPEG bytes of the first example of some shards that have one."""
    filled = [shard for shard in shards if shard.info.examples]
    step = max(1, len(filled) // _PICTURES)
    chosen = filled[::step][:_PICTURES]
    return [draw_example(shard.split, next(read_examples(files.join(output, shard.info.name)))) for shard in chosen]


def read_examples(path: str) -> Iterator[DetectionExample]:
    """The examples of a shard that this job has written, in order."""
    with files.open_binary(path) as file:
        while header := file.read(_HEADER):
            (length,) = struct.unpack("<Q", header[:8])
            yield decode_example(file.read(length))
            file.read(4)  # checksum of the data


def draw_example(split: str, example: DetectionExample) -> tuple[str, bytes]:
    """Caption and JPEG bytes of one example."""
    pixels = box_ops.to_pixels(example.boxes, example.height, example.width)
    items = [
        DrawnBox(box=(ymin, xmin, ymax, xmax), label=item.label, label_id=item.label_id)
        for item, (ymin, xmin, ymax, xmax) in zip(example.objects, pixels.tolist(), strict=True)
    ]
    caption = f"{example.filename} ({split}, source_id {example.source_id}, {len(items)} boxes)"
    return caption, draw_thumbnail(example.encoded, items)


def commit(plan: DatasetPlan, shards: Iterable[ShardResult], options: PrepareOptions, previous: IdMap) -> None:
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


def commit_check(
    plan: DatasetPlan, shards: Sequence[ShardResult], findings: ProblemSources, options: PrepareOptions
) -> None:
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
    _write(options.output, {output_folder.CHECK: page, output_folder.PROBLEMS: format_problems(findings.problems)})


def commit_dataset(
    plan: DatasetPlan,
    shards: Sequence[ShardResult],
    rejects: Sequence[Reject],
    findings: ProblemSources,
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
    artifacts = {
        output_folder.REJECTED: format_rejects(rejects),
        output_folder.PROBLEMS: format_problems(findings.problems),
    }
    if plan.labels is None or not any(shard.info.examples for shard in shards) or is_refused(plan, rejects, options):
        _write(options.output, artifacts)
        return
    manifest = make_manifest(plan, shards, rejects, plan.labels, options)
    artifacts[output_folder.LABEL_MAP] = format_label_map(plan.labels)
    artifacts[output_folder.ID_MAP] = format_id_map(merge_id_maps(previous, id_rows(shards)))
    if COCO_SPLIT in options.splits.names:
        artifacts[output_folder.VAL] = format_ground_truth(shards, plan.labels)
    artifacts[output_folder.REPORT] = dataset_report(
        manifest,
        [dataclasses.asdict(reject) for reject in rejects],
        make_gallery(options.output, shards),
        statistics=findings.statistics,
        leakage=findings.leakage,
        problems=findings.problems,
    )
    _write(options.output, artifacts)
    names = [shard.info.name for shard in shards]
    output_folder.delete_stale(options.output, {*artifacts, *names, *map(output_folder.receipt_name, names)})
    _write(options.output, {DatasetManifest.FILE: manifest.to_json()})


def is_refused(plan: DatasetPlan, rejects: Sequence[Reject], options: PrepareOptions) -> bool:
    """Whether more is left out than the request allows."""
    left_out = sum(reject.kind == IMAGE_REJECT for reject in rejects)
    return left_out > options.max_rejected * plan.images_in or bool(forbidden(rejects, options))


def forbidden(rejects: Iterable[Reject], options: PrepareOptions) -> list[Reject]:
    """Annotations without image, where the request allows none."""
    return [row for row in rejects if row.reason == NO_IMAGE] if options.without_image == REFUSE else []


def _write(output: str, artifacts: Mapping[str, str]) -> None:
    for name, text in artifacts.items():
        files.write_text(files.join(output, name), text)


def make_manifest(
    plan: DatasetPlan,
    shards: Sequence[ShardResult],
    rejects: Sequence[Reject],
    labels: LabelMap,
    options: PrepareOptions,
) -> DatasetManifest:
    """The manifest of shards that are sorted by name.

    Raises:
      ContractError: an image was lost or counted twice on the way.
    """
    by_reason = count_reasons(rejects, IMAGE_REJECT)
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
        objects_dropped=count_reasons(rejects, OBJECT_REJECT),
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
            status = source_ids.ID_WRITTEN if written else source_ids.ID_REJECTED
            yield IdRow(source_id=source_id, image=image, split=shard.split if written else "", status=status)


def format_ground_truth(shards: Iterable[ShardResult], labels: LabelMap) -> str:
    """val.json: COCO ground truth, image ids equal to source ids."""
    rows = list(shards)
    images = [entry for shard in rows for entry in shard.coco_images]
    annotations = [entry for shard in rows for entry in shard.coco_annotations]
    return json.dumps(ground_truth(images, annotations, labels), ensure_ascii=False) + "\n"
