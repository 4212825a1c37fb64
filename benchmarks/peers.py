"""Compares our readers with Datumaro and Globox: labels and boxes that each reads from the same files.

    python benchmarks/peers.py [--env DIR]

Installs Datumaro and Globox, by pip, in a separate environment (--env keeps it for the next time): they are needed for
this comparison only. The files are written by our writers, by Datumaro's, and by hand as CVAT documents its format:
boxes with fractions and beyond the border, rotated boxes, polygons, lines, masks, ellipses, folders, accents. Every
label names its kind of shape, by which KNOWN explains differences. Exits with 1 if a difference is not known.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import venv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from retinanet_odm.annotations.cvat import format_cvat
from retinanet_odm.annotations.reader import read_annotations
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.voc import format_voc

PINS = ("datumaro==1.13.12", "globox==2.9.0")
PEERS = ("datumaro", "globox")
LABELS = ("box", "étoile de mer", "turned", "polygon", "line", "mask", "ellipse", "cuboid", "points")
WIDTH, HEIGHT = 96, 64
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
    **{
        ("globox", "CVAT", kind): "Globox reads <box> only" for kind in ("ellipse", "cuboid", "polygon", "line", "mask")
    },
}

MAKE = """
import sys
import datumaro as dm
import numpy as np
from datumaro.components.annotation import RotatedBbox
folder, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
labels = sys.argv[4].split(",")
pixels = np.zeros((height, width), dtype=np.uint8)
pixels[10:14, 20:29] = pixels[14:30, 25:27] = 1
boxes = [dm.Bbox(1.25, 2.5, 30.5, 20.25, label=0), dm.Bbox(-3.5, -2, 20, 10.75, label=1, attributes={"occluded": True})]
shapes = [
    RotatedBbox(40, 30, 20.5, 10, 30, label=2), RotatedBbox(5, 5, 20, 10, 300, label=2),
    dm.Polygon([1, 2, 30.25, 4, 15, 40.5], label=3), dm.PolyLine([50.5, 10, 90, 60], label=4),
    dm.Mask(pixels, label=5), dm.Ellipse(10, 20, 30.5, 28, label=6), dm.Points([1, 2], label=8), dm.Label(0),
]
contents = {"dive 1/é a": boxes + shapes, "StaM_6701": boxes, "empty": []}
def image():
    return dm.Image.from_numpy(np.zeros((height, width, 3), dtype=np.uint8))
items = [dm.DatasetItem(id=name, subset="default", media=image(), annotations=each) for name, each in contents.items()]
dataset = dm.Dataset.from_iterable(items, categories=labels)
for form in ("cvat", "voc", "coco_instances"):
    dataset.export(f"{folder}/{form}", form, save_media=True)
"""
READ = """
import contextlib, json, sys
import datumaro as dm
import globox
from datumaro.components.annotation import RotatedBbox
peer, form, folder, file = sys.argv[1:]
def by_datumaro():
    # Its COCO reader gives an object's outline and its box; ours, like Globox, takes the box.
    kinds = (dm.Bbox,) if form != "CVAT" else (dm.Bbox, RotatedBbox, dm.Polygon, dm.PolyLine, dm.Mask)
    dataset = dm.Dataset.import_from(folder, {"CVAT": "cvat", "VOC": "voc", "COCO": "coco_instances"}[form])
    names = dataset.categories()[dm.AnnotationType.label]
    for item in dataset:
        found = [shape for shape in item.annotations if isinstance(shape, kinds)]
        corners = [(names[shape.label].name, *map(float, shape.get_bbox())) for shape in found]
        yield item.id, [(label, y, x, y + height, x + width) for label, x, y, width, height in corners]
def by_globox():
    read = {"CVAT": globox.AnnotationSet.from_cvat, "COCO": globox.AnnotationSet.from_coco}
    if form == "VOC":
        found = globox.AnnotationSet.from_pascal_voc(file, recursive=True)
    else:
        found = read[form](file)
    for image in found:
        boxes = [(box.label, box.ymin, box.xmin, box.ymax, box.xmax) for box in image.boxes]
        yield image.image_id.rpartition(".")[0], boxes
with contextlib.redirect_stdout(sys.stderr):
    images = dict(by_datumaro() if peer == "datumaro" else by_globox())
json.dump(images, sys.stdout)
"""

# As CVAT documents it (manual/advanced/xml_format); neither our writer nor Datumaro's writes all of it.
CVAT_BY_HAND = """<annotations><version>1.1</version><meta><task><id>1</id><labels>{labels}</labels></task></meta>
<image id="0" name="dive 1/é a.png" width="96" height="64">
<box label="box" source="manual" occluded="0" xtl="1.25" ytl="2.50" xbr="31.75" ybr="22.75" z_order="0"/>
<box label="turned" source="manual" occluded="0" xtl="29.75" ytl="25" xbr="50.25" ybr="35" z_order="0" rotation="30"/>
<box label="turned" source="manual" occluded="0" xtl="0" ytl="0" xbr="20" ybr="10" z_order="0" rotation="270.5"/>
<polygon label="polygon" occluded="0" points="1.00,2.00;30.25,4.00;15.00,40.50" z_order="0"/>
<polyline label="line" occluded="0" points="50.50,10.00;90.00,60.00" z_order="0"/>
<ellipse label="ellipse" occluded="0" cx="20" cy="24" rx="10" ry="4" rotation="20" z_order="0"/>
<mask label="mask" occluded="0" rle="2, 3, 4, 1, 2" left="10" top="20" width="4" height="3" z_order="0"/>
<mask label="mask" occluded="0" rle="0, 7, 5" left="40" top="5" width="4" height="3" z_order="0"/>
<cuboid label="cuboid" occluded="0" xtl1="1" ytl1="2" xbl1="1" ybl1="9" xtr1="8" ytr1="2" xbr1="8" ybr1="9"
 xtl2="2" ytl2="1" xbl2="2" ybl2="8" xtr2="9" ytr2="1" xbr2="9" ybr2="8" z_order="0"/>
<points label="points" occluded="0" points="1.00,2.00" z_order="0"/>
<tag label="box" source="manual"/></image>
<image id="1" name="empty.png" width="96" height="64"/></annotations>
"""
VOC_BY_HAND = """<annotation><folder>dive</folder><filename>dive 1/é a.png</filename>
<size><width>96</width><height>64</height><depth/></size>
<object><name>box</name><bndbox><xmin>1.25</xmin><xmax>31.75</xmax><ymin>2.5</ymin><ymax>22.75</ymax></bndbox></object>
<object><name>turned</name><bndbox><xmin>29.75</xmin><ymin>25</ymin><xmax>50.25</xmax><ymax>35</ymax></bndbox>
<attributes><attribute><name>rotation</name><value>30.0</value></attribute></attributes></object></annotation>
"""

# Counts of (label, ymin, xmin, ymax, xmax) in pixels.
Boxes = Counter[tuple[str | float, ...]]


@dataclass(frozen=True, kw_only=True)
class Fixture:
    """Files of one format: folder is what Datumaro opens, file what Globox opens."""

    form: str
    writer: str
    folder: Path
    file: Path

    def annotation_files(self) -> list[Path]:
        return sorted(self.file.rglob("*.xml")) if self.file.is_dir() else [self.file]


def annotations() -> list[ImageAnnotation]:
    """Returns what our own writers write: axis-aligned boxes only."""
    boxes = (
        ObjectAnnotation(label="box", box=(2.5, 1.25, 22.75, 31.75)),
        ObjectAnnotation(label="étoile de mer", box=(0.33, 0.66, 8.75, 16.5), occluded=True),
    )
    contents = {"dive 1/é a.png": boxes, "StaM_6701.png": boxes[:1], "empty.png": ()}
    return [
        ImageAnnotation(filename=name, width=WIDTH, height=HEIGHT, objects=objects, source="")
        for name, objects in contents.items()
    ]


def write_images(folder: Path) -> None:
    """Writes a black image for each name: Datumaro reads no CVAT file without its images."""
    for annotation in annotations():
        path = folder / annotation.filename
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(path)


def cvat_fixture(folder: Path, writer: str, data: bytes) -> Fixture:
    write_images(folder / "images")
    path = folder / "annotations.xml"
    path.write_bytes(data)
    return Fixture(form="CVAT", writer=writer, folder=folder, file=path)


def voc_fixture(folder: Path, writer: str, files: dict[str, bytes]) -> Fixture:
    """Writes annotations by stem, and the lists that Datumaro requires."""
    write_images(folder / "JPEGImages")
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "default.txt").write_text("".join(f"{stem}\n" for stem in files))
    (folder / "labelmap.txt").write_text("".join(f"{label}:::\n" for label in LABELS))
    for stem, data in files.items():
        path = folder / "Annotations" / f"{stem}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return Fixture(form="VOC", writer=writer, folder=folder, file=folder / "Annotations")


def prepared_fixture(folder: Path, source: Fixture) -> Fixture:
    """Prepares a data set from a CVAT file and takes its val.json: all of our readers and writers together."""
    flags = ["--images", f"{source.folder}/images/**", "--annotations", str(source.file), "--splits", "val=1"]
    python(sys.executable, "-m", "beam_jobs", "prepare", *flags, "--output", str(folder / "prepared"))
    write_images(folder / "images" / "val")
    path = folder / "annotations" / "instances_val.json"
    path.parent.mkdir()
    path.write_bytes((folder / "prepared" / "val.json").read_bytes())
    return Fixture(form="COCO", writer="prepare", folder=folder, file=path)


def make_fixtures(work: Path, peer_python: str) -> list[Fixture]:
    ours = annotations()
    meta = "".join(f"<label><name>{label}</name><attributes/></label>" for label in LABELS)
    by_hand = cvat_fixture(work / "cvat by hand", "by hand", CVAT_BY_HAND.format(labels=meta).encode())
    python(peer_python, "-c", MAKE, str(work / "theirs"), str(WIDTH), str(HEIGHT), ",".join(LABELS))
    theirs = {form: work / "theirs" / form for form in ("cvat", "voc", "coco_instances")}
    return [
        cvat_fixture(work / "cvat", "ours", format_cvat(ours, labels=LABELS, task="t")),
        voc_fixture(work / "voc", "ours", {stem(image.filename): format_voc(image) for image in ours}),
        prepared_fixture(work / "coco", by_hand),
        by_hand,
        voc_fixture(work / "voc by hand", "by hand", {"dive 1/é a": VOC_BY_HAND.encode()}),
        Fixture(form="CVAT", writer="Datumaro", folder=theirs["cvat"], file=theirs["cvat"] / "default.xml"),
        Fixture(form="VOC", writer="Datumaro", folder=theirs["voc"], file=theirs["voc"] / "Annotations"),
        Fixture(
            form="COCO",
            writer="Datumaro",
            folder=theirs["coco_instances"],
            file=theirs["coco_instances"] / "annotations" / "instances_default.json",
        ),
    ]


def stem(name: str) -> str:
    return name.rpartition(".")[0]


def python(interpreter: str, *command: str) -> str:
    """Runs a Python command and returns its output; if it fails, exits with the end of its error output."""
    done = subprocess.run([interpreter, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"failed: {interpreter} {command[0]} …\n{done.stderr[-2000:]}")
    return done.stdout


def read_ours(fixture: Fixture) -> dict[str, Boxes]:
    return {
        stem(image.filename): count((item.label, *item.box) for item in image.objects)
        for path in fixture.annotation_files()
        for image in read_annotations(io.BytesIO(path.read_bytes()), source=str(path))
    }


def read_theirs(fixture: Fixture, peer: str, peer_python: str) -> dict[str, Boxes]:
    paths = str(fixture.folder), str(fixture.file)
    found = json.loads(python(peer_python, "-c", READ, peer, fixture.form, *paths))
    return {name: count(map(tuple, boxes)) for name, boxes in found.items()}


def count(boxes: Iterable[tuple[str | float, ...]]) -> Boxes:
    """Counts boxes at the precision that the formats keep."""
    return Counter((label, *(round(float(edge), DIGITS) + 0.0 for edge in box)) for label, *box in boxes)


def differences(ours: dict[str, Boxes], theirs: dict[str, Boxes]) -> Iterator[str]:
    """Yields the label of every box that only one of the two has, and NO_FILE for every image that only one has."""
    yield from (NO_FILE for _ in ours.keys() ^ theirs.keys())
    for name in ours.keys() & theirs.keys():
        only = (ours[name] - theirs[name]) + (theirs[name] - ours[name])
        yield from {str(label) for label, *_ in only}


def compare(fixture: Fixture, peer: str, peer_python: str) -> bool:
    """Prints a row of the table, and returns whether every difference is known."""
    ours, theirs = read_ours(fixture), read_theirs(fixture, peer, peer_python)
    agree = sum((ours[name] & theirs[name]).total() for name in ours.keys() & theirs.keys())
    here, there = (sum(boxes.total() for boxes in images.values()) for images in (ours, theirs))
    why = {KNOWN.get((peer, fixture.form, label), f"NOT KNOWN: {label}") for label in differences(ours, theirs)}
    numbers = f"{len(ours):6} {here:5} {agree:5} {max(here, there) - agree:6}"
    print(f"{fixture.form:5} {fixture.writer:9} {peer:9} {numbers}  {'; '.join(sorted(why))}", flush=True)
    return not any(reason.startswith("NOT KNOWN") for reason in why)


def install(env: Path) -> str:
    """Installs the peers into an environment and returns its Python."""
    interpreter = env / "bin" / "python"
    if not interpreter.exists():
        venv.create(env, with_pip=True)
    python(str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINS)
    return str(interpreter)


def run(work: Path, env: Path) -> bool:
    peer_python = install(env)
    fixtures = make_fixtures(work, peer_python)
    print(f"{'form':5} {'writer':9} {'reader':9} images boxes agree differ  why")
    good = [compare(fixture, peer, peer_python) for fixture in fixtures for peer in PEERS]  # every row is printed
    return all(good)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", type=Path, help="environment to use and keep; default: a temporary one")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        return 0 if run(Path(work), flags.env or Path(work) / "env") else 1


if __name__ == "__main__":
    sys.exit(main())
