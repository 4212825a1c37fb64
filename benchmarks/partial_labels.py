"""Partial labels: how much of the AP that is lost by half of the labels does --exhaustive bring back?

    python -m benchmarks.partial_labels [DATA] [--num_epochs N] [--image_size PIXELS] [--work DIR]

DATA is a folder that holds images/ and annotations/ (Pascal VOC), such as BCCD; without it, the generated sample is
used. Of every class, all boxes are deleted in half of the training images, chosen by a hash of class and image; the
validation images keep all boxes. The preset tiny trains equally long from random weights on

  full        all boxes
  naive       what is left, as if it were everything
  exhaustive  what is left, and prepare --exhaustive with the classes that were left complete in each image
  fewer       all boxes of half of the training images, for as many steps

and is evaluated on the same validation images. fewer has about as many boxes as exhaustive, and nothing is unknown:
what it lacks of full is the worth of the labels that are gone, which no loss brings back. Exits with 1 if less than
80 % of the AP that naive loses comes back.
--work keeps data sets and models; a training that is complete there is not repeated.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from benchmarks.equal_time import QUIET
from benchmarks.measures import Result, print_results, python
from benchmarks.training import prepared

RECOVERED = 0.8
SIDES = ("full", "naive", "exhaustive", "fewer")


def is_deleted(image: str, name: str) -> bool:
    """Draw whether the boxes of a class are deleted in an image; equal names give equal draws."""
    return hashlib.sha256(f"{name}\n{image}".encode()).digest()[0] < 128


def thin_out(data: Path, thin: Path, held_out: set[str]) -> tuple[Counter[str], Counter[str]]:
    """Copy the data without half of the boxes, and write exhaustive.csv; return the boxes before and after by class."""
    (thin / "annotations").mkdir(parents=True)
    shutil.copytree(data / "images", thin / "images")
    trees = {path: etree.parse(path) for path in sorted((data / "annotations").glob("*.xml"))}
    images = {path.stem: path.name for path in (data / "images").iterdir()}
    classes = sorted({name.text for tree in trees.values() for name in tree.iterfind("object/name")})
    before, after, rows = Counter[str](), Counter[str](), ["image,exhaustive_classes"]
    for path, tree in trees.items():
        image = images[path.stem]
        deleted = set() if image in held_out else {name for name in classes if is_deleted(image, name)}
        for item in tree.findall("object"):
            before[item.findtext("name")] += image not in held_out
            if item.findtext("name") in deleted:
                item.getparent().remove(item)
            else:
                after[item.findtext("name")] += image not in held_out
        tree.write(thin / "annotations" / path.name)
        rows.append(f'{image},"{";".join(name for name in classes if name not in deleted)}"')
    (thin / "exhaustive.csv").write_text("".join(f"{row}\n" for row in rows))
    return before, after


def prepare(thin: Path, dataset: Path, *more: str) -> None:
    source = ("--images", f"{thin}/images/*", "--annotations", f"{thin}/annotations/*.xml")
    python("-m", "beam_jobs", "prepare", *source, "--output", str(dataset), "--splits", "train=0.8,val=0.2", *more)


def halve(data: Path, half: Path, held_out: set[str]) -> None:
    """Copy the validation images and half of the others, with their annotations."""
    for folder in ("images", "annotations"):
        (half / folder).mkdir(parents=True)
    for path in sorted((data / "images").iterdir()):
        if path.name in held_out or not is_deleted(path.name, "all"):
            shutil.copyfile(path, half / "images" / path.name)
            annotation = f"{path.stem}.xml"
            shutil.copyfile(data / "annotations" / annotation, half / "annotations" / annotation)


def make_datasets(data: Path | None, work: Path) -> dict[str, Path]:
    """Prepare the data sets, whose images have the same splits."""
    full = prepared(work, data)
    source, thin, half = data or work / "sample", work / "thin", work / "half"
    held_out = {Path(image["file_name"]).name for image in json.loads((full / "val.json").read_text())["images"]}
    for folder in (thin, half):
        shutil.rmtree(folder, ignore_errors=True)
    before, after = thin_out(source, thin, held_out)
    left = ", ".join(f"{name} {after[name]} of {before[name]}" for name in sorted(before))
    print(f"      boxes left for training: {left}", flush=True)
    prepare(thin, work / "naive")
    prepare(thin, work / "partial", "--exhaustive", str(thin / "exhaustive.csv"))
    halve(source, half, held_out)
    prepare(half, work / "fewer")
    return dict(zip(SIDES, (full, work / "naive", work / "partial", work / "fewer"), strict=True))


def count(dataset: Path) -> int:
    """Return the number of training images."""
    return int(json.loads((dataset / "dataset.json").read_text())["splits"]["train"]["examples"])


def train(dataset: Path, model: Path, epochs: int, image_size: str) -> dict[str, float]:
    """Train, evaluate and return AP and AP50."""
    flags = ("--preset=tiny", "--vertical_flip", f"--image_size={image_size}", f"--num_epochs={epochs}")
    folders = (f"--dataset={dataset}", f"--model_dir={model}")
    if not (model / "eval.json").exists():
        for mode in ("train", "eval"):
            python("-m", "trainer", f"--mode={mode}", *flags, *folders, **QUIET)
    found = json.loads((model / "eval.json").read_text())
    return {"AP": found["AP"], "AP50": found["AP50"]}


def run(data: Path | None, work: Path, epochs: int, image_size: str) -> Iterator[Result]:
    scores: dict[str, dict[str, float]] = {}
    datasets = make_datasets(data, work)
    for side, dataset in datasets.items():
        rounds = round(epochs * count(datasets["full"]) / count(dataset))
        scores[side] = train(dataset, work / f"model-{side}", rounds, image_size)
        value = f"AP {scores[side]['AP']:.3f}, AP50 {scores[side]['AP50']:.3f}"
        yield Result(title=f"{side}, {rounds} epochs of {count(dataset)} images at {image_size} px", value=value)
    for metric in ("AP", "AP50"):
        full, naive, partial, _ = (scores[side][metric] for side in SIDES)
        share = (partial - naive) / (full - naive) if full > naive else 1.0
        title = f"{metric} that comes back, of {full - naive:.3f} lost"
        is_target = metric == "AP"
        yield Result(
            title=f"{title} (>= {RECOVERED:.0%})" if is_target else title,
            value=f"{share:.0%}",
            good=share >= RECOVERED or not is_target,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="default: the generated sample")
    parser.add_argument("--num_epochs", type=int, default=30)
    parser.add_argument("--image_size", default="320", help="of the trainer; default: %(default)s")
    parser.add_argument("--work", type=Path, help="folder to keep; default: a temporary one")
    flags = parser.parse_args()
    if flags.work:
        return 0 if print_results(run(flags.data, flags.work, flags.num_epochs, flags.image_size)) else 1
    with tempfile.TemporaryDirectory() as work:
        return 0 if print_results(run(flags.data, Path(work), flags.num_epochs, flags.image_size)) else 1


if __name__ == "__main__":
    sys.exit(main())
