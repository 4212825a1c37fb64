"""Files of every format for `benchmarks.peers`: by our writers, by Datumaro's, and by hand.

Every label names its kind of shape.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from retinanet_odm.annotations.class_names import ClassNames, parse_class_names
from retinanet_odm.annotations.cvat import format_cvat
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.voc import format_voc

LABELS = ("box", "étoile de mer", "turned", "polygon", "line", "mask", "ellipse", "cuboid", "points")
WIDTH, HEIGHT = 96, 64

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
flat = [dm.DatasetItem(id=name, subset="train", media=image(), annotations=boxes[:1]) for name in ("a", "StaM_6701")]
dm.Dataset.from_iterable(flat, categories=labels).export(f"{folder}/yolo", "yolo", save_media=True)
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

# As LabelMe, VIA and YOLO document them.
LABELME_BY_HAND = {
    "version": "5.4.1",
    "flags": {},
    "shapes": [
        {"label": "box", "points": [[31.75, 22.75], [1.25, 2.5]], "shape_type": "rectangle", "group_id": None},
        {"label": "polygon", "points": [[1, 2], [30.25, 4], [15, 40.5]], "shape_type": "polygon", "group_id": None},
        {"label": "ellipse", "points": [[20, 24], [26, 32]], "shape_type": "circle", "group_id": None},
        {"label": "line", "points": [[50.5, 10], [90, 60]], "shape_type": "line", "group_id": None},
        {"label": "mask", "points": [[10, 20], [14, 23]], "shape_type": "mask", "group_id": None},
        {"label": "points", "points": [[1, 2]], "shape_type": "point", "group_id": None},
    ],
    "imagePath": "a.png",
    "imageData": None,
    "imageHeight": HEIGHT,
    "imageWidth": WIDTH,
}
VIA_SHAPES = {
    "box": {"name": "rect", "x": 1.25, "y": 2.5, "width": 30.5, "height": 20.25},
    "étoile de mer": {"name": "rect", "x": -3.5, "y": -2, "width": 20, "height": 10.75},
    "polygon": {"name": "polygon", "all_points_x": [1, 30.25, 15], "all_points_y": [2, 4, 40.5]},
    "ellipse": {"name": "ellipse", "cx": 20, "cy": 24, "rx": 10, "ry": 4, "theta": 0.35},
    "line": {"name": "polyline", "all_points_x": [50.5, 90], "all_points_y": [10, 60]},
}
VIA_BY_HAND = {
    "a.png99": {
        "filename": "a.png",
        "size": 99,
        "regions": [
            {"shape_attributes": shape, "region_attributes": {"species": label}} for label, shape in VIA_SHAPES.items()
        ],
        "file_attributes": {},
    },
    "empty.png9": {"filename": "empty.png", "size": 9, "regions": [], "file_attributes": {}},
}
YOLO_BY_HAND = {"a": "0 0.171875 0.197265625 0.317708333 0.31640625\n1 0.5 0.5 0.25 0.125\n", "empty": ""}


@dataclass(frozen=True, kw_only=True)
class Fixture:
    """Files of one format: folder is what Datumaro opens, file what Globox opens."""

    form: str
    writer: str
    folder: Path
    file: Path

    def annotation_files(self) -> list[Path]:
        suffix = {"YOLO": ".txt", "LabelMe": ".json"}.get(self.form, ".xml")
        return sorted(self.file.rglob(f"*{suffix}")) if self.file.is_dir() else [self.file]

    def class_names(self) -> ClassNames:
        path = self.folder / "obj.names"
        return parse_class_names(path.read_bytes(), source=str(path))


def annotations() -> list[ImageAnnotation]:
    """Return what our own writers write: axis-aligned boxes only."""
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
    """Write a black image for each name: Datumaro reads no CVAT file without its images."""
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
    """Write annotations by stem, and the lists that Datumaro requires."""
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


def json_fixture(folder: Path, form: str, document: object, *, is_folder: bool) -> Fixture:
    """Write a JSON file; is_folder: Globox opens its folder."""
    folder.mkdir()
    path = folder / "a.json"
    path.write_text(json.dumps(document, ensure_ascii=False))
    return Fixture(form=form, writer="by hand", folder=folder, file=folder if is_folder else path)


def yolo_fixture(folder: Path, files: dict[str, str]) -> Fixture:
    """Write text files by stem, their images, and the lists that Datumaro requires."""
    data = folder / "obj_train_data"
    data.mkdir(parents=True)
    for name, text in files.items():
        (data / f"{name}.txt").write_text(text)
        Image.new("RGB", (WIDTH, HEIGHT)).save(data / f"{name}.png")
    (folder / "obj.names").write_text("".join(f"{label}\n" for label in LABELS))
    (folder / "obj.data").write_text(f"classes = {len(LABELS)}\ntrain = data/train.txt\nnames = data/obj.names\n")
    (folder / "train.txt").write_text("".join(f"data/obj_train_data/{name}.png\n" for name in files))
    return Fixture(form="YOLO", writer="by hand", folder=folder, file=data)


def prepared_fixture(folder: Path, source: Fixture) -> Fixture:
    """Prepare a data set from a CVAT file and take its val.json: all of our readers and writers together."""
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
        json_fixture(work / "labelme", "LabelMe", LABELME_BY_HAND, is_folder=True),
        json_fixture(work / "via", "VIA", VIA_BY_HAND, is_folder=False),
        yolo_fixture(work / "yolo by hand", YOLO_BY_HAND),
        Fixture(
            form="YOLO",
            writer="Datumaro",
            folder=work / "theirs" / "yolo",
            file=work / "theirs" / "yolo" / "obj_train_data",
        ),
    ]


def stem(name: str) -> str:
    return name.rpartition(".")[0]


def python(interpreter: str, *command: str) -> str:
    """Run a Python command and return its output; if it fails, exits with the end of its error output."""
    done = subprocess.run([interpreter, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"failed: {interpreter} {command[0]} …\n{done.stderr[-2000:]}")
    return done.stdout
