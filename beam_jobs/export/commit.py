"""The last step of an export: what lies beside the images. Begin with `commit_export`.

The order matters: export.json is written last, so that an export that has one is complete whenever the job is killed.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from beam_jobs.export import layout
from beam_jobs.export.formats import data_yaml
from beam_jobs.export.options import COCO, COPY, TITLES, YOLO, DatasetExportOptions
from beam_jobs.export.reimport import prepare_command
from beam_jobs.export.shards import ExportedImage, ExportedShard, load_plan
from retinanet_odm import __version__
from retinanet_odm.csv_tables import format_table
from retinanet_odm.dataset.exhaustive import format_exhaustive
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.dataset.source_ids import ID_WRITTEN
from retinanet_odm.labels.label_map import LabelMap, format_label_map
from retinanet_odm.storage import files
from retinanet_odm.wording import plural

_VERSION = 1  # of export.json


def commit_export(
    options: DatasetExportOptions,
    shards: Iterable[ExportedShard],
    written: Iterable[tuple[str, str]],
    fingerprint: str,
) -> None:
    """Write the files beside the images, export.json last.

    Args:
      options: the request.
      shards: what came of all shards, in any order; their entries of COCO are not used.
      written: name and SHA-256 of the files of COCO.
      fingerprint: of the data set.
    """
    manifest = load_plan(options, fingerprint).manifest
    # Sorted, so that no file depends on the order in which workers finish.
    ordered = sorted(shards, key=lambda shard: shard.name)
    counts = {name: Counter[str]() for name in manifest.splits}
    for shard in ordered:
        counts[shard.split].update(shard.counts)
    images = sorted((image, shard.split) for shard in ordered for image in shard.images)
    renamed = sum(image.name != image.before for image, _ in images)
    artifacts = {
        layout.LABELS: format_label_map(manifest.labels),
        layout.ID_LIST: _id_map(images),
        **_exhaustive_file(images, manifest.labels),
    }
    if options.format == YOLO:
        artifacts[layout.DATA_YAML] = data_yaml(manifest, options.license)
    summary = {
        **options.to_json(),
        "schema_version": _VERSION,
        "code_version": __version__,
        "data_set": fingerprint,
        "renamed": renamed,
        "splits": {name: dict(sorted(found.items())) for name, found in counts.items()},
    }
    artifacts[layout.README] = _readme(summary, manifest, options)
    digests = {name: files.write_text(files.join(options.output, name), text) for name, text in artifacts.items()}
    text = json.dumps({**summary, "files": {**digests, **dict(written)}}, indent=2, sort_keys=True) + "\n"
    files.write_text(files.join(options.output, layout.EXPORT_MANIFEST), text)
    files.delete([files.join(options.output, layout.UNFINISHED)])


def _id_map(images: Sequence[tuple[ExportedImage, str]]) -> str:
    """Return the id map of the exported images, which is a list of their splits too."""
    rows = ((image.source_id, image.name, split, ID_WRITTEN, image.before) for image, split in images)
    return format_table(("source_id", "image", "split", "status", "name"), rows)


def _exhaustive_file(images: Sequence[tuple[ExportedImage, str]], labels: LabelMap) -> dict[str, str]:
    """Return the file for --exhaustive, if a class is not exhaustive in some image."""
    partial = {image.name: frozenset(image.not_exhaustive) for image, _ in images if image.not_exhaustive}
    return {layout.EXHAUSTIVE: format_exhaustive(partial, labels)} if partial else {}


def summarise_export(summary: Mapping[str, Any]) -> list[str]:
    """Return lines on the content of an export: what there is, and what its format cannot express.

    Args:
      summary: the content of export.json.
    """
    total: Counter[str] = Counter()
    for counts in summary["splits"].values():
        total.update(counts)
    images, boxes = total["images"], total["boxes"]
    lines = [
        f"{images:,} {plural('image', images)} with {boxes:,} {plural('box', boxes)} as {TITLES[summary['format']]}"
    ]
    lines += [f"  {name}: {counts.get('images', 0):,}" for name, counts in summary["splits"].items()]
    if renamed := summary["renamed"]:
        lines.append(f"{renamed} {plural('image', renamed)} could not keep the name: id_map.csv has both names")
    lines += _coco_lines(total) if summary["format"] == COCO else _yolo_lines(total, summary["splits"])
    return lines


def _coco_lines(total: Mapping[str, int]) -> list[str]:
    lines = []
    if regions := total["ignored_regions"]:
        lines.append(f"{regions} ignored {plural('area', regions)}: a crowd of each class, with the attribute ignore")
    if total["partial_images"]:
        lines.append(
            f"in {total['partial_images']} of {total['images']} images a class is not exhaustive: they are listed as in"
            " LVIS (neg_category_ids, not_exhaustive_category_ids), which the evaluation of COCO does not read"
        )
    return lines


def _yolo_lines(total: Mapping[str, int], splits: Mapping[str, Mapping[str, int]]) -> list[str]:
    lines = []
    if missing := [name for name in ("train", "val") if not splits.get(name, {}).get("images")]:
        lines.append(f"warning: Ultralytics trains only with images in train and val; none in {' and '.join(missing)}")
    if total["crowds"] or total["ignored_regions"]:
        lines.append(
            f"warning: YOLO has no crowds and no ignored areas: {total['crowds']} and {total['ignored_regions']} are"
            " left out, and learned as background"
        )
    if total["partial_images"]:
        lines.append(
            f"warning: YOLO has no classes that are not exhaustive: in {total['partial_images']} of {total['images']}"
            " images they have some, and all without a box is learned as background"
        )
    if total["flagged"]:
        lines.append(f"{total['flagged']} boxes are difficult, truncated or occluded, which YOLO does not note")
    return lines


def _readme(summary: Mapping[str, Any], manifest: DatasetManifest, options: DatasetExportOptions) -> str:
    # Paths within the export: its files do not depend on where it lies.
    where = "" if options.images == COPY else "\n(IMAGES is the folder of the images, which are not in this export.)\n"
    return (
        "# A data set in another format\n\n"
        + "\n".join(f"- {line.strip()}" for line in summarise_export(summary))
        + f"\n\nMade by retinanet-odm {__version__} of the data set with the fingerprint {manifest.fingerprint}. It is"
        " complete if it has an export.json.\n\n"
        "In this folder, this command makes a data set with the same images, ids, splits and boxes:\n\n"
        f"```\n{prepare_command(options, manifest, is_partial=_is_partial(summary))}\n```\n{where}"
    )


def _is_partial(summary: Mapping[str, Any]) -> bool:
    return any(counts.get("partial_images") for counts in summary["splits"].values())
