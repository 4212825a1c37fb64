"""Shards are merged into the same bytes, whatever the order of rows and the number of shards before."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.rows import output_folder, part_files
from inference.rows.part_files import (
    RowSpans,
    SaveInterval,
    find_part_rows,
    merge_part_files,
    predictions_shard_of,
    save_part_file,
)
from inference.rows.rows import RowCounts, SerializedRow
from retinanet_odm.errors import ContractError
from retinanet_odm.predictions.rows import FAILED, Detection, PredictionRow
from tests.inference.outputs import write_shards

BYTES = st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)  # of names that are not UTF-8, as Python has them
LETTERS = st.characters(exclude_characters="\0", exclude_categories=("Cs",)) | BYTES
NAMES = st.lists(st.text(LETTERS, min_size=1, max_size=8), unique=True, max_size=30)
COUNTS = st.integers(1, 5)


def _line(name: str) -> SerializedRow:
    crab = Detection(label="crab", label_id=1, score=0.5, box=(1, 2, 3, 4))
    if len(name) % 3 == 0:
        return SerializedRow.of(PredictionRow(image=name, status=FAILED, reason="image_empty", detail=f'"{name}"'))
    return SerializedRow.of(PredictionRow(image=name, width=4, height=4, detections=(crab,) * (len(name) % 3)))


def _merged(saved: Sequence[tuple[int, RowSpans]], num_shards: int) -> list[bytes]:
    return [b"".join(merge_part_files([spans for of, spans in saved if of == shard])) for shard in range(num_shards)]


def _expected(lines: Sequence[SerializedRow], num_shards: int) -> list[bytes]:
    shards: list[list[bytes]] = [[] for _ in range(num_shards)]
    for line in sorted(lines, key=lambda line: line.image):
        shards[predictions_shard_of(line.image, num_shards)].append(line.text)
    return [b"".join(texts) for texts in shards]


def _with_offsets(path: Path, wanted: set[bytes]) -> list[tuple[int, SerializedRow]]:
    texts = path.read_bytes().splitlines(keepends=True)
    offsets = itertools.accumulate(map(len, texts), initial=0)
    return [
        (offset, SerializedRow.read(PredictionRow.from_json(text, source=""), text))
        for offset, text in zip(offsets, texts, strict=False)
        if text in wanted
    ]


@given(names=NAMES, parts=COUNTS, before=COUNTS, after=COUNTS, piece=st.integers(1, 99))
def test_parts_are_merged(
    names: list[str], parts: int, before: int, after: int, piece: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("out")
    lines = [_line(name) for name in names]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part_files, "READ_BYTES", piece)
        patch.setattr(part_files, "_MIN_PIECE", 1)
        saved = [entry for part in range(parts) for entry in save_part_file(str(folder), lines[part::parts], before)]
        assert _merged(saved, before) == _expected(lines, before)
        assert RowCounts.total([spans.counts for _, spans in saved]) == RowCounts.of(lines)

        # A later run with another number of shards needs all rows but some.
        kept = [line for number, line in enumerate(lines) if number % 4]
        wanted = {line.text for line in kept}
        found = [
            entry
            for path in folder.iterdir()
            for entry in find_part_rows(str(path), _with_offsets(path, wanted), after)
        ]
        assert _merged(found, after) == _expected(kept, after)
        assert RowCounts.total([spans.counts for _, spans in found]) == RowCounts.of(kept)


def test_neighbours_are_one_span(tmp_path: Path) -> None:
    """A list of the position of each of a million rows would be too large."""
    list(save_part_file(str(tmp_path), [_line(f"{number:03}") for number in range(100)], 1))
    (path,) = tmp_path.iterdir()
    assert output_folder.is_part_file(path.name)
    everything = set(path.read_bytes().splitlines(keepends=True))
    ((_, row_spans),) = find_part_rows(str(path), _with_offsets(path, everything), 1)
    assert row_spans.spans == ((0, path.stat().st_size),)


def test_no_rows_no_file(tmp_path: Path) -> None:
    assert not list(save_part_file(str(tmp_path), [], 3))
    assert not list(merge_part_files([]))
    assert not list(tmp_path.iterdir())


def test_equal_rows_make_one_file(tmp_path: Path) -> None:
    """A worker's second attempt replaces the first."""
    first, second = (list(save_part_file(str(tmp_path), map(_line, names), 2)) for names in ("abc", "cab"))
    assert first == second
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda path: path.unlink(), ContractError, "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), RuntimeError, "3 rows were saved, but 2 read again"),
        (lambda path: path.write_bytes(b"x" * path.stat().st_size), RuntimeError, "3 rows were saved, but 0 read"),
        (lambda path: path.write_bytes(b"\n" * path.stat().st_size), ContractError, "expected a row of predictions"),
    ],
)
def test_a_changed_part_file(damage, error, message, tmp_path: Path) -> None:
    ((_, spans),) = save_part_file(str(tmp_path), [_line(name) for name in "abc"], 1)
    damage(Path(spans.path))
    with pytest.raises(error, match=message):
        list(merge_part_files([spans]))


def test_save_interval() -> None:
    """Once a second at first, then every twentieth of the time, and at least every five minutes."""
    interval = SaveInterval(1000.0)
    due = [second for second in range(1000, 1000 + 20_000) if interval.is_due(float(second))]
    gaps = [after - before for before, after in itertools.pairwise(due)]
    assert gaps[0] == 1 and max(gaps) == gaps[-1] == 300
    assert all(gap <= max((second - 1000) / 20 + 1, 1) for gap, second in zip(gaps, due[1:], strict=True))
    assert len(due) < 200


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    (shard,) = write_shards(tmp_path, [PredictionRow(image="caf\udce9.jpg")])
    assert b'"caf\\udce9.jpg"' in (tmp_path / shard.name).read_bytes()


def test_two_rows_of_one_name_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="two rows are named 'a'"):
        write_shards(tmp_path, [PredictionRow(image="a")] * 2)
    with pytest.raises(RuntimeError, match="two rows are named 'a'"):
        write_shards(tmp_path, [PredictionRow(image="a", width=width) for width in (2, 1)])
    assert not list(tmp_path.glob("predictions-*"))
