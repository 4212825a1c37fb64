"""Are wrong labels found? Errors are put into labels, and what label_errors and cleanlab list is compared with them.

    python -m benchmarks.label_errors [DATA] [--num_epochs N] [--image_size PIXELS] [--env DIR] [--work DIR]

DATA is a folder that holds images/ and annotations/ (Pascal VOC), such as BCCD; without it, the generated sample is
used. Of the boxes, 10 % are changed, chosen by a hash of image and box: a third is removed, a third gets another class,
a third is shifted by 40 % of its size in any direction (an IoU of 0.35 to 0.43). `trainer --mode=folds` trains three
models on the wrong labels, each on two thirds of the images, and `inference label_errors` lists errors. cleanlab's
object detection scores (ObjectLab) get the same labels and detections, in an environment of its own (--env keeps it):
its three scores in one list, the lowest first, with its thresholds of certainty and with lower ones.

An error that is listed counts as found if it is at a changed box: it names that label, or proposes a box that overlaps
the removed or original one by an IoU of 0.5. Printed: the precision of the first 50, and the recall among as many as
there are errors. Exits with 1 if label_errors reaches less than 0.8 or 0.6. Errors that the labels had before count as
wrong. --work keeps data and models; folds that are complete there are not repeated.
"""

import argparse
import csv
import hashlib
import json
import math
import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from benchmarks.equal_time import QUIET
from benchmarks.measures import Result, make_environment, print_results, python

CLEANLAB = "cleanlab==2.9.0"
SHARE, SHIFT = 0.1, 0.4
FIRST, PRECISION, RECALL = 50, 0.8, 0.6
SAME_IOU, SAME_LABEL_IOU = 0.5, 0.9
_EDGES = ("xmin", "ymin", "xmax", "ymax")
Box = list[float]


@dataclass(frozen=True, kw_only=True)
class Change:
    """An error that was put into the labels.

    Attributes:
      image: name of the image, without its extension.
      kind: missing, class or loose.
      box: before.
      now: the box of the wrong label; None if it was removed.
    """

    image: str
    kind: str
    box: Box
    now: Box | None


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An error that a program lists: the box of the doubted label and the proposed one; None if there is none."""

    image: str
    kind: str
    label: Box | None
    proposed: Box | None


def draw(*words: object) -> float:
    """Return a number in [0, 1); equal words give equal numbers."""
    digest = hashlib.sha256("\n".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def put_errors(data: Path, wrong: Path) -> list[Change]:
    """Copy the data with errors in the annotations."""
    shutil.rmtree(wrong, ignore_errors=True)
    (wrong / "annotations").mkdir(parents=True)
    shutil.copytree(data / "images", wrong / "images")
    trees = {path: etree.parse(path) for path in sorted((data / "annotations").glob("*.xml"))}
    names = sorted({name.text for tree in trees.values() for name in tree.iterfind("object/name")})
    changes = []
    for path, tree in trees.items():
        size = tuple(float(tree.findtext(f"size/{side}")) for side in ("width", "height"))
        for number, item in enumerate(tree.findall("object")):
            if draw("error", path.name, number) < SHARE:
                changes.append(_change(item, path, number, names, size))
        tree.write(wrong / "annotations" / path.name)
    return changes


def _change(item: etree._Element, path: Path, number: int, names: Sequence[str], size: tuple[float, ...]) -> Change:
    """Change one object of an annotation."""
    kind = ("missing", "class", "loose")[int(3 * draw("kind", path.name, number))]
    box = [float(item.findtext(f"bndbox/{edge}")) for edge in _EDGES]
    now: Box | None = box
    if kind == "missing":
        item.getparent().remove(item)
        now = None
    elif kind == "class":
        others = [name for name in names if name != item.findtext("name")]
        item.find("name").text = others[int(len(others) * draw("to", path.name, number))]
    else:
        now = _shifted(box, size, 2 * math.pi * draw("angle", path.name, number))
        for edge, value in zip(_EDGES, now, strict=True):
            item.find(f"bndbox/{edge}").text = f"{value:.0f}"
    return Change(image=path.stem, kind=kind, box=box, now=now)


def _shifted(box: Box, size: tuple[float, ...], angle: float) -> Box:
    """Return the box beside its place, clipped to the image; the other way where it would leave the image."""
    moved = list(box)
    for axis, part in enumerate((math.cos(angle), math.sin(angle))):
        low, high = box[axis], box[axis + 2]
        step = round(SHIFT * (high - low) * part)
        step = -step if low + step < 0 or high + step > size[axis] else step
        moved[axis], moved[axis + 2] = max(low + step, 0), min(high + step, size[axis])
    return moved


def iou(a: Box, b: Box) -> float:
    sides = [min(a[axis + 2], b[axis + 2]) - max(a[axis], b[axis]) for axis in (0, 1)]
    shared = max(sides[0], 0) * max(sides[1], 0)
    area, other = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return shared / (area + other - shared) if shared else 0.0


def find(listed: Sequence[Listed], changes: Sequence[Change]) -> list[Change | None]:
    """Return for each listed error the change that it is at; each change is found once."""
    left: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        left[change.image].append(change)
    found: list[Change | None] = []
    for error in listed:
        match = next((change for change in left[error.image] if _is_at(error, change)), None)
        if match:
            left[error.image].remove(match)
        found.append(match)
    return found


def _is_at(error: Listed, change: Change) -> bool:
    if error.label is not None:
        return change.now is not None and iou(error.label, change.now) >= SAME_LABEL_IOU
    return error.proposed is not None and iou(error.proposed, change.box) >= SAME_IOU


def ours(output: Path) -> list[Listed]:
    """Read label_errors.csv."""
    with (output / "label_errors.csv").open(newline="", encoding="utf-8") as file:
        return [
            Listed(
                image=Path(row["image"]).stem,
                kind=row["error"],
                label=_box(row, ""),
                proposed=_box(row, "proposed_"),
            )
            for row in csv.DictReader(file)
        ]


def _box(row: dict[str, str], prefix: str) -> Box | None:
    return [float(row[f"{prefix}{edge}"]) for edge in _EDGES] if row[f"{prefix}xmin"] else None


def theirs(wrong: Path, output: Path, work: Path, interpreter: str, certainty: float | None) -> list[Listed]:
    """Score the same labels and detections by cleanlab, with a threshold of certainty, or its own."""
    images = []
    classes = sorted(json.loads((output / "summary.json").read_text())["labels"].values())
    for path in sorted(output.glob("predictions-*.jsonl")):
        for row in map(json.loads, path.read_text().splitlines()):
            tree = etree.parse(wrong / "annotations" / f"{Path(row['image']).stem}.xml")
            images.append(
                {
                    "image": Path(row["image"]).stem,
                    "labels": [classes.index(item.findtext("name")) for item in tree.iterfind("object")],
                    "boxes": [
                        [float(item.findtext(f"bndbox/{edge}")) for edge in _EDGES] for item in tree.iterfind("object")
                    ],
                    "found": [
                        [classes.index(item["label"]), *item["box"], item["score"]] for item in row["detections"]
                    ],
                }
            )
    given, result = work / "for_cleanlab.json", work / "of_cleanlab.json"
    given.write_text(json.dumps({"classes": len(classes), "images": images, "certainty": certainty}))
    python("-m", "benchmarks.label_errors_cleanlab", str(given), str(result), interpreter=interpreter)
    return [Listed(**entry) for entry in json.loads(result.read_text())]


def judge(title: str, listed: Sequence[Listed], changes: Sequence[Change], *, is_target: bool) -> Iterator[Result]:
    found = find(listed, changes)
    precision = sum(map(bool, found[:FIRST])) / FIRST
    recall = sum(map(bool, found[: len(changes)])) / len(changes)
    yield Result(
        title=f"{title}: precision of the first {FIRST}" + (f" (>= {PRECISION})" if is_target else ""),
        value=f"{precision:.2f}",
        good=precision >= PRECISION or not is_target,
    )
    yield Result(
        title=f"{title}: recall among {len(changes)}" + (f" (>= {RECALL})" if is_target else ""),
        value=f"{recall:.2f}",
        good=recall >= RECALL or not is_target,
    )
    kinds = Counter(change.kind for change in found[: len(changes)] if change)
    there = Counter(change.kind for change in changes)
    yield Result(
        title="  of these", value=", ".join(f"{kind} {kinds[kind] / there[kind]:.2f}" for kind in sorted(there))
    )


def known_numbers(listed: Sequence[Listed], changes: Sequence[Change]) -> list[Listed]:
    """Return the first of each kind, as many as there are changes of it: no user knows, but the scores are separate."""
    numbers = Counter(change.kind for change in changes)
    return [
        error for kind, number in numbers.items() for error in [item for item in listed if item.kind == kind][:number]
    ]


def run(data: Path | None, work: Path, env: Path, epochs: int, image_size: str) -> Iterator[Result]:
    if data is None:
        data = work / "sample"
        python("scripts/make_sample.py", str(data), "--archive_images=0")
    wrong, dataset, model = work / "wrong", work / "dataset", work / "model"
    changes = put_errors(data, wrong)
    source = ("--images", f"{wrong}/images/*", "--annotations", f"{wrong}/annotations/*.xml")
    python("-m", "beam_jobs", "prepare", *source, "--output", str(dataset), "--splits", "train=1")
    flags = ("--preset=tiny", "--vertical_flip", f"--image_size={image_size}", f"--num_epochs={epochs}")
    folders = (f"--dataset={dataset}", f"--model_dir={model}")
    python("-m", "trainer", "--mode=folds", *flags, *folders, **QUIET)
    output = model / "folds" / "predictions"
    labels = ("--annotations", f"{wrong}/annotations/*.xml", "--min_probability=0", "--replace")
    python("-m", "inference", "label_errors", str(output), *labels)
    expected = sum(row["expected"] for row in json.loads((output / "label_errors.json").read_text())["errors"])
    yield Result(title=f"errors to expect, of {len(changes)} that were made", value=f"{expected:.0f}")
    yield from judge("label_errors", ours(output), changes, is_target=True)
    interpreter = make_environment(env, (CLEANLAB,))
    for certainty in (None, 0.7, 0.5, 0.3):
        title = f"cleanlab, certain from {certainty}" if certainty else "cleanlab"
        listed = theirs(wrong, output, work, interpreter, certainty)
        yield from judge(title, listed, changes, is_target=False)
        found = find(known_numbers(listed, changes), changes)
        recall = sum(map(bool, found)) / len(changes)
        yield Result(title="  recall if the number of each kind is known", value=f"{recall:.2f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="default: the generated sample")
    parser.add_argument("--num_epochs", type=int, default=20)
    parser.add_argument("--image_size", default="320", help="of the trainer; default: %(default)s")
    parser.add_argument("--env", type=Path, help="environment of cleanlab; made if it is not there")
    parser.add_argument("--work", type=Path, help="folder to keep; default: a temporary one")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = flags.work or Path(folder)
        env = flags.env or Path(folder) / "env"
        return 0 if print_results(run(flags.data, work, env, flags.num_epochs, flags.image_size)) else 1


if __name__ == "__main__":
    sys.exit(main())
