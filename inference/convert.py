"""`convert`: writes the rows of a finished run in other formats, without a model and without a Beam job."""

import logging

from inference.convert_options import ConvertOptions
from inference.rows import finished_run
from inference.rows.exports import describe_export, export_entries, write_exports
from inference.rows.journal import commit_summary, find_earlier
from inference.rows.replacing import check_overwrite
from retinanet_odm.storage import files
from retinanet_odm.storage.folder_lock import lock_folder

_logger = logging.getLogger(__name__)


def convert(options: ConvertOptions) -> None:
    """Write the files beside the rows, and then list them in summary.json.

    Raises:
      UsageError: the folder has no finished run, its files are not those of its summary, a class is unknown, or a file
        may not be overwritten.
    """
    with lock_folder(options.output):
        summary = finished_run.finished_summary(options.output, command="convert")
        planned = export_entries(summary, options.exports)
        check_overwrite(options.output, find_earlier(options.output), planned, replace=options.replace)
        # The order matters: summary.json lists a file only when it is complete.
        entries = write_exports(options.output, summary, options.exports)
        commit_summary(options.output, finished_run.add_exports(summary, entries))
    for entry in entries:
        _logger.info("%s: %s", describe_export(entry), files.join(options.output, entry["name"]))
