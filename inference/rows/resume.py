"""Which images were scored before, by an earlier run or one that was killed: each is scored once and its row kept.

A row's key says what it is the row of: an image, by name and version, and a run, by all that decides what a row says.
So every file of rows in the output folder can be used as it is: rows whose key is wanted stay, others are left out.
While a run goes on, its rows are saved in part files; the last step replaces them by the prediction files.
"""

import dataclasses
import hashlib
import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from inference.image_sources import chunks, listing
from inference.image_sources.chunks import Chunk
from inference.image_sources.listing import ImageSource
from inference.rows import output_folder, part_files
from inference.rows.part_files import RowSpans, is_part
from inference.rows.rows import SerializedRow
from retinanet_odm.errors import ContractError
from retinanet_odm.predictions.rows import MODEL_REFUSED, PredictionRow
from retinanet_odm.storage import files
from retinanet_odm.storage.files import FileError

_KEY_DIGITS = 20  # two of a million images have the same 80 bits with a chance of 4 in 10^13
_KEY = re.compile(rb'"key": "([0-9a-f]{20})"\}\n?$')
# Failures for which the picture itself is to blame; others, such as a disk that is away, may pass.
_LASTING = re.compile(rf"image_.*|{MODEL_REFUSED}")
# A kill costs at most a twentieth of the time since the beginning, and the part files stay few.
_SHARE, _LEAST_SECONDS, _MOST_SECONDS = 1 / 20, 1.0, 300.0


def run_key(about: Mapping[str, Any]) -> str:
    """Another one for every run that could give an image another row.

    Args:
      about: all that decides what the rows say, fit for JSON: model, labels, thresholds, version of the program.
    """
    return _digest([output_folder.SUMMARY_SCHEMA_VERSION, about])


def row_keys(run: str, chunk: Chunk) -> list[str]:
    """The keys of a chunk's rows, in the order of its images."""
    return [_digest([run, name, version]) for name, version in zip(chunk.names, chunk.versions, strict=True)]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:_KEY_DIGITS]


def with_key(row: PredictionRow, key: str) -> PredictionRow:
    """The row with its key; a row of an image that is to be tried again has none."""
    lasts = row.reason is None or _LASTING.fullmatch(row.reason)
    return dataclasses.replace(row, key=key) if lasts else row


@dataclass(frozen=True, kw_only=True)
class PendingWork:
    """What there is to do.

    Attributes:
      images: that were listed.
      missing: those of them that have no row yet.
      unused: earlier rows of another model, threshold or program, or of images that have changed or are gone.
      passed_over: archives in folders, in which nothing is scored.
    """

    images: int
    missing: int
    unused: int
    passed_over: tuple[str, ...]

    def is_done_by(self, summary: Mapping[str, Any]) -> bool:
        """Whether the rows of a finished run, all of them there, are those of the listed images and no others."""
        return not self.missing and not self.unused and self.images == summary["images"]


def find_pending_work(
    found: Sequence[ImageSource], output: str, run: str, *, without: Sequence[str] = ()
) -> PendingWork:
    """Counts before a job is started; lists every source and reads every archive's directory.

    Args:
      found: the sources.
      output: the output folder.
      run: from run_key.
      without: names of files of rows there that do not count.

    Raises:
      UsageError: as sources.plan.
    """
    earlier = _earlier_keys(output, without)
    images = kept = 0
    passed_over: set[str] = set()
    for chunk in listing.list_chunks(found, passed_over=passed_over):
        images += len(chunk.names)
        kept += sum(key in earlier for key in row_keys(run, chunk))
    return PendingWork(
        images=images,
        missing=images - kept,
        unused=len(earlier) - kept,
        passed_over=tuple(sorted(passed_over)),
    )


@dataclass(frozen=True, kw_only=True)
class ListedChunk:
    """A chunk as it was listed: how many images it has, and those of them that are to be scored, if any."""

    images: int
    missing: Chunk | None


def list_pending_chunks(
    found: Sequence[ImageSource], output: str, run: str, num_shards: int
) -> Iterator[ListedChunk | tuple[int, RowSpans]]:
    """Every chunk of the sources; and then, by shard, where the row of every image lies that has one."""
    earlier = _earlier_keys(output)
    wanted: set[str] = set()
    for chunk in listing.list_chunks(found):
        keys = row_keys(run, chunk)
        places = [place for place, key in enumerate(keys) if key not in earlier]
        wanted.update(key for key in keys if key in earlier)
        yield ListedChunk(images=len(keys), missing=chunks.take(chunk, places) if places else None)
    yield from _earlier_rows(output, wanted, num_shards)


def _earlier_rows(output: str, wanted: set[str], num_shards: int) -> Iterator[tuple[int, RowSpans]]:
    """One row for each wanted key, though a run that was killed may have left some rows twice.

    Prediction files are about to be replaced: their rows are copied into part files, if they stand in none.
    """
    for path in sorted(_earlier_files(output), key=lambda path: not is_part(posixpath.basename(path))):
        lines = _taken(path, wanted)
        if is_part(posixpath.basename(path)):
            yield from part_files.find_part_rows(path, lines, num_shards)
        else:
            for some in _in_parts(path, lines):
                yield from part_files.save_part_file(output, some, num_shards)


def _taken(path: str, wanted: set[str]) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with a wanted key, which is no longer wanted then, and the byte at which each begins."""
    offset = 0
    for line in _lines(path):
        if (key := _key(line)) in wanted:
            wanted.remove(key)
            yield offset, line
        offset += len(line)


def _in_parts(path: str, lines: Iterable[tuple[int, bytes]]) -> Iterator[list[SerializedRow]]:
    """The lines of a prediction file, as many together as one part file holds."""
    some, size = [], 0
    for _, text in lines:
        some.append(SerializedRow.read(PredictionRow.from_json(text, source=path), text))
        size += len(text)
        if size >= part_files.PART_BYTES:
            yield some
            some, size = [], 0
    yield some


def _earlier_keys(output: str, without: Sequence[str] = ()) -> AbstractSet[str]:
    paths = _earlier_files(output, without)
    return {key for path in paths for line in _lines(path) if (key := _key(line))}


def _key(line: bytes) -> str:
    """The key at the end of a row's line, or "": a million lines need not be understood to be told apart."""
    match = _KEY.search(line, max(0, len(line) - _KEY_DIGITS - 16))
    return match[1].decode() if match else ""


def _earlier_files(output: str, without: Sequence[str] = ()) -> list[str]:
    names = (name for name in files.list_names(output) if output_folder.holds_rows(name) and name not in without)
    return [files.join(output, name) for name in names]


def _lines(path: str) -> Iterator[bytes]:
    try:
        with files.open_binary(path) as file:
            yield from file
    except FileError as error:
        raise ContractError(str(error)) from error


class SaveInterval:
    """Says when the rows that one worker has gathered are to be saved; times are seconds of one clock."""

    def __init__(self, now: float) -> None:
        self._start = self._last = now

    def is_due(self, now: float) -> bool:
        """Whether it is time; if so, the next time is counted from here."""
        wait = min(max((now - self._start) * _SHARE, _LEAST_SECONDS), _MOST_SECONDS)
        if now - self._last < wait:
            return False
        self._last = now
        return True
