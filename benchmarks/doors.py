"""Reads what `score --formats` and `prepare` write with the programs for which it is meant: images, boxes and classes.

    python -m benchmarks.doors [--env DIR]

Installs the readers, by pip, in two separate environments (--env keeps them for the next time): MBARI's aidata,
MegaDetector's utilities, Label Studio's SDK and Globox; and TensorFlow Datasets. The rows have folders, accents, labels
with commas, an image without detections, one that failed, a box beyond the border, and equal boxes of two classes.
KNOWN says what a reader leaves out. Exits with 1 if anything else differs.
"""

import argparse
import json
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.measures import make_environment
from benchmarks.peer_files import python
from retinanet_odm.predictions.formats import EXPORTERS
from retinanet_odm.predictions.rows import FAILED, OK, Detection, PredictionRow, ScoringRun

SCORE_PINS = ("pandas==2.3.3", "megadetector-utils==10.0.28", "label-studio-sdk==2.1.2", "globox==2.9.0")
# Its own pins are of packages that loading boxes does not need, such as torch, and of Python below 3.13.
WITHOUT_DEPENDENCIES = ("mbari-aidata==1.80.0",)
DATASET_PINS = ("tensorflow-cpu==2.21.0", "tensorflow-datasets==4.9.10")
CLASSES = {1: "crab", 2: "Étoile de mer, rouge", 4: "sea pig"}
SIDES = (640, 480)
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
    builder = tfds.builder_from_directory(folder / "dataset")
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
with contextlib.redirect_stdout(sys.stderr):
    result = globals()[f"by_{door}"]()
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
    """

    name: str
    reader: str
    lists: str = "scored"
    has_scores: bool = True
    is_cut: bool = True

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
    Door(name="tfds", reader="tfds builder_from_directory", has_scores=False),
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
    flags = (f"--images={folder}/images/**", f"--annotations={folder}/cvat.xml", f"--output={folder}/dataset")
    python(sys.executable, "-m", "beam_jobs", "prepare", *flags)


def count(boxes: Iterable[Sequence[Any]], scale: Sequence[float] = (1, 1, 1, 1)) -> Counter[tuple[Any, ...]]:
    """Count boxes at the precision of the rows; scale makes pixels of fractions."""
    return Counter(
        (image, label, score, *(round(edge * side, DIGITS) + 0.0 for edge, side in zip(box, scale, strict=True)))
        for image, label, score, *box in boxes
    )


def compare(door: Door, folder: Path, interpreter: str) -> bool:
    """Print a row of the table, and return whether every difference is known."""
    images, found, faults = json.loads(python(interpreter, "-c", READ, door.name, str(folder)))
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
    for_score = make_environment(env / "score", SCORE_PINS, alone)
    for_dataset = make_environment(env / "dataset", DATASET_PINS)
    write_files(work)
    print(f"{'door':13} {'reader':31} images  boxes  classes  why")
    good = [
        compare(door, work, for_dataset if door.name == "tfds" else for_score) for door in DOORS
    ]  # every row is printed
    return all(good)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", type=Path, help="folder of the environments to use and keep; default: a temporary one")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        return 0 if run(Path(work), flags.env or Path(work) / "env") else 1


if __name__ == "__main__":
    sys.exit(main())
