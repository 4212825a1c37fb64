"""The backend as Label Studio talks to it: by HTTP, with the requests of its own connector (ml/api_connector.py)."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from inference import load_detector
from inference.label_studio import open_backend
from inference.label_studio_options import LabelStudioOptions, label_studio_options
from inference.options import make_score_parser
from retinanet_odm import __version__
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.predictions.formats.label_studio import to_label_studio, to_labeling_interface
from retinanet_odm.predictions.rows import ScoringRun
from tests.inference.fake_model import BLUE, FAILING_WIDTH, RED, make_image, write_manifest, write_model
from tests.inference.label_studio_server import LEGACY, LabelStudioServer, serve_images

# Not in an environment that was made before requirements.lock had them.
pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")

_EXIF = Image.Exif()
_EXIF[0x0112] = 6  # turned clockwise to be upright
IMAGES = {
    "/data/upload/1/both.png": make_image(300, 200, {RED: (50, 60, 150, 120), BLUE: (200, 80, 260, 180)}),
    "/data/upload/1/tagged.jpg": make_image(200, 100, {RED: (8, 8, 72, 56)}, "JPEG", exif=_EXIF, quality=95),
    "/data/upload/1/empty.png": make_image(20, 10),
    "/data/upload/1/failing.png": make_image(FAILING_WIDTH, 10),
    "/data/upload/1/text.png": b"no image",
}
INTERFACE = """
<View>
  <Header value="$title"/>
  <Image name="still" value="$photo"/>
  <RectangleLabels name="kind" toName="still">
    <Label value="Crab" predicted_values="lobster, crab"/><Label value="sea pig"/><Label value="star"/>
  </RectangleLabels>
</View>
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a threshold for each class: the detections of both (0.9 and 0.4) count."""
    folder = tmp_path_factory.mktemp("new") / "export"
    write_model(folder)
    write_manifest(folder, thresholds={"crab": 0.6, "sea pig": 0.35})
    return folder


@pytest.fixture(scope="module")
def label_studio() -> Iterator[LabelStudioServer]:
    with serve_images() as running:
        running.files.update(IMAGES)
        yield running


@contextlib.contextmanager
def _running(options: LabelStudioOptions) -> Iterator[str]:
    """Runs the server in a thread; yields its address."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABEL_STUDIO_API_KEY", LEGACY)
        with open_backend(options) as (listener, app):
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
            thread = threading.Thread(target=server.run, args=([listener],))
            thread.start()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def backend(model: Path, label_studio: LabelStudioServer) -> Iterator[str]:
    with _running(LabelStudioOptions(model=str(model), url=label_studio.address, port=0)) as address:
        yield address


def _predict(backend: str, *addresses: str, **changes: Any) -> requests.Response:
    request = {
        "tasks": [{"id": 10 + place, "data": {"photo": each}, "project": 1} for place, each in enumerate(addresses)],
        "project": "1.1700000000",
        "label_config": INTERFACE,
        "params": {"login": None, "password": None, "context": None},
    }
    return requests.post(f"{backend}/predict", json=request | changes, timeout=60)


def _setup(backend: str, schema: Any) -> requests.Response:
    request = {
        "project": "1.1700000000",
        "schema": schema,
        "hostname": "http://169.254.169.254",
        "access_token": "of another server",
        "extra_params": None,
    }
    return requests.post(f"{backend}/setup", json=request, timeout=60)


def test_health_and_webhook(backend: str) -> None:
    for path in ("", "/health"):
        assert requests.get(f"{backend}{path}", timeout=60).json()["status"] == "UP"
    event = {"action": "ANNOTATION_CREATED", "project": {"id": 1}}
    assert requests.post(f"{backend}/webhook", json=event, timeout=60).status_code == 200
    # Where Label Studio has a newer request, it takes 404 for an older backend.
    assert requests.get(f"{backend}/versions", timeout=60).status_code == 404
    assert requests.get(f"{backend}/docs", timeout=60).status_code == 404


def test_predictions(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """Names of the project's interface, a threshold for each class, upright pixels, and images that have none."""
    version = _setup(backend, INTERFACE).json()["model_version"]
    assert version.startswith("retinanet-odm ") and ", model " in version
    both, tagged, empty, failing, text, missing, local = _predict(
        backend, *IMAGES, "/data/upload/1/missing.png", "file:///etc/passwd"
    ).json()["results"]
    assert {both["model_version"], tagged["model_version"], empty["model_version"]} == {version}
    crab, pig = both["result"]
    assert (crab["from_name"], crab["to_name"], crab["type"]) == ("kind", "still", "rectanglelabels")
    assert (crab["value"]["rectanglelabels"], pig["value"]["rectanglelabels"]) == (["Crab"], ["sea pig"])
    assert (crab["score"], pig["score"], both["score"]) == (0.9, 0.4, 0.4)
    (box,) = tagged["result"]
    # The red rectangle is at the upper right of the upright image, 44 to 92 of 100 and 8 to 72 of 200 pixels.
    assert (box["original_width"], box["original_height"], box["image_rotation"]) == (100, 200, 0)
    sides = [box["value"][side] for side in ("x", "y", "width", "height", "rotation")]
    assert sides == pytest.approx([44, 4, 48, 32, 0], abs=2)
    assert empty["result"] == [] and "score" not in empty
    # No prediction, which Label Studio tells from one without boxes.
    assert [failing, text, missing, local] == [[], [], [], []]
    for words in ("task 13: no prediction: ", "task 14: no prediction: ", "task 15: no prediction: http://127"):
        assert words in caplog.text
    assert "task 16: no prediction: expected an address of http://127" in caplog.text


def test_a_prediction_is_that_of_the_export(backend: str, model: Path) -> None:
    """In the interface of labelstudio.xml, the prediction is what labelstudio.json has."""
    detector = load_detector(model)
    scores = detector.thresholds.by_id(detector.classes)
    run = ScoringRun(
        classes=detector.classes,
        model_hash=ModelManifest.from_json((model / ModelManifest.FILE).read_text(), source="model.json").model_hash,
        thresholds=scores,
        min_scores=scores,
        nms_iou=0.5,
        code_version=__version__,
    )
    (task,) = json.loads(b"".join(to_label_studio([detector(IMAGES["/data/upload/1/both.png"]).row], run)))
    tasks = [{"id": 1, "data": {"image": "/data/upload/1/both.png"}}]
    interface = b"".join(to_labeling_interface([], run)).decode()
    assert _predict(backend, tasks=tasks, label_config=interface).json()["results"] == task["predictions"]
    assert len(task["predictions"][0]["result"]) == 2


def test_classes_without_a_label_are_named(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    interface = INTERFACE.replace('value="sea pig"', 'value="sea urchin"')
    assert _setup(backend, interface).status_code == 200
    assert "the labeling interface lacks these classes, whose boxes are left out: ['sea pig']" in caplog.text
    ((prediction),) = _predict(backend, "/data/upload/1/both.png", label_config=interface).json()["results"]
    assert [item["value"]["rectanglelabels"] for item in prediction["result"]] == [["Crab"]]
    assert prediction["score"] == 0.9


REFUSED: list[Any] = [
    ({"label_config": "<View><Image"}, "the labeling interface: not well-formed"),
    ({"label_config": "<View/>"}, "the labeling interface has no <RectangleLabels"),
    ({"label_config": None}, "expected 'label_config' of type str, found NoneType"),
    ({"tasks": {}}, "expected 'tasks' of type list, found dict"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_a_bad_request_is_one_line(backend: str, changes: dict[str, Any], message: str) -> None:
    answer = _predict(backend, **changes)
    assert answer.status_code == 400 and message in answer.json()["error"] and "\n" not in answer.json()["error"]
    if "label_config" in changes:
        assert _setup(backend, changes["label_config"]).status_code == 400


def test_what_is_no_request(backend: str) -> None:
    for body in (b"", b"[]", b"{", b'"text"'):
        headers = {"Content-Type": "application/json"}
        answer = requests.post(f"{backend}/predict", data=body, headers=headers, timeout=60)
        assert (answer.status_code, answer.json()) == (400, {"error": "expected a JSON object"})
    # As a page of another origin may send it without asking.
    answer = requests.post(f"{backend}/predict", json={}, headers={"Content-Type": "text/plain"}, timeout=60)
    assert answer.status_code == 400
    # A bad task costs the others nothing.
    tasks = [{"id": 1}, 3, {"id": 2, "data": {"other": "/a.png"}}, {"data": {"photo": 3}}]
    assert _predict(backend, tasks=tasks).json() == {"results": [[]] * 4}
    assert _predict(backend, tasks=[]).json() == {"results": []}


def test_it_is_healthy_while_it_predicts(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Label Studio waits one second for /health, and as long as it takes for predictions."""
    reading, go_on = threading.Event(), threading.Event()

    def wait(*_: object) -> bytes:
        reading.set()
        assert go_on.wait(60)
        return IMAGES["/data/upload/1/empty.png"]

    monkeypatch.setattr("inference.label_studio.TaskImages.read", wait)
    found: list[requests.Response] = []
    thread = threading.Thread(target=lambda: found.append(_predict(backend, "/a.png")))
    thread.start()
    assert reading.wait(60)
    assert requests.get(f"{backend}/health", timeout=60).status_code == 200 and not found
    go_on.set()
    thread.join()
    assert found[0].json()["results"][0]["result"] == []


def test_flags_reach_the_model(model: Path, label_studio: LabelStudioServer) -> None:
    words = ["--min_score=0.5", "--port=0", f"--url={label_studio.address}/"]
    flags = make_score_parser().parse_args(["label_studio", "--model", str(model), *words])
    with _running(label_studio_options(flags)) as address:
        ((prediction),) = _predict(address, "/data/upload/1/both.png").json()["results"]
    assert [item["value"]["rectanglelabels"] for item in prediction["result"]] == [["Crab"]]


BAD: list[Any] = [
    (["--url=localhost"], "--url: expected the address of Label Studio"),
    (["--port=70000"], "--port: expected a number from 0 to 65535, found 70000"),
    (["--host="], "--host: expected a name or an address of this machine, found an empty name"),
    (["--host=192.0.2.1"], "--port: cannot listen on 192.0.2.1, port 9090"),
    (["--image_hosts", "http://a"], "--image_hosts: expected HOST or HOST:PORT, found http://a"),
    (["--min_score=2"], "--min_score: expected a score from 0 to 1"),
    (["--model=nowhere", "--port=0"], "--model: there is no folder nowhere"),
]


@pytest.mark.parametrize(("flags", "message"), BAD)
def test_bad_flags(model: Path, flags: list[str], message: str, fail: Callable[..., str]) -> None:
    assert message in fail("label_studio", "--model", model, *flags)


def test_a_port_that_is_in_use(backend: str, model: Path, fail: Callable[..., str]) -> None:
    port = backend.rpartition(":")[2]
    line = fail("label_studio", "--model", model, "--port", port)
    assert line == f"error: --port: cannot listen on 127.0.0.1, port {port}: Address already in use"


def test_without_the_extra(model: Path, fail: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "uvicorn" else name)
    line = fail("label_studio", "--model", model)
    assert line == "error: label_studio: needs uvicorn, which is not installed: pip install '.[label-studio]'"
