"""CVAT's own program calls the function, for a task of a server that checks what it gets by CVAT's schema."""

import functools
import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from inference import load_detector
from inference.cvat_function import create
from tests.inference.fake_model import BLUE, FAILING_WIDTH, RED, make_image, write_manifest, write_model

# Neither is in an environment that was made before requirements.lock had them.
cvat_cli = pytest.importorskip("cvat_cli.__main__")
cvat_sdk = pytest.importorskip("cvat_sdk.core.client")

from tests.inference.cvat_server import TASK, TOKEN, CvatServer, label, serve_task  # noqa: E402 - it needs cvat_sdk

_EXIF = Image.Exif()
_EXIF[0x0112] = 6  # turned clockwise to be upright
TAGGED = make_image(200, 100, {RED: (8, 8, 72, 56)}, "JPEG", exif=_EXIF, quality=95)
BOTH = make_image(300, 200, {RED: (50, 60, 150, 120), BLUE: (200, 80, 260, 180)})
LABELS = [label(31, "sea pig", score="score"), label(32, "crab", kind="rectangle", score="score")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a threshold for each class: the detections of both (0.9 and 0.4) count."""
    folder = tmp_path_factory.mktemp("new") / "export"
    write_model(folder)
    write_manifest(folder, thresholds={"crab": 0.6, "sea pig": 0.35})
    return folder


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., CvatServer]]:
    """Starts a server of a task, for which the SDK has an empty cache and no saved profile."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", TOKEN)
    config = functools.partial(cvat_sdk.Config, cache_dir=tmp_path / "cache")
    monkeypatch.setattr("cvat_sdk.core.auth.Config", config)
    running = []

    def start(images: dict[str, bytes], labels: Sequence[dict[str, Any]] = LABELS) -> CvatServer:
        running.append(serve_task(images, labels))
        return running[-1].__enter__()

    yield start
    for server in running:
        server.__exit__(None, None, None)


def annotate(server: CvatServer, model: Path, *words: str) -> int:
    """Runs cvat-cli as a user does."""
    parameter = f"model_dir=str:{model}"
    line = ["--server-host", server.address, "task", "auto-annotate", str(TASK)]
    return cvat_cli.main([*line, "--function-module", "inference.cvat_function", "-p", parameter, *words])


def boxes(server: CvatServer) -> list[tuple[int, int, list[float], float, list[str]]]:
    """Returns frame, label id, points, score and attributes of what was uploaded."""
    ((_, _, content),) = server.uploads
    assert server.refused == [] and content["tags"] == []
    assert {(shape["type"], shape["source"]) for shape in content["shapes"]} <= {("rectangle", "auto")}
    return [
        (
            *(shape[key] for key in ("frame", "label_id", "points", "score")),
            [item["value"] for item in shape["attributes"]],
        )
        for shape in content["shapes"]
    ]


def test_boxes_of_a_task(serve: Callable[..., CvatServer], model: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Labels by name, a threshold for each class, scores, pixels as CVAT shows them, an image that cannot be scored."""
    upright = io.BytesIO()
    with Image.open(io.BytesIO(TAGGED)) as opened:
        ImageOps.exif_transpose(opened).save(upright, "JPEG", quality=100, subsampling=0)
    images = {"both.png": BOTH, "failing.png": make_image(FAILING_WIDTH, 10), "tagged.jpg": TAGGED}
    server = serve({**images, "turned by CVAT.jpg": upright.getvalue()})
    assert annotate(server, model, "-p", "score_attribute=str:score") == 0
    assert [(method, action) for method, action, _ in server.uploads] == [("PATCH", "create")]
    crab, pig, tagged, turned = boxes(server)
    assert crab == (0, 32, [50.0, 60.0, 150.0, 120.0], 0.9, ["0.9"])
    assert pig == (0, 31, [200.0, 80.0, 260.0, 180.0], 0.4, ["0.4"])
    # In the upright image of 100 × 200 pixels, in which the red rectangle is at the upper right.
    assert tagged[:2] == (2, 32) and tagged[2] == pytest.approx([44, 8, 92, 72], abs=2)
    assert (turned[0], turned[1:]) == (3, tagged[1:])
    assert "failing.png: no boxes, because it cannot be scored: " in caplog.text


THRESHOLDS: list[Any] = [
    pytest.param([], [32, 31], id="of each class"),
    pytest.param(["--conf-threshold=0.5"], [32], id="CVAT's own, for every class"),
    pytest.param(["--conf-threshold=0.95"], [], id="above every score"),
]


@pytest.mark.parametrize(("words", "found"), THRESHOLDS)
def test_thresholds(serve: Callable[..., CvatServer], model: Path, words: list[str], found: list[int]) -> None:
    server = serve({"both.png": BOTH})
    assert annotate(server, model, "--clear-existing", *words) == 0
    assert [item[1] for item in boxes(server)] == found
    assert server.uploads[0][0] == "PUT"
    assert all(item[4] == [] for item in boxes(server)), "no attribute without score_attribute"


def test_a_low_threshold_shows_what_the_model_would_not_count(serve: Callable[..., CvatServer], model: Path) -> None:
    plain = Path(shutil.copytree(model, model.parent / "plain"))
    write_manifest(plain)
    server = serve({"both.png": BOTH})
    assert annotate(server, plain) == 0
    assert [item[1] for item in boxes(server)] == [32], "0.5 for every class of a model without thresholds"
    server.uploads.clear()
    assert annotate(server, plain, "--conf-threshold=0.3") == 0
    assert [item[1] for item in boxes(server)] == [32, 31]


def test_tiles(serve: Callable[..., CvatServer], model: Path) -> None:
    flags = ["-p", "tile=int:64", "-p", "tile_overlap=float:0.3", "-p", "tile_merge=str:wbf"]
    # Two of one colour, which the model takes for one object if it sees both.
    image = make_image(300, 200, {RED: (8, 8, 30, 30), (254, 0, 0): (250, 150, 280, 190)})
    server = serve({"two.png": image})
    assert annotate(server, model, *flags) == 0
    detector = load_detector(model, tile=64, tile_overlap=0.3, tile_merge="wbf")
    expected = detector(image).detections
    assert [item[2] for item in boxes(server)] == [list(item.box) for item in expected]
    assert len(expected) == 2, "which tiles tell apart"


def test_labels_that_the_task_lacks(serve: Callable[..., CvatServer], model: Path) -> None:
    server = serve({"both.png": BOTH}, [label(32, "crab", kind="rectangle"), label(33, "other", score="score")])
    words = ["-p", "score_attribute=str:score"]
    with pytest.raises(Exception, match=r"attribute 'score' of label 'crab' is not in dataset"):
        annotate(server, model, *words)
    assert server.uploads == []
    assert annotate(server, model, *words, "--allow-unmatched-labels") == 0
    assert boxes(server) == [(0, 32, [50.0, 60.0, 150.0, 120.0], 0.9, [])]


BAD: list[Any] = [
    (["tiel=int:64"], "unknown parameter tiel; expected one of model_dir, "),
    (["tile=str:64"], "expected -p tile=int:…, found str:64"),
    (["tile=bool:1"], "expected -p tile=int:…, found bool:True"),
    (["tile_merge=str:wbf"], "--tile_overlap and --tile_merge have no effect without --tile"),
    (["model_dir=str:"], "expected the folder of an export: -p model_dir=str:MODEL/export"),
    (["model_dir=str:nowhere"], "--model: there is no folder nowhere"),
    (["score_attribute=str:"], "CVAT allows names of 1 to 64 characters, found 0: ''"),
]


@pytest.mark.parametrize(("parameters", "message"), BAD)
def test_a_bad_request_is_one_line(
    serve: Callable[..., CvatServer],
    model: Path,
    parameters: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = serve({})
    with pytest.raises(SystemExit) as caught:
        annotate(server, model, *(word for value in parameters for word in ("-p", value)))
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("[")]
    assert caught.value.code == 2 and line.startswith("error: ") and message in line


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SystemExit) as caught:
        create(model_dir="MODEL/export")
    assert caught.value.code == 2
    line = "error: cvat_function: needs tensorflow and cvat_sdk, which are not installed: pip install '.[cpu,cvat]'"
    assert capsys.readouterr().err == f"{line}\n"


def test_a_broken_model_is_one_line(
    serve: Callable[..., CvatServer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "export", broken=True)
    with pytest.raises(SystemExit) as caught:
        annotate(serve({"both.png": BOTH}), tmp_path / "export")
    assert caught.value.code == 2
    assert "fails on every image, and on a plain grey image too" in capsys.readouterr().err


WRONG: list[Any] = [
    ({"shapes": [{"type": "rectangle", "frame": 0, "points": [0.0] * 4}]}, "label_id"),
    ({"shapes": [{"type": "square", "label_id": 32, "frame": 0, "points": [0.0] * 4}]}, "square"),
    ({"shapes": [{"type": "rectangle", "label_id": 32, "frame": 0, "points": "0 0"}]}, "points"),
    ({"shapes": [], "boxes": []}, "not in the schema: ['boxes']"),
    ({"shapes": [{"type": "rectangle", "label_id": 32, "frame": 0, "text": ""}]}, "not in the schema: ['text']"),
    ({"shapes": [{"type": "rectangle", "label_id": 3, "frame": 0, "points": [0.0] * 4}]}, "not of a label"),
    ({"shapes": [{"type": "rectangle", "label_id": 32, "frame": 1, "points": [0.0] * 4}]}, "no rectangle of a frame"),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_the_server_refuses_what_cvat_would_refuse(content: dict[str, Any], message: str) -> None:
    server = CvatServer({"both.png": BOTH}, LABELS)
    assert message in server.receive("PATCH", f"/api/tasks/{TASK}/annotations", {}, content)
    assert server.uploads == []
