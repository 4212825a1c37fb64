"""What the files of each format hold."""

import dataclasses
import json

import pytest
import yaml

from beam_jobs.export.commit import summarise_export
from beam_jobs.export.formats import coco_document, coco_entries, count_content, data_yaml, yolo_classes, yolo_texts
from retinanet_odm.dataset.examples import DetectionExample, ExampleObject
from retinanet_odm.dataset.manifest import DatasetManifest, ShardInfo, SplitInfo
from retinanet_odm.labels.label_map import LabelMap

LABELS = LabelMap(((2, "crab: red"), (5, "no"), (9, "Étoile")))  # ids with gaps, names that YAML would read otherwise
EXAMPLE = DetectionExample(
    encoded=b"",
    format="png",
    height=100,
    width=200,
    filename="a.png",
    source_id=7,
    sha256="",
    objects=(
        ExampleObject(label_id=5, label="no", box=(0.1, 0.25, 0.3, 0.5), area=1000.0, truncated=True),
        ExampleObject(label_id=2, label="crab: red", box=(0.0, 0.0, 1.0, 1.0), area=20000.0, is_crowd=True),
    ),
    not_exhaustive=((9, "Étoile"),),
    ignored_regions=((0.0, 0.0, 0.5, 0.5),),
)


def manifest(schema_version: int = 1) -> DatasetManifest:
    splits = {
        name: SplitInfo(
            examples=count, boxes=0, boxes_per_class={}, shards=(ShardInfo(name="x", examples=1, sha256=""),)
        )
        for name, count in (("train", 3), ("val", 0), ("holdout", 1))
    }
    return DatasetManifest(
        schema_version=schema_version,
        labels=LABELS,
        splits=splits,
        max_boxes_per_image=1,
        aspect_ratio_min=1,
        aspect_ratio_max=1,
        images_in=4,
        rejected=0,
        rejected_by_reason={},
        objects_dropped={},
        options={},
        code_version="",
    )


def test_a_text_has_no_crowd_and_numbers_of_classes_without_gaps() -> None:
    assert yolo_texts([EXAMPLE], yolo_classes(LABELS)) == ["1 0.375 0.2 0.25 0.2\n"]


def test_texts_of_images_of_several_sizes() -> None:
    examples = [EXAMPLE, dataclasses.replace(EXAMPLE, objects=()), dataclasses.replace(EXAMPLE, height=37, width=1001)]
    alone = [text for example in examples for text in yolo_texts([example], yolo_classes(LABELS))]
    assert yolo_texts(examples, yolo_classes(LABELS)) == alone and alone[1] == ""


def test_data_yaml_names_the_splits_that_have_images_and_all_classes() -> None:
    content = yaml.safe_load(data_yaml(manifest(), "CC-BY-4.0"))
    assert content == {
        "train": "images/train",
        "holdout": "images/holdout",
        "names": {0: "crab: red", 1: "no", 2: "Étoile"},
        "license": "CC-BY-4.0",
    }


@pytest.mark.parametrize(
    ("splits", "missing"),
    [
        ({"train": 3, "val": 1, "test": 0}, []),
        ({"train": 3, "val": 0}, ["none in val"]),
        ({"train": 3}, ["none in val"]),
        ({"holdout": 3}, ["none in train and val"]),
    ],
)
def test_splits_that_ultralytics_needs_are_named(splits: dict[str, int], missing: list[str]) -> None:
    summary = {"format": "yolo", "renamed": 0, "splits": {name: {"images": count} for name, count in splits.items()}}
    lines = [line for line in summarise_export(summary) if "Ultralytics" in line]
    assert [line.rpartition("; ")[2] for line in lines] == missing


def test_content_that_yolo_lacks_is_counted() -> None:
    counts = count_content(EXAMPLE)
    assert counts == {
        "images": 1,
        "boxes": 2,
        "crowds": 1,
        "ignored_regions": 1,
        "partial_images": 1,
        "flagged": 1,
    }


@pytest.mark.parametrize(("version", "expected"), [(2, []), (1, None)])
def test_only_partial_data_sets_name_classes_that_an_image_lacks(version: int, expected: list[int] | None) -> None:
    image, _ = coco_entries(EXAMPLE, "b.png", manifest(version), "")
    assert json.loads(image).get("neg_category_ids") == expected


@pytest.mark.parametrize("groups", [[], [[]], [["{}"]], [["{}", "{}"], [], ["{}"]]], ids=str)
def test_a_document_is_json_whatever_groups_it_comes_in(groups: list[list[str]]) -> None:
    entries = [[entry.replace("{", '{"x": 1') for entry in group] for group in groups]
    text = b"".join(coco_document(manifest(), "https://example.org/by", images=entries, annotations=entries))
    found = json.loads(text)
    count = sum(map(len, groups))
    assert found["images"] == [{"x": 1}] * count
    assert found["annotations"] == [{"id": number, "x": 1} for number in range(1, count + 1)]
    assert found["licenses"] == [{"id": 1, "name": "https://example.org/by", "url": "https://example.org/by"}]
    assert [entry["id"] for entry in found["categories"]] == [2, 5, 9]


def test_every_image_names_a_licence_that_is_known() -> None:
    assert json.loads(coco_entries(EXAMPLE, "a.png", manifest(), "CC0")[0])["license"] == 1
