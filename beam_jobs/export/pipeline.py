"""The graph of `export`: a shard is one element, whose worker writes its images.

    List shards ── Export shards ─┬─ Group by split ── Write COCO files ─┐
                                  └───────────────────────────────────── Commit

Rows of images and entries of COCO cross a shuffle, packed; no image byte does. Commit writes export.json last.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsList, TaggedOutput

from beam_jobs.batches import MAIN, RowBatch
from beam_jobs.export.commit import commit_export
from beam_jobs.export.formats import coco_document
from beam_jobs.export.layout import instances_path
from beam_jobs.export.options import COCO, DatasetExportOptions
from beam_jobs.export.shards import export_shard, load_plan
from retinanet_odm.dataset.manifest import ShardInfo
from retinanet_odm.pickling import pack_rows, unpack_rows
from retinanet_odm.storage import files

_ENTRIES = "entries"
_Entries = tuple[str, RowBatch, RowBatch]  # of a shard: its name, its images and its annotations


def build_export(pipeline: beam.Pipeline, options: DatasetExportOptions, fingerprint: str) -> None:
    """Add the complete job to a pipeline, for the data set with this fingerprint."""
    request = {"options": options, "fingerprint": fingerprint}
    shards = (
        pipeline
        # Listed on a worker, as in prepare: the graph that the launcher submits stays small.
        | "Create export" >> beam.Create([options.dataset])
        | "List shards" >> beam.FlatMap(_list_shards, **request)
        | "Distribute shards" >> beam.Reshuffle()
        | "Export shards" >> beam.FlatMap(_export, **request).with_outputs(_ENTRIES, main=MAIN)
    )
    written = (
        shards[_ENTRIES]
        | "Group by split" >> beam.GroupByKey()
        | "Write COCO files" >> beam.Map(_write_split, **request)
    )
    _ = (
        pipeline
        | "Create commit" >> beam.Create([options])
        | "Commit" >> beam.Map(_commit, shards=AsList(shards[MAIN]), written=AsList(written), fingerprint=fingerprint)
    )


def _list_shards(_: str, options: DatasetExportOptions, fingerprint: str) -> Iterator[tuple[str, ShardInfo]]:
    for name, split in load_plan(options, fingerprint).manifest.splits.items():
        yield from ((name, shard) for shard in split.shards)


def _export(element: tuple[str, ShardInfo], options: DatasetExportOptions, fingerprint: str) -> Iterator[Any]:
    result = export_shard(*element, options, fingerprint)
    if options.format == COCO:
        entries = result.name, pack_rows(result.coco_images), pack_rows(result.coco_annotations)
        yield TaggedOutput(_ENTRIES, (result.split, entries))
        # They are the longest rows by far, and commit does not need them.
        result.coco_images, result.coco_annotations = [], []
    yield pack_rows(result)


def _write_split(
    group: tuple[str, Iterable[_Entries]], options: DatasetExportOptions, fingerprint: str
) -> tuple[str, str]:
    """Write the file of a split; return its name and its digest."""
    split, entries = group[0], sorted(group[1])
    # Unpacked shard by shard: the entries of a large split would not fit into memory.
    pieces = coco_document(
        load_plan(options, fingerprint).manifest,
        options.license,
        images=(unpack_rows(images) for _, images, _ in entries),
        annotations=(unpack_rows(annotations) for _, _, annotations in entries),
    )
    name = instances_path(split)
    return name, files.write_pieces(files.join(options.output, name), pieces)


def _commit(
    options: DatasetExportOptions, shards: Iterable[RowBatch], written: Iterable[tuple[str, str]], fingerprint: str
) -> None:
    commit_export(options, map(unpack_rows, shards), written, fingerprint)
