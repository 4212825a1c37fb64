"""The addresses of the page, by the client of Starlette: no port, no browser."""

import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from inference.review_page.app import ASSETS, make_app, parse_filter
from inference.review_page.decision_log import DecisionLog
from retinanet_odm.errors import UsageError
from tests.inference.review_page.made import make_service, write_run

_TOKEN = "the-token"  # noqa: S105 - of the tests
_ACCEPTED = {"label": "crab", "box": [1, 2, 11, 12], "verdict": "accepted", "detection": None}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[DecisionLog]:
    write_run(tmp_path)
    with DecisionLog(str(tmp_path / "OUT" / "review.jsonl")) as opened:
        yield opened


@pytest.fixture
def client(tmp_path: Path, log: DecisionLog) -> Any:
    testclient = pytest.importorskip("starlette.testclient", reason="needs the extra [review]")
    app = make_app(make_service(tmp_path, log), port=8000, token=_TOKEN)
    return testclient.TestClient(app, base_url="http://127.0.0.1:8000", headers={"x-review-token": _TOKEN})


def _decision(**more: Any) -> dict[str, Any]:
    return {"action": "draw", "done": False, "objects": [_ACCEPTED], "version": 0, **more}


def test_the_page_and_its_policy(client: Any) -> None:
    found = client.get("/", headers={"x-review-token": ""})
    assert found.status_code == 200 and "<title>Review</title>" in found.text
    assert found.headers["content-security-policy"].startswith("default-src 'self';")
    assert not [name for name in found.headers if name.startswith("access-control")], "no other origin may read"
    for name in re.findall(r'(?:src|href)="/([^"]+)"', found.text):
        assert client.get(f"/{name}").headers["content-type"] == ASSETS[name]
    assert client.get("/decisions.py").status_code == client.get("/..%2fapp.py").status_code == 404


def test_every_file_of_the_page_is_served_and_is_small() -> None:
    folder = resources.files("inference.review_page") / "static"
    assert {path.name for path in folder.iterdir()} == set(ASSETS)
    assert not [path.name for path in folder.iterdir() if len(path.read_text().splitlines()) > 300]
    texts = [path.read_text() for path in folder.iterdir()]
    assert not [url for text in texts for url in re.findall(r"https?://[^\s\"']+", text) if "w3.org" not in url]


def test_a_review(client: Any, log: DecisionLog) -> None:
    run = client.get("/api/run").json()
    assert run["images"]["name"][0] == "a.jpg" and run["images"]["failed"] == [2] and run["images"]["done"] == []
    image = client.get("/api/image/0").json()
    assert [item["verdict"] for item in image["objects"]] == ["open", "open"]
    assert client.get("/picture/thumbnail/0").headers["content-type"] == "image/jpeg"
    assert client.post("/api/image/0", json=_decision(done=True)).json() == {"version": 1}
    assert client.get("/api/select?status=reviewed").json() == [0]
    assert client.get("/api/image/0").json()["objects"] == [_ACCEPTED]
    assert log.states["a.jpg"].done
    assert client.post("/api/export", json={"formats": ["cvat"]}).json() == {"files": ["cvat"]}


REFUSED = [
    ("GET", "/api/image/9", None, 404, "there is no such image"),
    ("GET", "/picture/huge/0", None, 404, "there is no such size"),
    ("GET", "/picture/screen/2", None, 422, "a file that is no image"),
    ("GET", "/api/select?low=x", None, 400, "a score that is no number"),
    ("GET", "/api/select?status=x", None, 400, "an unknown status"),
    ("POST", "/api/image/9", _decision(), 404, "about no image"),
    ("POST", "/api/image/2", _decision(), 422, "about an image that failed"),
    ("POST", "/api/image/0", _decision(version=3), 409, "about another state"),
    ("POST", "/api/image/0", _decision(version=None), 422, "without a version"),
    ("POST", "/api/image/0", _decision(action="x"), 422, "an unknown action"),
    ("POST", "/api/image/0", [], 422, "no object"),
    ("POST", "/api/image/0", _decision(objects=[{**_ACCEPTED, "label": "whale"}]), 422, "an unknown class"),
    ("POST", "/api/image/0", _decision(done=True, objects=[{**_ACCEPTED, "verdict": "open"}]), 422, "an open one"),
    ("POST", "/api/export", {"formats": []}, 400, "nothing to export"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "value", "status", "reason"), REFUSED)
def test_requests_that_are_refused(
    client: Any, log: DecisionLog, method: str, path: str, value: Any, status: int, reason: str
) -> None:
    found = client.request(method, path, json=value) if method == "POST" else client.get(path)
    assert found.status_code == status, (reason, found.text)
    assert found.json()["error"] and not log.states


def test_a_disk_that_is_full_is_told(client: Any, log: DecisionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: bytes) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(log, "_write", fail)
    found = client.post("/api/image/0", json=_decision())
    assert found.status_code == 507 and "No space left" in found.json()["error"] and not log.states


OTHERS = [
    ({"origin": "https://evil.example"}, 403, "a page of another origin"),
    ({"host": "evil.example:8000"}, 421, "a name that resolves to this machine"),
    ({"x-review-token": "wrong"}, 401, "without the token"),
    ({"sec-fetch-site": "cross-site"}, 403, "from another site"),
]


@pytest.mark.parametrize(("headers", "status", "reason"), OTHERS)
def test_others_can_neither_read_nor_write(
    client: Any, log: DecisionLog, headers: dict[str, str], status: int, reason: str
) -> None:
    assert client.get("/api/run", headers=headers).status_code == status, reason
    assert client.get("/picture/full/0", headers=headers).status_code == status
    assert client.post("/api/image/0", headers=headers, json=_decision()).status_code == status
    assert client.options("/api/image/0", headers=headers).status_code == status, "no preflight is granted"
    assert not log.states and Path(log.path).read_bytes() == b""


def test_a_filter_of_a_query() -> None:
    wanted = parse_filter({"label": "crab", "low": "0.5", "high": "", "audited": "1", "deployment": ""})
    assert (wanted.label, wanted.low, wanted.high, wanted.audited, wanted.deployment) == ("crab", 0.5, 1.0, True, "")
    assert parse_filter({}).deployment is None
    with pytest.raises(UsageError):
        parse_filter({"uncertainty": "high"})


def test_names_that_are_not_utf8_are_sent(client: Any, log: DecisionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "path", "caf\udce9.jsonl")
    assert json.loads(client.get("/api/run").content)["decisions"] == "caf\udce9.jsonl"
