"""A stand-in for a CVAT server with one task of images: the part of its REST API that auto-annotation uses.

What is sent to it is checked against CVAT's schema as cvat-sdk carries it, and answers are of that schema, because the
SDK checks them. It is built by hand, because CVAT's server needs a dozen containers.
"""

import contextlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cvat_sdk import models
from cvat_sdk.api_client.model_utils import to_json
from cvat_sdk.version import VERSION

TASK, TOKEN = 7, "of the test"
_TIME = "2026-11-10T14:24:12Z"


@dataclass
class CvatServer:
    """A running server.

    Attributes:
      images: the names and bytes of the task's images, as the server puts them into the chunks of original quality.
      labels: of the task, as the server describes them.
      address: of the server.
      uploads: method, action and content of every accepted upload of annotations.
      refused: what was wrong with other requests.
    """

    images: dict[str, bytes]
    labels: Sequence[dict[str, Any]]
    address: str = ""
    uploads: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def answer(self, path: str, query: dict[str, str]) -> dict[str, Any] | bytes | None:
        """Returns the answer to a GET request; None for 404."""
        match path:
            case "/api/server/about":
                return {
                    "name": "CVAT",
                    "description": "",
                    "version": VERSION,
                    "logo_url": self.address,
                    "subtitle": "",
                }
            case "/api/labels" if query["task_id"] == str(TASK):
                return {"count": len(self.labels), "next": None, "previous": None, "results": list(self.labels)}
            case _ if path == f"/api/tasks/{TASK}":
                return self._task()
            case _ if path == f"/api/tasks/{TASK}/data/meta":
                frame = {"width": 1, "height": 1, "related_files": 0}
                return {
                    "chunks_updated_date": _TIME,
                    "deleted_frames": [],
                    "frames": [{"name": name, **frame} for name in self.images],
                }
            case _ if path == f"/api/tasks/{TASK}/data" and query["quality"] == "original":
                return self._chunk(int(query["number"]))
        return None

    def _task(self) -> dict[str, Any]:
        return {
            "id": TASK,
            "name": "stills",
            "organization": None,
            "organization_id": None,
            "updated_date": _TIME,
            "size": len(self.images),
            "data_chunk_size": 2,
            "data_original_chunk_type": "imageset",
            "jobs": {"count": 1, "completed": 0, "validation": 0},
            "labels": {"url": f"{self.address}/api/labels?task_id={TASK}"},
        }

    def _chunk(self, number: int) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as chunk:
            for place, (name, data) in list(enumerate(self.images.items()))[2 * number : 2 * number + 2]:
                chunk.writestr(f"{place % 2:06d}.{name.rpartition('.')[2]}", data)
        return buffer.getvalue()

    def receive(self, method: str, path: str, query: dict[str, str], content: dict[str, Any]) -> str:
        """Keeps an upload of annotations; returns what is wrong with it, or ""."""
        model = models.PatchedLabeledDataRequest if method == "PATCH" else models.LabeledDataRequest
        if path != f"/api/tasks/{TASK}/annotations":
            return f"no such path: {path}"
        try:
            known = to_json(model._from_openapi_data(**content))
        except Exception as error:  # of several kinds, none of which is documented
            return f"{type(error).__name__}: {error}"
        # The models of the SDK keep what is not in the schema.
        unknown = {key for shape in content["shapes"] for key in shape} - {*models.LabeledShapeRequest.attribute_map}
        unknown |= {*content} - {*model.attribute_map}
        if known != content or unknown:
            return f"expected {known}, found {content}; not in the schema: {sorted(unknown)}"
        ids = {label["id"]: {item["id"] for item in label["attributes"]} for label in self.labels}
        for shape in content["shapes"]:
            attributes = {item["spec_id"] for item in shape.get("attributes", [])}
            if shape["label_id"] not in ids or not attributes <= ids[shape["label_id"]]:
                return f"not of a label of the task: {shape}"
            if not 0 <= shape["frame"] < len(self.images) or len(shape["points"]) != 4:
                return f"no rectangle of a frame of the task: {shape}"
        self.uploads.append((method, query.get("action", ""), content))
        return ""


class _Handler(BaseHTTPRequestHandler):
    server: "_HttpServer"

    def do_GET(self) -> None:
        path, query = self._target()
        self._send(self.server.cvat.answer(path, query))

    def do_PATCH(self) -> None:
        path, query = self._target()
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if wrong := self.server.cvat.receive(self.command, path, query, content):
            self.server.cvat.refused.append(wrong)
            self.send_error(400)
            return
        self._send(content | {"version": 1})

    do_PUT = do_PATCH  # noqa: N815 - a name of the base class

    def _target(self) -> tuple[str, dict[str, str]]:
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self.server.cvat.refused.append(f"no token: {self.path}")
        parts = urlsplit(self.path)
        return parts.path.rstrip("/"), {name: values[-1] for name, values in parse_qs(parts.query).items()}

    def _send(self, answer: dict[str, Any] | bytes | None) -> None:
        if answer is None:
            self.server.cvat.refused.append(f"{self.command} {self.path}")
            self.send_error(404)
            return
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/zip" if isinstance(answer, bytes) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


class _HttpServer(ThreadingHTTPServer):
    cvat: CvatServer


@contextlib.contextmanager
def serve_task(images: dict[str, bytes], labels: Sequence[dict[str, Any]]) -> Iterator[CvatServer]:
    """Runs a server on a free port of the loopback interface."""
    with _HttpServer(("127.0.0.1", 0), _Handler) as http:
        http.cvat = CvatServer(images, labels, address=f"http://127.0.0.1:{http.server_address[1]}")
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield http.cvat
        finally:
            http.shutdown()
            thread.join()


def label(label_id: int, name: str, *, kind: str = "any", score: str = "") -> dict[str, Any]:
    """Returns a label of a task, with a text attribute of the name `score`, if it is given."""
    attribute = {"id": 100 + label_id, "name": score, "mutable": False, "input_type": "text", "values": []}
    return {
        "id": label_id,
        "name": name,
        "type": kind,
        "attributes": [attribute] if score else [],
        "sublabels": [],
        "has_parent": False,
        "parent_id": None,
    }
