import pytest

from inference.review_page.guard import find_refusal, new_token

_TOKEN = "the-token"  # noqa: S105 - of the tests
_HOST = {"host": "127.0.0.1:8000"}
_JSON = {"content-type": "application/json", "content-length": "2"}
_API, _ASSET = "/api/run", "/app.js"
REQUESTS = [
    ("GET", _ASSET, _HOST, "", None, "the page's own files need no token"),
    ("GET", _API, _HOST | {"x-review-token": _TOKEN}, "", None, "the token in a header"),
    ("GET", "/picture/screen/0", _HOST, "token=the-token", None, "an image has it in its query"),
    ("GET", _API, {"host": "localhost:8000", "x-review-token": _TOKEN}, "", None, "another name of this machine"),
    ("GET", _API, _HOST, "", 401, "no token"),
    ("GET", _API, _HOST, "token=the-toke", 401, "part of the token"),
    ("GET", _API, _HOST | {"x-review-token": "é"}, "", 401, "a token that is not ASCII"),
    ("GET", _ASSET, {"host": "evil.example:8000"}, "", 421, "DNS rebinding: a name that resolves to 127.0.0.1"),
    ("GET", _ASSET, {"host": "127.0.0.1:9000"}, "", 421, "another port"),
    ("GET", _ASSET, {"host": "127.0.0.1"}, "", 421, "no port"),
    ("GET", _ASSET, {}, "", 421, "no host"),
    ("GET", _API, _HOST | {"origin": "https://evil.example"}, "token=the-token", 403, "another origin"),
    ("GET", _API, _HOST | {"origin": "null"}, "token=the-token", 403, "a page without an origin, such as a file"),
    (
        "GET",
        _API,
        _HOST | {"origin": "http://127.0.0.1:9000"},
        "token=the-token",
        403,
        "another server of this machine",
    ),
    ("GET", _API, _HOST | {"origin": "http://127.0.0.1:8000"}, "token=the-token", None, "its own origin"),
    ("GET", "/picture/full/0", _HOST | {"sec-fetch-site": "cross-site"}, "token=the-token", 403, "an image elsewhere"),
    ("GET", "/picture/full/0", _HOST | {"sec-fetch-site": "same-site"}, "token=the-token", 403, "on another port"),
    ("GET", "/", _HOST | {"sec-fetch-site": "cross-site"}, "", None, "a link to the page, which shows nothing"),
    ("POST", _API, _HOST | _JSON, "token=the-token", None, "a decision"),
    ("POST", _API, _HOST | _JSON | {"content-type": "text/plain"}, "token=the-token", 415, "the type of a form"),
    ("POST", _API, _HOST | _JSON | {"content-length": "9999999"}, "token=the-token", 413, "too long"),
    ("POST", _API, _HOST | {"content-type": "application/json"}, "token=the-token", 413, "of unknown length"),
]


@pytest.mark.parametrize(("method", "path", "headers", "query", "status", "reason"), REQUESTS)
def test_which_requests_are_refused(
    method: str, path: str, headers: dict[str, str], query: str, status: int | None, reason: str
) -> None:
    found = find_refusal(method=method, path=path, headers=headers, query=query, port=8000, token=_TOKEN)
    assert (found and found[0]) == status, reason


def test_tokens_differ() -> None:
    assert new_token() != new_token() and len(new_token()) > 40
