"""The launcher of `export`: checks the request, runs the pipeline, and logs what came out."""

import logging

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from beam_jobs.export import layout
from beam_jobs.export.commit import summarise_export
from beam_jobs.export.options import DatasetExportOptions
from beam_jobs.export.pipeline import build_export
from beam_jobs.export.reimport import prepare_command
from beam_jobs.export.shards import manifest_of_dataset
from beam_jobs.prepare import make_pipeline
from retinanet_odm.cli.progress import PROGRESS
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import UsageError
from retinanet_odm.storage import files
from retinanet_odm.storage.folder_lock import lock_folder

_logger = logging.getLogger(__name__)


def export_dataset(options: DatasetExportOptions, beam_options: PipelineOptions) -> int:
    """Export a data set and log a summary; return the exit status.

    Raises:
      UsageError: there is no complete data set, the output folder is in use by something else, or Beam refuses its
        options.
    """
    manifest = manifest_of_dataset(options.dataset)
    _check_complete(manifest, options.dataset)
    with lock_folder(options.output):
        partial_files = layout.check_export_folder(options, manifest.fingerprint)
        pipeline = make_pipeline(beam_options)
        files.make_folder(options.output, flag="--output")
        # The order matters: a folder with any other file of the export has this one too, until it is complete.
        mark = files.join(options.output, layout.UNFINISHED)
        files.write_text(mark, layout.request_text(options, manifest.fingerprint))
        files.delete(partial_files)
        with PROGRESS.shown(failures="failed"), pipeline:
            build_export(pipeline, options, manifest.fingerprint)
            PROGRESS.plan(sum(split.examples for split in manifest.splits.values()))
        complete = files.join(options.output, layout.EXPORT_MANIFEST)
        if pipeline.options.view_as(StandardOptions).no_wait_until_finish:
            _logger.info("submitted; %s is written when the export is complete", complete)
            return 0
        summary = files.read_json(complete)
        for line in summarise_export(summary):
            _logger.info("%s", line)
        command = prepare_command(
            options, manifest, is_partial=layout.EXHAUSTIVE in summary["files"], folder=options.output
        )
        _logger.info("the same data set again, ids, splits and boxes included: %s", command)
        return 0


def _check_complete(manifest: DatasetManifest, dataset: str) -> None:
    """Raise UsageError for a data set that has no image, or lacks a shard."""
    names = {shard.name for split in manifest.splits.values() for shard in split.shards}
    if not names:
        raise UsageError(f"DATASET: {dataset} holds no image")
    for name in sorted(names.difference(files.list_names(dataset))):
        raise UsageError(f"DATASET: dataset.json lists {name}, which is missing in {dataset}: copy the data set again")
