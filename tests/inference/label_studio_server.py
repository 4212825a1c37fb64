"""A stand-in for Label Studio's server: it holds images, which it gives only to who has its token."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LEGACY = "0123456789abcdef"
PERSONAL, ACCESS = "header.refresh.signature", "header.access.signature"


class LabelStudioServer(ThreadingHTTPServer):
    """A running server.

    Attributes:
      files: content by path.
      moved: by path, where a redirect leads.
      asked: path and Authorization of every request.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.moved: dict[str, str] = {}
        self.asked: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: LabelStudioServer

    def do_GET(self) -> None:
        given = self.headers["Authorization"]
        self.server.asked.append((self.path, given))
        if self.path in self.server.moved:
            self._send(302, b"", Location=self.server.moved[self.path])
        elif given not in (f"Token {LEGACY}", f"Bearer {ACCESS}"):
            self._send(401, b"")
        elif self.path in self.server.files:
            self._send(200, self.server.files[self.path])
        else:
            self._send(404, b"")

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers["Authorization"]))
        fits = self.path == "/api/token/refresh/" and content == {"refresh": PERSONAL}
        self._send(200 if fits else 401, json.dumps({"access": ACCESS}).encode() if fits else b"{}")

    def _send(self, status: int, data: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


@contextlib.contextmanager
def serve_images() -> Iterator[LabelStudioServer]:
    """Runs a server on a free port of the loopback interface."""
    with LabelStudioServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
