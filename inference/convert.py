"""The rows of a finished run in other forms: no model, no image and no Beam job is needed."""

import logging

from inference.options import ConvertOptions
from inference.rows import output_folder
from inference.rows.exports import write_exports
from retinanet_odm.storage import files

_logger = logging.getLogger(__name__)


def convert(options: ConvertOptions) -> None:
    """Writes the files beside the rows, and then names them in summary.json.

    Raises:
      UsageError: the folder holds no finished run, its files are not those of its summary, or a class is unknown.
    """
    summary = output_folder.finished_summary(options.output, command="convert")
    made = write_exports(options.output, summary, options.exports)
    output_folder.write_summary(options.output, output_folder.with_exports(summary, made))
    for entry in made:
        _logger.info("%s: %s", entry["format"], files.join(options.output, entry["name"]))
