"""The last step of a run: writes the exports, then summary.json. If summary.json exists, the run is complete."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.rows import finished_run, output_folder
from inference.rows.export_options import ExportOptions
from inference.rows.exports import exports_exist, write_exports
from inference.rows.part_files import WrittenShard
from inference.rows.rows import RowCounts
from retinanet_odm.storage import files


@dataclass(frozen=True, kw_only=True)
class Commit:
    """The last step of a run.

    Attributes:
      output: the output folder.
      header: entries of summary.json besides counts and files: model, thresholds, options, version.
      exports: which exports to write.
    """

    output: str
    header: dict[str, Any]
    exports: ExportOptions

    def finish(self, shards: Sequence[WrittenShard], *, listed: int) -> None:
        """Deletes files of earlier runs, and writes the exports and then summary.json.

        One worker streams the exports from the prediction files: a million rows are some 200 MB to read, while a
        shuffle into one ordered file would hold them all in memory.

        Args:
          shards: the prediction files of this run.
          listed: number of images that were listed, which was counted independently of the rows.

        Raises:
          RuntimeError: the number of rows differs from the number of images.
        """
        # The last check that no image was lost on the way through the job.
        total = RowCounts.total([shard.counts for shard in shards])
        if total.images != listed:
            raise RuntimeError(
                f"{listed} images were listed, but {total.images} rows written: {output_folder.SUMMARY_FILE} is not"
                " written"
            )
        entries = [
            {"name": shard.name, "images": shard.counts.images, "sha256": shard.sha256}
            for shard in sorted(shards, key=lambda shard: shard.name)
        ]
        version = finished_run.SUMMARY_SCHEMA_VERSION
        self._write({"schema_version": version, **self.header, **total.to_json(), "shards": entries})

    def renew(self, earlier: Mapping[str, Any]) -> bool:
        """Updates the output of a finished run whose rows are those of this one: other exports, other options.

        Args:
          earlier: its summary, whose prediction files are undamaged.

        Returns:
          Whether anything had to be done.
        """
        renewed = {**earlier, **json.loads(json.dumps(self.header))}  # tuples become lists, as in the file
        if renewed == earlier and exports_exist(self.output, earlier, self.exports):
            return False
        files.delete([files.join(self.output, output_folder.SUMMARY_FILE)])
        del renewed["exports"]
        self._write(renewed)
        return True

    def _write(self, summary: dict[str, Any]) -> None:
        # The order matters, because summary.json marks everything else as complete.
        output_folder.delete_stale_files(self.output, keep=[shard["name"] for shard in summary["shards"]])
        entries = write_exports(self.output, summary, self.exports)
        finished_run.write_summary(self.output, finished_run.add_exports(summary, entries))
