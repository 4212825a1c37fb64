"""Objects of Google Cloud Storage as files: one request reads one, one upload writes one, entirely or not at all.

Beam's own client needs two or three requests to read an object, a copy and a deletion more to write one, and opens a
connection for each. The connection, the retries and the errors are those of `gcs_client`.
"""

import contextlib
import io
import mimetypes
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud import storage

from retinanet_odm.storage import gcs_client
from retinanet_odm.storage.file_names import complete_pattern, literal_prefix, to_regex
from retinanet_odm.storage.file_system import GenerationChangedError, ListedFile
from retinanet_odm.storage.gcs_client import crc32c_checksum, os_errors, shared_client, split_uri

# The fields that are used of an object; without the token only the first page would come.
_FIELDS = "items(name,generation,size),nextPageToken"
# The least that a request reads of an archive: the images and headers that follow, but not 15 megabytes more.
_BUFFER = 2**20
# Written data waits in memory, or beyond this size on the local disk, until it is complete.
_IN_MEMORY = 8 * 2**20
_PIECE = 16 * 2**20  # of an upload that is too large for a single request


class GcsFiles:
    """Google Cloud Storage; implements `file_system.FileSystem`, whose docstrings describe the methods."""

    def list_files(self, pattern: str) -> Iterator[ListedFile]:
        """See FileSystem. Each request lists a thousand objects and is sent when they are needed.

        Omits the empty objects that stand for folders, whose names end with a slash.
        """
        pattern = complete_pattern(pattern)
        prefix = literal_prefix(pattern)
        bucket, start = split_uri(prefix)
        accepts = to_regex(pattern).match
        # A complete name is the first of all names that begin with it; millions may follow.
        limit = 1 if prefix == pattern else None
        with os_errors("read it"):
            # The server filters by the literal beginning only; the rest of the pattern is matched here.
            blobs = shared_client().list_blobs(
                bucket, prefix=start, max_results=limit, fields=_FIELDS, retry=gcs_client.RETRY_METADATA
            )
            for blob in blobs:
                path = f"gs://{bucket}/{blob.name}"
                if accepts(path) and not path.endswith("/"):
                    yield ListedFile(path=path, version=str(blob.generation), size=int(blob.size))

    def exists(self, path: str) -> bool:
        """See FileSystem."""
        return _find(path) is not None

    def is_file(self, path: str) -> bool:
        """See FileSystem."""
        return self.exists(path)

    def read_bytes(self, path: str, version: str) -> bytes:
        """See FileSystem. Sends one request and verifies the checksum."""
        return _download(_blob(path), _generation(version))

    def open_binary(self, path: str, version: str) -> BinaryIO:
        """See FileSystem. All reads see one generation: the given one, or the newest at this moment."""
        found = _find(path, _generation(version))
        if found is None:
            raise FileNotFoundError("there is no such object or bucket")
        # Not the blob that was found: knowing its generation, it would request that one, which may be gone, and could
        # not tell that there is another.
        return cast(BinaryIO, io.BufferedReader(_Reader(_blob(path), found.size, found.generation), _BUFFER))

    @contextlib.contextmanager
    def write(self, path: str) -> Iterator[BinaryIO]:
        """See FileSystem. Sends one upload, which replaces only the generation that was there at the beginning.

        Raises:
          GenerationChangedError: Another program has written other content under that name meanwhile.
        """
        # Generation 0 stands for "no such object": the upload then fails if another program has created it meanwhile.
        old = _find(path)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            # If the body raises, nothing is sent: the object appears whole or not at all.
            yield cast(BinaryIO, file)
            _upload(_blob(path, chunk_size=_PIECE), cast(BinaryIO, file), generation=old.generation if old else 0)

    def delete(self, path: str) -> None:
        """See FileSystem."""
        with os_errors("delete it"), contextlib.suppress(NotFound):
            _blob(path).delete(retry=gcs_client.RETRY_DATA)

    def make_folder(self, path: str) -> None:
        """See FileSystem. Does nothing, because a bucket has no folders."""


def _blob(path: str, *, chunk_size: int | None = None) -> storage.Blob:
    bucket, name = split_uri(path)
    return shared_client().bucket(bucket).blob(name, chunk_size=chunk_size)


def _generation(version: str) -> int | None:
    return int(version) if version else None


def _find(path: str, generation: int | None = None) -> storage.Blob | None:
    """Request the metadata of an object; None if there is no such object."""
    bucket, name = split_uri(path)
    with os_errors("read it"), _pinned(generation):
        return (
            shared_client()
            .bucket(bucket)
            .get_blob(name, if_generation_match=generation, retry=gcs_client.RETRY_METADATA)
        )


@contextlib.contextmanager
def _pinned(generation: int | None) -> Iterator[None]:
    try:
        yield
    except PreconditionFailed as error:
        raise GenerationChangedError(f"expected generation {generation} as it was listed, found another") from error


def _download(blob: storage.Blob, generation: int | None, start: int | None = None, end: int | None = None) -> bytes:
    """Return the stored bytes from start to end inclusive; all by default."""
    with os_errors("read it"), _pinned(generation):
        # Raw bytes: the client would otherwise unpack objects that are stored with gzip as their encoding.
        data: bytes = blob.download_as_bytes(
            start=start, end=end, if_generation_match=generation, raw_download=True, retry=gcs_client.RETRY_DATA
        )
    return data


class _Reader(io.RawIOBase):
    """A seekable file; each read is a request for exactly these bytes."""

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
        # One request for one call: io.BufferedReader asks for a whole buffer at a time.
        data = self._take(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """Read the rest by one request; the inherited method would send one for every 8 KB."""
        return self._take(self._size)

    def _take(self, count: int) -> bytes:
        end = min(self._position + count, self._size)
        if end <= self._position:
            return b""
        data = _download(self._blob, self._generation, self._position, end - 1)
        self._position += len(data)
        return data


def _upload(blob: storage.Blob, file: BinaryIO, *, generation: int) -> None:
    # Known beforehand, so that a small file is sent by a single request.
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
                retry=gcs_client.RETRY_DATA,
            )
        except PreconditionFailed as error:
            # The same bytes are fine: our own upload whose response was lost, or the work of a duplicate worker.
            if not _has_content(blob, file, size):
                raise GenerationChangedError("another program wrote it meanwhile") from error


def _has_content(blob: storage.Blob, file: BinaryIO, size: int) -> bool:
    """Return whether an object has the content of a file."""
    found = blob.bucket.get_blob(blob.name, retry=gcs_client.RETRY_METADATA)
    # Size first: only then is the checksum of the whole file worth computing.
    if found is None or found.size != size:
        return False
    file.seek(0)
    return crc32c_checksum(file) == str(found.crc32c)
