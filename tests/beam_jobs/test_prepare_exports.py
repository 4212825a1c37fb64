"""The complete job over zip files, as CVAT exports them: all layouts, faults, and the same bytes as unzipped."""

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from beam_jobs.main import main
from beam_jobs.rows import Reject, parse_rejects
from retinanet_odm.annotations.cvat import format_cvat
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.voc import format_voc
from retinanet_odm.dataset.examples import DetectionExample
from tests.beam_jobs.conftest import read_dataset

Members = dict[str, bytes]
SIZE = (48, 32)


def _image(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", SIZE, (shade, 40, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def _annotation(name: str, label: str = "crab") -> ImageAnnotation:
    item = ObjectAnnotation(label=label, box=(5.0, 4.0, 20.0, 14.0))
    return ImageAnnotation(filename=name, width=SIZE[0], height=SIZE[1], objects=(item,), source=name)


def _cvat(*names: str, label: str = "crab") -> bytes:
    return format_cvat([_annotation(name, label) for name in names], labels=[label], task="task")


def _coco(*names: str) -> bytes:
    box = {"category_id": 1, "bbox": [5, 4, 15, 10], "iscrowd": 0}
    document = {
        "images": [{"id": row, "file_name": name} for row, name in enumerate(names)],
        "annotations": [{"id": row, "image_id": row, **box} for row in range(len(names))],
        "categories": [{"id": 1, "name": "crab"}],
    }
    return json.dumps(document).encode()


def _zip(path: Path, members: Members) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in members.items():
            target.writestr(name, data)
    return path


def _images(folder: str, *names: str, shade: int) -> Members:
    return {f"{folder}/{name}": _image(shade + row) for row, name in enumerate(names)}


CVAT_NAMES = ("dive 1/Étoile.png", "dive 2/Étoile.png", "c.png")
VOC_NAMES = ("dive 1/frame (1).png", "dive 2/frame (1).png", "frame (1).png")
LAYOUTS: dict[str, Members] = {
    "CVAT for images": {
        **_images("images", *CVAT_NAMES, shade=0),
        "annotations.xml": _cvat(*CVAT_NAMES),
        "__MACOSX/images/._c.png": b"shadow",
        "__MACOSX/._annotations.xml": b"shadow",
    },
    "Pascal VOC": {
        **_images("JPEGImages", *VOC_NAMES, shade=10),
        **{f"Annotations/{name[:-4]}.xml": format_voc(_annotation(name)) for name in VOC_NAMES},
        **_images("SegmentationClass", *VOC_NAMES, shade=100),
        **_images("SegmentationObject", *VOC_NAMES, shade=110),
        "ImageSets/Main/default.txt": b"frame (1)\n",
        "labelmap.txt": b"crab:1,2,3::\n",
    },
    "COCO": {
        **_images("images/Train", "x.png", "y.png", shade=20),
        **_images("images/Test", "x.png", shade=30),
        "annotations/instances_Train.json": _coco("x.png", "y.png"),
        "annotations/instances_Test.json": _coco("x.png"),
    },
}
IMAGES = {
    f"{title}/{name}": data
    for title, members in LAYOUTS.items()
    for name, data in members.items()
    if name.startswith(("images/", "JPEGImages/"))
}


@pytest.fixture
def prepare(tmp_path) -> Callable[..., dict[str, DetectionExample]]:
    """Runs the job; returns the examples by name. An ``@`` in a flag is the folder of the test."""

    def run(*flags: str, output: str = "out") -> dict[str, DetectionExample]:
        words = [flag.replace("@", str(tmp_path)) for flag in flags]
        folder = tmp_path / output
        assert main(["prepare", *words, f"--output={folder}"]) == 0
        return {example.filename: example for _, example in read_dataset(folder)}

    return run


def _rejects(folder: Path) -> list[Reject]:
    return parse_rejects((folder / "rejected.jsonl").read_text())


def _named_and_numbered(folder: Path) -> Members:
    """What must not depend on where the images lay."""
    names = [path for path in folder.iterdir() if path.suffix in (".tfrecord", ".csv", ".pbtxt") or path.stem == "val"]
    return {path.name: path.read_bytes() for path in names}


def test_exports_of_all_layouts_give_what_they_give_unzipped(prepare, tmp_path, read_folder):
    for title, members in LAYOUTS.items():
        with zipfile.ZipFile(_zip(tmp_path / f"zips/{title}.zip", members)) as archive:
            archive.extractall(tmp_path / "folders" / title)
    before = read_folder(tmp_path / "zips")
    examples = prepare("--exports=@/zips/*.zip")
    assert {name: example.encoded for name, example in examples.items()} == IMAGES
    assert {len(example.objects) for example in examples.values()} == {1}
    assert _rejects(tmp_path / "out") == []
    files = _named_and_numbered(tmp_path / "out")
    assert len(files) > 3
    prepare("--images=@/zips/*.zip", "--annotations=@/zips/*.zip", output="loose")
    assert _named_and_numbered(tmp_path / "loose") == files, "no two exports here have a name in common"
    folders = ["@/folders/**/images/**", "@/folders/**/JPEGImages/**"]
    annotations = ["@/folders/**/annotations.xml", "@/folders/**/Annotations/**", "@/folders/**/*.json"]
    prepare("--images", *folders, "--annotations", *annotations, output="unzipped")
    assert _named_and_numbered(tmp_path / "unzipped") == files
    assert read_folder(tmp_path / "zips") == before, "only read"


def test_frames_of_one_name_in_two_exports_keep_their_own_boxes(prepare, tmp_path):
    name = "frame_000000.png"
    for row, task in enumerate(("task 1", "task 2")):
        members = {**_images("images", name, shade=row), "annotations.xml": _cvat(name, label=task)}
        _zip(tmp_path / f"{task}.zip", members)
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / name).write_bytes(_image(2))
    (tmp_path / "loose" / "frame_000000.xml").write_bytes(format_voc(_annotation(name, "loose")))
    loose = ["--images=@/loose/*.png", "--annotations=@/loose/*.xml"]
    examples = prepare("--exports", "@/task 1.zip", "@/*.zip", *loose)
    assert {key: (example.encoded, example.objects[0].label) for key, example in examples.items()} == {
        f"task 1/images/{name}": (_image(0), "task 1"),
        f"task 2/images/{name}": (_image(1), "task 2"),
        name: (_image(2), "loose"),
    }
    manifest = json.loads((tmp_path / "out/dataset.json").read_text())
    assert manifest["options"]["exports"] == [f"{tmp_path}/task 1.zip", f"{tmp_path}/*.zip"]
    assert manifest["images_in"] == 3


def test_exports_of_one_name_are_distinguished_or_rejected(prepare, tmp_path):
    """Two browsers' ``export.zip``: their images' names collide where no pattern stands above both."""
    for folder in ("x", "y"):
        members = {**_images("images", "a.png", f"{folder}.png", shade=0)}
        _zip(tmp_path / "in" / folder / "export.zip", {**members, "annotations.xml": _cvat("a.png", f"{folder}.png")})
    examples = prepare("--exports", "@/in/x/export.zip", "@/in/y/export.zip")
    assert examples.keys() == {"export/images/x.png", "export/images/y.png"}
    assert [(row.name, row.reason) for row in _rejects(tmp_path / "out") if row.kind == "image"] == [
        ("export/images/a.png", "duplicate_image_name")
    ] * 2
    assert prepare("--exports=@/in/**/export.zip", output="both").keys() >= {
        "x/export/images/a.png",
        "y/export/images/a.png",
    }


HALVES = [
    ("images/*.zip", "annotations/*.zip", "both zipped"),
    ("images/*/**", "annotations/*.zip", "images loose, exports without images"),
    ("images/*.zip", "annotations/*/**", "images zipped, annotations loose"),
]


@pytest.mark.parametrize(("images", "annotations", "why"), HALVES, ids=[row[2] for row in HALVES])
def test_images_in_another_place_than_annotations(prepare, tmp_path, images, annotations, why):
    for title, members in LAYOUTS.items():
        image_half = {name: data for name, data in members.items() if f"{title}/{name}" in IMAGES}
        texts = {name: members[name] for name in members if name.endswith((".xml", ".json")) and "._" not in name}
        for folder, half in (("images", image_half), ("annotations", texts)):
            with zipfile.ZipFile(_zip(tmp_path / folder / f"{title}.zip", half)) as archive:
                archive.extractall(tmp_path / folder / title)
    examples = prepare(f"--images=@/{images}", f"--annotations=@/{annotations}")
    assert {name: example.encoded for name, example in examples.items()} == IMAGES, why
    assert _rejects(tmp_path / "out") == [], why


def _damage(path: Path, name: str, change: Callable[[bytearray, int, int], None]) -> None:
    """Changes an archive, given where the local header and the directory's entry of a member begin."""
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\1\2", 0, data.rindex(name.encode()))
    change(data, data.index(name.encode()) - 30, entry)
    path.write_bytes(data)


def _encrypt(data: bytearray, local: int, entry: int) -> None:
    data[local + 6] |= 1
    data[entry + 8] |= 1


def _break_checksum(data: bytearray, local: int, entry: int) -> None:
    data[local + 14] ^= 1
    data[entry + 16] ^= 1


def _promise_less(data: bytearray, local: int, entry: int) -> None:
    struct.pack_into("<I", data, local + 22, 10)
    struct.pack_into("<I", data, entry + 24, 10)


def test_every_fault_of_a_member_is_a_line(prepare, tmp_path):
    names = ("good.png", "locked.png", "wrong.png", "liar.png", "cut.png")
    members = _images("images", *names, shade=0)
    members["images/cut.png"] = members["images/cut.png"][:50]
    members["images/../../../etc/x.png"] = _image(9)
    bomb = b"<annotations>" + bytes(70 << 20)
    stray = {"package.json": b'{"name": "x"}', "locked.xml": b"<annotation/>", "bomb.xml": bomb, "task.zip": b"PK"}
    path = _zip(tmp_path / "a.zip", {**members, **stray, "annotations.xml": _cvat(*names, "../../../etc/x.png")})
    for name in ("images/locked.png", "locked.xml"):
        _damage(path, name, _encrypt)
    _damage(path, "images/wrong.png", _break_checksum)
    _damage(path, "images/liar.png", _promise_less)
    examples = prepare("--exports=@/a.zip")
    assert examples.keys() == {"a/images/good.png", "a/images/../../../etc/x.png"}
    assert {row.source.removeprefix(f"{path}/"): (row.kind, row.reason) for row in _rejects(tmp_path / "out")} == {
        "images/locked.png": ("image", "zip_member_not_readable"),
        "images/wrong.png": ("image", "zip_member_not_readable"),
        "images/liar.png": ("image", "zip_member_not_readable"),
        "images/cut.png": ("image", "image_not_decodable"),
        "package.json": ("annotation", "annotation_kind_unknown"),
        "locked.xml": ("annotation", "zip_member_not_readable"),
        "bomb.xml": ("annotation", "zip_member_not_readable"),
    }
    assert not (tmp_path.parent / "etc").exists()


BAD_FLAGS = [
    (["--exports=@/none/*.zip"], ["--exports", "/none/*.zip", "no folder"], "missing folder"),
    (["--exports=@/in"], ["--exports", "@/in/bare.zip", "an image"], "a folder stands for all its files"),
    (["--exports=@/in/bare.zip"], ["@/in/bare.zip", "an image", "found annotations.xml"], "without images"),
    (["--exports=@/in/cut.zip"], ["--exports", "@/in/cut.zip is not a readable zip"], "a download that broke off"),
    (["--images=@/in/full.zip"], ["--images: expected --annotations too", "--exports"], "half a request"),
    (["--annotations=@/in/full.zip"], ["--annotations: expected --images too"], "the other half"),
    (["--images=@/in/full.zip", "--annotations=@/none"], ["--annotations", "@/none"], "no such file"),
    ([], ["--images and --annotations, or --exports"], "nothing"),
    (["--exports=@/in/full.zip", "--output=@/in"], ["--output: @/in", "read as input"], "the output is the input"),
    (["--exports=@/*/full.zip", "--output=@/in"], ["--output: @/in holds files"], "the output holds the input"),
]


@pytest.mark.parametrize(("flags", "words", "why"), BAD_FLAGS, ids=[row[2] for row in BAD_FLAGS])
def test_bad_request_is_one_line(tmp_path, capfd, read_folder, flags, words, why):
    _zip(tmp_path / "in/full.zip", LAYOUTS["COCO"])
    _zip(tmp_path / "in/bare.zip", {"annotations.xml": b""})
    (tmp_path / "in/cut.zip").write_bytes((tmp_path / "in/full.zip").read_bytes()[:-30])
    before = read_folder(tmp_path / "in")
    given = [flag.replace("@", str(tmp_path)) for flag in ["--output=@/out", *flags]]
    assert main(["prepare", *given]) == 2, why
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "tfrecord: " not in line]
    assert line.startswith("error: "), why
    assert all(word.replace("@", str(tmp_path)) in line for word in words), line
    assert read_folder(tmp_path / "in") == before, why
    assert not (tmp_path / "out").exists(), why


YOLO_LAYOUTS = [
    ("images/{}.png", "labels/{}.txt", "data.yaml", "Ultralytics"),
    ("obj_{}.png", "obj_{}.txt", "obj.names", "CVAT's YOLO 1.1"),
    ("export/{}.png", "export/{}.txt", "export/classes.txt", "zipped with its folder"),
]


@pytest.mark.parametrize(("image", "text", "classes", "why"), YOLO_LAYOUTS, ids=[row[3] for row in YOLO_LAYOUTS])
def test_exports_of_yolo(prepare, tmp_path, image, text, classes, why):
    names = b"names: [star, crab]" if classes.endswith("yaml") else b"star\ncrab\n"
    # Both splits have an image a: the folders decide.
    texts = {
        "train/a": b"1 0.5 0.5 0.25 0.5\n",
        "val/a": b"0 0.5 0.5 0.5 0.5\n",
        "val/b": b"",
        "val/c": b"9 .5 .5 .1 .1",
    }
    members = {classes: names, "train.txt": b"data/train/a.png\n", "README.txt": b"made by hand"}
    for shade, (name, content) in enumerate(texts.items()):
        members |= {image.format(name): _image(shade), text.format(name): content}
    _zip(tmp_path / "yolo.zip", members)
    examples = prepare("--exports=@/*.zip")
    found = {name: [item.label for item in example.objects] for name, example in examples.items()}
    expected = {"train/a": ["crab"], "val/a": ["star"], "val/b": []}
    assert found == {f"yolo/{image.format(name)}": labels for name, labels in expected.items()}, why
    (reject,) = _rejects(tmp_path / "out")
    assert (Path(reject.name).stem, reject.reason) == ("c", "class_without_name"), why
