"""Counts detections without extent on images of shapes that a model has not seen, and evaluates the model.

    python -m benchmarks.edges --data BCCD [--work DIR] [--old CHECKOUT] [--num_epochs N]

BCCD is the data set of benchmarks/bccd.py. Two models are trained on it with --preset=tiny: one on the images as they
are (640x480), one on images of mixed shapes (crops and turned images) on a square canvas. The export of each scores
crops of the validation images, from 8:1 to 1:8. A detection is without extent if it is less than one pixel high or
wide; exits with 1 if there is one. With --old, another checkout of this project exports and evaluates the same weights.

--work keeps data sets and models, and the next run with the same DIR trains nothing again.
"""

import argparse
import dataclasses
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measures import HERE, python
from retinanet_odm import boxes as box_ops
from retinanet_odm import exported_model
from retinanet_odm.dataset.examples import DetectionExample, decode_example, encode_example
from retinanet_odm.dataset.manifest import DatasetManifest, ShardInfo, SplitInfo
from retinanet_odm.exported_model import ModelManifest

FULL_SIZE = (640, 480)  # (width, height) of all images of BCCD
SHAPES = (FULL_SIZE, (480, 640), (640, 240), (240, 480), (640, 120), (100, 480), (640, 80), (60, 480))
TRAINED_SHAPES = SHAPES[:4]  # of the mixed data set
IMAGES = 40  # of each shape that are scored
MIN_VISIBLE = 0.3  # the part of an object that must remain in a crop
SURE = 0.5  # score of detections that a user would see
JPEG_QUALITY = 95
SETTINGS = ("--preset=tiny", "--vertical_flip")
ONE_CANVAS, MIXED_CANVAS = "256x320", "320x320"  # height x width

Size = tuple[int, int]


# --- Images of other shapes ---


def crop_example(example: DetectionExample, shape: Size) -> DetectionExample:
    """Cut a part of (width, height) pixels, which the source id determines, from an image, turned if it must be."""
    pixels = np.asarray(Image.open(io.BytesIO(example.encoded)).convert("RGB"))
    boxes = box_ops.to_pixels(example.boxes, *pixels.shape[:2])
    width, height = shape
    if height > pixels.shape[0]:  # turned to the left: x becomes y, from below
        pixels = np.rot90(pixels)
        boxes = np.stack([len(pixels) - boxes[:, 3], boxes[:, 0], len(pixels) - boxes[:, 1], boxes[:, 2]], axis=1)
    rng = np.random.default_rng(example.source_id)
    top, left = rng.integers(0, np.subtract(pixels.shape[:2], (height, width)) + 1)
    moved = box_ops.clip(boxes - np.float32([top, left, top, left]), height, width)
    is_kept = box_ops.area(moved) >= MIN_VISIBLE * box_ops.area(boxes)
    objects = tuple(
        dataclasses.replace(item, box=tuple(map(float, box)), area=float(area))
        for item, box, area, kept in zip(
            example.objects, box_ops.to_relative(moved, height, width), box_ops.area(moved), is_kept, strict=True
        )
        if kept
    )
    buffer = io.BytesIO()
    Image.fromarray(pixels[top : top + height, left : left + width]).save(buffer, "JPEG", quality=JPEG_QUALITY)
    encoded = buffer.getvalue()
    digest = hashlib.sha256(encoded).hexdigest()
    return dataclasses.replace(
        example, encoded=encoded, format="jpeg", height=height, width=width, sha256=digest, objects=objects
    )


def read_split(dataset: Path, name: str) -> Iterator[DetectionExample]:
    import tensorflow as tf

    paths = [str(dataset / shard.name) for shard in read_manifest(dataset).split(name).shards if shard.examples]
    return map(decode_example, tf.data.TFRecordDataset(paths).as_numpy_iterator())


def read_manifest(dataset: Path) -> DatasetManifest:
    path = dataset / DatasetManifest.FILE
    return DatasetManifest.from_json(path.read_text(), source=str(path))


def write_mixed(dataset: Path, mixed: Path) -> None:
    """Write a data set of the same images and splits, in which the images have the trained shapes in turns."""
    mixed.mkdir(parents=True)
    manifest = read_manifest(dataset)
    splits = {}
    for name in manifest.splits:
        examples = [
            crop_example(example, TRAINED_SHAPES[number % len(TRAINED_SHAPES)])
            for number, example in enumerate(read_split(dataset, name))
        ]
        splits[name] = write_split(mixed, name, examples)
    ratios = [width / height for width, height in TRAINED_SHAPES]
    changed = dataclasses.replace(
        manifest, splits=splits, aspect_ratio_min=min(ratios), aspect_ratio_max=max(ratios), fingerprint=""
    )
    (mixed / DatasetManifest.FILE).write_text(changed.to_json())


def write_split(folder: Path, name: str, examples: list[DetectionExample]) -> SplitInfo:
    import tensorflow as tf

    path = folder / f"{name}-00000-of-00001.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(encode_example(example))
    shard = ShardInfo(name=path.name, examples=len(examples), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    boxes = sum(len(example.objects) for example in examples)
    return SplitInfo(examples=len(examples), boxes=boxes, boxes_per_class={}, shards=(shard,))


# --- Models ---


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained model: its folder, what it was trained on and its canvas."""

    title: str
    folder: Path
    dataset: Path
    canvas: str

    def flags(self, folder: Path, dataset: Path) -> list[str]:
        """Return the flags of the trainer, for weights in a folder and a data set to evaluate on."""
        return [*SETTINGS, f"--image_size={self.canvas}", f"--dataset={dataset}", f"--model_dir={folder}"]


def train(model: Trained, epochs: int) -> None:
    if not (model.folder / "export" / ModelManifest.FILE).exists():
        print(f"training: {model.title}", flush=True)
        flags = model.flags(model.folder, model.dataset)
        python("-m", "trainer", "--mode=train_and_eval", f"--num_epochs={epochs}", *flags)


class Exported:
    """The weights of a model as a checkout exports and evaluates them."""

    def __init__(self, model: Trained, tree: Path, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(model.folder, folder, ignore=shutil.ignore_patterns("tensorboard", "export", "eval.*"))
        self._model, self._tree, self._folder = model, tree, folder
        python("-m", "trainer", "--mode=export", *model.flags(folder, model.dataset), tree=tree)

    def evaluate(self, dataset: Path) -> str:
        """Return AP and AP50 on the validation split, with the interval of AP over images."""
        python("-m", "trainer", "--mode=eval", *self._model.flags(self._folder, dataset), tree=self._tree)
        metrics = json.loads((self._folder / "eval.json").read_text())
        low, high = next(item for item in metrics["intervals"] if item["over"] == "images")["AP"]
        return f"AP {metrics['AP']:.3f} [{low:.3f}, {high:.3f}], AP50 {metrics['AP50']:.3f}"

    def score(self, images: list[DetectionExample]) -> "Count":
        """Count detections of the exported graph itself, before any other program sees them."""
        import tensorflow as tf

        serve = tf.saved_model.load(str(self._folder / "export")).signatures[exported_model.SERVING]
        total = Count()
        for image in images:
            found = serve(**{exported_model.IMAGE_BYTES: tf.constant([image.encoded])})
            number = int(found[exported_model.COUNT][0])
            boxes, scores = (found[name][0, :number].numpy() for name in (exported_model.BOXES, exported_model.SCORES))
            total.add(boxes, scores)
        return total


@dataclass
class Count:
    """Detections, and those of them without extent: all, and those that are sure."""

    all: int = 0
    flat: int = 0
    sure: int = 0
    sure_flat: int = 0

    def add(self, boxes: np.ndarray, scores: np.ndarray) -> None:
        flat, sure = ((boxes[:, 2:] - boxes[:, :2]) < 1 - 1e-3).any(axis=1), scores >= SURE
        self.all += len(boxes)
        self.flat += int(flat.sum())
        self.sure += int(sure.sum())
        self.sure_flat += int((flat & sure).sum())

    def __str__(self) -> str:
        return f"{self.flat:,} of {self.all:,} ({self.sure_flat:,} of {self.sure:,})"


# --- The table ---


def compare(
    models: list[Trained], evaluated: list[tuple[Trained, str, Path]], trees: dict[str, Path], work: Path
) -> bool:
    """Print both tables, with a column for each checkout; return whether the last one is without fault."""
    exports = {
        (model.title, name): Exported(model, tree, work / f"{name}-{model.canvas}")
        for model in models
        for name, tree in trees.items()
    }
    row, rule = " | ".join, "|---" * (1 + len(trees)) + "|"
    print(f"\n| AP on validation images [95 % interval] | {row(trees)} |\n{rule}")
    for model, title, dataset in evaluated:
        values = [exports[model.title, name].evaluate(dataset) for name in trees]
        print(f"| {model.title}, {title} | {row(values)} |", flush=True)
    print(f"\n| detections without extent, all (score >= {SURE}) | {row(trees)} |\n{rule}")
    examples = list(read_split(models[0].dataset, "val"))[:IMAGES]
    good = True
    for model in models:
        for shape in SHAPES:
            crops = [crop_example(example, shape) for example in examples]
            counts = [exports[model.title, name].score(crops) for name in trees]
            print(f"| {model.title}, {shape[0]}x{shape[1]} | {row(map(str, counts))} |", flush=True)
            good &= not counts[-1].flat
    return good


def run(data: Path, work: Path, old: Path | None, epochs: int) -> bool:
    dataset, mixed = work / "dataset", work / "mixed"
    if not (dataset / DatasetManifest.FILE).exists():
        paths = ("--images", f"{data}/images/*", "--annotations", f"{data}/annotations/*.xml")
        python("-m", "beam_jobs", "prepare", *paths, "--output", str(dataset), "--splits", "train=0.8,val=0.2")
    if not (mixed / DatasetManifest.FILE).exists():
        write_mixed(dataset, mixed)
    one = Trained(title="trained on one shape", folder=work / "model", dataset=dataset, canvas=ONE_CANVAS)
    many = Trained(title="trained on mixed shapes", folder=work / "model_mixed", dataset=mixed, canvas=MIXED_CANVAS)
    for model in (one, many):
        train(model, epochs)
    trees = {**({"before": old.resolve()} if old else {}), "this checkout": HERE}
    evaluated = [(one, "BCCD", dataset), (one, "mixed shapes", mixed), (many, "mixed shapes", mixed)]
    return compare([one, many], evaluated, trees, work)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="BCCD", help="folder of images/ and annotations/")
    parser.add_argument("--work", type=Path, help="folder to keep; default: a temporary one")
    parser.add_argument("--old", type=Path, metavar="CHECKOUT", help="another checkout, to compare with")
    parser.add_argument("--num_epochs", type=int, default=30)
    flags = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if flags.work:
        flags.work.mkdir(parents=True, exist_ok=True)
        return 0 if run(flags.data, flags.work.resolve(), flags.old, flags.num_epochs) else 1
    with tempfile.TemporaryDirectory() as work:
        return 0 if run(flags.data, Path(work), flags.old, flags.num_epochs) else 1


if __name__ == "__main__":
    sys.exit(main())
