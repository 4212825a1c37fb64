"""Part files: rows that are saved while a run goes on, so that a killed run can continue; shards are merged from them.

Begin with `save_part_file`. A part file holds rows of all shards: one shard after the other, each in the order of image
names. So a prediction file is the merge of one section of each part file (`write_predictions_shard`), and through the
job go only locations of rows (`RowSpans`): a million rows need no more memory than a thousand. Rows of earlier runs
enter the same way (inference.rows.earlier_rows).
"""

import hashlib
import heapq
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import TypeAlias

from inference.rows import output_folder
from inference.rows.rows import RowCounts, SerializedRow
from retinanet_odm.dataset import source_ids
from retinanet_odm.errors import ContractError
from retinanet_odm.pickling import pickle_by_position
from retinanet_odm.predictions.finished_rows import predictions_shard_name
from retinanet_odm.storage import files
from retinanet_odm.storage.files import FileError
from retinanet_odm.storage.prefetch import THREADS, start_ahead

# A part file is written at the latest when rows of this size have accumulated.
PART_BYTES = 8 * 2**20
# Bytes in memory over all files that are merged; but a single request to a bucket should bring this many.
READ_BYTES, _MIN_PIECE = 16 * 2**20, 2**16
# Seconds between part files: a kill costs at most a twentieth of the time so far, and the part files stay few.
_INTERVAL_SHARE, _MIN_INTERVAL, _MAX_INTERVAL = 1 / 20, 1.0, 300.0
_IMAGE = re.compile(rb'\{"image": ("(?:[^"\\]|\\.)*")')


class SaveInterval:
    """Decides when a worker saves its rows; times are seconds of one clock."""

    def __init__(self, now: float) -> None:
        self._start = self._last = now

    def is_due(self, now: float) -> bool:
        """Return whether it is time to save; if so, the next interval begins."""
        interval = min(max((now - self._start) * _INTERVAL_SHARE, _MIN_INTERVAL), _MAX_INTERVAL)
        if now - self._last < interval:
            return False
        self._last = now
        return True


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class RowSpans:
    """Rows of one shard in one file, in the order of image names.

    Attributes:
      path: the file.
      spans: first byte and number of bytes of adjacent lines, in rising order.
      counts: counts over the rows.
    """

    path: str
    spans: tuple[tuple[int, int], ...]
    counts: RowCounts


# The number of a shard, and where rows of it lie.
SpansOfShard: TypeAlias = tuple[int, RowSpans]


@dataclass(frozen=True, kw_only=True)
class WrittenShard:
    """A prediction file: its name in the output folder, hex SHA-256, and counts over its rows."""

    name: str
    sha256: str
    counts: RowCounts


def predictions_shard_of(image: str, num_shards: int) -> int:
    """Return the shard 0..num_shards-1 of an image, which depends on its name alone."""
    return int(source_ids.name_hash(image)[:15], 16) % num_shards


def save_part_file(output: str, rows: Iterable[SerializedRow], num_shards: int) -> Iterator[SpansOfShard]:
    """Write a part file, unless there are no rows, and yield which spans of it belong to which shard."""
    by_shard: dict[int, list[SerializedRow]] = defaultdict(list)
    # Sorted once: each section of the file is then sorted, and can be merged without being sorted again.
    for row in sorted(rows, key=attrgetter("image")):
        by_shard[predictions_shard_of(row.image, num_shards)].append(row)
    if not by_shard:
        return
    texts = [row.text for shard in sorted(by_shard) for row in by_shard[shard]]
    # Named by its content: Beam may process a bundle twice, and both attempts must write the same file.
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text)
    path = files.join(output, output_folder.part_file_name(digest.hexdigest()))
    files.write_pieces(path, texts)
    offset = 0
    for shard, of_shard in sorted(by_shard.items()):
        length = sum(len(row.text) for row in of_shard)
        yield shard, RowSpans(path=path, spans=((offset, length),), counts=RowCounts.of(of_shard))
        offset += length


def find_part_rows(path: str, rows: Iterable[tuple[int, SerializedRow]], num_shards: int) -> Iterator[SpansOfShard]:
    """Yield which spans of a part file belong to which shard, even if it was written for another number of shards.

    Args:
      path: the file.
      rows: those that are kept, and the byte at which each begins, in rising order.
      num_shards: of this run.
    """
    builders: dict[int, _SpanBuilder] = {}
    for offset, row in rows:
        shard = predictions_shard_of(row.image, num_shards)
        builder = builders.get(shard)
        # Names rise within a section of the file. A smaller one begins the section of another shard of the earlier run,
        # and spans must be sorted to be merged.
        if builder and row.image < builder.last_image:
            yield shard, builder.build(path)
            builder = None
        if builder is None:
            builder = builders[shard] = _SpanBuilder()
        builder.add(offset, row)
    for shard, builder in builders.items():
        yield shard, builder.build(path)


class _SpanBuilder:
    """Builds RowSpans; adjacent lines become one span, or a list of a million rows would be as long."""

    def __init__(self) -> None:
        self.last_image = ""
        self._spans: list[tuple[int, int]] = []
        self._counts = RowCounts.of(())

    def add(self, offset: int, row: SerializedRow) -> None:
        self.last_image = row.image
        self._counts = RowCounts.total([self._counts, RowCounts.of([row])])
        start, length = self._spans[-1] if self._spans else (offset, 0)
        if start + length == offset:
            self._spans[-1:] = [(start, length + len(row.text))]
        else:
            self._spans.append((offset, len(row.text)))

    def build(self, path: str) -> RowSpans:
        return RowSpans(path=path, spans=tuple(self._spans), counts=self._counts)


def write_predictions_shard(output: str, shard: int, num_shards: int, spans: Sequence[RowSpans]) -> WrittenShard:
    """Write a prediction file with its rows in the order of image names, so that equal rows make equal bytes.

    Raises:
      ContractError, RuntimeError: as merge_part_files.
    """
    name = predictions_shard_name(shard, num_shards)
    sha256 = files.write_pieces(files.join(output, name), merge_part_files(spans))
    return WrittenShard(name=name, sha256=sha256, counts=RowCounts.total([item.counts for item in spans]))


def merge_part_files(spans: Sequence[RowSpans]) -> Iterator[bytes]:
    """Yield the lines of all spans in the order of image names.

    Raises:
      ContractError: a file cannot be read.
      RuntimeError: two rows have the same name, or the number of rows is not the one that was saved.
    """
    # The memory is shared by all streams, so that it does not grow with the number of part files.
    piece = max(READ_BYTES // max(len(spans), 1), _MIN_PIECE)
    previous, count = None, 0
    with ThreadPoolExecutor(THREADS) as pool:
        streams = [start_ahead(_named_lines(item, piece), pool) for item in spans]
        for image, line in heapq.merge(*streams, key=itemgetter(0)):
            if image == previous:
                raise RuntimeError(f"two rows are named {image!r}: each image must have exactly one")
            yield line
            previous = image
            count += 1
    expected = sum(item.counts.images for item in spans)
    if count != expected:
        raise RuntimeError(f"{expected} rows were saved, but {count} read again")


def _named_lines(spans: RowSpans, piece: int) -> Iterator[tuple[str, bytes]]:
    """Yield image name and line of every row."""
    for line in split_lines(_read_spans(spans, piece)):
        yield name_of_line(line, spans.path), line + b"\n"


def name_of_line(line: bytes, source: str) -> str:
    """Return the name of the image of a row's line.

    Raises:
      ContractError: the line is no row; source names its file.
    """
    # Only the name is parsed: the lines are copied as they are, which is fast and keeps them bit-identical.
    found = _IMAGE.match(line)
    if found is None:
        raise ContractError(f"{source}: expected a row of predictions, found {line[:50]!r}")
    return str(json.loads(found[1]))


def _read_spans(spans: RowSpans, piece: int) -> Iterator[bytes]:
    """Yield the bytes of the spans, near ones from one request. The file is closed between requests."""
    for window in _windows(spans.spans, piece):
        first, end = window[0][0], sum(window[-1])
        data = memoryview(read_piece(spans.path, first, end - first))
        yield b"".join(data[start - first : start - first + length] for start, length in window)


def _windows(spans: Iterable[tuple[int, int]], size: int) -> Iterator[list[tuple[int, int]]]:
    """Yield the spans, long ones cut, in groups that begin and end within this number of bytes."""
    window: list[tuple[int, int]] = []
    for offset, length in spans:
        for start in range(offset, offset + length, size):
            cut = start, min(size, offset + length - start)
            if window and sum(cut) - window[0][0] > size:
                yield window
                window = []
            window.append(cut)
    if window:
        yield window


def split_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the complete lines of a file that comes in pieces, without their line breaks."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines


def read_piece(path: str, offset: int, size: int) -> bytes:
    """Read up to this number of bytes of a file in the output folder.

    Raises:
      ContractError: it cannot be read.
    """
    try:
        with files.open_binary(path) as file:
            file.seek(offset)
            return file.read(size)
    except FileError as error:
        raise ContractError(str(error)) from error


def read_row_lines(path: str) -> Iterator[bytes]:
    """Yield the lines of a file with rows.

    Raises:
      ContractError: it cannot be read.
    """
    try:
        with files.open_binary(path) as file:
            yield from file
    except FileError as error:
        raise ContractError(str(error)) from error
