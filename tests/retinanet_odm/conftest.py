"""A Google Cloud Storage in this process, on the loopback device."""

import contextlib
import io
import json
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from apache_beam.internal.gcp import auth
from gcp_storage_emulator.handlers import buckets, objects
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage

from retinanet_odm.storage import gcs_client

_LIST = "/storage/v1/b/bucket/o"
_ABOUT = f"{_LIST}/"
_PUBLIC = "/bucket/"  # where TensorFlow reads
_NAME, _METADATA = re.compile(rb'"name": *("[^"]*")'), 1000  # bytes
_READ = "/download/storage/v1/b/bucket/o/"
# It warns about every JSON response.
logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)


def _object_of(path: str) -> tuple[str | None, bool]:
    """Name of the object that a request is about, None for none, and whether its bytes are to be read."""
    for start in (_READ, _ABOUT, _PUBLIC):
        if path.startswith(start):
            return unquote(path.removeprefix(start)), start != _ABOUT
    return None, False


class Cloud:
    """One bucket, named "bucket".

    Attributes:
      requests: method and path, without the query, of each, in their order.
      sent: bytes of every answer to a read, in their order.
      uploads: name, and generation that must be in its place ("0" for none), of each object that was to be written.
      statuses: HTTP status that the next reads of a name, or lists for a prefix, get in place of an answer.
      write_statuses: HTTP status that the next writes get in place of an answer.
      lost_answers: of how many of the next writes the answer is lost, though they are carried out.
      before_read: called with the name of an object before it is read.
      page_size: names in one answer to a list.
      pause: seconds before a read is answered.
      connections: how many were opened.
      read_only: whether every write is answered by HTTP 403.
    """

    def __init__(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(GcsHandler, self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.storage = Storage(use_memory_fs=True)
        # It would write everything as JSON on every change, and other threads would write at the same time.
        self.storage._write_config_to_file = lambda: None
        buckets.create_bucket("bucket", self.storage)
        self.requests: list[tuple[str, str]] = []
        self.sent: list[int] = []
        self.uploads: list[tuple[str, str | None]] = []
        self.statuses: dict[str, list[int]] = {}
        self.write_statuses: deque[int] = deque()
        self.lost_answers = 0
        self.before_read: Callable[[str], object] = lambda _name: None
        self.page_size = 1000
        self.pause = 0.0
        self.connections = 0
        self.read_only = False

    def put(self, name: str, data: bytes = b"") -> str:
        """Writes an object; its generation."""
        resource = objects._make_object_resource(self.url, "bucket", name, "image/jpeg", str(len(data)))
        self.storage.create_file("bucket", name, data, objects._checksums(data, resource))
        return resource["generation"]

    def read_all(self, prefix: str) -> dict[str, bytes]:
        """Every object below a prefix, by its name from there on."""
        found, _ = self.storage.get_file_list("bucket", prefix)
        names = [entry["name"] for entry in found]
        return {name.removeprefix(prefix): self.storage.get_file("bucket", name) for name in names}

    def spoil(self, name: str) -> None:
        """Gives an object a wrong checksum."""
        self.storage.objects["bucket"][name]["crc32c"] = "AAAAAA=="

    def reads(self) -> list[str]:
        """Names of the objects that were read, once for each request."""
        return [unquote(path.removeprefix(_READ)) for _, path in self.requests if path.startswith(_READ)]

    def generation(self, name: str) -> str:
        """Of an object; "0" where there is none."""
        return self.storage.objects.get("bucket", {}).get(name, {"generation": "0"})["generation"]


class GcsHandler(RequestHandler):
    """Adds to the emulator: pages, preconditions, chunked bodies, and faults on demand."""

    protocol_version = "HTTP/1.1"  # connections that stay

    def __init__(self, cloud: Cloud, *args) -> None:
        self.cloud = cloud
        cloud.connections += 1
        super().__init__(cloud.storage, *args)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # how a client closes a connection
            super().handle()

    def do_GET(self) -> None:  # noqa: N802 - the name is http.server's
        path, query = self._asked()
        name, is_read = _object_of(path)
        if is_read:
            self.cloud.before_read(str(name))
        refusals = self.cloud.statuses.get(query.get("prefix", "") if name is None else name)
        if refusals:
            self._answer(refusals.pop(0), b"as the test wants")
        elif path == _LIST:
            self._answer(200, json.dumps(self._page(query)).encode())
        elif name and self.cloud.generation(name) != "0" and self._is_other(name, query):
            self._answer(412, b"conditionNotMet")
        elif name and query.get("generation", self.cloud.generation(name)) != self.cloud.generation(name):
            self._answer(404, b"no such generation")
        else:
            time.sleep(self.cloud.pause if is_read else 0)
            super().do_GET()

    def do_POST(self) -> None:  # noqa: N802 - the name is http.server's
        body = self._take_body()
        path, query = self._asked()
        cloud, name = self.cloud, self._written_name(body)
        if path.startswith("/upload/"):
            cloud.uploads.append((name, query.get("ifGenerationMatch")))
        refusal = cloud.write_statuses.popleft() if cloud.write_statuses else 403 if cloud.read_only else 0
        if refusal:
            self._answer(refusal, b"no storage.objects.create")
        elif self._is_other(name, query):
            self._answer(412, b"conditionNotMet")
        elif query.get("uploadType") == "media" and not body:  # the emulator drops the connection
            cloud.put(name)
            self._answer(200, json.dumps(cloud.storage.get_file_obj("bucket", name)).encode())
        else:
            self._carry_out(super().do_POST, body)

    def do_PUT(self) -> None:  # noqa: N802 - the name is http.server's
        self._carry_out(super().do_PUT, self._take_body())

    def _take_body(self) -> bytes:
        """TensorFlow sends chunks and also a length; the emulator alone would use the length."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _carry_out(self, method: Callable[[], None], body: bytes) -> None:
        """A write whose body has been read."""
        kept = self.rfile, self.wfile
        del self.headers["Content-Length"]
        self.headers["Content-Length"] = str(len(body))
        self.rfile = io.BytesIO(body)
        if self.cloud.lost_answers:
            self.cloud.lost_answers -= 1
            self.wfile, self.close_connection = io.BytesIO(), True
        method()
        self.rfile, self.wfile = kept

    def _asked(self) -> tuple[str, dict[str, str]]:
        """Path and query."""
        url = urlsplit(self.path)
        return url.path, {name: values[0] for name, values in parse_qs(url.query).items()}

    def _written_name(self, body: bytes) -> str:
        """It stands in the query, or in JSON before the data."""
        found = _NAME.search(body[:_METADATA])
        return self._asked()[1].get("name", json.loads(found[1]) if found else "")

    def _is_other(self, name: str, query: dict[str, str]) -> bool:
        """Returns whether the generation of an object differs from the precondition of the request."""
        return query.get("ifGenerationMatch", self.cloud.generation(name)) != self.cloud.generation(name)

    def _page(self, query: dict[str, str]) -> dict:
        found, _ = self.storage.get_file_list("bucket", query.get("prefix"))
        start = int(query.get("pageToken", 0))
        stop = start + min(self.cloud.page_size, int(query.get("maxResults", self.cloud.page_size)))
        page = {"items": found[start:stop]}
        # Google returns only requested fields: without the token, the client would not request the next page.
        if stop < len(found) and "nextPageToken" in query.get("fields", "nextPageToken"):
            page["nextPageToken"] = str(stop)
        return page

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status == 200 else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_header(self, keyword: str, value: str) -> None:
        if keyword == "Content-Length" and _object_of(self._asked()[0])[1]:
            self.cloud.sent.append(int(value))
        super().send_header(keyword, value)

    def log_request(self, *_) -> None:
        self.cloud.requests.append((self.command, urlsplit(self.path).path))


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Google's clients, Beam's too, talk to it without credentials."""
    cloud = Cloud()
    threading.Thread(target=cloud.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.delenv("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", raising=False)  # ours to set
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
    # Otherwise Beam searches for credentials for half a minute and caches the result.
    monkeypatch.setattr(auth._Credentials, "_credentials", None)
    monkeypatch.setattr(auth._Credentials, "_credentials_init", True)
    gcs_client._make_client.cache_clear()
    yield cloud
    gcs_client._make_client.cache_clear()
    cloud.server.shutdown()
    cloud.server.server_close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries for a quarter of a second, not for minutes."""
    hasty = gcs_client._retry(initial=0.01, maximum=0.02, timeout=0.25, on_error=gcs_client._RetryLogger().log)
    for name in ("RETRY_DATA", "RETRY_METADATA"):
        monkeypatch.setattr(gcs_client, name, hasty)
