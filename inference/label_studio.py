"""`label_studio`: a model as an ML backend of Label Studio, a server that it asks for predictions.

Begin with `Backend`, which answers the requests of labelstud.io/guide/ml_create; `make_backend_app` is the thin shell
of HTTP around it, and `serve_label_studio` runs it. Label Studio's own library for backends, label-studio-ml, is not
used: its last release requires a Flask and a Jinja of 2020 and 2021.
"""

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from inference.detector import ImageDetector, open_detector
from inference.image_sources.chunks import groups
from inference.label_studio_images import TaskImages
from inference.label_studio_options import TOKEN_VARIABLE, LabelStudioOptions
from retinanet_odm import __version__
from retinanet_odm.cli.installation import check_extras
from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.predictions.formats.label_studio import (
    LabelingInterface,
    model_version,
    read_labeling_interface,
    to_prediction,
)
from retinanet_odm.predictions.rows import OK, ScoringRun

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse

_logger = logging.getLogger(__name__)

_TASKS_AT_ONCE = 16  # images in memory; Label Studio asks for up to a hundred tasks and more in one request
_NOTHING: list[dict[str, Any]] = []  # no prediction of a task, which differs from one without boxes


def serve_label_studio(options: LabelStudioOptions) -> None:
    """Answer requests until the process is interrupted.

    Raises:
      UsageError: a package or the model is missing, or the port is in use.
    """
    check_extras("label_studio", tensorflow="cpu", fastapi="label-studio", uvicorn="label-studio")
    import uvicorn

    with open_backend(options) as (listener, app):
        uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run(sockets=[listener])


@contextlib.contextmanager
def open_backend(options: LabelStudioOptions) -> Iterator[tuple[socket.socket, "FastAPI"]]:
    """Open the port and load the model; yield what a server of ASGI needs."""
    images = TaskImages(options.url, os.environ.get(TOKEN_VARIABLE, ""), options.image_hosts)
    # The port first: loading the model takes seconds.
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        listener = socket.create_server((options.host, options.port), family=family)
    except OSError as error:
        # Python adds the address to the text of the system.
        reason = str(error.strerror or error).partition(" (while")[0]
        raise UsageError(f"--port: cannot listen on {options.host}, port {options.port}: {reason}") from error
    with listener:
        detector = open_detector(options.model, options.min_score, options.model_options)
        backend = Backend(detector, images)
        _logger.info("boxes from a score of %s", detector.thresholds.describe())
        _logger.info("%s", backend.version)
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        _logger.info("serving Label Studio at %s; listening on http://%s:%d", images.url, shown, port)
        yield listener, make_backend_app(backend)


class Backend:
    """Answers the requests of Label Studio. Requests may come from several threads.

    Attributes:
      version: of the model, as Label Studio shows it; a task that has a prediction of it is not asked for again.
    """

    def __init__(self, detector: ImageDetector, images: TaskImages) -> None:
        """Keep the model and the reader of images."""
        self._detector = detector
        self._images = images
        self._lock = threading.Lock()
        manifest = detector.manifest
        thresholds = detector.thresholds.by_id(detector.classes)
        self.version = model_version(
            ScoringRun(
                classes=detector.classes,
                model_hash=manifest.model_hash,
                thresholds=thresholds,
                min_scores=thresholds,
                nms_iou=manifest.nms_iou,
                code_version=__version__,
            )
        )

    def health(self) -> dict[str, str]:
        """Return that the backend works."""
        return {"status": "UP", "model_class": "RetinaNet-ODM"}

    def setup(self, request: dict[str, Any]) -> dict[str, str]:
        """Check the labeling interface of a project that is connected; return the version of the model.

        The address and the token that Label Studio sends are not used: anybody who reaches the port could send others.

        Raises:
          DataError: the interface is not well-formed.
          UsageError: it has no place for boxes of the model, or the request has no text `schema`.
        """
        interface = self._interface(_member(request, "schema", str))
        missing = [name for name in self._detector.classes.values() if name not in interface.labels]
        if missing:
            _logger.warning("the labeling interface lacks these classes, whose boxes are left out: %s", missing)
        return {"model_version": self.version}

    def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the predictions of tasks.

        Returns:
          For each task, in order, its prediction, or an empty list if its image cannot be read or scored, which is
          logged: Label Studio then has no prediction of the task, and asks again.

        Raises:
          DataError: the interface is not well-formed.
          UsageError: it has no place for boxes of the model, the request lacks a text `label_config` or a list `tasks`,
            or the model fails on every image.
        """
        interface = self._interface(_member(request, "label_config", str))
        tasks = _member(request, "tasks", list)
        results = [result for some in groups(tasks, _TASKS_AT_ONCE) for result in self._predict(some, interface)]
        return {"results": results}

    def _interface(self, text: str) -> LabelingInterface:
        return read_labeling_interface(text, self._detector.classes.values())

    def _predict(self, tasks: Sequence[Any], interface: LabelingInterface) -> Iterator[dict[str, Any] | list[Any]]:
        loaded = [self._load(task, interface) for task in tasks]
        with self._lock:  # one call of the model at a time
            scored = iter(self._detector([image for image in loaded if isinstance(image, bytes)]))
        for task, image in zip(tasks, loaded, strict=True):
            if isinstance(image, DataError):
                _logger.warning("task %s: no prediction: %s", _name(task), image)
                yield _NOTHING
                continue
            row = next(scored).row
            if row.status == OK:
                yield to_prediction(row, interface, self.version)
            else:
                _logger.warning("task %s: no prediction: %s", _name(task), row.detail)
                yield _NOTHING

    def _load(self, task: Any, interface: LabelingInterface) -> bytes | DataError:
        """Return the content of a task's image, or why there is none."""
        try:
            address = _member(_member(task, "data", dict), interface.key, str)
            return self._images.read(address, task.get("id"))
        except UsageError as error:
            return DataError("image_not_available", str(error))
        except DataError as error:
            return error


def _member(value: Any, name: str, kind: type) -> Any:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, kind):
        raise UsageError(f"expected {name!r} of type {kind.__name__}, found {type(found).__name__}")
    return found


def _name(task: Any) -> object:
    return task.get("id") if isinstance(task, dict) else None


def make_backend_app(backend: Backend) -> "FastAPI":
    """Return the server of a backend. Functions of requests run in threads, so that /health is answered meanwhile."""
    import fastapi
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse

    # Without the pages that describe it, which load scripts from elsewhere.
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    def refuse(_: "Request", error: Exception) -> "JSONResponse":
        # Label Studio shows the status only, and advises to look at the log.
        line = "expected a JSON object" if isinstance(error, RequestValidationError) else str(error)
        _logger.warning("refused a request: %s", line)
        return JSONResponse({"error": line}, status_code=400)

    for kind in (DataError, UsageError, RequestValidationError):
        app.add_exception_handler(kind, refuse)

    app.get("/")(backend.health)
    app.get("/health")(backend.health)

    app.post("/setup")(backend.setup)
    app.post("/predict")(backend.predict)
    # Label Studio reports every annotation to a backend that is connected; this one does not learn from them.
    app.post("/webhook")(lambda: {"status": "ignored"})
    return app
