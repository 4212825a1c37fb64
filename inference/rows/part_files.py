"""Part files: the rows of a run that goes on, saved on the way; the prediction files are merged from them.

A part file holds the rows of every shard, one shard after the other, each in the order of names. So a prediction file
is the merge of its piece of every part file, and of a row nothing goes through the job but where it lies: a million
rows need no more memory than a thousand.
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

from inference.rows.rows import RowCounts, SerializedRow
from retinanet_odm.dataset import source_ids
from retinanet_odm.errors import ContractError
from retinanet_odm.pickling import pickle_by_position
from retinanet_odm.predictions.rows import PredictionRow
from retinanet_odm.storage import files
from retinanet_odm.storage.files import FileError
from retinanet_odm.storage.prefetch import THREADS, start_ahead

# Bytes of rows after which a part is written, however little time has passed.
PART_BYTES = 8 * 2**20
# Bytes in memory, over all files that are read side by side; but a request to a bucket should bring some.
READ_BYTES, _LEAST_PIECE = 16 * 2**20, 2**16
_PART = re.compile(r"part-[0-9a-f]+\.jsonl")
_IMAGE = re.compile(rb'\{"image": ("(?:[^"\\]|\\.)*")')


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class RowSpans:
    """Rows of one shard in one file, in the order of their names.

    Attributes:
      path: the file.
      spans: where they lie, rising: the first byte of whole lines, and how many bytes.
      tally: what they add up to.
    """

    path: str
    spans: tuple[tuple[int, int], ...]
    tally: RowCounts


def predictions_shard_of(image: str, num_shards: int) -> int:
    """The shard 0..num_shards-1 of an image, by its name alone."""
    return int(source_ids.name_hash(image)[:15], 16) % num_shards


def is_part(name: str) -> bool:
    return bool(_PART.fullmatch(name))


def save_part_file(output: str, lines: Iterable[SerializedRow], num_shards: int) -> Iterator[tuple[int, RowSpans]]:
    """Writes a part file, where there is any line, and says what of it belongs to which shard.

    Its name comes from its bytes, so that a worker's second attempt replaces the first.
    """
    by_shard: dict[int, list[SerializedRow]] = defaultdict(list)
    for line in sorted(lines, key=attrgetter("image")):
        by_shard[predictions_shard_of(line.image, num_shards)].append(line)
    if not by_shard:
        return
    texts = [line.text for shard in sorted(by_shard) for line in by_shard[shard]]
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text)
    path = files.join(output, f"part-{digest.hexdigest()[:20]}.jsonl")
    files.write_pieces(path, texts)
    offset = 0
    for shard, of_shard in sorted(by_shard.items()):
        length = sum(len(line.text) for line in of_shard)
        yield shard, RowSpans(path=path, spans=((offset, length),), tally=RowCounts.of(of_shard))
        offset += length


def find_part_rows(path: str, lines: Iterable[tuple[int, bytes]], num_shards: int) -> Iterator[tuple[int, RowSpans]]:
    """What of a part file belongs to which shard, also where it was written for another number of shards.

    Args:
      path: the file.
      lines: those of its rows that count, and the byte at which each begins, rising.
      num_shards: of this run.
    """
    gathered: dict[int, _Gathered] = {}
    for offset, text in lines:
        row = PredictionRow.from_json(text, source=path)
        shard = predictions_shard_of(row.image, num_shards)
        so_far = gathered.get(shard)
        if so_far and row.image < so_far.last:
            yield shard, so_far.as_extent(path)
            so_far = None
        if so_far is None:
            so_far = gathered[shard] = _Gathered()
        so_far.add(offset, SerializedRow.read(row, text))
    for shard, so_far in gathered.items():
        yield shard, so_far.as_extent(path)


class _Gathered:
    """An extent in the making."""

    def __init__(self) -> None:
        self.last = ""
        self._spans: list[tuple[int, int]] = []
        self._tally = RowCounts.of(())

    def add(self, offset: int, line: SerializedRow) -> None:
        self.last = line.image
        self._tally = RowCounts.total([self._tally, RowCounts.of([line])])
        start, length = self._spans[-1] if self._spans else (offset, 0)
        if start + length == offset:
            self._spans[-1:] = [(start, length + len(line.text))]
        else:
            self._spans.append((offset, len(line.text)))

    def as_extent(self, path: str) -> RowSpans:
        return RowSpans(path=path, spans=tuple(self._spans), tally=self._tally)


def merge_part_files(extents: Sequence[RowSpans]) -> Iterator[bytes]:
    """All lines of the extents in the order of their images' names.

    Raises:
      ContractError: a file cannot be read.
      RuntimeError: two rows have one name, or the rows are not as many as the extents say.
    """
    piece = max(READ_BYTES // max(len(extents), 1), _LEAST_PIECE)
    previous, count = None, 0
    with ThreadPoolExecutor(THREADS) as pool:
        streams = [start_ahead(_named(extent, piece), pool) for extent in extents]
        for image, line in heapq.merge(*streams, key=itemgetter(0)):
            if image == previous:
                raise RuntimeError(f"two rows are named {image!r}: each image must have exactly one")
            yield line
            previous = image
            count += 1
    expected = sum(extent.tally.images for extent in extents)
    if count != expected:
        raise RuntimeError(f"{expected} rows were saved, but {count} read again")


def _named(extent: RowSpans, piece: int) -> Iterator[tuple[str, bytes]]:
    """(image, line) of every row."""
    for line in split_lines(_read(extent, piece)):
        found = _IMAGE.match(line)
        if found is None:
            raise ContractError(f"{extent.path}: expected a row of predictions, found {line[:50]!r}")
        yield json.loads(found[1]), line + b"\n"


def _read(extent: RowSpans, piece: int) -> Iterator[bytes]:
    """The bytes of the spans, those that lie near each other by one request; the file is closed between requests."""
    for window in _windows(extent.spans, piece):
        first, end = window[0][0], sum(window[-1])
        data = memoryview(read_piece(extent.path, first, end - first))
        yield b"".join(data[start - first : start - first + length] for start, length in window)


def _windows(spans: Iterable[tuple[int, int]], size: int) -> Iterator[list[tuple[int, int]]]:
    """The spans, long ones cut, in groups that begin and end within so many bytes."""
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
    """The whole lines of a file that comes in pieces, without their line breaks; what follows the last is left out."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines


def read_piece(path: str, offset: int, size: int) -> bytes:
    """So many bytes of a file in the output folder, from an offset on; fewer at its end.

    Raises:
      ContractError: it cannot be read.
    """
    try:
        with files.open_binary(path) as file:
            file.seek(offset)
            return file.read(size)
    except FileError as error:
        raise ContractError(str(error)) from error
