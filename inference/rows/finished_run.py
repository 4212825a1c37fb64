"""A finished run, read back: its summary.json, its rows in order, and what exporters need to know about it.

Begin with `finished_summary`, which convert, repeats and evaluate call first; `iter_rows` takes its result.
"""

import dataclasses
import hashlib
import heapq
import json
from collections.abc import Container, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from inference.rows.part_files import READ_BYTES, read_piece, split_lines
from retinanet_odm.dataset.frame_names import DeploymentRule
from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.predictions.finished_rows import SUMMARY_FILE
from retinanet_odm.predictions.rows import PredictionRow, placeholder_label, utf8
from retinanet_odm.storage import files

_MIN_PIECE = 2**12  # bytes in memory of each of up to 99,999 prediction files


def find_summary(output: str) -> dict[str, Any] | None:
    """Return the content of summary.json, or None if there is none.

    Raises:
      ContractError: it is not a summary of this program.
    """
    return read_summary(output) if files.exists(files.join(output, SUMMARY_FILE)) else None


def finished_summary(output: str, *, command: str) -> dict[str, Any]:
    """Return the content of summary.json, for a command that needs a finished run.

    Raises:
      UsageError: there is none, or it is not a summary of this program.
    """
    summary = find_summary(output)
    if summary is None:
        raise UsageError(f"{command}: {output} has no {SUMMARY_FILE}: it is not the output of a finished run")
    return summary


def read_summary(output: str) -> dict[str, Any]:
    """Return the content of summary.json.

    Raises:
      ContractError: it is not a summary of this program.
    """
    path = files.join(output, SUMMARY_FILE)
    try:
        value = json.loads(files.read_bytes(path))
    except ValueError as error:
        raise ContractError(f"{path}: not a summary of this program: {error}") from error
    # Other programs write files of this name, too.
    if not isinstance(value, dict) or "model_hash" not in value or "shards" not in value:
        raise ContractError(f"{path}: not a summary of this program: choose another folder")
    return value


def write_summary(output: str, value: Mapping[str, Any]) -> None:
    """Write summary.json, the commit mark; called by inference.rows.journal."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    with files.write_atomic(files.join(output, SUMMARY_FILE)) as file:
        file.write(utf8(text))


def as_stored(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return entries of a summary as summary.json gives them back: tuples become lists."""
    return dict(json.loads(json.dumps(value)))


def add_exports(summary: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a summary that lists these files too; an entry of the same name is replaced."""
    by_name = {entry["name"]: entry for entry in (*summary.get("exports", ()), *entries)}
    return {**summary, "exports": [entry for _, entry in sorted(by_name.items())]}


def deployment_rule(summary: Mapping[str, Any], given: str) -> DeploymentRule:
    """Return how the deployments of a run are found: by the given rule, or else by that of score."""
    options = summary.get("options", {})  # summaries of earlier versions have no rule
    return DeploymentRule(given or options.get("exports", {}).get("deployment", ""))


def with_deployment(row: PredictionRow, rule: DeploymentRule) -> PredictionRow:
    """Return a row whose deployment is that of a rule."""
    return dataclasses.replace(row, place=rule.deployment_of(row.image))


def detected_classes(summary: Mapping[str, Any]) -> dict[int, str]:
    """Return the classes of a run by label id: its label map, and ids without a name that the model returned."""
    labels, detected = LabelMap.from_json(summary["labels"]), summary["detections"]
    return _unnamed_classes(labels, detected) | labels.name_by_id


def _unnamed_classes(labels: LabelMap, detected: Container[str]) -> dict[int, str]:
    # The largest id always has a name, so only ids below it can lack one.
    names = {label_id: placeholder_label(label_id) for label_id in range(1, labels.num_classes)}
    return {label_id: name for label_id, name in names.items() if name in detected}


def iter_rows(output: str, summary: Mapping[str, Any]) -> Iterator[PredictionRow]:
    """Yield all rows of a run in the order of image names, in bounded memory.

    Raises:
      ContractError: a prediction file is missing, or is not the one that the summary lists.
    """
    shards = summary["shards"]
    piece = max(READ_BYTES // max(len(shards), 1), _MIN_PIECE)
    # Each file is sorted by name, so the merge of all is, too.
    return heapq.merge(*(_shard_rows(output, shard, piece) for shard in shards), key=attrgetter("image"))


def _shard_rows(output: str, shard: Mapping[str, Any], piece: int) -> Iterator[PredictionRow]:
    path = files.join(output, shard["name"])
    for line in read_checked_lines(path, shard["sha256"], piece=piece):
        yield PredictionRow.from_json(line, source=path)


def read_checked_lines(path: str, sha256: str, *, piece: int = READ_BYTES, command: str = "score") -> Iterator[bytes]:
    """Yield the lines of a file. It is closed between pieces of this size, because there may be 99,999 files.

    Raises:
      ContractError: the file cannot be read, or is not the one that the command wrote.
    """
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        offset = 0
        while data := read_piece(path, offset, piece):
            digest.update(data)
            offset += len(data)
            yield data

    yield from split_lines(pieces())
    # Known only at the end. Callers write atomically, so nothing of a wrong file survives the error.
    if digest.hexdigest() != sha256:
        raise ContractError(f"{path} is not the file that {SUMMARY_FILE} lists: run `{command}` again")
