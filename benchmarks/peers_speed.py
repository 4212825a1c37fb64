"""Compares images a second on one core: our exports against YOLO26n, at the same input size and number of classes.

    python -m benchmarks.peers_speed [--env DIR] [--presets tiny small] [--classes 80]

Installs Ultralytics by pip in a separate environment (--env keeps it for the next time), whose own command `yolo
export` writes the ONNX file. Ours are the SavedModel (signature image_tensor, one image and eight a call) and
model.onnx, each from the canvas to detections after suppression; YOLO26n's file ends with all its boxes, before a
choice of the best. All networks have random weights, whose values do not matter for the time of a convolution. Every
measurement is a process bound to one core, with one thread; processes run in turns, and the ratios are medians over
the rounds.
Exits with 1 if the fastest of ours misses the target.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measures import Result, in_turns, make_environment, median_ratio, print_results, python

PINS = ("ultralytics==8.4.190", "torch==2.15.0", "torchvision==0.29.2", "onnx==1.23.2", "onnxslim==0.1.98")
SIZE = (256, 320)  # height and width of the canvas
SPEED = 1.0  # the fastest of ours relative to YOLO26n
WARM_UP = 5  # calls that are not measured
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
# Name, kind of `calls`, file below the folder of a preset, images of a call.
OURS = (
    ("SavedModel", "savedmodel", "export", 1),
    ("SavedModel, 8 images a call", "savedmodel", "export", 8),
    ("model.onnx", "onnx", "export/model.onnx", 1),
)


def make_theirs(env: Path, work: Path, classes: int) -> Path:
    """Return the ONNX file of YOLO26n with random weights."""
    interpreter = make_environment(env, PINS)
    (description,) = Path(interpreter).parent.parent.glob(
        "lib/python*/site-packages/ultralytics/cfg/models/26/yolo26.yaml"
    )
    # The letter after the number is the size; nc is the number of classes.
    (work / "yolo26n.yaml").write_text(re.sub("(?m)^nc: .*", f"nc: {classes}", description.read_text()))
    command = (str(Path(interpreter).parent / "yolo"), "export", "model=yolo26n.yaml", "format=onnx")
    subprocess.run(
        [*command, f"imgsz={SIZE[0]},{SIZE[1]}"],
        cwd=work,
        env={**os.environ, "YOLO_CONFIG_DIR": str(work), "YOLO_OFFLINE": "true"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return work / "yolo26n.onnx"


def make_ours(preset: str, folder: Path, classes: int) -> None:
    """Export the SavedModel and the ONNX file of a preset with random weights."""
    from trainer.export.saved_model import export_model
    from trainer.network.build import build_network
    from trainer.presets import make_config
    from trainer.tpu.fit import synthetic_manifest

    settings = {"image_size": f"{SIZE[0]}x{SIZE[1]}", "backbone_weights": "", "reference_images": 0}
    settings |= {"model_dir": str(folder), "export_formats": "savedmodel,onnx"}
    config, manifest = make_config(preset, settings), synthetic_manifest(classes)
    export_model(config, manifest, build_network(config, manifest), metrics={}, step=0)


def onnx_calls(file: str, images: np.ndarray) -> Callable[[], Any]:
    """Return a call of an ONNX file on images uint8 [N, H, W, 3]; YOLO26n takes float32 [N, 3, H, W] of 0..1."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    if taken.type == "tensor(float)":
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / 255
    return lambda: session.run(None, {taken.name: images})


def savedmodel_calls(folder: str, images: np.ndarray) -> Callable[[], Any]:
    import tensorflow as tf

    from retinanet_odm import exported_model

    loaded = tf.saved_model.load(folder)  # kept by the closure, as the signature does not keep its variables
    taken = {exported_model.IMAGES: tf.constant(images)}

    def call() -> Any:
        return loaded.signatures[exported_model.IMAGE_TENSOR](**taken)[exported_model.COUNT].numpy()

    return call


def measure(kind: str, file: str, batch: int, seconds: float) -> float:
    """Return the images a second of one thread on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    images = np.random.default_rng(0).integers(0, 256, (batch, *SIZE, 3), np.uint8)
    call = {"onnx": onnx_calls, "savedmodel": savedmodel_calls}[kind](file, images)
    for _ in range(WARM_UP):
        call()
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        call()
        calls += 1
    return calls * batch / (time.perf_counter() - start)


def of_speed(theirs: Path, work: Path, flags: argparse.Namespace) -> Iterator[Result]:
    def speed(kind: str, file: Path, batch: int) -> float:
        words = ("-m", "benchmarks.peers_speed", "--measure", kind, str(file), str(batch))
        return float(json.loads(python(*words, f"--seconds={flags.seconds}", **ONE_THREAD).splitlines()[-1]))

    rows = [(preset, *row) for preset in flags.presets for row in OURS]
    measures = [
        lambda kind=kind, file=work / preset / file, batch=batch: speed(kind, file, batch)
        for preset, _, kind, file, batch in rows
    ]
    peer, *columns = in_turns(flags.rounds, lambda: speed("onnx", theirs, 1), *measures)
    yield Result(title="YOLO26n by ONNX Runtime, images/s a core", value=f"{statistics.median(peer):.1f}")
    best = dict.fromkeys(flags.presets, 0.0)
    for (preset, name, *_), column in zip(rows, columns, strict=True):
        ratio = median_ratio(column, peer)
        best[preset] = max(best[preset], ratio)
        yield Result(
            title=f"  {preset}, {name}: images/s; relative to YOLO26n",
            value=f"{statistics.median(column):.1f}; {ratio:.2f} x",
        )
    for preset, ratio in best.items():
        yield Result(title=f"{preset}, the fastest (>= {SPEED})", value=f"{ratio:.2f} x", good=ratio >= SPEED)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", type=Path, help="environment to keep; default: a temporary one")
    parser.add_argument("--presets", nargs="+", default=["tiny", "small"])
    parser.add_argument("--classes", type=int, default=80, help="of all networks; YOLO26n is published for 80")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each")
    parser.add_argument("--seconds", type=float, default=4, help="of calls in a process")
    parser.add_argument("--measure", nargs=3, metavar=("KIND", "FILE", "BATCH"), help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.measure:
        kind, file, batch = flags.measure
        print(json.dumps(measure(kind, file, int(batch), flags.seconds)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        theirs = make_theirs(flags.env or work / "env", work, flags.classes)
        for preset in flags.presets:
            make_ours(preset, work / preset, flags.classes)
        return 0 if print_results(of_speed(theirs, work, flags)) else 1


if __name__ == "__main__":
    sys.exit(main())
