"""Objects of Google Cloud Storage, one HTTP request for each; Beam's own client needs two or three to read one.

What goes wrong is an OSError, as for a local file. Lost connections and HTTP 408, 429, 500, 502, 503 and 504 are tried
again by the client's own rule, ``google.cloud.storage.retry.DEFAULT_RETRY``: after about 1, 2, 4 ... 60 seconds, for
two minutes in all.
"""

import contextlib
import functools
import logging
import os
import re
import threading
from collections.abc import Iterator

from google.api_core.exceptions import Forbidden, GoogleAPICallError, GoogleAPIError, NotFound, PreconditionFailed
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, InvalidOperation
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from google.resumable_media import DataCorruption  # in google-cloud-storage only from 3.0 on; this stays its parent

_log = logging.getLogger(__name__)
_PATH = re.compile(r"gs://([a-z0-9][-_.a-z0-9]+)/(.*)", re.DOTALL)
# All that is used of an object; without the token only the first page would come.
_FIELDS = "items(name,generation),nextPageToken"
# As many threads may read at once without opening a connection anew for each object; requests keeps 10.
_CONNECTIONS = 16
_creation = threading.Lock()


class ChangedError(OSError):
    """An object is no longer the generation that was listed."""


def list_objects(prefix: str, *, limit: int | None = None) -> Iterator[tuple[str, str]]:
    """Path and generation of the objects whose paths begin with a prefix, sorted by path, a thousand for each request.

    Args:
      prefix: gs://BUCKET/ and the beginning of a name.
      limit: of their number; None for all.

    Raises:
      OSError: they cannot be listed.
    """
    bucket, name = _split(prefix)
    with _os_errors():
        blobs = _client().list_blobs(bucket, prefix=name, max_results=limit, fields=_FIELDS, retry=DEFAULT_RETRY)
        for blob in blobs:
            yield f"gs://{bucket}/{blob.name}", str(blob.generation)


def list_sizes(prefix: str) -> Iterator[tuple[str, int]]:
    """Path, and size in bytes, of the objects whose paths begin with a prefix.

    Raises:
      OSError: they cannot be listed.
    """
    bucket, name = _split(prefix)
    with _os_errors():
        blobs = _client().list_blobs(bucket, prefix=name, fields="items(name,size),nextPageToken", retry=DEFAULT_RETRY)
        for blob in blobs:
            yield f"gs://{bucket}/{blob.name}", int(blob.size)


def read_object(path: str, *, generation: str = "") -> bytes:
    """An object as it is stored, by one request, its checksum checked.

    Args:
      path: gs://BUCKET/NAME.
      generation: that it must have; "" for the newest.

    Raises:
      ChangedError: it has another generation.
      OSError: it cannot be read.
    """
    bucket, name = _split(path)
    expected = int(generation) if generation else None
    with _os_errors():
        blob = _client().bucket(bucket).blob(name)
        try:
            return blob.download_as_bytes(if_generation_match=expected, raw_download=True, retry=DEFAULT_RETRY)
        except PreconditionFailed as error:
            raise ChangedError(f"expected generation {generation} as it was listed, found another") from error


def _split(path: str) -> tuple[str, str]:
    """Bucket and name."""
    match = _PATH.fullmatch(path)
    if not match:
        raise OSError(f"expected gs://BUCKET/NAME with the bucket's name in full, found {path}")
    return match[1], match[2]


@contextlib.contextmanager
def _os_errors() -> Iterator[None]:
    """Makes one sentence of what Google's client raises; what the requests library raises is an OSError already."""
    try:
        yield
    except NotFound as error:
        raise FileNotFoundError("there is no such object or bucket") from error
    except Forbidden as error:
        raise PermissionError(f"no permission to read it: {_reason(error)}") from error
    except InvalidOperation as error:  # the answer was 401, and no credentials are there to be renewed
        raise PermissionError("no permission to read it without Google credentials") from error
    except (GoogleAPIError, GoogleAuthError, DataCorruption) as error:
        raise OSError(_line(error)) from error


def _reason(error: GoogleAPICallError) -> str:
    """What the server said, without the request before it and the client's own words behind."""
    return _line(error).partition(": ")[2].partition(": ('Request failed")[0]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _client() -> storage.Client:
    """The one client of this process: its connections are worth keeping."""
    with _creation:  # a cache alone lets two threads make one each
        return _make_client()


@functools.cache
def _make_client() -> storage.Client:
    # Else the client asks for the bucket too, for the sake of traces that nobody collects.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    try:
        client = storage.Client(project=None)  # reading needs none
    except DefaultCredentialsError as error:
        _log.warning("gs:// is read as anybody may, without credentials: %s", _line(error))
        client = storage.Client.create_anonymous_client()  # as Beam does: enough for public buckets
    for adapter in client._http.adapters.values():  # not replaced: they may hold a certificate
        adapter.init_poolmanager(_CONNECTIONS, _CONNECTIONS)
    return client
