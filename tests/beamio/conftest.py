"""A Google Cloud Storage in this process, on the loopback device."""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from apache_beam.internal.gcp import auth
from gcp_storage_emulator.handlers import buckets, objects
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage

from beamio import gcs

_LIST = "/storage/v1/b/bucket/o"
_READ = "/download/storage/v1/b/bucket/o/"
# It warns of every answer in JSON.
logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)


class Cloud:
    """One bucket, named "bucket".

    Attributes:
      requests: method and path, without the query, of each, in their order.
      statuses: HTTP status that the next reads of a name, or lists for a prefix, get in place of an answer.
      page_size: names in one answer to a list.
      pause: seconds before a read is answered.
      connections: how many were opened.
      read_only: whether every write is answered by HTTP 403.
    """

    def __init__(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.storage = Storage(use_memory_fs=True)
        # It would write all that it holds as JSON at every change, and not alone at that.
        self.storage._write_config_to_file = lambda: None
        buckets.create_bucket("bucket", self.storage)
        self.requests: list[tuple[str, str]] = []
        self.statuses: dict[str, list[int]] = {}
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
        """From now on an object's checksum is not that of its bytes."""
        self.storage.objects["bucket"][name]["crc32c"] = "AAAAAA=="

    def reads(self) -> list[str]:
        """Names of the objects that were read, once for each request."""
        return [unquote(path.removeprefix(_READ)) for _, path in self.requests if path.startswith(_READ)]

    def is_other(self, name: str, generation: str) -> bool:
        """Whether an object exists, with another generation."""
        stored = self.storage.objects["bucket"].get(name)
        return stored is not None and stored["generation"] != generation


class _Handler(RequestHandler):
    """The emulator's, with what it lacks: pages and preconditions."""

    protocol_version = "HTTP/1.1"  # connections that stay

    def __init__(self, cloud: Cloud, *args) -> None:
        self.cloud = cloud
        cloud.connections += 1
        super().__init__(cloud.storage, *args)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionResetError):  # how a client lets go of a connection that it kept
            super().handle()

    def do_GET(self) -> None:  # noqa: N802 - the name is http.server's
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        read = unquote(url.path.removeprefix(_READ)) if url.path.startswith(_READ) else None
        refusals = self.cloud.statuses.get(query.get("prefix", "") if read is None else read)
        if refusals:
            self._answer(refusals.pop(0), b"as the test wants")
        elif url.path == _LIST:
            self._answer(200, json.dumps(self._page(query)).encode())
        elif read and "ifGenerationMatch" in query and self.cloud.is_other(read, query["ifGenerationMatch"]):
            self._answer(412, b"conditionNotMet")
        else:
            time.sleep(self.cloud.pause if read else 0)
            super().do_GET()

    def do_POST(self) -> None:  # noqa: N802 - the name is http.server's
        if self.cloud.read_only:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(403, b"no storage.objects.create")
        else:
            super().do_POST()

    def _page(self, query: dict[str, str]) -> dict:
        found, _ = self.storage.get_file_list("bucket", query.get("prefix"))
        start = int(query.get("pageToken", 0))
        stop = start + min(self.cloud.page_size, int(query.get("maxResults", self.cloud.page_size)))
        page = {"items": found[start:stop]}
        # Google sends what was asked for, and without the token nobody learns that there is more.
        if stop < len(found) and "nextPageToken" in query.get("fields", "nextPageToken"):
            page["nextPageToken"] = str(stop)
        return page

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status == 200 else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_) -> None:
        self.cloud.requests.append((self.command, urlsplit(self.path).path))


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Google's clients, Beam's too, talk to it without credentials."""
    cloud = Cloud()
    threading.Thread(target=cloud.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.delenv("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", raising=False)  # ours to set
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
    # Else Beam looks for credentials for half a minute, and keeps what it found.
    monkeypatch.setattr(auth._Credentials, "_credentials", None)
    monkeypatch.setattr(auth._Credentials, "_credentials_init", True)
    gcs._make_client.cache_clear()
    yield cloud
    gcs._make_client.cache_clear()
    cloud.server.shutdown()
    cloud.server.server_close()
