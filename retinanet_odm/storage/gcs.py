"""Objects of Google Cloud Storage as files: one request reads one, one upload writes one, whole or not at all.

Beam's own client needs two or three requests to read an object, a copy and a deletion more to write one, and opens a
connection for each. What goes wrong is an OSError, as for a local file; see retinanet_odm.storage.gcs_client.
"""

import contextlib
import io
import mimetypes
import tempfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast

from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud import storage

from retinanet_odm.storage import gcs_client as gcs_client
from retinanet_odm.storage.gcs_client import GenerationChangedError, crc32c_checksum, os_errors, split_uri
from retinanet_odm.storage.gcs_client import gcs_client as client
from retinanet_odm.storage.glob_patterns import WILDCARD, to_regex

# All that is used of an object; without the token only the first page would come.
_FIELDS = "items(name,generation,size),nextPageToken"
# What a request gets at least of an archive: the photographs and headers that follow, but no other 15 megabytes.
_BUFFER = 2**20
# What is written waits in memory, or beyond that on the local disk, until it is whole.
_IN_MEMORY = 8 * 2**20
_PIECE = 16 * 2**20  # of an upload that is too large for a single request


def list_files(pattern: str, limit: int | None = None) -> Iterator[tuple[str, str, int]]:  # noqa: ARG001 - it costs little
    """(path, generation, size) of the objects that a pattern matches, sorted by path; see retinanet_odm.storage.files.list_files.

    A thousand for each request, which is sent when they are wanted. Without the empty objects, named with a slash at
    their end, that stand for folders.

    Raises:
      OSError: they cannot be listed.
      re.error: no pattern.
    """
    pattern += "*" if pattern.endswith("/") else ""
    prefix = WILDCARD.split(pattern, maxsplit=1)[0]
    bucket, start = split_uri(prefix)
    accepts = to_regex(pattern).match
    # A name in full is the first of those that begin with it; millions may follow.
    most = 1 if prefix == pattern else None
    with os_errors("read it"):
        blobs = client().list_blobs(
            bucket, prefix=start, max_results=most, fields=_FIELDS, retry=gcs_client.RETRY_QUESTION
        )
        for blob in blobs:
            path = f"gs://{bucket}/{blob.name}"
            if accepts(path) and not path.endswith("/"):
                yield path, str(blob.generation), int(blob.size)


def exists(path: str) -> bool:
    """Whether there is an object of exactly this name."""
    return _find(path) is not None


def _find(path: str, generation: int | None = None) -> storage.Blob | None:
    """What is known of an object, by one request; None where there is none."""
    bucket, name = split_uri(path)
    with os_errors("read it"):
        try:
            return (
                client().bucket(bucket).get_blob(name, if_generation_match=generation, retry=gcs_client.RETRY_QUESTION)
            )
        except PreconditionFailed as error:
            raise _changed(generation) from error


def _changed(generation: int | None) -> GenerationChangedError:
    return GenerationChangedError(f"expected generation {generation} as it was listed, found another")


def read_object(path: str, *, generation: str = "") -> bytes:
    """An object as it is stored, by one request, its checksum checked.

    Args:
      path: gs://BUCKET/NAME.
      generation: that it must have; "" for the newest.

    Raises:
      ChangedError: it has another generation.
      OSError: it cannot be read.
    """
    bucket, name = split_uri(path)
    expected = int(generation) if generation else None
    return _download(client().bucket(bucket).blob(name), expected)


def _download(blob: storage.Blob, generation: int | None, start: int | None = None, end: int | None = None) -> bytes:
    """The stored bytes from start to end, which is one of them; all by default."""
    with os_errors("read it"):
        try:
            return blob.download_as_bytes(
                start=start,
                end=end,
                if_generation_match=generation,
                raw_download=True,
                retry=gcs_client.RETRY_BYTES,
            )
        except PreconditionFailed as error:
            raise _changed(generation) from error


def open_file(path: str, version: str = "") -> BinaryIO:
    """An object to be read in parts, all of one generation: the one given, or that of now.

    Raises:
      ChangedError: it has another generation.
      OSError: it cannot be read.
    """
    blob = _find(path, int(version) if version else None)
    if blob is None:
        raise FileNotFoundError("there is no such object or bucket")
    # A blob that knows its generation would ask for that one, which may be gone, and not say that there is another.
    fresh = blob.bucket.blob(blob.name)
    return cast(BinaryIO, io.BufferedReader(_Reader(fresh, blob.size, blob.generation), _BUFFER))


class _Reader(io.RawIOBase):
    """Each read is a request for these very bytes."""

    def __init__(self, blob: storage.Blob, size: int, generation: int) -> None:
        super().__init__()
        self._blob, self._size, self._generation = blob, size, generation
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"expected a place in the file, found {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        data = self._take(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """All that follows, by one request: io's own would send one for every 8 KB."""
        return self._take(self._size)

    def _take(self, count: int) -> bytes:
        end = min(self._position + count, self._size)
        if end <= self._position:
            return b""
        data = _download(self._blob, self._generation, self._position, end - 1)
        self._position += len(data)
        return data


@contextlib.contextmanager
def write(path: str) -> Iterator[BinaryIO]:
    """An object that appears when the body has ended, by one upload, or takes the place of the one that is there now.

    Raises:
      ChangedError: something else was written under that name meanwhile.
      OSError: it cannot be written.
    """
    bucket, name = split_uri(path)
    there = _find(path)
    blob = client().bucket(bucket).blob(name, chunk_size=_PIECE)
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        yield cast(BinaryIO, file)
        _upload(blob, cast(BinaryIO, file), generation=there.generation if there else 0)


def _upload(blob: storage.Blob, file: BinaryIO, *, generation: int) -> None:
    size = file.seek(0, io.SEEK_END)
    with os_errors("write it"):
        try:
            blob.upload_from_file(
                file,
                rewind=True,
                size=size,
                content_type=mimetypes.guess_type(blob.name)[0],
                if_generation_match=generation,
                checksum="crc32c",
                retry=gcs_client.RETRY_BYTES,
            )
        except PreconditionFailed as error:
            # The same bytes are ours, stored though the answer was lost, or another worker's, who did the same work.
            if not _holds(blob, file, size):
                raise GenerationChangedError("another program wrote it meanwhile") from error


def _holds(blob: storage.Blob, file: BinaryIO, size: int) -> bool:
    """Whether an object has the bytes of a file."""
    found = blob.bucket.get_blob(blob.name, retry=gcs_client.RETRY_QUESTION)
    if found is None or found.size != size:
        return False
    file.seek(0)
    return found.crc32c == crc32c_checksum(file)


def delete(paths: Sequence[str]) -> None:
    """Deletes objects, in their order; an absent one is no error."""
    for path in paths:
        bucket, name = split_uri(path)
        with os_errors("delete it"), contextlib.suppress(NotFound):
            client().bucket(bucket).blob(name).delete(retry=gcs_client.RETRY_BYTES)


def make_folder(path: str) -> None:
    """Nothing: a bucket has no folders."""
