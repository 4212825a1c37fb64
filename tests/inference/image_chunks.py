"""Chunks of image sources, and their content, for tests."""

from collections.abc import Iterator

from inference.image_sources.chunks import Chunk, read_chunk
from inference.image_sources.listing import list_chunks, list_source_files, resolve_sources
from retinanet_odm.errors import DataError


def chunks_of(*images: object) -> Iterator[Chunk]:
    """The chunks of values of --images."""
    return list_chunks(list_source_files(resolve_sources([str(value) for value in images])))


def read_sources(*images: object) -> dict[str, bytes | DataError]:
    """Bytes, or the error, by image name."""
    return {name: data for chunk in chunks_of(*images) for name, data in read_chunk(chunk)}
