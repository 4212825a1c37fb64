"""Exported files in the programs that read them: our own prepare and pycocotools."""

import contextlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

import beam_jobs.main
from beam_jobs.dataset_gallery import read_examples
from inference.main import main
from inference.rows.export_options import ExportOptions
from retinanet_odm import boxes
from retinanet_odm.dataset.examples import DetectionExample
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.predictions.rows import OK, Detection
from tests.inference.fake_model import make_image
from tests.inference.outputs import write_output
from tests.retinanet_odm.prediction_rows import CRAB, PIG, STAR, failed, scored

SHIFTED = Detection(label="crab", label_id=1, score=0.3, box=(0.01, 29.0, 39.99, 30.0))
# Names as images have them: prepare selects files by suffix, and matches annotations by stem.
IMAGE_ROWS = (
    scored("empty.png"),
    failed("x failed.png"),
    scored("z/y/x.png", CRAB, CRAB),
    scored("Étoile, 1/a.png", PIG, SHIFTED),
    scored('Étoile, 2/a "b".png', STAR),
)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A scored folder with exports, beside its images."""
    for number, row in enumerate(IMAGE_ROWS):
        path = tmp_path / "images" / row.image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_image(40, 30, {(number, 0, 0): (0, 0, 40, 30)}))
    formats = ("coco", "cvat", "voc", "yolo", "parquet")
    return write_output(tmp_path / "out", IMAGE_ROWS, num_shards=2, exports=ExportOptions(formats=formats))


def _prepare(images: str, annotations: Path, dataset: Path, *more: str) -> dict[str, DetectionExample]:
    flags = [f"--images={images}", f"--annotations={annotations}", f"--output={dataset}", *more]
    assert beam_jobs.main.main(["prepare", *flags]) == 0
    manifest = DatasetManifest.from_json((dataset / "dataset.json").read_text(), source="dataset.json")
    shards = [str(dataset / shard.name) for split in manifest.splits.values() for shard in split.shards]
    assert manifest.rejected_by_reason == {"image_without_annotation": 1}, "what failed is no negative example"
    return {example.filename: example for shard in shards for example in read_examples(shard)}


@pytest.mark.parametrize(("name", "more"), [("cvat.xml", ()), ("voc.zip", ()), ("yolo.zip", ("--min_score=0",))])
def test_pre_annotations_through_our_own_prepare(
    name: str, more: tuple[str, ...], output: Path, tmp_path: Path
) -> None:
    examples = _prepare(f"{tmp_path}/images/**", output / name, tmp_path / "dataset", *more)
    kept = {row.image: row for row in IMAGE_ROWS if row.status == OK}
    assert examples.keys() == kept.keys()
    for image, example in examples.items():
        found = kept[image].detections
        assert [item.label for item in example.objects] == [item.label for item in found]
        pixels = boxes.to_pixels(example.boxes, example.height, example.width)
        expected = boxes.as_boxes([(*item.box[1::-1], *item.box[:1:-1]) for item in found])
        np.testing.assert_allclose(pixels, expected, atol=0.01)


def test_an_archive_through_our_own_prepare(tmp_path: Path) -> None:
    """Images of the same name in two folders of an archive keep their own boxes."""
    rows = [scored("x.zip/1/a.png", PIG), scored("x.zip/2/a.png", CRAB), failed("x.zip/2/b.png")]
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for number, row in enumerate(rows):
            archive.writestr(row.image.removeprefix("x.zip/"), make_image(40, 30, {(number, 0, 0): (0, 0, 40, 30)}))
    output = write_output(tmp_path / "out", rows)
    assert main(["convert", str(output), "--formats=cvat", "--below=x.zip"]) == 0
    examples = _prepare(f"{tmp_path}/x.zip", output / "cvat.xml", tmp_path / "dataset")
    assert {name: [item.label for item in example.objects] for name, example in examples.items()} == {
        "x/1/a.png": ["sea pig"],
        "x/2/a.png": ["crab"],
    }


def test_results_in_pycocotools(output: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(output / "coco_images.json"))
        results = truth.loadRes(str(output / "coco_results.json"))
    assert {image["file_name"] for image in truth.imgs.values()} == {
        row.image for row in IMAGE_ROWS if row.status == OK
    }
    found = [
        (truth.imgs[entry["image_id"]]["file_name"], truth.cats[entry["category_id"]]["name"], entry["score"])
        for entry in results.anns.values()
    ]
    assert found == [(row.image, item.label, item.score) for row in IMAGE_ROWS for item in row.detections]
