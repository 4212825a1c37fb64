"""A part of a chunk is read as the chunk is, and versions change with the images."""

import tarfile
import zipfile
from pathlib import Path

from inference.image_sources.chunks import FileChunk, StreamChunk, read_chunk, select_images, split_chunk
from inference.rows.rows import row_keys
from tests.inference.image_chunks import chunks_of


def _archives(folder: Path, version: int) -> Path:
    """x.tar, x.tgz, x.zip and single files of the same names, one of which differs with each version."""
    folder.mkdir(exist_ok=True)
    contents = {"a.png": b"a", "b.png": f"version {version}".encode(), "c.png": b"c"}
    for name, data in contents.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)
    with zipfile.ZipFile(folder / "x.zip", "w") as target:
        for name in contents:
            target.write(folder / name, name)
    for archive, mode in (("x.tar", "w"), ("x.tgz", "w:gz")):
        with tarfile.open(folder / archive, mode) as target:  # type: ignore[call-overload]
            for name in contents:
                target.add(folder / name, name)
    return folder


def _keys(folder: Path) -> dict[str, str]:
    return {
        name: key
        for chunk in chunks_of(f"{folder}/*")
        for name, key in zip(chunk.names, row_keys("run", chunk), strict=True)
    }


def test_keys_change_with_images(tmp_path: Path) -> None:
    before = _keys(_archives(tmp_path / "x", 1))
    assert len(set(before.values())) == len(before) == 12
    after = _keys(_archives(tmp_path / "x", 2))
    changed = {name for name in before if after[name] != before[name]}
    tars = {f"{archive}/{image}.png" for archive in ("x.tar", "x.tgz") for image in "abc"}
    assert changed == {"b.png", "x.zip/b.png", *tars}, "a tar archive has no checksums: all of its members are new"


def test_part_of_a_chunk_is_read_as_the_chunk_is(tmp_path: Path) -> None:
    for chunk in chunks_of(f"{_archives(tmp_path / 'x', 1)}/*"):
        everything = list(read_chunk(chunk))
        assert len(everything) == 3
        for positions in ([0], [1], [2], [0, 2], [0, 1, 2]):
            selected = list(read_chunk(select_images(chunk, positions)))
            assert selected == [everything[position] for position in positions]


def test_parts_for_threads_are_the_chunk(tmp_path: Path) -> None:
    _archives(tmp_path / "x", 1)
    with zipfile.ZipFile(tmp_path / "x/y.zip", "w") as target:
        for number in range(20):
            target.writestr(f"{number}.png", bytes([number]))
    sizes = {}
    for chunk in chunks_of(f"{tmp_path / 'x'}/*"):
        parts = split_chunk(chunk)
        assert [item for part in parts for item in read_chunk(part)] == list(read_chunk(chunk))
        sizes[getattr(chunk, "path", "").rpartition("/")[2]] = [len(part.names) for part in parts]
        assert len(parts) == 1 or not isinstance(chunk, StreamChunk), "it would be read from its beginning again"
        assert not isinstance(chunk, FileChunk) or len(parts) == len(chunk.names)
    assert sizes == {"": [1, 1, 1], "x.tar": [3], "x.tgz": [3], "x.zip": [3], "y.zip": [8, 8, 4]}
