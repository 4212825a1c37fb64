"""A local Dataflow service: keeps the jobs that it gets, and reports the states that a test defines."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Dataflow:
    """The service.

    Attributes:
      url: for --dataflow_endpoint; Beam speaks REST to names with "localhost" alone.
      jobs: as they were received.
      sizes: bytes of each job as it was sent.
      states: of the job, one for each time it is asked for; the last stays.
      messages: (importance, text) of the job.
      refusal: (HTTP status, message) in place of taking a job.
    """

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://localhost:{server.server_port}"
        self.jobs: list[dict[str, Any]] = []
        self.sizes: list[int] = []
        self.states = ["JOB_STATE_DONE"]
        self.messages: list[tuple[str, str]] = []
        self.refusal: tuple[int, str] | None = None

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """HTTP status and JSON value."""
        if method == "POST" and path.endswith("/jobs"):
            if self.refusal:
                status, message = self.refusal
                return status, {"error": {"code": status, "message": message}}
            self.jobs.append(json.loads(body))
            self.sizes.append(len(body))
            return 200, {**self.jobs[-1], "id": "the-job"}
        if path.endswith("/messages"):
            messages = [
                {"id": str(n), "time": f"2026-01-01T00:00:{n:02d}Z", "messageImportance": level, "messageText": text}
                for n, (level, text) in enumerate(self.messages)
            ]
            return 200, {"jobMessages": messages}
        if path.endswith("/metrics"):
            return 200, {}
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return 200, {**self.jobs[-1], "id": "the-job", "currentState": state}


@contextmanager
def serve() -> Iterator[Dataflow]:
    """Runs the service."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, value = dataflow.answer(self.command, self.path.partition("?")[0], body)
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815 - the names are http.server's

        def log_message(self, *_: object) -> None:
            """The test's output is for the test."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    dataflow = Dataflow(server)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield dataflow
    server.shutdown()
    server.server_close()
