"""The rows of a finished run in other forms: no model, no image and no Beam job is needed."""

import logging

from beamio import files
from inference import sinks
from inference.exports import write_exports
from inference.options import ConvertOptions

logger = logging.getLogger(__name__)


def convert(options: ConvertOptions) -> None:
    """Writes the files beside the rows, and then names them in summary.json.

    Raises:
      UsageError: the folder holds no finished run, its files are not those of its summary, or a class is unknown.
    """
    summary = sinks.finished_summary(options.output, command="convert")
    made = write_exports(options.output, summary, options.exports)
    sinks.write_summary(options.output, sinks.with_exports(summary, made))
    for entry in made:
        logger.info("%s: %s", entry["format"], files.join(options.output, entry["name"]))
