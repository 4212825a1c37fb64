"""Does the novelty of rows separate images of other kinds from held-out images of the training's kind?

    python -m benchmarks.novelty BCCD [--others FOLDER] [--parts cells sample] [--epochs 2] [--work DIR]

cells: BCCD is a folder that holds images/ and annotations/ (Pascal VOC). Trains on 60 % of it, takes the limit from
20 %, and scores the rest, which is neither; the same images changed; generated seafloor scenes; and, if given, a folder
of images of any other kind, such as skimage/data in the wheel of scikit-image.

sample: trains on eight deployments of the sample, takes the limit from a ninth, and scores all of them, the tenth and
three new ones, which differ in ground, light and water.

Prints the area under the ROC curve (AUROC) of each kind against the held-out images, the share above the limit, and the
median novelty. Exits with 1 if the AUROC of scenes or of the given images is below the target.
"""

import argparse
import io
import json
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from benchmarks.measures import Result, print_results, python
from benchmarks.one_animal import PLACES, one_animal
from retinanet_odm.dataset.examples import decode_example
from retinanet_odm.samples.scenes import make_scene
from retinanet_odm.storage.tfrecord import read_frames

TARGET = 0.95
SIZE = 256  # of the longer side: a few epochs are a matter of minutes
SCENES = 30  # of each kind
CHANGED = 30  # of the held-out images
OTHER = "other: "  # before the kinds that have a target

Novelties = dict[str, list[float]]


def auroc(held_out: Sequence[float], others: Sequence[float]) -> float:
    """Return the probability that an image of another kind has a higher novelty than a held-out one; ties are half.

    Example:
      >>> auroc([0.2, 0.4], [0.4, 3.0])
      0.875
    """
    below = np.less.outer(held_out, others) + 0.5 * np.equal.outer(held_out, others)
    return float(below.mean())


def of_cells(work: Path, data: Path, others: Path | None, epochs: int) -> Iterator[Result]:
    dataset = work / "dataset"
    prepare(data, dataset, "--splits", "train=0.6,val=0.2,test=0.2")
    write_images(work / "images", cell_images(dataset, others))
    found = novelties(work, dataset, epochs)
    held_out = found.pop("test")
    yield Result(title=f"cells: {len(held_out)} held-out images", value=describe(held_out))
    for kind, values in found.items():
        area = auroc(held_out, values)
        good = area >= TARGET or not kind.startswith(OTHER)
        title = f"cells: {kind}, {len(values)} images"
        yield Result(title=title, value=f"AUROC {area:.4f}, {describe(values)}", good=good)


def of_sample(work: Path, epochs: int) -> Iterator[Result]:
    sample, dataset = work / "sample", work / "dataset"
    python("-m", "retinanet_odm.samples", str(sample))
    prepare(sample, dataset, "--split_group", "deployment")
    split = {
        Path(example.filename).name: name for name in ("train", "val", "test") for example in examples(dataset, name)
    }
    write_images(work / "images", sample_images(sample, split))
    found = novelties(work, dataset, epochs)
    for kind, values in sorted(found.items()):
        # The training images are in the reference themselves, so the held-out deployment is compared with.
        area = auroc(found["val"], values)
        yield Result(title=f"sample: {kind}, {len(values)} images", value=f"AUROC {area:.4f}, {describe(values)}")


def describe(values: Sequence[float]) -> str:
    return f"above the limit {np.greater(values, 1).mean():.0%}, median novelty {np.median(values):.2f}"


def prepare(data: Path, dataset: Path, *flags: str) -> None:
    source = ("--images", f"{data}/images/*", "--annotations", f"{data}/annotations/*.xml")
    if not (dataset / "dataset.json").exists():
        python("-m", "beam_jobs", "prepare", *source, "--output", str(dataset), *flags)


def novelties(work: Path, dataset: Path, epochs: int) -> Novelties:
    """Train, score the images, and return their novelties by the folder below images/."""
    images, model, out = work / "images", work / "model", work / "out"
    flags = ("--mode=train_and_eval", "--preset=tiny", f"--image_size={SIZE}", f"--num_epochs={epochs}")
    if not (model / "export/model.json").exists():
        python("-m", "trainer", *flags, f"--dataset={dataset}", f"--model_dir={model}", "--steps_per_loop=5")
    python("-m", "inference", "score", "--images", str(images), "--model", f"{model}/export", "--output", str(out))
    found: Novelties = defaultdict(list)
    for path in out.glob("predictions-*.jsonl"):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if row["status"] == "ok":  # the last image of the sample's archive is truncated
                found[row["image"].partition("/")[0]].append(row["novelty"])
    return found


def examples(dataset: Path, split: str) -> Iterator:
    for path in sorted(dataset.glob(f"{split}-*.tfrecord")):
        with path.open("rb") as file:
            yield from (decode_example(data) for _, data in read_frames(file))


def cell_images(dataset: Path, others: Path | None) -> Iterator[tuple[str, bytes]]:
    """Yield names, with the kind as their folder, and contents."""
    for number, example in enumerate(examples(dataset, "test")):
        yield f"test/{example.source_id}.jpg", example.encoded
        image = Image.open(io.BytesIO(example.encoded)).convert("RGB")
        for kind, change in CHANGES.items() if number < CHANGED else ():
            yield f"{kind}/{example.source_id}.jpg", jpeg(change(image))
    for number in range(SCENES):
        yield f"{OTHER}scenes/{number}.jpg", jpeg(make_scene(number)[0])
        yield f"{OTHER}scenes with one animal/{number}.jpg", one_animal(PLACES[number % len(PLACES)], number)[1]
    for path in sorted(others.iterdir()) if others else ():
        yield f"{OTHER}given images/{path.name}", path.read_bytes()


def cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((width // 4, height // 4, 3 * width // 4, 3 * height // 4))


def tinted(image: Image.Image) -> Image.Image:
    red, green, blue = image.split()
    return Image.merge("RGB", [red.point(lambda value: round(0.85 * value)), green, blue])


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "with less red": tinted,
    "without colour": lambda image: image.convert("L").convert("RGB"),
    "at twice the scale": cropped,
    "out of focus": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
}


def sample_images(sample: Path, split: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    for path in sorted((sample / "images").iterdir()):
        yield f"{split[path.name]}/{path.name}", path.read_bytes()
    with zipfile.ZipFile(sample / "archive.zip") as archive:
        for name in archive.namelist():
            yield f"new deployments/{Path(name).name}", archive.read(name)


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def write_images(folder: Path, images: Iterator[tuple[str, bytes]]) -> None:
    for name, data in images:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="BCCD")
    parser.add_argument("--others", type=Path, help="folder of images of any other kind")
    parser.add_argument("--parts", nargs="+", choices=("cells", "sample"), default=("cells", "sample"))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--work", type=Path, help="folder to keep, where the same command continues")
    flags = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        work = flags.work or Path(temporary)
        for part in flags.parts:
            (work / part).mkdir(parents=True, exist_ok=True)
            if part == "cells":
                good &= print_results(of_cells(work / part, flags.data, flags.others, flags.epochs))
            else:
                good &= print_results(of_sample(work / part, flags.epochs))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
