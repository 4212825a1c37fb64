"""The addresses of the page: each calls one method of the service. Begin with `make_app`.

Starlette is imported when an application is made: only `review` needs it.
"""

import json
from collections.abc import Callable
from importlib import resources
from typing import Any

from inference.review_page.decision_log import StaleDecisionError
from inference.review_page.guard import Guard
from inference.review_page.listed_images import ImageFilter
from inference.review_page.service import ReviewService, UnknownImageError
from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.predictions.rows import utf8

# The only files that are served, by name, with their types: no path of a request reaches the disk.
_SCRIPT, _STYLE, _PAGE = "text/javascript; charset=utf-8", "text/css; charset=utf-8", "text/html; charset=utf-8"
START_PAGE = "index.html"
ASSETS = {
    START_PAGE: _PAGE,
    "style.css": _STYLE,
    **dict.fromkeys(
        ("app.js", "api.js", "list.js", "stage.js", "boxes.js", "panels.js", "review.js", "filters.js"), _SCRIPT
    ),
}
_FOR_AN_HOUR = {"cache-control": "private, max-age=3600"}
_NEVER_STORED = {"cache-control": "no-store"}
# HTTP statuses of expected errors.
_STATUSES: dict[type[Exception], int] = {
    UnknownImageError: 404,
    StaleDecisionError: 409,
    DataError: 422,
    UsageError: 400,
    OSError: 507,
}


def read_asset(name: str) -> bytes:
    """Return the content of a file of the page."""
    return (resources.files("inference.review_page") / "static" / name).read_bytes()


def make_app(service: ReviewService, *, port: int, token: str) -> Guard:
    """Return the ASGI application of a review.

    Args:
      service: the review.
      port: of the server, which requests must name.
      token: that requests must have.
    """
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    def as_json(value: object, status: int = 200) -> Response:
        data = utf8(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
        return Response(data, status, _NEVER_STORED, "application/json")

    async def answer(call: Callable[[], Response]) -> Response:
        try:
            # In a thread: images are decoded and decisions wait for the disk, and meanwhile others are answered.
            return await run_in_threadpool(call)
        except tuple(_STATUSES) as error:
            status = next(status for kind, status in _STATUSES.items() if isinstance(error, kind))
            return as_json({"error": str(error) or "there is no such image"}, status)

    async def asset(request: Request) -> Response:
        name = request.path_params.get("name", START_PAGE)
        if name not in ASSETS:
            return Response("there is no such file", 404, media_type="text/plain")
        return Response(read_asset(name), headers=_NEVER_STORED, media_type=ASSETS[name])

    async def run(_: Request) -> Response:
        return await answer(lambda: as_json(service.describe_run()))

    async def select(request: Request) -> Response:
        return await answer(lambda: as_json(service.select(parse_filter(dict(request.query_params)))))

    async def image(request: Request) -> Response:
        return await answer(lambda: as_json(service.describe_image(request.path_params["number"])))

    async def picture(request: Request) -> Response:
        def call() -> Response:
            found = service.picture(request.path_params["number"], request.path_params["size"])
            return Response(found.data, headers=_FOR_AN_HOUR, media_type=found.media_type)

        return await answer(call)

    async def decide(request: Request) -> Response:
        value = parse_body(await request.body())
        return await answer(lambda: as_json(service.decide(request.path_params["number"], value)))

    async def export(request: Request) -> Response:
        value = parse_body(await request.body())
        return await answer(lambda: as_json(service.export(value.get("formats") or [])))

    routes = [
        Route("/", asset),
        Route("/api/run", run),
        Route("/api/select", select),
        Route("/api/image/{number:int}", image),
        Route("/api/image/{number:int}", decide, methods=["POST"]),
        Route("/api/export", export, methods=["POST"]),
        Route("/picture/{size}/{number:int}", picture),
        Route("/{name}", asset),
    ]
    return Guard(Starlette(routes=routes), port=port, token=token)


def parse_body(data: bytes) -> dict[str, Any]:
    """Return the JSON object of a request; an empty one if it is none, which no method takes."""
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def parse_filter(query: dict[str, str]) -> ImageFilter:
    """Return the filter that a query asks for; keys are the fields of ImageFilter.

    Raises:
      UsageError: a value is out of its range.

    Example:
      >>> parse_filter({"label": "crab", "low": "0.5"}).low
      0.5
    """
    try:
        return ImageFilter(
            label=query.get("label", ""),
            low=float(query["low"]) if query.get("low") else None,
            high=float(query.get("high") or 1),
            uncertainty=float(query.get("uncertainty") or 0),
            deployment=query.get("deployment"),
            status=query.get("status") or ImageFilter.status,
            audited=query.get("audited") == "1",
            text=query.get("text", ""),
            order=query.get("order") or ImageFilter.order,
        )
    except ValueError as error:
        raise UsageError(f"expected numbers for scores and uncertainty: {error}") from error
