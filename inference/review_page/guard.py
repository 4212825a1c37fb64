"""Which requests the page's server refuses, and the headers of every answer. Begin with `find_refusal`.

The server listens on the loopback interface, but every page that a browser has open can send requests there. So:

- Host must be this machine: a name of another that resolves to 127.0.0.1 (DNS rebinding) is refused.
- Origin, where a browser sends it, must be this page, and Sec-Fetch-Site must not name another site. No answer has
  headers that permit another origin to read it (CORS).
- Everything but the page's own files needs the token, which only this process and the address that it prints have. It
  is in the fragment of the address, which browsers send nowhere.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Message, Callable[[], Awaitable[_Message]], _Send], Awaitable[None]]

TOKEN_HEADER, TOKEN_QUERY = "x-review-token", "token"
GUARDED = ("/api/", "/picture/")
MAX_BODY = 2**20  # bytes: an image with 5,000 boxes
_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def new_token() -> str:
    """Return a random token of 256 bits."""
    return secrets.token_urlsafe(32)


def find_refusal(
    *, method: str, path: str, headers: Mapping[str, str], query: str, port: int, token: str
) -> tuple[int, str] | None:
    """Return why a request is refused, as an HTTP status and a sentence; None if it is not.

    Args:
      method: GET, POST, …
      path: without the query.
      headers: by name in lower case.
      query: of the address, without its question mark.
      port: of the server.
      token: that a request must have.
    """
    hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
    host, origin = headers.get("host", ""), headers.get("origin")
    if host not in hosts:
        return 421, "this server answers only on this machine"
    if origin is not None and origin != f"http://{host}":
        return 403, "a page of another origin may not ask here"
    if not path.startswith(GUARDED):
        return None
    # Not of the page itself, which a link elsewhere may open: without the token it shows nothing.
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return 403, "a page of another site may not ask here"
    given = headers.get(TOKEN_HEADER) or parse_qs(query).get(TOKEN_QUERY, [""])[0]
    if not secrets.compare_digest(given.encode("utf-8", "replace"), token.encode()):
        return 401, "expected the token of the address that `review` has printed"
    if method == "POST":
        # A form of another page can send other types without asking first.
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return 415, "expected application/json"
        if not headers.get("content-length", "").isdecimal() or int(headers["content-length"]) > MAX_BODY:
            return 413, f"expected at most {MAX_BODY} bytes"
    return None


class Guard:
    """An ASGI application that refuses requests, and hands all others on to another one."""

    def __init__(self, app: _App, *, port: int, token: str) -> None:
        self._app, self._port, self._token = app, port, token

    async def __call__(self, scope: _Message, receive: Callable[[], Awaitable[_Message]], send: _Send) -> None:
        """Answer a request."""

        async def send_guarded(message: _Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = find_refusal(
            method=scope["method"],
            path=scope["path"],
            headers=headers,
            query=scope["query_string"].decode("latin-1"),
            port=self._port,
            token=self._token,
        )
        if refusal is None:
            await self._app(scope, receive, send_guarded)
            return
        status, text = refusal
        plain = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
        await send_guarded({"type": "http.response.start", "status": status, "headers": plain})
        await send_guarded({"type": "http.response.body", "body": text.encode()})
