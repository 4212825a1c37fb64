"""Which images were scored before, by an earlier run or one that was killed: each is scored once and its row kept.

A row's key says what it is the row of: an image, by name and version, and a run, by all that decides what a row says.
So every file of rows in the output folder can be used as it is: rows whose key is wanted stay, others are left out.
While a run goes on, its rows are saved in part files; the last step replaces them by the prediction files.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from beamio import files
from beamio.files import FileError
from detection.errors import ContractError
from detection.predictions import MODEL_REFUSED, PredictionRow
from inference import chunks, sinks, sources
from inference.chunks import Chunk
from inference.rows import Line
from inference.sources import Source

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
    return _digest([sinks.SCHEMA_VERSION, about])


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
class Survey:
    """What there is to do.

    Attributes:
      images: that were listed.
      missing: those of them that have no row yet.
      unused: earlier rows of another model, threshold or program, or of images that have changed or are gone.
    """

    images: int
    missing: int
    unused: int

    def is_done_by(self, summary: Mapping[str, Any]) -> bool:
        """Whether the rows of a finished run, all of them there, are those of the listed images and no others."""
        return not self.missing and not self.unused and self.images == summary["images"]


def survey(found: Sequence[Source], output: str, run: str, *, without: Sequence[str] = ()) -> Survey:
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
    for chunk in sources.plan(found):
        images += len(chunk.names)
        kept += sum(key in earlier for key in row_keys(run, chunk))
    return Survey(images=images, missing=images - kept, unused=len(earlier) - kept)


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A chunk as it was listed: how many images it has, and those of them that are to be scored, if any."""

    images: int
    missing: Chunk | None


def plan(found: Sequence[Source], output: str, run: str) -> Iterator[Listed | PredictionRow]:
    """Every chunk of the sources, and then the row of every image that has one."""
    earlier = _earlier_keys(output)
    wanted: set[str] = set()
    for chunk in sources.plan(found):
        keys = row_keys(run, chunk)
        places = [place for place, key in enumerate(keys) if key not in earlier]
        wanted.update(key for key in keys if key in earlier)
        yield Listed(images=len(keys), missing=chunks.take(chunk, places) if places else None)
    yield from _earlier_rows(output, wanted)


def _earlier_rows(output: str, wanted: set[str]) -> Iterator[PredictionRow]:
    """One row for each wanted key; a run that was killed while it wrote the prediction files left some rows twice."""
    for path, line in _earlier_lines(output):
        key = _key(line)
        if key in wanted:
            wanted.remove(key)
            yield PredictionRow.from_json(line, source=path)


def _earlier_keys(output: str, without: Sequence[str] = ()) -> AbstractSet[str]:
    return {key for _, line in _earlier_lines(output, without) if (key := _key(line))}


def _key(line: bytes) -> str:
    """The key at the end of a row's line, or "": a million lines need not be understood to be told apart."""
    match = _KEY.search(line, max(0, len(line) - _KEY_DIGITS - 16))
    return match[1].decode() if match else ""


def _earlier_lines(output: str, without: Sequence[str] = ()) -> Iterator[tuple[str, bytes]]:
    for name in files.list_names(output):
        if sinks.holds_rows(name) and name not in without:
            path = files.join(output, name)
            try:
                with files.open_binary(path) as file:
                    for line in file:
                        yield path, line
            except FileError as error:
                raise ContractError(str(error)) from error


def save(output: str, lines: Sequence[Line]) -> None:
    """Writes a part file; its name comes from its rows, so that a worker's second attempt replaces the first."""
    if lines:
        name = sinks.part_name(_digest([line.key for line in lines]))
        files.write_pieces(files.join(output, name), (line.unpack() for line in lines))


class Pace:
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
