"""Compares our readers with Datumaro and Globox: labels and boxes that each reads from the same files.

    python -m benchmarks.peers [--env DIR]

Installs Datumaro and Globox, by pip, in a separate environment (--env keeps it for the next time): they are needed for
this comparison only. The files are written by our writers, by Datumaro's, and by hand as CVAT documents its format:
boxes with fractions and beyond the border, rotated boxes, polygons, lines, masks, ellipses, folders, accents. Every
label names its kind of shape, by which KNOWN explains differences. LabelMe and VIA are compared with Globox alone,
because Datumaro does not read them. Exits with 1 if a difference is not known.
"""

import argparse
import io
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.measures import make_environment
from benchmarks.peer_files import HEIGHT, WIDTH, Fixture, make_fixtures, python, stem
from retinanet_odm.annotations.reader import ReadingRules, read_annotations
from retinanet_odm.annotations.types import BoxCorners, ImageAnnotation

PINS = ("datumaro==1.13.12", "globox==2.9.0")
PEERS = {  # by format
    **dict.fromkeys(("CVAT", "VOC", "COCO", "YOLO"), ("datumaro", "globox")),
    **dict.fromkeys(("LabelMe", "VIA"), ("globox",)),
}
DIGITS = 2  # CVAT writes hundredths of a pixel
NO_FILE = "(image)"

# Why a reader differs, by (reader, format, label).
KNOWN = {
    ("datumaro", "CVAT", "ellipse"): "Datumaro ignores <ellipse>",
    ("datumaro", "CVAT", "cuboid"): "Datumaro ignores <cuboid>",
    ("datumaro", "VOC", "turned"): "Datumaro keeps the rotation as an attribute, and the box before rotation",
    ("datumaro", "VOC", NO_FILE): "Datumaro lists an image in ImageSets, but writes no XML if it has no box",
    ("globox", "CVAT", "turned"): "Globox ignores rotation",
    ("globox", "VOC", "turned"): "Globox ignores rotation",
    ("globox", "LabelMe", "ellipse"): "Globox reads rectangles and polygons only",
    ("globox", "LabelMe", "line"): "Globox reads rectangles and polygons only",
    ("globox", "LabelMe", "mask"): "Globox reads rectangles and polygons only",
    ("globox", "VIA", "polygon"): "Globox reads rectangles only",
    ("globox", "VIA", "ellipse"): "Globox reads rectangles only",
    ("globox", "VIA", "line"): "Globox reads rectangles only",
    **{
        ("globox", "CVAT", kind): "Globox reads <box> only" for kind in ("ellipse", "cuboid", "polygon", "line", "mask")
    },
}

READ = """
import contextlib, json, pathlib, sys
import datumaro as dm
import globox
from datumaro.components.annotation import RotatedBbox
peer, form, folder, file = sys.argv[1:]
def by_datumaro():
    # Its COCO reader gives an object's outline and its box; ours, like Globox, takes the box.
    kinds = (dm.Bbox,) if form != "CVAT" else (dm.Bbox, RotatedBbox, dm.Polygon, dm.PolyLine, dm.Mask)
    names = {"CVAT": "cvat", "VOC": "voc", "COCO": "coco_instances", "YOLO": "yolo"}
    dataset = dm.Dataset.import_from(folder, names[form])
    names = dataset.categories()[dm.AnnotationType.label]
    for item in dataset:
        found = [shape for shape in item.annotations if isinstance(shape, kinds)]
        corners = [(names[shape.label].name, *map(float, shape.get_bbox())) for shape in found]
        yield item.id, [(label, y, x, y + height, x + width) for label, x, y, width, height in corners]
def by_globox():
    read = {"CVAT": globox.AnnotationSet.from_cvat, "COCO": globox.AnnotationSet.from_coco}
    names = {}
    if form == "YOLO":
        names = dict(enumerate(pathlib.Path(folder, "obj.names").read_text().splitlines()))
        suffix = ".png" if any(pathlib.Path(file).glob("*.png")) else ".jpg"
        found = globox.AnnotationSet.from_yolo_darknet(file, image_folder=file, image_extension=suffix)
    elif form == "LabelMe":
        found = globox.AnnotationSet.from_labelme(file, include_poly=True)
    elif form == "VIA":
        found = globox.AnnotationSet.from_via_json(file, label_key="species")
    elif form == "VOC":
        found = globox.AnnotationSet.from_pascal_voc(file, recursive=True)
    else:
        found = read[form](file)
    for image in found:
        named = [(names[int(box.label)] if names else box.label, box) for box in image.boxes]
        boxes = [(label, box.ymin, box.xmin, box.ymax, box.xmax) for label, box in named]
        yield image.image_id.rpartition(".")[0], boxes
with contextlib.redirect_stdout(sys.stderr):
    images = dict(by_datumaro() if peer == "datumaro" else by_globox())
json.dump(images, sys.stdout)
"""

# Counts of (label, ymin, xmin, ymax, xmax) in pixels.
Boxes = Counter[tuple[str | float, ...]]


def read_ours(fixture: Fixture) -> dict[str, Boxes]:
    rules = ReadingRules(class_names=fixture.class_names)
    return {
        stem(image.filename) or image.filename: count((item.label, *pixels(item.box, image)) for item in image.objects)
        for path in fixture.annotation_files()
        for image in read_annotations(io.BytesIO(path.read_bytes()), source=str(path), rules=rules)
    }


def pixels(box: BoxCorners, image: ImageAnnotation) -> Sequence[float]:
    """Return a box in pixels; all images have the same size."""
    scale = (HEIGHT, WIDTH) * 2 if image.is_relative else (1, 1, 1, 1)
    return [edge * side for edge, side in zip(box, scale, strict=True)]


def read_theirs(fixture: Fixture, peer: str, peer_python: str) -> dict[str, Boxes]:
    paths = str(fixture.folder), str(fixture.file)
    found = json.loads(python(peer_python, "-c", READ, peer, fixture.form, *paths))
    return {name: count(map(tuple, boxes)) for name, boxes in found.items()}


def count(boxes: Iterable[tuple[str | float, ...]]) -> Boxes:
    """Count boxes at the precision that the formats keep."""
    return Counter((label, *(round(float(edge), DIGITS) + 0.0 for edge in box)) for label, *box in boxes)


def differences(ours: dict[str, Boxes], theirs: dict[str, Boxes]) -> Iterator[str]:
    """Yield the label of every box that only one of the two has, and NO_FILE for every image that only one has."""
    yield from (NO_FILE for _ in ours.keys() ^ theirs.keys())
    for name in ours.keys() & theirs.keys():
        only = (ours[name] - theirs[name]) + (theirs[name] - ours[name])
        yield from {str(label) for label, *_ in only}


def compare(fixture: Fixture, peer: str, peer_python: str) -> bool:
    """Print a row of the table, and return whether every difference is known."""
    ours, theirs = read_ours(fixture), read_theirs(fixture, peer, peer_python)
    agree = sum((ours[name] & theirs[name]).total() for name in ours.keys() & theirs.keys())
    here, there = (sum(boxes.total() for boxes in images.values()) for images in (ours, theirs))
    why = {KNOWN.get((peer, fixture.form, label), f"NOT KNOWN: {label}") for label in differences(ours, theirs)}
    numbers = f"{len(ours):6} {here:5} {agree:5} {max(here, there) - agree:6}"
    print(f"{fixture.form:7} {fixture.writer:9} {peer:9} {numbers}  {'; '.join(sorted(why))}", flush=True)
    return not any(reason.startswith("NOT KNOWN") for reason in why)


def run(work: Path, env: Path) -> bool:
    peer_python = make_environment(env, PINS)
    fixtures = make_fixtures(work, peer_python)
    print(f"{'form':7} {'writer':9} {'reader':9} images boxes agree differ  why")
    good = [
        compare(fixture, peer, peer_python) for fixture in fixtures for peer in PEERS[fixture.form]
    ]  # every row is printed
    return all(good)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", type=Path, help="environment to use and keep; default: a temporary one")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        return 0 if run(Path(work), flags.env or Path(work) / "env") else 1


if __name__ == "__main__":
    sys.exit(main())
