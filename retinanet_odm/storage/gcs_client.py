"""What can be wrong with files of an object store and not with those of a disk."""

import base64
import contextlib
import functools
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO

import google_crc32c
import requests
from google.api_core.exceptions import (
    Forbidden,
    GoogleAPICallError,
    GoogleAPIError,
    NotFound,
    RetryError,
    ServerError,
    TooManyRequests,
    Unauthorized,
)
from google.api_core.retry import Retry
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, InvalidOperation
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from google.resumable_media import DataCorruption  # in google-cloud-storage only from 3.0 on; this stays its parent


class GenerationChangedError(OSError):
    """An object is no longer the generation that was expected."""


class StorageUnavailableError(OSError):
    """The storage does not answer, or does not know who asks: no object can be read, and none is to blame."""


_log = logging.getLogger(__name__)
_QUERY = re.compile(r"\?\w+=[^\s):]*")
_PATH = re.compile(r"gs://([a-z0-9][-_.a-z0-9]+)/(.*)", re.DOTALL)

# As many threads may read at once without opening a connection anew for each object; requests keeps 10.
_CONNECTIONS = 16
_PIECE = 2**20  # bytes read at a time
_creation = threading.Lock()
_SECONDS_QUIET = 10.0  # between two lines that say that something is tried again


class _RetryLogger:
    """When to try again, with the notice that somebody who waits deserves."""

    def __init__(self) -> None:
        self._told = -_SECONDS_QUIET

    def tell(self, error: Exception) -> None:
        """Says what is waited for, at once and then now and then."""
        now = time.monotonic()
        if now - self._told >= _SECONDS_QUIET:
            self._told = now
            _log.warning("gs:// is tried again: %s", _line(error))


# The client's own rule of what is worth it has no public name.
_retry = functools.partial(Retry, predicate=DEFAULT_RETRY._predicate, on_error=_RetryLogger().tell)
RETRY_BYTES, RETRY_QUESTION = _retry(timeout=120), _retry(timeout=30)


def split_uri(path: str) -> tuple[str, str]:
    """Bucket and name.

    Raises:
      OSError: it is not of that form.
    """
    match = _PATH.fullmatch(path)
    if not match:
        raise OSError(f"expected gs://BUCKET/NAME with the bucket's name in full, found {path}")
    return match[1], match[2]


@contextlib.contextmanager
def os_errors(doing: str) -> Iterator[None]:
    """Makes an OSError of one sentence of what Google's client raises.

    Args:
      doing: what there may be no permission for, such as "read it".
    """
    try:
        yield
    except (GenerationChangedError, FileNotFoundError, PermissionError):
        raise
    except NotFound as error:
        raise FileNotFoundError("there is no such object or bucket") from error
    except Forbidden as error:
        raise PermissionError(f"no permission to {doing}: {_reason(error)}") from error
    except (InvalidOperation, Unauthorized) as error:  # HTTP 401, without and with credentials
        login = "gcloud auth application-default login"
        raise StorageUnavailableError(f"no permission to {doing} without valid Google credentials ({login})") from error
    # After its last attempt the client raises a RetryError, up to 2.x what the server said.
    except (RetryError, ServerError, TooManyRequests, GoogleAuthError, requests.RequestException) as error:
        raise StorageUnavailableError(_line(error)) from error
    except (GoogleAPIError, DataCorruption) as error:
        raise OSError(_line(error)) from error


def _reason(error: GoogleAPICallError) -> str:
    """What the server said, without the request before it and the client's own words behind."""
    return _line(error).partition(": ")[2].partition(": ('Request failed")[0]


def _line(error: Exception) -> str:
    """What an error says, without the queries of addresses."""
    return " ".join(_QUERY.sub("", str(error)).split())


def crc32c_checksum(file: BinaryIO) -> str:
    """CRC32C of what follows in a file, in Google's notation."""
    found = google_crc32c.Checksum()
    while piece := file.read(_PIECE):
        found.update(piece)
    return base64.b64encode(found.digest()).decode()


def gcs_client() -> storage.Client:
    """The one client of this process: its connections are worth keeping."""
    with _creation:  # a cache alone lets two threads make one each
        return make_gcs_client()


@functools.cache
def make_gcs_client() -> storage.Client:
    # Else the client asks for the bucket too, for the sake of traces that nobody collects.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    try:
        made = storage.Client(project=None)  # neither reading nor writing needs one
    except DefaultCredentialsError as error:
        _log.warning("gs:// is asked as anybody may, without credentials: %s", _line(error))
        made = storage.Client.create_anonymous_client()  # enough for public buckets
    for adapter in made._http.adapters.values():  # not replaced: they may hold a certificate
        adapter.init_poolmanager(_CONNECTIONS, _CONNECTIONS)
    return made
