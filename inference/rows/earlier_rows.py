"""Rows of earlier runs: which of them a new run keeps, and where they lie.

Begin with `EarlierRows`, which inference.request compares with the images of the sources, then `keep_earlier_rows`.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from inference.rows import output_folder
from inference.rows.part_files import (
    PART_BYTES,
    SpansOfShard,
    find_part_rows,
    name_of_line,
    read_row_lines,
    save_part_file,
)
from inference.rows.rows import SerializedRow, key_of_line
from retinanet_odm.dataset import source_ids
from retinanet_odm.predictions.rows import PredictionRow
from retinanet_odm.storage import files

_NAME_DIGITS = 20  # 80 bits, as of the keys


@dataclass(frozen=True, kw_only=True)
class RowChoice:
    """Which earlier rows are kept.

    Attributes:
      keys: of rows that are kept.
      listed: digests (`digest_name`) of the names of all images of the run, if rows of other images are kept too; None
        if they are not.
    """

    keys: frozenset[str]
    listed: frozenset[str] | None = None

    def loses(self, line: bytes, source: str) -> bool:
        """Return whether a later run could have used the row of this line, and it is not kept."""
        key = key_of_line(line)
        # A row without a key is of a failure that may be temporary: its image is scored again in any case.
        if not key or key in self.keys:
            return False
        return self.listed is None or digest_name(name_of_line(line, source)) in self.listed


def digest_name(image: str) -> str:
    """Return what stands for an image's name where a million names would need too much memory."""
    return source_ids.name_hash(image)[:_NAME_DIGITS]


def find_earlier_keys(output: str, *, without: Collection[str] = ()) -> set[str]:
    """Return the keys of all rows in the output folder, except in files of these names."""
    return {key for _, line in _earlier_lines(output, without) if (key := key_of_line(line))}


def find_earlier_names(output: str, *, without: Collection[str] = ()) -> set[str]:
    """Return the digests of the names of all rows in the output folder, except in files of these names."""
    return {digest_name(name_of_line(line, path)) for path, line in _earlier_lines(output, without)}


def find_lost_rows(output: str, choice: RowChoice, *, without: Collection[str] = ()) -> tuple[int, str]:
    """Return the number of rows that a choice loses, and the name of the first of their images, or ""."""
    keys: set[str] = set()
    first = ""
    for path, line in _earlier_lines(output, without):
        if choice.loses(line, path):
            first = first or name_of_line(line, path)
            keys.add(key_of_line(line))
    return len(keys), first


def _earlier_lines(output: str, without: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield path and line of every row."""
    for name in output_folder.list_row_files(output, without=without):
        path = files.join(output, name)
        for line in read_row_lines(path):
            yield path, line


def keep_earlier_rows(output: str, choice: RowChoice, num_shards: int) -> Iterator[SpansOfShard]:
    """Yield where each row lies that is kept; killed runs may have left a row twice.

    Prediction files are about to be replaced, so their rows are copied into part files, unless they are in one already.
    That is why part files come first.
    """
    taken: set[str] = set()
    names = sorted(output_folder.list_row_files(output), key=lambda name: not output_folder.is_part_file(name))
    for name in names:
        path = files.join(output, name)
        rows = _take_rows(path, choice, taken)
        if output_folder.is_part_file(name):
            yield from find_part_rows(path, rows, num_shards)
        else:
            for some in _part_sized(row for _, row in rows):
                yield from save_part_file(output, some, num_shards)


def _take_rows(path: str, choice: RowChoice, taken: set[str]) -> Iterator[tuple[int, SerializedRow]]:
    """Yield the offset and row of each line that is kept, and add what identifies it to the rows that were taken."""
    offset = 0
    for line in read_row_lines(path):
        identity = _identity(line, path, choice)
        if identity and identity not in taken:
            taken.add(identity)
            yield offset, SerializedRow.read(PredictionRow.from_json(line, source=path), line)
        offset += len(line)


def _identity(line: bytes, path: str, choice: RowChoice) -> str:
    """Return what two copies of a row have in common; "" if the row is not kept."""
    if (key := key_of_line(line)) in choice.keys:
        return key
    if choice.listed is None:
        return ""
    name = digest_name(name_of_line(line, path))
    # The row of a listed image is either kept by its key, or made anew.
    return "" if name in choice.listed else name


def _part_sized(rows: Iterable[SerializedRow]) -> Iterator[list[SerializedRow]]:
    group, size = [], 0
    for row in rows:
        group.append(row)
        size += len(row.text)
        if size >= PART_BYTES:
            yield group
            group, size = [], 0
    yield group
