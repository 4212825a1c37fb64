"""The output folder of `score`: which files belong to it, which of them are damaged, and which may be deleted.

| file | what it is |
|---|---|
| part-*.jsonl | rows of a run that goes on, or was killed (inference.rows.part_files) |
| predictions-*-of-*.jsonl | the rows of a finished run, merged from the part files |
| summary.json | written last: if it exists, the run is complete (inference.request) |
| unfinished.json | what summary.json said, while there is none (inference.rows.journal) |
| files of --formats, evaluation.*, repeats.* | derived from the rows; inference.rows.replacing decides what may go |
| audit*, abundance.*, label_errors*, review_* | the same |
| review.jsonl | decisions of a person (inference.review_page.decision_log): never deleted |
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from inference.rows.export_options import DECISIONS_FILE, FILE_NAMES, REPEAT_FLAGS, REPEAT_TABLE, REVIEW_FILES
from retinanet_odm.errors import UsageError
from retinanet_odm.predictions.finished_rows import SUMMARY_FILE
from retinanet_odm.storage import files
from retinanet_odm.storage.file_kinds import is_left_by_system
from retinanet_odm.storage.file_names import escape_glob, name_below
from retinanet_odm.storage.local import LOCK_FILE, final_name

JOURNAL_FILE = "unfinished.json"
EVALUATION, EVALUATION_PAGE = "evaluation.json", "evaluation.html"
AUDIT, AUDIT_FRAME, AUDIT_IMAGES = "audit.json", "audit.csv", "audit_images.zip"
AUDIT_TASK, AUDIT_TASK_PREDICTED = "audit_cvat.xml", "audit_cvat_predicted.xml"
# The JSON file last: it marks complete estimates.
ABUNDANCE_FILES = ABUNDANCE_TABLE, ABUNDANCE_PAGE, ABUNDANCE = "abundance.csv", "abundance.html", "abundance.json"
LABEL_ERRORS_TABLE, LABEL_ERRORS_CVAT = "label_errors.csv", "label_errors_cvat.xml"
LABEL_ERRORS_PAGE, LABEL_ERRORS = "label_errors.html", "label_errors.json"
# The JSON file last: it marks a complete list.
LABEL_ERROR_FILES = (LABEL_ERRORS_TABLE, LABEL_ERRORS_CVAT, LABEL_ERRORS_PAGE, LABEL_ERRORS)
DERIVED_NAMES = frozenset(
    (
        *(EVALUATION, EVALUATION_PAGE, REPEAT_FLAGS, REPEAT_TABLE, *FILE_NAMES),
        *(AUDIT, AUDIT_FRAME, AUDIT_IMAGES, AUDIT_TASK, AUDIT_TASK_PREDICTED),
        *ABUNDANCE_FILES,
        *REVIEW_FILES.values(),
        *LABEL_ERROR_FILES,
    )
)
_FIXED_NAMES = frozenset((SUMMARY_FILE, JOURNAL_FILE, DECISIONS_FILE, files.PROBE, LOCK_FILE, *DERIVED_NAMES))
_PREDICTIONS_SHARD = re.compile(r"predictions-\d{5}-of-\d{5}\.jsonl")
_PART_FILE = re.compile(r"part-[0-9a-f]+\.jsonl")
_PART_DIGITS = 20


def part_file_name(sha256: str) -> str:
    """Return the name of a part file with this content; a worker's second attempt replaces the first.

    Example:
      >>> part_file_name("0123456789abcdef" * 4)
      'part-0123456789abcdef0123.jsonl'
    """
    return f"part-{sha256[:_PART_DIGITS]}.jsonl"


def is_part_file(name: str) -> bool:
    """Return whether a name is that of a part file.

    Example:
      >>> is_part_file("part-0a1b2c.jsonl"), is_part_file("summary.json")
      (True, False)
    """
    return bool(_PART_FILE.fullmatch(name))


def list_row_files(output: str, *, without: Collection[str] = ()) -> list[str]:
    """Return the names of all files with rows, of a finished run or of one that was killed."""
    return [name for name in files.list_names(output) if _holds_rows(name) and name not in without]


def _holds_rows(name: str) -> bool:
    return is_part_file(name) or bool(_PREDICTIONS_SHARD.fullmatch(name))


def check_predictions_folder(output: str) -> None:
    """Refuse a folder that holds anything but the output of `score`; changes nothing.

    Raises:
      UsageError: another file lies there, or the folder is a file.
    """
    if files.is_file(output):
        raise UsageError(f"--output: {output} is a file; expected a folder, new or of an earlier run")
    # Below the folder as well: `score` makes no subfolder, so whatever lies in one is not ours.
    for path in files.iter_matches(files.join(escape_glob(output), "**")):
        name = name_below(output, path)
        # Stale files are deleted later, so a file that is not ours must stop the run here.
        if not _is_ours(name) and not is_left_by_system(name):
            raise UsageError(
                f"--output: {output} holds {name}, which this program did not write: choose another folder"
            )


@dataclass(frozen=True, kw_only=True)
class DamagedShards:
    """Names of prediction files that are not those of summary.json: missing, changed, or not listed there."""

    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.missing, *self.changed, *self.unlisted)


def damaged_shards(output: str, summary: Mapping[str, Any]) -> DamagedShards:
    """Compare the prediction files with a summary; if it is empty, there is nothing to compare with."""
    if not summary:
        return DamagedShards()
    listed = {shard["name"]: shard["sha256"] for shard in summary["shards"]}
    found: dict[str, list[str]] = {"missing": [], "changed": [], "unlisted": []}
    for name in sorted({*listed, *files.list_names(output)}):
        # The pattern also keeps a summary that was edited from naming files outside of the folder.
        if _PREDICTIONS_SHARD.fullmatch(name):
            digest = files.find_digest(files.join(output, name))
            if digest is None:
                found["missing"].append(name)
            elif digest != listed.get(name):
                found["changed" if name in listed else "unlisted"].append(name)
    return DamagedShards(**{kind: tuple(names) for kind, names in found.items()})


def delete_stale_files(output: str, *, keep: Collection[str]) -> None:
    """Delete files of earlier runs, part files, and incomplete files of a run that was killed, except ``keep``."""
    # The summary is set aside by the callers, first of all; here it is either gone or that of this run.
    kept = {*keep, SUMMARY_FILE, JOURNAL_FILE, DECISIONS_FILE, LOCK_FILE}
    stale = [name for name in files.list_names(output) if _is_ours(name) and name not in kept]
    files.delete([files.join(output, name) for name in stale])


def _is_ours(name: str) -> bool:
    """Return whether a name in the folder is that of an output file, or of the temporary file of one."""
    final = final_name(name)
    return final in _FIXED_NAMES or _holds_rows(final)
