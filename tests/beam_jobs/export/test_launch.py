"""The complete export: what `prepare` makes of it again, refusals, and a run that was killed."""

import csv
import dataclasses
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from beam_jobs.export import layout
from beam_jobs.main import main
from retinanet_odm.dataset.examples import DetectionExample
from tests.beam_jobs.conftest import read_dataset

SIZE = (61, 43)
# Names that a format or a file system cannot hold, and pairs of which YOLO or Windows knows one.
NAMES = (
    "a.jpg",
    "a.png",
    "A.JPG",
    "dive 1/images/b.tif",
    "dive 1/é.jpg",
    "c.gif",
    "classes.jpg",
    "d.webp",
    "e.jpg.jpg",
)
FORMATS = ("coco", "yolo")


def _annotations(partial: bool) -> dict[str, object]:
    """Boxes with all digits, two to an image, none in the last; in the first also a crowd and an ignored area."""
    rng = np.random.default_rng(1)
    images = [{"id": row, "file_name": name, "width": SIZE[0], "height": SIZE[1]} for row, name in enumerate(NAMES)]
    corners = rng.uniform(0, 20, (len(NAMES) - 1, 2, 2))
    boxes = [
        {"image_id": row, "category_id": 3 + column, "bbox": [*corner, *rng.uniform(1, 20, 2)]}
        for row, pair in enumerate(corners.tolist())
        for column, corner in enumerate(pair)
    ]
    boxes[2]["attributes"] = {"occluded": True, "difficult": True}
    crowd = {"image_id": 0, "category_id": 3, "bbox": [1, 2, 30.5, 20], "iscrowd": 1}
    area = {"image_id": 0, "category_id": 4, "bbox": [5, 6.25, 7, 8], "attributes": {"ignore": True}}
    return {
        "images": images,
        "annotations": [{"id": n, **box} for n, box in enumerate(boxes + ([crowd, area] if partial else []))],
        "categories": [{"id": 3, "name": "urchin"}, {"id": 4, "name": "crab"}],
    }


def _prepare(folder: Path, *, partial: bool) -> Path:
    for shade, name in enumerate(NAMES):
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = {".tif": "TIFF", ".gif": "GIF", ".png": "PNG", ".webp": "WEBP"}.get(path.suffix, "JPEG")
        Image.new("RGB", SIZE, (shade * 20, 40, 90)).save(path, kind)
    (folder / "boxes.json").write_text(json.dumps(_annotations(partial)))
    (folder / "labels.pbtxt").write_text(
        "item { id: 2 name: 'urchin' } item { id: 5 name: 'crab' } item { id: 6 name: 'fish' }"
    )
    (folder / "exhaustive.csv").write_text("image,exhaustive_classes\na.jpg,crab\nc.gif,\n")
    flags = [f"--images={folder}/images", f"--annotations={folder}/boxes.json", f"--labels={folder}/labels.pbtxt"]
    flags += ["--splits=train=0.5,val=0.3,other=0.2", *([f"--exhaustive={folder}/exhaustive.csv"] if partial else [])]
    assert main(["prepare", *flags, f"--output={folder}/DS"]) == 0
    return folder / "DS"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _prepare(tmp_path_factory.mktemp("plain"), partial=False)


@pytest.fixture(scope="module")
def partial_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _prepare(tmp_path_factory.mktemp("partial"), partial=True)


Export = Callable[..., Path]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    def run(dataset: Path, form: str, *flags: str, status: int = 0, name: str = "OUT") -> Path:
        assert main(["export", str(dataset), f"--format={form}", f"--output={tmp_path / name}", *flags]) == status
        return tmp_path / name

    return run


def prepare_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[str, DetectionExample]]:
    """Runs the command in the README of an export, as it stands there; returns split and example by id."""
    (command,) = re.findall(r"^python -m beam_jobs (.*)$", (folder / layout.README).read_text(), re.MULTILINE)
    monkeypatch.chdir(folder)
    assert main(shlex.split(command)) == 0
    return by_id(folder.parent / "DATASET")


def by_id(dataset: Path) -> dict[int, tuple[str, DetectionExample]]:
    return {example.source_id: (split, example) for split, example in read_dataset(dataset)}


def without_area(example: DetectionExample, **changes: object) -> DetectionExample:
    """An area is computed from the boxes as they were drawn, which records hold in float32 only."""
    objects = (dataclasses.replace(item, area=0.0) for item in example.objects)
    return dataclasses.replace(example, objects=tuple(objects), **changes)


def new_names(folder: Path) -> dict[int, str]:
    with (folder / layout.ID_LIST).open(newline="", encoding="utf-8") as file:
        return {int(row["source_id"]): row["image"] for row in csv.DictReader(file)}


@pytest.mark.parametrize("form", FORMATS)
def test_prepare_makes_the_same_data_set_again(
    form: str, dataset: Path, export: Export, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = export(dataset, form)
    assert f"{len(NAMES)} images with {2 * len(NAMES) - 2} boxes as {form.upper()}" in caplog.text
    again, names = prepare_again(folder, monkeypatch), new_names(folder)
    before = by_id(dataset)
    assert again.keys() == before.keys() and len(again) == len(NAMES)
    for source_id, (split, example) in before.items():
        split_again, found = again[source_id]
        assert split_again == split
        plain = {"objects": tuple(_without_flags(item) for item in example.objects)} if form == "yolo" else {}
        expected = without_area(dataclasses.replace(example, **plain), filename=names[source_id])
        assert without_area(found) == expected
        assert [item.area for item in found.objects] == pytest.approx([item.area for item in example.objects], rel=1e-5)


def _without_flags(item: object) -> object:
    return dataclasses.replace(item, difficult=False, truncated=False, occluded=False)


@pytest.mark.parametrize("form", FORMATS)
def test_partial_labels_are_not_lost_silently(
    form: str, partial_dataset: Path, export: Export, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = export(partial_dataset, form)
    again = prepare_again(folder, monkeypatch)
    for source_id, (_, example) in by_id(partial_dataset).items():
        found = again[source_id][1]
        assert found.not_exhaustive == example.not_exhaustive
        crowds = [item.box for item in example.objects if item.is_crowd]
        assert [item.box for item in found.objects if item.is_crowd] == (crowds if form == "coco" else [])
        assert found.ignored_regions == (example.ignored_regions if form == "coco" else ())
    if form == "yolo":
        assert "warning: YOLO has no crowds and no ignored areas: 1 and 1 are left out" in caplog.text
        assert "in 2 of 9 images they have some" in caplog.text
        return
    assert "in 2 of 9 images a class is not exhaustive" in caplog.text
    entries = [entry for path in folder.glob("annotations/*.json") for entry in json.loads(path.read_text())["images"]]
    # One of a.jpg and A.JPG has another name here.
    names = {source_id: example.filename for source_id, (_, example) in by_id(partial_dataset).items()}
    lists = {names[row["id"]]: (row["neg_category_ids"], row.get("not_exhaustive_category_ids")) for row in entries}
    assert lists["a.jpg"] == ([], [2, 6]) and lists["c.gif"] == ([], [2, 5, 6]) and lists["a.png"] == ([6], None)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", FORMATS)
def test_a_killed_run_is_continued_and_gives_the_same_bytes(
    form: str, dataset: Path, export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    complete = contents(export(dataset, form, name="complete"))
    folder = export(dataset, form, name="OUT")
    assert contents(folder) == complete, "of another place, another time"
    assert layout.UNFINISHED not in complete
    # What a kill leaves: the mark, some files, and one that was being written.
    options = {"format": form, "images": "copy", "license": ""}
    fingerprint = json.loads(complete[layout.EXPORT_MANIFEST])["data_set"]
    mark = json.dumps({**options, "fingerprint": fingerprint}, indent=2, sort_keys=True) + "\n"
    (folder / layout.UNFINISHED).write_text(mark)
    (folder / layout.EXPORT_MANIFEST).unlink()
    (folder / layout.README).unlink()
    (folder / "images" / "a.jpg.tmp-0a1b2c3d").write_bytes(b"half")
    assert contents(export(dataset, form)) == complete
    export(dataset, form, status=2)
    assert f"error: --output: {folder} holds an export" in capsys.readouterr().err


@pytest.mark.parametrize("form", FORMATS)
def test_annotations_without_images(form: str, dataset: Path, export: Export) -> None:
    folder = export(dataset, form, "--images=none", "--license=CC0")
    assert not (folder / "images").exists()
    assert "--images IMAGES" in (folder / layout.README).read_text()


def _lose_manifest(dataset: Path) -> None:
    (dataset / "dataset.json").unlink()


def _lose_shard(dataset: Path) -> None:
    next(dataset.glob("train-*")).unlink()


def _lose_ids(dataset: Path) -> None:
    (dataset / "id_map.csv").unlink()


def _change_shard(dataset: Path) -> None:
    first, second = sorted(dataset.glob("train-*"))[:2]
    shutil.copy(first, second)


def _cut_shard(dataset: Path) -> None:
    path = next(dataset.glob("train-*"))
    path.write_bytes(path.read_bytes()[:-1])


def _forget_ids(dataset: Path) -> None:
    path = dataset / "id_map.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


FAULTS = [
    (_lose_manifest, "expected a prepared data set, found no ", "not complete, or no data set"),
    (_lose_shard, "which is missing in ", "copied in part"),
    (_lose_ids, "id_map.csv: cannot be read", "deleted by hand"),
    (_change_shard, "is not the file that dataset.json lists", "the shard of another build"),
    (_cut_shard, "is truncated or corrupt", "a copy that broke off"),
    (_forget_ids, "expected 9 written images as in dataset.json, found 8", "changed by hand"),
]


@pytest.mark.parametrize(("harm", "message", "reason"), FAULTS)
def test_a_data_set_that_is_not_as_it_was_written(
    harm: Callable[[Path], None],
    message: str,
    reason: str,
    dataset: Path,
    export: Export,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(dataset, tmp_path / "DS")
    harm(tmp_path / "DS")
    folder = export(tmp_path / "DS", "coco", status=2)
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and message in error, reason
    assert not (folder / layout.EXPORT_MANIFEST).exists()


BAD_LINES = [
    (["export", "DS", "--output=OUT"], "the following arguments are required: --format", "no format"),
    (["export", "DS", "--format=voc", "--output=OUT"], "invalid choice: 'voc'", "another format"),
    (["export", "DS", "--format=coco", "--output=OUT", "--verify=full"], "--verify is no flag of export", "of prepare"),
    (["export", "DS", "--format=coco", "--output="], "--output: expected a value", "an unset variable"),
    (["export", "DS", "x", "--format=coco", "--output=OUT"], "unexpected argument 'x'", "two data sets"),
    (["export", "DS", "--format=coco", "--output=OUT"], "DATASET: expected a prepared data set", "no data set"),
]


@pytest.mark.parametrize(("line", "message", "reason"), BAD_LINES)
def test_bad_command_lines(
    line: list[str],
    message: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(line) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ") and message in error, reason
    assert list(tmp_path.iterdir()) == []
