"""The connection to Google Cloud Storage: one client per process, its retries, and its errors as one-line OSErrors.

Begin with `os_errors`, which every request is wrapped in, and `shared_client`. `gcs` and the trainer use both.
"""

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
from google.resumable_media import DataCorruption  # google-cloud-storage exports it only since 3.0, as a subclass

from retinanet_odm.storage.file_system import GenerationChangedError, StorageUnavailableError

_logger = logging.getLogger(__name__)
# The query of a URL in an error message: long, and of no use to a user.
_QUERY = re.compile(r"\?\w+=[^\s):]*")
_PATH = re.compile(r"gs://([a-z0-9][-_.a-z0-9]+)/(.*)", re.DOTALL)

# As many threads can read at once without opening a new connection for each object; the default of requests is 10.
_CONNECTIONS = 16
_PIECE = 2**20  # bytes read at a time
_SECONDS_QUIET = 10.0  # between two log lines about retries
_client_lock = threading.Lock()


class _RetryLogger:
    """Logs that requests are retried, so that a user who waits sees why."""

    def __init__(self) -> None:
        self._logged = -_SECONDS_QUIET

    def log(self, error: Exception) -> None:
        """Log an error at once, and others at most every few seconds."""
        # Not the time of day, which may be set back.
        now = time.monotonic()
        if now - self._logged >= _SECONDS_QUIET:
            self._logged = now
            _logger.warning("Retrying a Google Cloud Storage request: %s", _line(error))


# Which errors are worth a retry is decided by the client's own rule, which has no public name.
_retry = functools.partial(Retry, predicate=DEFAULT_RETRY._predicate, on_error=_RetryLogger().log)
# For content, and for small requests such as listing. Callers look them up in this module, so that tests can replace
# them.
RETRY_DATA, RETRY_METADATA = _retry(timeout=120), _retry(timeout=30)


def split_uri(path: str) -> tuple[str, str]:
    """Return the bucket and the object name of a URI.

    Example:
      >>> split_uri("gs://bucket/images/a.jpg")
      ('bucket', 'images/a.jpg')

    Raises:
      OSError: It does not have the form gs://BUCKET/NAME.
    """
    match = _PATH.fullmatch(path)
    if not match:
        raise OSError(f"expected gs://BUCKET/NAME with the bucket's name in full, found {path}")
    return match[1], match[2]


@contextlib.contextmanager
def os_errors(action: str) -> Iterator[None]:
    """Turn every exception of Google's client into an OSError of one line.

    Args:
      action: What a missing permission would forbid, such as "read it".
    """
    # The order matters, because some of these classes derive from others below.
    try:
        yield
    except (GenerationChangedError, FileNotFoundError, PermissionError):
        raise
    except NotFound as error:
        raise FileNotFoundError("there is no such object or bucket") from error
    except Forbidden as error:
        raise PermissionError(f"no permission to {action}: {_reason(error)}") from error
    except (InvalidOperation, Unauthorized) as error:  # HTTP 401, without and with credentials
        login = "gcloud auth application-default login"
        raise StorageUnavailableError(
            f"no permission to {action} without valid Google credentials ({login})"
        ) from error
    # After the last attempt the client raises a RetryError; versions below 3.0 raise the server's own error.
    except (RetryError, ServerError, TooManyRequests, GoogleAuthError, requests.RequestException) as error:
        raise StorageUnavailableError(_line(error)) from error
    except (GoogleAPIError, DataCorruption) as error:
        raise OSError(_line(error)) from error


def _reason(error: GoogleAPICallError) -> str:
    """Return the server's message without the request before it and the client's own words after it."""
    return _line(error).partition(": ")[2].partition(": ('Request failed")[0]


def _line(error: Exception) -> str:
    """Return the message of an error in one line, without the queries of URLs."""
    return " ".join(_QUERY.sub("", str(error)).split())


def crc32c_checksum(file: BinaryIO) -> str:
    """Return the CRC32C of the rest of a file, encoded as Google does.

    Example:
      >>> import io
      >>> crc32c_checksum(io.BytesIO(b"123456789"))
      '4waSgw=='
    """
    checksum = 0
    while piece := file.read(_PIECE):
        checksum = google_crc32c.extend(checksum, piece)
    return base64.b64encode(checksum.to_bytes(4, "big")).decode()


def shared_client() -> storage.Client:
    """Return the one client of this process, which keeps its connections open."""
    with _client_lock:  # a cache alone lets two threads make one each
        return _make_client()


@functools.cache
def _make_client() -> storage.Client:
    # Otherwise the client also requests the bucket, for traces that nobody collects.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    try:
        made = storage.Client(project=None)  # neither reading nor writing needs one
    except DefaultCredentialsError as error:
        _logger.warning("No Google Cloud credentials found; using anonymous access: %s", _line(error))
        made = storage.Client.create_anonymous_client()  # sufficient for public buckets
    for adapter in made._http.adapters.values():  # not replaced, because they may hold a certificate
        adapter.init_poolmanager(_CONNECTIONS, _CONNECTIONS)
    return made
