"""An export that inference scores by XLA: it finds what TensorFlow finds."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tensorflow as tf

from inference import load_detector
from inference.main import main
from inference.model.saved_model import find_signature
from inference.model.scorer import CallError, MemoryShortError
from inference.model.xla_model import DeviceNetwork, batch_sizes, compile_network, lower_network
from retinanet_odm import exported_model as sig
from retinanet_odm import xla
from retinanet_odm.exported_model import ModelManifest
from tests.trainer.conftest import make_noise
from trainer.data import records
from trainer.export import saved_model
from trainer.network import build
from trainer.presets import make_config
from trainer.tpu import chips, compiler

SMALL = {"image_size": "64x64", "pyramid_channels": 16, "head_depth": 1, "score_threshold": 0.001}
SIZES = [(96, 128), (50, 30), (160, 20), (40, 300), (64, 64)]


@pytest.fixture(scope="module")
def export(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network with averages of BatchNorm, and a reference of training images."""
    folder = tmp_path_factory.mktemp("by xla")
    given = {"max_detections": 20, "reference_images": 8, "dataset": str(dataset), "model_dir": str(folder)}
    config = make_config("tiny", {**SMALL, **given})
    manifest = records.read_dataset_manifest(str(dataset))
    net = build.build_network(config, manifest)
    draws = np.random.default_rng(0)
    for weight in net.model.non_trainable_weights:
        if "moving" in weight.path:
            weight.assign(weight.numpy() + draws.uniform(0, 0.2, weight.shape))
    return Path(saved_model.export_model(config, manifest, net, metrics={}, step=0))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number, size in enumerate(SIZES):
        (folder / f"{number}.png").write_bytes(make_noise(number, size))
    return folder


@pytest.fixture(scope="module")
def propose(export: Path) -> Any:
    loaded = tf.saved_model.load(str(export))
    found = find_signature(loaded, "export", sig.PROPOSE, [sig.IMAGE_CANVASES], [sig.CANDIDATE_BOXES])
    found.kept = loaded  # type: ignore[attr-defined]
    return found


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Boxes within half a pixel, scores within 0.001, everything else equal."""
    pairs = list(zip(found.pop("detections"), expected.pop("detections"), strict=True))
    assert pairs
    for ours, theirs in pairs:
        assert ours["label"] == theirs["label"]
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-3)
        assert ours["box"] == pytest.approx(theirs["box"], abs=0.5)
    assert found.pop("novelty", 0) == pytest.approx(expected.pop("novelty", 0), abs=0.01)
    assert found == expected


@pytest.mark.parametrize(
    "settings", [pytest.param({}, id="images"), pytest.param({"tile": 48}, id="tiles", marks=pytest.mark.long)]
)
def test_it_finds_what_tensorflow_finds(export: Path, images: Path, settings: dict[str, Any]) -> None:
    paths = sorted(images.iterdir())
    by_tensorflow, by_xla = (
        load_detector(export, min_score=0.0, batch_size=4, runtime=runtime, **settings)(paths)
        for runtime in xla.RUNTIMES
    )
    for found, expected in zip(by_xla, by_tensorflow, strict=True):
        assert_equal(found.to_dict(), expected.to_dict())


@pytest.mark.long
def test_score_writes_the_rows_of_tensorflow(export: Path, images: Path, tmp_path: Path) -> None:
    rows = {}
    for runtime in xla.RUNTIMES:
        output = tmp_path / runtime
        argv = ["score", f"--images={images}", f"--model={export}", f"--output={output}", f"--runtime={runtime}"]
        assert main(argv) == 0
        rows[runtime] = [json.loads(line) for line in (output / "predictions-00000-of-00001.jsonl").open()]
        assert json.loads((output / "summary.json").read_text())["options"]["model_options"]["runtime"] == runtime
    for found, expected in zip(rows["xla"], rows["tensorflow"], strict=True):
        assert found.pop("key") == expected.pop("key"), "a run may be continued by the other"
        assert_equal(found, expected)


def test_a_batch_is_filled_up_and_cut_again(propose: Any) -> None:
    network = DeviceNetwork(propose, xla.local_device(), (1, 4))
    draws = np.random.default_rng(0)
    batch = {
        sig.IMAGE_CANVASES: draws.integers(0, 256, (3, 64, 64, 3), np.uint8),
        sig.PLACED: np.full((3, 2), 64, np.float32),
        sig.IMAGE_SIZE: np.full((3, 2), 128, np.int32),
    }
    expected = propose(**{name: tf.constant(value) for name, value in batch.items()})
    for name, values in network(batch).items():
        np.testing.assert_allclose(values, expected[name], atol=1e-3, err_msg=name)


@pytest.mark.parametrize(
    ("most", "sizes", "reason"),
    [
        (1, (1,), "a large canvas"),
        (4, (1, 4), "the ratio itself"),
        (10, (1, 4, 10), "640 x 640"),
        (32, (1, 4, 16, 32), "the most"),
    ],
)
def test_a_handful_of_sizes_is_compiled(most: int, sizes: tuple[int, ...], reason: str) -> None:
    assert batch_sizes(most) == sizes, reason


ERRORS: list[tuple[str, Exception, type[Exception]]] = [
    ("does not fit", xla.ChipMemoryError("RESOURCE_EXHAUSTED: 17G", 17.0), MemoryShortError),
    ("does not compile", xla.CompilationError("INVALID_ARGUMENT"), CallError),
    ("runs short while it runs", jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"), MemoryShortError),
    ("another fault of the device", jax.errors.JaxRuntimeError("INTERNAL: halted\nmore"), CallError),
]


@pytest.mark.parametrize(("reason", "error", "kind"), ERRORS, ids=[row[0] for row in ERRORS])
def test_a_fault_of_the_device_is_one_of_a_call(
    reason: str, error: Exception, kind: type[Exception], propose: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a batch that is too large is halved."""
    network = DeviceNetwork(propose, None, (1,))

    def fail(_: int) -> Callable[..., Any]:
        raise error

    monkeypatch.setattr(network, "_compiled", fail)
    with pytest.raises(CallError) as raised:
        network({sig.IMAGE_CANVASES: np.zeros((1, 64, 64, 3), np.uint8)})
    assert type(raised.value) is kind, reason
    assert "\n" not in str(raised.value)


def without_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jax" else find(name))


def without_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def devices() -> list[Any]:
        raise RuntimeError("Unable to initialize backend 'tpu': in use\nSee the web")

    monkeypatch.setattr(jax, "devices", devices)


MISSING = [
    ("score", without_jax, "error: --runtime=xla: needs jax, which is not installed: pip install '.[cpu,xla]'\n"),
    ("detect", without_jax, "error: --runtime=xla: needs jax, which is not installed: pip install '.[cpu,xla]'\n"),
    ("detect", without_device, "error: --runtime=xla: no device: Unable to initialize backend 'tpu': in use\n"),
]


@pytest.mark.parametrize(
    ("command", "prepare", "line"), MISSING, ids=[f"{row[0]} {row[1].__name__}" for row in MISSING]
)
def test_what_is_missing_is_one_line(
    command: str,
    prepare: Callable[[pytest.MonkeyPatch], None],
    line: str,
    export: Path,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare(monkeypatch)
    output = tmp_path / "out"
    place = [f"--images={images}", f"--output={output}"] if command == "score" else [str(images)]
    assert main([command, *place, f"--model={export}", "--runtime=xla"]) == 2
    assert capsys.readouterr().err.endswith(line)
    assert not output.exists()


def test_an_export_of_an_earlier_version_is_refused(
    export: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = tmp_path / "export"
    earlier.mkdir()
    for path in export.iterdir():
        (earlier / path.name).symlink_to(path)
    description = json.loads((export / ModelManifest.FILE).read_text())
    del description["signatures"]
    (earlier / ModelManifest.FILE).unlink()
    (earlier / ModelManifest.FILE).write_text(json.dumps(description))
    assert main(["detect", str(images), f"--model={earlier}", "--runtime=xla"]) == 2
    line = capsys.readouterr().err
    assert "--runtime=xla:" in line and "export it again" in line and line.count("\n") == 1


@pytest.mark.tpu_compiler
@pytest.mark.parametrize("topology", ["v5e:2x2", "v6e:2x2"])
def test_the_network_compiles_for_a_tpu(topology: str, propose: Any) -> None:
    device = compiler.find_devices(topology)[0]
    compiled = compile_network(lower_network(propose, 4), device, platform="tpu")
    # 0.6 M weights in float32, four small canvases and their maps.
    assert 2**20 < xla.memory_of(compiled) < chips.find_chip(topology).hbm / 100
