"""The output folder: rows in shards, then their other forms, then summary.json: where it is, the run is whole."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.rows.export_options import FILE_NAMES, PLACES, REPEATS, ExportOptions
from inference.rows.exports import exports_are_there, write_exports
from inference.rows.part_files import RowSpans, is_part, merge_part_files
from inference.rows.rows import RowCounts
from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.predictions.formats.encoding import utf8
from retinanet_odm.storage import files
from retinanet_odm.storage.glob_patterns import escape_glob, final_name
from retinanet_odm.storage.lock import LOCK_FILE

SUMMARY_FILE = "summary.json"
# Of the rows that were there when it was made: it goes when these do.
EVALUATION, EVALUATION_PAGE = "evaluation.json", "evaluation.html"
SUMMARY_SCHEMA_VERSION = 1
_SHARD = re.compile(r"predictions-\d{5}-of-\d{5}\.jsonl")


@dataclass(frozen=True, kw_only=True)
class WrittenShard:
    """One prediction file: its name in the output folder, hex SHA-256 of its bytes, and what its rows add up to."""

    name: str
    sha256: str
    tally: RowCounts


def predictions_shard_name(shard: int, num_shards: int) -> str:
    return f"predictions-{shard:05d}-of-{num_shards:05d}.jsonl"


def holds_rows(name: str) -> bool:
    """Whether a file directly in the output folder holds rows, of a finished run or of one that was killed."""
    return is_part(name) or bool(_SHARD.fullmatch(name))


def write_predictions_shard(output: str, shard: int, num_shards: int, extents: Sequence[RowSpans]) -> WrittenShard:
    """Writes one prediction file, its rows in the order of their names: equal rows make equal bytes.

    Raises:
      RuntimeError: as merge.
    """
    name = predictions_shard_name(shard, num_shards)
    sha256 = files.write_pieces(files.join(output, name), merge_part_files(extents))
    return WrittenShard(name=name, sha256=sha256, tally=RowCounts.total([extent.tally for extent in extents]))


@dataclass(frozen=True, kw_only=True)
class Commit:
    """The last step of a run.

    Attributes:
      output: the output folder.
      header: what summary.json says about the run besides its counts: model, thresholds, options, version.
      exports: the other forms in which the predictions are wanted.
    """

    output: str
    header: dict[str, Any]
    exports: ExportOptions

    def finish(self, parts: Sequence[WrittenShard], *, listed: int) -> None:
        """Removes what earlier runs left, writes the exports and then summary.json.

        The exports are streamed from the shards by the one worker that is here: a million rows are some 200 MB to read,
        while a shuffle into one ordered file would hold them in memory.

        Args:
          parts: the shards of this run.
          listed: images found when the sources were listed, counted apart from the rows.

        Raises:
          RuntimeError: the rows are more or fewer than the images.
        """
        total = RowCounts.total([part.tally for part in parts])
        if total.images != listed:
            raise RuntimeError(
                f"{listed} images were listed, but {total.images} rows written: no {SUMMARY_FILE} is made"
            )
        ordered = sorted(parts, key=lambda part: part.name)
        shards = [{"name": part.name, "images": part.tally.images, "sha256": part.sha256} for part in ordered]
        self._settle({"schema_version": SUMMARY_SCHEMA_VERSION, **self.header, **total.to_json(), "shards": shards})

    def renew(self, earlier: Mapping[str, Any]) -> bool:
        """Makes the output of a finished run that of this one, whose rows are the same: other exports, other options.

        Args:
          earlier: the summary, whose shards are whole.

        Returns:
          Whether anything had to be done.
        """
        renewed = {**earlier, **json.loads(json.dumps(self.header))}
        if renewed == earlier and exports_are_there(self.output, earlier, self.exports):
            return False
        files.delete([files.join(self.output, SUMMARY_FILE)])
        del renewed["exports"]
        self._settle(renewed)
        return True

    def _settle(self, value: dict[str, Any]) -> None:
        remove_ours(self.output, keep=[shard["name"] for shard in value["shards"]])
        write_summary(self.output, with_exports(value, write_exports(self.output, value, self.exports)))


def with_exports(summary: Mapping[str, Any], made: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A summary that also names these files; one of the same name is replaced."""
    by_name = {entry["name"]: entry for entry in (*summary.get("exports", ()), *made)}
    return {**summary, "exports": [entry for _, entry in sorted(by_name.items())]}


def write_summary(output: str, value: Mapping[str, Any]) -> None:
    """Writes summary.json, the commit mark."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    with files.write_atomic(files.join(output, SUMMARY_FILE)) as file:
        file.write(utf8(text))


def check_predictions_folder(output: str) -> None:
    """Refuses a folder that holds anything but the output of this program; touches nothing.

    Raises:
      UsageError: something else lies there, or a file has that name.
    """
    if files.is_file(output):
        raise UsageError(f"--output: {output} is a file; expected a folder, new or of an earlier run")
    for path in files.iter_matches(files.join(escape_glob(output), "**")):
        name = files.name_below(output, path)
        if not _is_ours(name):
            raise UsageError(
                f"--output: {output} holds {name}, which this program did not write: choose another folder"
            )
    if SUMMARY_FILE in files.list_names(output):
        read_summary(output)


def read_summary(output: str) -> dict[str, Any]:
    """The content of summary.json.

    Raises:
      ContractError: it is not ours.
    """
    path = files.join(output, SUMMARY_FILE)
    try:
        value = json.loads(files.read_bytes(path))
    except ValueError as error:
        raise ContractError(f"{path}: not a summary of this program: {error}") from error
    if not isinstance(value, dict) or "model_hash" not in value or "shards" not in value:
        raise ContractError(f"{path}: not a summary of this program: choose another folder")
    return value


def finished_summary(output: str, *, command: str) -> dict[str, Any]:
    """The content of summary.json, for a command that needs a finished run.

    Raises:
      UsageError: there is none, or it is not ours.
    """
    summary = find_summary(output)
    if summary is None:
        raise UsageError(f"{command}: {output} holds no {SUMMARY_FILE}: it is not the output of a finished run")
    return summary


def find_summary(output: str) -> dict[str, Any] | None:
    """As read_summary; None where there is none."""
    return read_summary(output) if files.exists(files.join(output, SUMMARY_FILE)) else None


def damaged_shards(output: str, summary: Mapping[str, Any]) -> list[str]:
    """Names of prediction files that are not as summary.json lists them: others, missing, or not listed."""
    listed = {shard["name"]: shard["sha256"] for shard in summary["shards"]}
    names = {*listed, *files.list_names(output)}
    return sorted(
        name
        for name in names
        if _SHARD.fullmatch(name) and files.find_digest(files.join(output, name)) != listed.get(name)
    )


def remove_ours(output: str, *, keep: Sequence[str]) -> None:
    """Deletes shards, parts and exports of earlier runs and what a killed run left half-written, but not ``keep``."""
    stale = [
        name for name in files.list_names(output) if _is_ours(name) and name not in {*keep, SUMMARY_FILE, LOCK_FILE}
    ]
    files.delete([files.join(output, name) for name in stale])


def _is_ours(name: str) -> bool:
    """Names of results, and of write_atomic's temporary files for them, directly in the folder."""
    final = final_name(name)
    ours = (SUMMARY_FILE, EVALUATION, EVALUATION_PAGE, REPEATS, PLACES, files.PROBE, LOCK_FILE, *FILE_NAMES)
    return final in ours or holds_rows(final)
