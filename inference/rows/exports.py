"""The photographs of a finished run, found again by their names: the page of a run shows a few of them."""

import dataclasses
import difflib
import hashlib
import heapq
import logging
from collections.abc import Collection, Container, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from inference.image_sources import chunks, listing
from inference.image_sources.chunks import Chunk
from inference.rows.export_options import FORMATS, REPEATS, ExportOptions
from inference.rows.part_files import READ_BYTES, read_piece, split_lines
from inference.rows.repeat_marks import with_repeat_flags, without_repeats
from retinanet_odm.errors import ContractError, DataError, UsageError
from retinanet_odm.imaging.images import EncodedImage, ImageRule
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.predictions.rows import PredictionRow, ScoringRun, placeholder_label
from retinanet_odm.reports.predictions_page import ImageReader, no_images, predictions_report
from retinanet_odm.storage import files
from retinanet_odm.storage.prefetch import THREADS

_logger = logging.getLogger(__name__)


def photographs_of(summary: Mapping[str, Any], options: ExportOptions) -> ImageReader:
    """Where the photographs of a run are: where the options say, or where the run had them from.

    Raises:
      UsageError: the options say, but there is nothing.
    """
    if options.images:
        return partial(find_photographs, options.images, below=options.below)
    given = summary.get("options", {}).get("images", ())
    return partial(_find_if_there, given, below=options.below) if given else no_images


def find_photographs(images: Sequence[str], names: Collection[str], *, below: str = "") -> Iterator[tuple[str, bytes]]:
    """Names and upright encoded bytes of images, in the order in which they lie in their sources.

    Args:
      images: values of --images.
      names: which images are wanted; one that is not found, or can no longer be read, is left out.
      below: the folder that was left off the names.

    Raises:
      UsageError: a source is missing or broken, or none of the names is in them.
    """
    prefix = f"{below}/" if below else ""
    missing = {f"{prefix}{name}" for name in names}
    if not missing:
        return
    first = min(missing)
    for chunk in listing.list_chunks(listing.resolve(images)):
        for name, image in _read(chunk, missing):
            missing.discard(name)
            if isinstance(image, EncodedImage):
                yield name.removeprefix(prefix), image.data
        if not missing:
            return
    if len(missing) == len(names):
        raise UsageError(f"--images: {first} is not in {', '.join(images)}: give the same values as to score")


def _find_if_there(images: Sequence[str], names: Collection[str], *, below: str) -> Iterator[tuple[str, bytes]]:
    """A run is not lost for a page without pictures."""
    try:
        yield from find_photographs(images, names, below=below)
    except UsageError as error:
        _logger.warning("the report has no photographs: %s", error)


def _read(chunk: Chunk, wanted: Set[str]) -> Iterator[tuple[str, EncodedImage | DataError]]:
    """The wanted images of a chunk, upright, or why one cannot be read."""
    places = [place for place, name in enumerate(chunk.names) if name in wanted]
    if places:
        with ThreadPoolExecutor(THREADS) as pool:
            yield from chunks.read_upright(chunks.take(chunk, places), ImageRule(), pool)


_LEAST_PIECE = 2**12  # of each of up to 99,999 prediction files in memory


@dataclass(frozen=True, kw_only=True)
class ShardToExport:
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
            rows = (row.filtered(run) for row in _below(_read_marked(output, summary, options), options.below))
            if exporter is predictions_report:
                exporter = partial(predictions_report, read_images=photographs_of(summary, options))
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


def _run_and_entry(summary: Mapping[str, Any], options: ExportOptions) -> tuple[ScoringRun, dict[str, Any]]:
    """The run as run_of tells it, and what summary.json says about every file of its exports."""
    run = run_of(summary, options)
    about = {"classes": list(run.classes.values()), "threshold": run.threshold, "below": options.below}
    if options.without_repeats:
        about["without_repeats"] = True
    return run, about


def run_of(summary: Mapping[str, Any], options: ExportOptions) -> ScoringRun:
    """The run that a summary describes, as far as its exported files go.

    Raises:
      UsageError: as choose_classes.
    """
    classes = _all_classes(LabelMap.from_json(summary["labels"]), summary["detections"])
    thresholds = summary["thresholds"]
    return ScoringRun(
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
    names = {label_id: placeholder_label(label_id) for label_id in range(1, labels.num_classes)}
    return {label_id: name for label_id, name in names.items() if name in detected} | labels.name_by_id


def read_rows(output: str, shards: Sequence[ShardToExport]) -> Iterator[PredictionRow]:
    """All rows in the order of their images' names, as the rows of each shard are; memory is bounded.

    Raises:
      ContractError: a prediction file is missing or not the one that is listed.
    """
    piece = max(READ_BYTES // max(len(shards), 1), _LEAST_PIECE)
    return heapq.merge(*(_shard_rows(output, shard, piece) for shard in shards), key=attrgetter("image"))


def read_run(output: str, summary: Mapping[str, Any]) -> Iterator[PredictionRow]:
    """All rows of the run that a summary describes; see read_rows."""
    return read_rows(output, [ShardToExport(name=shard["name"], sha256=shard["sha256"]) for shard in summary["shards"]])


def _read_marked(output: str, summary: Mapping[str, Any], options: ExportOptions) -> Iterator[PredictionRow]:
    """All rows, with the marks of `repeats` where it was run; without what is marked if the options say so."""
    listed = [entry["sha256"] for entry in summary.get("exports", ()) if entry["name"] == REPEATS]
    rows, path = read_run(output, summary), files.join(output, REPEATS)
    for sha256 in listed:
        rows = with_repeat_flags(rows, _lines(path, sha256, READ_BYTES, command="repeats"), source=path)
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


def _shard_rows(output: str, shard: ShardToExport, piece: int) -> Iterator[PredictionRow]:
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
