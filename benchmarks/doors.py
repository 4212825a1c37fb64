"""Reads what `score --formats`, `prepare` and `export` write with the programs for which it is meant.

    python -m benchmarks.doors [--env DIR] [--parts PART …]

Parts, both by default:
  readers  images, boxes and classes that each program finds
  speed    `export` of 2,000 images of about 110 KB, and `prepare --verify=header` of them, as complete processes

Installs the readers, by pip, in three separate environments (--env keeps them for the next time): MBARI's aidata,
MegaDetector's utilities, Label Studio's SDK and Globox; TensorFlow Datasets; and pycocotools, Datumaro, torchvision and
Ultralytics (AGPL: only this environment has it). The rows have folders, accents, labels with commas, an image without
detections, one that failed, a box beyond the border, and equal boxes of two classes. KNOWN says what a reader leaves
out. Code of docs/elsewhere.md is run before its reader. Exits with 1 if anything else differs or `export` is slower.
"""

import argparse
import json
import re
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.doors_dataset import PINS as EXPORT_PINS
from benchmarks.doors_dataset import READ as READ_EXPORTS
from benchmarks.doors_dataset import measure_speed
from benchmarks.measures import HERE, make_environment, print_results
from benchmarks.peer_files import python
from retinanet_odm.predictions.formats import EXPORTERS
from retinanet_odm.predictions.rows import FAILED, OK, Detection, PredictionRow, ScoringRun

SCORE_PINS = ("pandas==2.3.3", "megadetector-utils==10.0.28", "label-studio-sdk==2.1.2", "globox==2.9.0")
# Its own pins are of packages that loading boxes does not need, such as torch, and of Python below 3.13.
WITHOUT_DEPENDENCIES = ("mbari-aidata==1.80.0",)
DATASET_PINS = ("tensorflow-cpu==2.21.0", "tensorflow-datasets==4.9.10")
CLASSES = {1: "crab", 2: "Étoile de mer, rouge", 4: "sea pig"}
SIDES = (640, 480)
PARTS = ("readers", "speed")
DIGITS = 2  # of a pixel, as in the rows
KNOWN = {"sdcat": (1, "aidata keeps one of equal boxes of an image, whatever their classes")}

READ = """
import contextlib, json, pathlib, sys
from urllib.parse import parse_qs, urlsplit
door, folder = sys.argv[1], pathlib.Path(sys.argv[2])
width, height = 640, 480
def aidata(table):
    columns = ("image_path", "label", "score", "x", "y", "xx", "xy")
    return [[row[column] for column in columns] for row in table.to_dict("records")]
def by_sdcat():
    from mbari_aidata.plugins.extractors.tap_sdcat_csv import extract_sdcat_csv
    return None, aidata(extract_sdcat_csv(folder / "sdcat.csv")), []
def by_voc():
    from mbari_aidata.plugins.extractors.tap_voc import extract_voc
    # aidata gives every box of Pascal VOC the score 1.
    return None, [(name, label, None, *box) for name, label, _, *box in aidata(extract_voc(folder / "Annotations"))], []
def by_megadetector():
    from megadetector.postprocessing.load_api_results import load_api_results
    from megadetector.postprocessing.validate_batch_results import validate_batch_results
    path = str(folder / "megadetector.json")
    found = validate_batch_results(path)["validation_results"]
    table, others = load_api_results(path)
    boxes = []
    for row in table.to_dict("records"):
        for item in row["detections"] or ():
            (x, y, w, h), label = item["bbox"], others["detection_categories"][item["category"]]
            boxes.append((row["file"], label, item["conf"], x, y, x + w, y + h))
    return list(table["file"]), boxes, found["errors"] + found["warnings"]
def by_labelstudio():
    from label_studio_sdk.label_interface import LabelInterface
    interface = LabelInterface((folder / "labelstudio.xml").read_text(encoding="utf-8"))
    images, boxes, faults = [], [], []
    for task in json.loads((folder / "labelstudio.json").read_text(encoding="utf-8")):
        images.append(parse_qs(urlsplit(task["data"]["image"]).query)["d"][0])
        for prediction in task["predictions"]:
            faults += interface.validate_prediction(prediction, return_errors=True)
            for region in prediction["result"]:
                x, y, w, h = (region["value"][key] / 100 for key in ("x", "y", "width", "height"))
                (label,) = region["value"]["rectanglelabels"]
                boxes.append((images[-1], label, region["score"], x, y, x + w, y + h))
    return images, boxes, faults
def by_yolo():
    import globox, yaml
    names = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))["names"]
    found = globox.AnnotationSet.from_yolo_v5(folder / "labels", image_folder=folder / "images", recursive=True)
    boxes = [
        (image.image_id, names[int(box.label)], box.confidence,
         box.xmin / width, box.ymin / height, box.xmax / width, box.ymax / height)
        for image in found for box in image.boxes
    ]
    return [image.image_id for image in found], boxes, []
def by_tfds():
    import tensorflow_datasets as tfds
    builder = tfds.builder_from_directory(folder / "DATASET")
    images, boxes, faults = [], [], []
    for split in builder.info.splits:
        for example in tfds.as_numpy(builder.as_dataset(split=split)):
            image = example["image"]
            images.append(image["filename"].decode())
            if image["encoded"].shape != (height, width, 3):
                faults.append(f"{images[-1]}: {image['encoded'].shape}")
            found = image["object"]
            edges = zip(*(found["bbox"][edge].tolist() for edge in ("xmin", "ymin", "xmax", "ymax")))
            boxes += [(images[-1], name.decode(), None, *box) for name, box in zip(found["class"]["text"], edges)]
    return images, boxes, faults
"""
READ_ALL = f"""
{READ}
{READ_EXPORTS}
with contextlib.redirect_stdout(sys.stderr):
    exec(sys.argv[3], {{}})
    result = globals()[f"by_{{door}}"]()
json.dump(result, sys.stdout)
"""


def detection(label_id: int, score: float, *box: float) -> Detection:
    xmin, ymin, xmax, ymax = box
    return Detection(label=CLASSES[label_id], label_id=label_id, score=score, box=(xmin, ymin, xmax, ymax))


def row(image: str, *found: Detection) -> PredictionRow:
    return PredictionRow(image=image, width=SIDES[0], height=SIDES[1], detections=found)


# Globox knows images by their stem, and aidata's loader by their name: here, both are unique.
ROWS = (
    row(
        "dive 1/StaM_6701_20161110_142412.jpg",
        detection(1, 0.93, 10.25, 20.5, 110.75, 90),
        detection(4, 0.61, 0, 0, 8, 8),
    ),
    row("dive 1/empty.jpg"),
    row("dive 2/a, é.jpg", detection(2, 0.8, 600.33, 400.1, 660, 500), detection(2, 0.3, 33.33, 66.67, 99.99, 111.11)),
    PredictionRow(image="dive 2/broken.jpg", status=FAILED, reason="image_empty", detail="empty"),
    row("two classes.jpg", detection(1, 0.7, 50, 60, 70, 80), detection(4, 0.5, 50, 60, 70, 80)),
)
THRESHOLDS = dict.fromkeys(CLASSES, 0.25)
RUN = ScoringRun(
    classes=CLASSES,
    model_hash="0123456789abcdef" * 4,
    thresholds=THRESHOLDS,
    min_scores=THRESHOLDS,
    nms_iou=0.5,
    code_version="0.0.0",
)


@dataclass(frozen=True, kw_only=True)
class Door:
    """A format and its reader.

    lists: which images the reader gives: those with boxes, those that were scored, or all.
    is_cut: boxes are cut at the border of the image.
    heading: of the code in docs/elsewhere.md that is run, or "".
    env: the environment of the reader.
    """

    name: str
    reader: str
    lists: str = "scored"
    has_scores: bool = True
    is_cut: bool = True
    heading: str = ""
    env: str = "score"

    def images(self) -> set[str]:
        least = {"all": 0, "scored": 1, "boxes": 2}[self.lists]
        return {self.shown(row.image) for row in ROWS if (row.status == OK) + bool(row.detections) >= least}

    def boxes(self) -> Iterator[tuple[Any, ...]]:
        for each in ROWS:
            for item in each.detections:
                box = item.box
                if self.is_cut:
                    box = (max(box[0], 0), max(box[1], 0), min(box[2], SIDES[0]), min(box[3], SIDES[1]))
                yield self.shown(each.image), item.label, item.score if self.has_scores else None, *box

    def shown(self, image: str) -> str:
        return image.rpartition("/")[2] if self.name == "yolo" else image


DOORS = (
    Door(name="sdcat", reader="mbari_aidata tap_sdcat_csv", lists="boxes"),
    Door(name="voc", reader="mbari_aidata tap_voc", lists="boxes", has_scores=False, is_cut=False),
    Door(name="megadetector", reader="megadetector validate, load", lists="all"),
    Door(name="labelstudio", reader="label_studio_sdk LabelInterface"),
    Door(name="yolo", reader="globox from_yolo_v5"),
    Door(
        name="tfds",
        reader="tfds builder_from_directory",
        has_scores=False,
        heading="TensorFlow Datasets",
        env="dataset",
    ),
    Door(name="coco", reader="pycocotools COCO", has_scores=False, env="export"),
    Door(name="torchvision", reader="torchvision CocoDetection", has_scores=False, heading="torchvision", env="export"),
    Door(name="datumaro", reader="datumaro coco_instances", has_scores=False, heading="Datumaro", env="export"),
    Door(name="ultralytics", reader="ultralytics YOLODataset", has_scores=False, env="export"),
)


def write_files(folder: Path) -> None:
    """Write every format that is read, zip files unpacked, and the images that Globox takes the sizes from."""
    for door in DOORS:
        for name, exporter in EXPORTERS.get(door.name, {}).items():
            (folder / name).write_bytes(b"".join(exporter(ROWS, RUN)))
            if name.endswith(".zip"):
                with zipfile.ZipFile(folder / name) as archive:
                    archive.extractall(folder)
    for each in ROWS:
        path = folder / "images" / each.image
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", SIDES).save(path)
    (folder / "cvat.xml").write_bytes(b"".join(EXPORTERS["cvat"]["cvat.xml"](ROWS, RUN)))
    # The names of docs/elsewhere.md, whose code is run in this folder.
    # Ultralytics needs train and val: these shares give two images each.
    flags = (f"--images={folder}/images/**", f"--annotations={folder}/cvat.xml", "--splits=train=0.15,val=0.85")
    python(sys.executable, "-m", "beam_jobs", "prepare", *flags, f"--output={folder}/DATASET")
    for form in ("coco", "yolo"):
        output = f"--output={folder}/EXPORT/{form}"
        python(sys.executable, "-m", "beam_jobs", "export", f"{folder}/DATASET", f"--format={form}", output)


def page_code(door: Door) -> str:
    """Return the code below the heading of a door, which begins by entering the folder of the files."""
    page = (HERE / "docs" / "elsewhere.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {door.heading}\n")[2].partition("\n## ")[0] if door.heading else ""
    return "".join(re.findall(r"^```py\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))


def count(boxes: Iterable[Sequence[Any]], scale: Sequence[float] = (1, 1, 1, 1)) -> Counter[tuple[Any, ...]]:
    """Count boxes at the precision of the rows; scale makes pixels of fractions."""
    return Counter(
        (image, label, score, *(round(edge * side, DIGITS) + 0.0 for edge, side in zip(box, scale, strict=True)))
        for image, label, score, *box in boxes
    )


def compare(door: Door, folder: Path, interpreter: str) -> bool:
    """Print a row of the table, and return whether every difference is known."""
    code = f"import os; os.chdir({str(folder)!r})\n{page_code(door)}"
    images, found, faults = json.loads(python(interpreter, "-c", READ_ALL, door.name, str(folder), code))
    theirs, ours = count(found, SIDES * 2), count(door.boxes())
    images = {image for image, *_ in found} if images is None else set(images)
    classes, expected = {label for _, label, *_ in found}, {label for _, label, *_ in ours}
    missing, why = KNOWN.get(door.name, (0, ""))
    good = [
        not faults,
        images == door.images(),
        classes == expected,
        not theirs - ours and (ours - theirs).total() == missing,
    ]
    shares = (
        f"{len(images & door.images())}/{len(door.images())}",
        f"{(ours & theirs).total()}/{ours.total()}",
        f"{len(classes & expected)}/{len(expected)}",
    )
    faults += [] if all(good) else [f"DIFFERS: {sorted(theirs - ours)} instead of {sorted(ours - theirs)}"]
    notes = "; ".join(filter(None, (why, *faults)))
    print(f"{door.name:13} {door.reader:31} {shares[0]:7} {shares[1]:6} {shares[2]:8} {notes}".rstrip(), flush=True)
    return all(good)


def run(work: Path, env: Path) -> bool:
    alone = ("--no-deps", "--ignore-requires-python", *WITHOUT_DEPENDENCIES)
    python_of = {
        "score": make_environment(env / "score", SCORE_PINS, alone),
        "dataset": make_environment(env / "dataset", DATASET_PINS),
        "export": make_environment(env / "export", EXPORT_PINS),
    }
    write_files(work)
    print(f"{'door':13} {'reader':31} images  boxes  classes  why")
    good = [compare(door, work, python_of[door.env]) for door in DOORS]  # every row is printed
    return all(good)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", type=Path, help="folder of the environments to use and keep; default: a temporary one")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help="default: both")
    flags = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as work:
        if "readers" in flags.parts:
            good &= run(Path(work), flags.env or Path(work) / "env")
        if "speed" in flags.parts:
            good &= print_results(measure_speed(Path(work)))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
