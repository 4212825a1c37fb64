"""Predictions in other forms, made from the rows of a run that stand in its output folder."""

import dataclasses
import difflib
import hashlib
import heapq
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from beamio import files
from detection.errors import ContractError, UsageError
from detection.formats.report import to_report
from detection.labels import LabelMap
from detection.predictions import PredictionRow, Run, unnamed
from inference.export_options import ExportOptions
from inference.formats import FORMATS, REPEATS
from inference.marks import marked, without_repeats
from inference.part_files import READ_BYTES, read_piece, split_lines
from inference.photographs import photographs_of

_LEAST_PIECE = 2**12  # of each of up to 99,999 prediction files in memory


@dataclass(frozen=True, kw_only=True)
class ShardFile:
    """A prediction file as summary.json lists it: its name in the output folder and hex SHA-256."""

    name: str
    sha256: str


def write_exports(output: str, summary: Mapping[str, Any], options: ExportOptions) -> list[dict[str, Any]]:
    """Writes the files of every format into the output folder, each streamed from the rows and whole when it appears.

    Args:
      output: the output folder, with its prediction files.
      summary: the content of summary.json, or what it is going to be.
      options: what to write.

    Returns:
      What summary.json says about each file, by name.

    Raises:
      ContractError: the prediction files are not those that the summary lists.
      UsageError: a class is not one of the model's, or no image or photograph is where the options look for some.
    """
    run, about = _run_and_entry(summary, options)
    made = []
    for format_name in options.formats:
        for name, exporter in FORMATS[format_name].items():
            rows = (row.kept(run) for row in _below(_read_marked(output, summary, options), options.below))
            if exporter is to_report:
                exporter = partial(to_report, photographs=photographs_of(summary, options))
            digest = files.write_pieces(files.join(output, name), exporter(rows, run))
            made.append({"name": name, "format": format_name, "sha256": digest, **about})
    return sorted(made, key=lambda entry: entry["name"])


def exports_are_there(output: str, summary: Mapping[str, Any], options: ExportOptions) -> bool:
    """Whether write_exports would only write again what summary.json lists and the output folder holds.

    Raises:
      UsageError: a class is not one of the model's.
    """
    _, about = _run_and_entry(summary, options)
    listed = {entry["name"]: entry for entry in summary["exports"]}
    wanted = [(name, format_name) for format_name in options.formats for name in FORMATS[format_name]]
    return all(
        listed.get(name)
        == {"name": name, "format": format_name, "sha256": files.find_digest(files.join(output, name)), **about}
        for name, format_name in wanted
    )


def _run_and_entry(summary: Mapping[str, Any], options: ExportOptions) -> tuple[Run, dict[str, Any]]:
    """The run as run_of tells it, and what summary.json says about every file of its exports."""
    run = run_of(summary, options)
    about = {"classes": list(run.classes.values()), "threshold": run.threshold, "below": options.below}
    if options.without_repeats:
        about["without_repeats"] = True
    return run, about


def run_of(summary: Mapping[str, Any], options: ExportOptions) -> Run:
    """The run that a summary describes, as far as its exported files go.

    Raises:
      UsageError: as choose_classes.
    """
    classes = _all_classes(LabelMap.from_json(summary["labels"]), summary["detections"])
    thresholds = summary["thresholds"]
    return Run(
        classes=choose_classes(classes, options.classes),
        model_hash=summary["model_hash"],
        threshold=max(thresholds["score"], options.min_score),
        nms_iou=thresholds["nms_iou"],
        code_version=summary["code_version"],
        class_thresholds=thresholds.get("classes", {}),
    )


def choose_classes(classes: Mapping[int, str], wanted: Sequence[str]) -> dict[int, str]:
    """Those of the classes that are wanted, by id; all where none is named.

    Raises:
      UsageError: a wanted one is not among them.
    """
    for name in wanted:
        if name not in classes.values():
            close = difflib.get_close_matches(name, classes.values(), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"its classes are {', '.join(classes.values())}"
            raise UsageError(f"--classes: the model has no class {name!r}; {hint}")
    return {label_id: name for label_id, name in sorted(classes.items()) if not wanted or name in wanted}


def _all_classes(labels: LabelMap, detected: Container[str]) -> dict[int, str]:
    """The label map, and such ids as it leaves out but the model gave nevertheless."""
    names = {label_id: unnamed(label_id) for label_id in range(1, labels.num_classes)}
    return {label_id: name for label_id, name in names.items() if name in detected} | labels.name_by_id


def read_rows(output: str, shards: Sequence[ShardFile]) -> Iterator[PredictionRow]:
    """All rows in the order of their images' names, as the rows of each shard are; memory is bounded.

    Raises:
      ContractError: a prediction file is missing or not the one that is listed.
    """
    piece = max(READ_BYTES // max(len(shards), 1), _LEAST_PIECE)
    return heapq.merge(*(_shard_rows(output, shard, piece) for shard in shards), key=attrgetter("image"))


def read_run(output: str, summary: Mapping[str, Any]) -> Iterator[PredictionRow]:
    """All rows of the run that a summary describes; see read_rows."""
    return read_rows(output, [ShardFile(name=shard["name"], sha256=shard["sha256"]) for shard in summary["shards"]])


def _read_marked(output: str, summary: Mapping[str, Any], options: ExportOptions) -> Iterator[PredictionRow]:
    """All rows, with the marks of `repeats` where it was run; without what is marked if the options say so."""
    listed = [entry["sha256"] for entry in summary.get("exports", ()) if entry["name"] == REPEATS]
    rows, path = read_run(output, summary), files.join(output, REPEATS)
    for sha256 in listed:
        rows = marked(rows, _lines(path, sha256, READ_BYTES, command="repeats"), source=path)
    if not options.without_repeats:
        return rows
    if not listed:
        raise UsageError(f"--without_repeats: nothing is marked in {output}: run `python -m inference repeats` first")
    return map(without_repeats, rows)


def _below(rows: Iterator[PredictionRow], folder: str) -> Iterator[PredictionRow]:
    """The rows of images below a folder, renamed to begin there; they stay in the order of their names."""
    if not folder:
        yield from rows
        return
    prefix, found = f"{folder}/", False
    for row in rows:
        if row.image.startswith(prefix):
            found = True
            yield dataclasses.replace(row, image=row.image.removeprefix(prefix))
    if not found:
        raise UsageError(f"--below: no image's name begins with {prefix}")


def _shard_rows(output: str, shard: ShardFile, piece: int) -> Iterator[PredictionRow]:
    path = files.join(output, shard.name)
    for line in _lines(path, shard.sha256, piece):
        yield PredictionRow.from_json(line, source=path)


def _lines(path: str, sha256: str, size: int, *, command: str = "score") -> Iterator[bytes]:
    """The file's lines, read in pieces of so many bytes; it is closed between them: there may be 99,999 files.

    Raises:
      ContractError: the file cannot be read, or is not the one that the command wrote.
    """
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        offset = 0
        while piece := read_piece(path, offset, size):
            digest.update(piece)
            offset += len(piece)
            yield piece

    yield from split_lines(pieces())
    if digest.hexdigest() != sha256:
        raise ContractError(f"{path} is not the file that summary.json lists: run `{command}` again")
