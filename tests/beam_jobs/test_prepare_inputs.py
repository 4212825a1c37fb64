"""The complete job with annotations of every kind, earlier ids, groups, lists and policies."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from beam_jobs.main import main
from beam_jobs.plan import read_annotation_group
from beam_jobs.rows import Reject, parse_rejects
from retinanet_odm.dataset.examples import DetectionExample
from retinanet_odm.sources.listing import AnnotationFile
from tests.beam_jobs.conftest import read_dataset, read_manifest

REPOSITORY = Path(__file__).parents[2]
BOX = '<box label="{}" occluded="0" xtl="5" ytl="4" xbr="20" ybr="14"/>'


def _cvat(*images: tuple[str, str]) -> str:
    """A CVAT for images export of (name, shapes)."""
    rows = (f'<image id="0" name="{name}" width="48" height="32">{shapes}</image>' for name, shapes in images)
    return f"<annotations><version>1.1</version><meta><task/></meta>{''.join(rows)}</annotations>"


def _box(label: str = "crab") -> str:
    return BOX.format(label)


@pytest.fixture
def prepare(source, tmp_path) -> Callable[..., dict[str, DetectionExample]]:
    """Runs the job on the source; returns the examples by name."""

    def run(*more: str, annotations: str = "*", output: str = "out") -> dict[str, DetectionExample]:
        patterns = [f"--images={source.images}/**", f"--annotations={source.annotations}/{annotations}"]
        folder = tmp_path / output
        assert main(["prepare", *patterns, f"--output={folder}", *more]) == 0
        return {example.filename: example for _, example in read_dataset(folder)}

    return run


def _rejects(folder: Path) -> dict[str, str]:
    return {row.name: row.reason for row in parse_rejects((folder / "rejected.jsonl").read_text())}


def _id_rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "id_map.csv").open(newline="") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def test_cvat_file_of_images_in_sub_folders(source, prepare, tmp_path, caplog):
    for name in ("1/a.jpg", "2/a.jpg", "2/b.jpg", "bad.jpg", "none.jpg"):
        source.add_image(name)
    text = _cvat(
        ("1/a.jpg", _box("crab")),
        ("2/a.jpg", _box("fish") + '<points label="eye" points="1,2;3,4"/>'),
        ("b.jpg", ""),
        ("bad.jpg", _box() + '<box label="crab" xtl="?" ytl="4" xbr="20" ybr="14"/>'),
        ("gone.jpg", _box()),
    )
    (source.annotations / "all.of.it").write_text(text)
    examples = prepare()
    labels = {name: [item.label for item in example.objects] for name, example in examples.items()}
    assert labels == {"1/a.jpg": ["crab"], "2/a.jpg": ["fish"], "2/b.jpg": []}
    assert _rejects(tmp_path / "out") == {
        "bad.jpg": "number_not_readable",
        "none.jpg": "image_without_annotation",
        "gone.jpg": "annotation_without_image",
    }
    assert "1 shapes without a box: points" in caplog.text


def test_coco_file(source, prepare):
    for name in ("dive 1/Étoile.jpg", "b.jpg"):
        source.add_image(name)
    boxes = [
        {"id": 1, "image_id": 9, "category_id": 4, "bbox": [5, 4, 15, 10], "iscrowd": 1},
        {"id": 2, "image_id": 9, "category_id": 4, "bbox": [1, 2, 3, 4], "iscrowd": 0},
    ]
    images = [{"id": 9, "file_name": "dive 1/Étoile.jpg"}, {"id": 10, "file_name": "b.jpg"}]
    document = {"images": images, "annotations": boxes, "categories": [{"id": 4, "name": "crab"}]}
    (source.annotations / "instances.json").write_text(json.dumps(document))
    examples = prepare()
    assert [item.is_crowd for item in examples["dive 1/Étoile.jpg"].objects] == [True, False]
    assert examples["b.jpg"].objects == ()


def test_yolo_files_with_their_class_names(source, prepare, tmp_path):
    for name in ("train/a.jpg", "train/b.jpg", "train/c.jpg"):
        source.add_image(name)
    files = {"a": "0 0.5 0.5 0.25 0.5\n1 0.1 0.1 0.3 0.1 0.2 0.4\n", "b": "", "c": "7 0.5 0.5 0.25 0.5\n"}
    (source.annotations / "train").mkdir()
    for stem, text in files.items():
        (source.annotations / "train" / f"{stem}.txt").write_text(text)
    (source.annotations / "data.yaml").write_text("names: {0: star, 1: crab}\n")
    examples = prepare(annotations="**")
    assert examples.keys() == {"train/a.jpg", "train/b.jpg"}
    assert [item.label for item in examples["train/a.jpg"].objects] == ["star", "crab"]
    assert examples["train/a.jpg"].objects[0].box == pytest.approx((0.25, 0.375, 0.75, 0.625))
    assert examples["train/b.jpg"].objects == (), "an empty file is a statement"
    assert _rejects(tmp_path / "out") == {"train/c.jpg": "class_without_name"}


def test_predictions_are_annotations_on_request(source, prepare, tmp_path):
    for name in ("a.jpg", "b.jpg"):
        source.add_image(name)
    found = {"category": "1", "conf": 0.9, "bbox": [0.25, 0.25, 0.5, 0.5]}
    images = [{"file": "a.jpg", "detections": [found, {**found, "conf": 0.2}]}, {"file": "b.jpg", "detections": []}]
    document = {"detection_categories": {"1": "animal"}, "images": images}
    (source.annotations / "md.json").write_text(json.dumps(document))
    examples = prepare("--min_score=0.8")
    boxes = {name: [item.box for item in example.objects] for name, example in examples.items()}
    assert boxes == {"a.jpg": [(0.25, 0.25, 0.75, 0.75)], "b.jpg": []}
    assert read_manifest(tmp_path / "out").options["min_score"] == 0.8


def _cut(source) -> None:
    """A truncated file that contains only the first of two images."""
    for name in ("a.jpg", "b.jpg"):
        source.add_image(name)
    text = _cvat(("a.jpg", _box()), ("b.jpg", _box()))
    (source.annotations / "cut.xml").write_text(text[: text.index('name="b.jpg"')])


@pytest.mark.parametrize("policy", ["reject", "negative"])
def test_a_truncated_file_keeps_what_was_read_and_makes_no_negatives(source, prepare, tmp_path, policy):
    _cut(source)
    assert prepare(f"--without_annotation={policy}").keys() == {"a.jpg"}
    rejects = {row.name: row for row in parse_rejects((tmp_path / "out" / "rejected.jsonl").read_text())}
    lost = rejects.pop("b.jpg")
    assert lost.reason == "image_without_annotation"
    assert "cut.xml" in lost.detail
    (file,) = rejects.values()
    assert (file.kind, file.reason) == ("annotation", "xml_not_well_formed")
    assert "1 images before that were read" in file.detail


FILES = [
    (b"", "annotation_empty", "an empty file"),
    (b"\xff\xd8\xff\xe0", "annotation_kind_unknown", "an image"),
    (b"<annotation><object></annotation>", "xml_not_well_formed", "one image, nothing read"),
]


@pytest.mark.parametrize(("data", "reason", "why"), FILES)
def test_file_that_cannot_be_read_stands_for_its_image(tmp_path, data, reason, why):
    path = tmp_path / "a.xml"
    path.write_bytes(data)
    (row,) = read_annotation_group([AnnotationFile(uri=str(path), name="a.xml")])
    assert isinstance(row, AnnotationFile), why
    assert (row.reason, row.annotation, row.image_name) == (reason, None, ""), why
    assert str(path) in row.detail


def test_a_large_file_is_read_row_by_row(tmp_path):
    path = tmp_path / "all.xml"
    path.write_text(_cvat(*((f"{row}.jpg", _box()) for row in range(3000))).replace("</annotations>", "<"))
    rows = read_annotation_group([AnnotationFile(uri=str(path), name="all.xml")])
    first = next(rows)
    assert isinstance(first, AnnotationFile)
    assert first.image_name == "0.jpg"
    *_, last = rows
    assert isinstance(last, Reject)


def test_annotation_file_that_two_patterns_match_is_read_once(source, prepare):
    source.add_image("a.jpg")
    (source.annotations / "all.xml").write_text(_cvat(("a.jpg", _box())))
    patterns = [f"{source.annotations}/*", f"{source.annotations}/a*.xml"]
    assert prepare("--annotations", *patterns).keys() == {"a.jpg"}


POLICIES = [
    (
        [],
        {"full.jpg", "empty.jpg"},
        {"alone.jpg": "image_without_annotation"},
        "by default no image is assumed to be empty",
    ),
    (
        ["--without_annotation=negative"],
        {"full.jpg", "empty.jpg", "alone.jpg"},
        {},
        "the user confirms it",
    ),
    (
        ["--negatives=drop"],
        {"full.jpg"},
        {"alone.jpg": "image_without_annotation", "empty.jpg": "no_objects"},
        "only images with objects",
    ),
]


@pytest.mark.parametrize(("flags", "names", "rejects", "why"), POLICIES)
def test_policies(source, prepare, tmp_path, flags, names, rejects, why):
    for name in ("full", "empty", "alone"):
        source.add_image(f"{name}.jpg")
    source.add_annotation("full", [("crab", (1.0, 2.0, 9.0, 12.0))])
    source.add_annotation("empty", [])
    assert prepare(*flags).keys() == names, why
    assert _rejects(tmp_path / "out") == rejects, why
    assert read_manifest(tmp_path / "out").rejected == len(rejects), why


def test_ids_stay_when_images_are_added_and_removed(source, prepare, tmp_path):
    source.fill(12)
    before = prepare(output="one")
    old = _id_rows(tmp_path / "one")
    (gone, *_) = sorted(before)
    (source.images / gone).unlink()
    for number in range(5):
        source.add_image(f"new {number}.jpg")
        source.add_annotation(f"new {number}", [])
    after = prepare(f"--id_map={tmp_path}/one/id_map.csv", output="two")
    assert all(after[name].source_id == before[name].source_id for name in before if name != gone)
    assert sorted(after[f"new {number}.jpg"].source_id for number in range(5)) == [13, 14, 15, 16, 17]
    new = _id_rows(tmp_path / "two")
    assert new[gone] == {**old[gone], "split": "", "status": "absent"}
    assert read_manifest(tmp_path / "two").options["id_map"]["path"].endswith("one/id_map.csv")
    again = prepare(f"--id_map={tmp_path}/two/id_map.csv", output="two")
    assert again == after, "the map of the data set that is replaced"


def test_groups_are_never_split(source, prepare, tmp_path):
    for number in range(40):
        source.add_image(f"dive{number % 8}/{number}.jpg")
        source.add_annotation(str(number), [("crab", (1.0, 2.0, 9.0, 12.0))])
    source.add_image("stray.jpg")
    source.add_annotation("stray", [])
    prepare("--split_group=^dive[0-9]+/", "--splits=train=0.5,val=0.5")
    splits: dict[str, set[str]] = {}
    for name, row in _id_rows(tmp_path / "out").items():
        splits.setdefault(name.partition("/")[0], set()).add(row["split"])
    assert len(splits) == 8
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "val"}
    assert _rejects(tmp_path / "out") == {"stray.jpg": "no_split_group"}
    assert read_manifest(tmp_path / "out").options["split_group"] == "^dive[0-9]+/"


def test_deployment_and_day(source, prepare):
    source.fill(5)  # one day of one camera
    assert len({example.source_id for example in prepare("--split_group=deployment+day").values()}) == 5


def test_given_splits(source, prepare, tmp_path):
    source.fill(3)
    first, second, third = sorted(path.name for path in source.images.iterdir())
    given = tmp_path / "given.csv"
    given.write_text(f"image,split\n{first},val\n{second},test\n")
    prepare(f"--split_from={given}")
    rows = _id_rows(tmp_path / "out")
    assert {name: row["split"] for name, row in rows.items()} == {first: "val", second: "test"}
    assert _rejects(tmp_path / "out") == {third: "not_in_split_list"}


def test_aliases_before_labels(source, prepare, tmp_path):
    source.add_image("a.jpg")
    source.add_annotation("a", [("CRAB", (1.0, 2.0, 9.0, 12.0)), ("crab", (1.0, 2.0, 9.0, 12.0))])
    aliases, labels = tmp_path / "aliases.csv", tmp_path / "labels.pbtxt"
    aliases.write_text("alias,name\nCRAB,crab\n")
    labels.write_text("item { id: 5 name: 'crab' }")
    examples = prepare(f"--label_aliases={aliases}", f"--labels={labels}")
    assert [(item.label, item.label_id) for item in examples["a.jpg"].objects] == [("crab", 5)] * 2
    prepare(f"--label_aliases={aliases}", output="without map")
    assert read_manifest(tmp_path / "without map").labels.items == ((1, "crab"),)


def test_partial_labels(source, prepare, tmp_path):
    for name in ("a.jpg", "b.jpg"):
        source.add_image(name)
    unclear = '<box label="unclear" occluded="0" xtl="0" ytl="0" xbr="24" ybr="32"/>'
    text = _cvat(("a.jpg", _box() + unclear), ("b.jpg", _box("fish") + _box("fish")))
    (source.annotations / "all.xml").write_text(text)
    given = tmp_path / "e.csv"
    given.write_text("image,exhaustive_classes\na.jpg,crab\n")
    flags = ("--splits=val=1", "--ignore_label=unclear")
    examples = prepare(f"--exhaustive={given}", *flags)
    assert examples["a.jpg"].not_exhaustive == ((2, "fish"),) and not examples["b.jpg"].not_exhaustive
    assert examples["a.jpg"].ignored_regions == ((0, 0, 1, 0.5),)
    manifest = read_manifest(tmp_path / "out")
    assert (manifest.schema_version, manifest.max_boxes_per_image) == (2, 2 + 1)
    assert (manifest.splits["val"].not_exhaustive, manifest.splits["val"].ignored_regions) == ({"fish": 1}, 1)
    images = json.loads((tmp_path / "out" / "val.json").read_text())["images"]
    assert [image.get("not_exhaustive_category_ids") for image in images] in ([[2], None], [None, [2]])
    assert "not_exhaustive" in (tmp_path / "out" / "features.json").read_text()
    assert "What is known of each class" in (tmp_path / "out" / "report.html").read_text()


BAD = [
    ("--label_aliases", "alias,name\na,b\nb,a\n", "cycle", "aliases in a cycle"),
    ("--label_aliases", "no,table\n", "line 1", "another table"),
    ("--id_map", "source_id,image,split,status\nx,a.jpg,train,written\n", "line 2", "no number"),
    ("--id_map", None, "cannot be read", "no such file"),
    ("--split_from", "image,split\na.jpg,trian\n", "'trian'", "no such split"),
    ("--exhaustive", "image,classes\na.jpg,crab\n", "line 1", "another table"),
]


@pytest.mark.parametrize(("flag", "text", "words", "why"), BAD)
def test_bad_file_is_one_line(source, tmp_path, capfd, flag, text, words, why):
    source.fill(1)
    path = tmp_path / "given.csv"
    if text is not None:
        path.write_text(text)
    assert main(source.flags(tmp_path / "out", f"{flag}={path}")) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "tfrecord: " not in line]
    assert line.startswith(f"error: {flag}: "), why
    assert words in line, why
    assert str(path) in line, why
    assert not (tmp_path / "out").exists()


def test_bytes_do_not_depend_on_the_runner(source, tmp_path, prepare, read_folder, monkeypatch):
    monkeypatch.chdir(REPOSITORY)  # worker processes import the packages from there
    names = [f"{number % 3}/{number // 3}.jpg" for number in range(9)]
    for number, name in enumerate(names):
        source.add_image(name, shade=number)
    (source.annotations / "all.xml").write_text(_cvat(*((name, _box()) for name in names)))
    id_map = tmp_path / "id_map.csv"
    id_map.write_text(f"source_id,image,split,status\n1,gone.jpg,,absent\n2,{names[4]},train,written\n")
    flags = [f"--id_map={id_map}", "--split_group=^[0-9]", "--without_annotation=negative"]
    memory = prepare(*flags, output="memory")
    assert memory[names[4]].source_id == 2
    processes = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    assert prepare(*flags, *processes, output="processes") == memory
    assert read_folder(tmp_path / "processes") == read_folder(tmp_path / "memory")


def test_a_mixed_folder_given_for_both_flags(source, prepare, tmp_path, caplog):
    """Files of every kind lie side by side; what nothing reads is named, and every doubtful pair is told."""
    for number, name in enumerate(("a.jpg", "b.jpg", "dive2/c.jpg", "e\u0301.jpg")):
        source.add_image(name, shade=60 * number)
    (source.images / "b.jpg").rename(source.images / "b.jfif")
    files = {
        "a.jpg.xml": "a.jpg",  # doubled
        "0001.xml": "b.jfif",  # its own name is of no image
        "dive1/c.xml": "c.jpg",  # another folder
        "\u00e9.xml": "\u00e9.jpg",  # the other form of Unicode
    }
    for path, inside in files.items():
        source.add_annotation("x", [("crab", (4.0, 5.0, 14.0, 20.0))])
        text = (
            (source.annotations / "x.xml")
            .read_text()
            .replace("<filename>x</filename>", f"<filename>{inside}</filename>")
        )
        target = source.images / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    for name in ("a.dng", "dive2/b.DNG", "a.mp4", "a.7z", "notes.pdf", "Thumbs.db", ".DS_Store", "._a.jpg"):
        (source.images / name).write_bytes(b"x")
    with caplog.at_level("INFO"):
        examples = prepare("--max_rejected=0", annotations="../images/**")
    assert {name: len(example.objects) for name, example in examples.items()} == {
        "a.jpg": 1,
        "b.jfif": 1,
        "dive2/c.jpg": 1,
        "e\u0301.jpg": 1,
    }
    rows = [json.loads(line) for line in (tmp_path / "out" / "problems.jsonl").read_text().splitlines()]
    found = {
        row["code"]: (row["severity"], row["detail"]) for row in rows if "pass" in row["code"] or "pair" in row["code"]
    }
    assert {code: severity for code, (severity, _) in found.items()} == {
        "images_passed_over": "warning",
        "files_passed_over": "info",
        "paired_across_folders": "warning",
        "paired_by_filename": "warning",
    }
    assert found["images_passed_over"][1] == "passed over: 2 .dng, 1 .7z, 1 .mp4"
    assert found["files_passed_over"][1] == "passed over: 1 .pdf"
    assert found["paired_by_filename"][1].startswith(
        "1 image was paired by the <filename> in a file of another name, such as b.jfif"
    )
    assert "passed over: 2 .dng, 1 .7z, 1 .mp4" in caplog.text
