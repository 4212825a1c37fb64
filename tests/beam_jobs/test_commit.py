"""The files beside the shards."""

import dataclasses
import io
import json

import pytest
from PIL import Image

from beam_jobs import commit
from beam_jobs.options import PrepareOptions
from beam_jobs.rows import IMAGE_REJECT, OBJECT_REJECT, Reject, parse_rejects
from beam_jobs.shard_results import ImageOutcome, ShardResult
from retinanet_odm.dataset.examples import DetectionExample, encode_example
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.dataset.problems import parse_problems
from retinanet_odm.dataset.statistics import BoxStatistics, ImageBoxes
from retinanet_odm.errors import ContractError
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.storage.tfrecord import frame_record

LABELS = LabelMap(((1, "fish"), (2, "crab")))
GONE = Reject(kind=IMAGE_REJECT, name="b.jpg", reason="image_empty", detail="b.jpg: empty", source="i/b.jpg")
FLAT = Reject(kind=OBJECT_REJECT, name="a.jpg", reason="zero_size_box", detail="a.jpg: 'fish'", source="x/a.xml")


def _shard(name: str, *images: ImageOutcome, boxes: int = 2, **changes) -> ShardResult:
    """Returns the result of a shard; its images have 48x32 pixels and this number of boxes each."""
    written = [image for image in images if image.is_written]
    box = [(0.25, 0.25, 0.75, 0.75)] * boxes
    statistics = BoxStatistics.from_images([ImageBoxes(image.name, 48, 32, box, ["fish"] * boxes) for image in written])
    return ShardResult(
        split=name.partition("-")[0], name=name, sha256="0" * 64, images=[*images], statistics=statistics, **changes
    )


WRITTEN = ImageOutcome(3, "a.jpg", "0" * 64, 7)
LOST = ImageOutcome(2, "b.jpg")


def _plan(**changes) -> dict:
    counts = {"label_counts": {"fish": 3, "crab": 0}, "ignored": {}, "pairings": {}, "passed_over": {}}
    return {"images_in": 2, "labels": LABELS, **counts, **changes}


@pytest.fixture
def options(tmp_path):
    return PrepareOptions(images=("i/*",), annotations=("x/*",), output=str(tmp_path))


def _write_example(path) -> None:
    """The one record of a shard, which the report shows."""
    image = io.BytesIO()
    Image.new("RGB", (48, 32)).save(image, "PNG")
    values = {"filename": "a.jpg", "source_id": 3, "sha256": "", "objects": ()}
    example = DetectionExample(encoded=image.getvalue(), format="png", height=32, width=48, **values)
    path.write_bytes(frame_record(encode_example(example)))


def test_commit(tmp_path, options, read_folder):
    _write_example(tmp_path / "train-00000-of-00001.tfrecord")
    (tmp_path / "train-00000-of-00009.tfrecord").touch()
    shards = [
        _shard("val-00000-of-00001.tfrecord", LOST, rejects=[GONE]),
        _shard("train-00000-of-00001.tfrecord", WRITTEN, rejects=[FLAT]),
    ]
    commit.commit(options, shards, [], **_plan(ignored={"points": 4}))
    found = read_folder(tmp_path)
    written = {
        "dataset.json",
        "labels.pbtxt",
        "id_map.csv",
        "val.json",
        "features.json",
        "dataset_info.json",
        "rejected.jsonl",
        "problems.jsonl",
        "report.html",
    }
    assert set(found) == {*written, "train-00000-of-00001.tfrecord"}, "the stale shard is gone"
    assert (
        "image_empty" in found["report.html"].decode() and "a.jpg (train, source_id 3" in found["report.html"].decode()
    )
    assert found["id_map.csv"].decode() == "source_id,image,split,status\n2,b.jpg,,rejected\n3,a.jpg,train,written\n"
    assert parse_rejects(found["rejected.jsonl"].decode()) == [FLAT, GONE]
    assert json.loads(found["val.json"])["images"] == []
    manifest = DatasetManifest.from_json(found["dataset.json"].decode(), source="x")
    assert (manifest.images_in, manifest.rejected, manifest.rejected_by_reason) == (2, 1, {"image_empty": 1})
    assert manifest.objects_dropped == {"zero_size_box": 1}
    assert manifest.shapes_ignored == {"points": 4}
    codes = {problem.code for problem in parse_problems(found["problems.jsonl"].decode())}
    assert {"image_empty", "zero_size_box", "shapes_ignored", "label_never_seen"} <= codes
    assert (manifest.max_boxes_per_image, manifest.aspect_ratio_min, manifest.aspect_ratio_max) == (2, 1.5, 1.5)
    assert [(name, split.examples, split.boxes) for name, split in sorted(manifest.splits.items())] == [
        ("test", 0, 0),
        ("train", 1, 2),
        ("val", 0, 0),
    ]


NOTHING = [
    ([], None, "all rejected by the plan"),
    ([_shard("train-00000-of-00001.tfrecord", LOST, rejects=[GONE])], LABELS, "all rejected by their pixels"),
]


@pytest.mark.parametrize(("shards", "labels", "reason"), NOTHING)
def test_no_example_no_data_set(tmp_path, options, read_folder, shards, labels, reason):
    commit.commit(options, shards, [] if shards else [GONE], **_plan(images_in=1, labels=labels))
    assert parse_rejects(read_folder(tmp_path)["rejected.jsonl"].decode()) == [GONE], reason
    assert not (tmp_path / "dataset.json").exists(), reason


def test_a_lost_image_is_a_programming_error(tmp_path, options):
    with pytest.raises(ContractError, match="images_in"):
        commit.commit(options, [_shard("train-00000-of-00001.tfrecord", WRITTEN)], [], **_plan())
    assert not (tmp_path / "dataset.json").exists()


def test_a_check_writes_no_data_set(tmp_path, options, read_folder):
    shards = [_shard("train-00000-of-00001.tfrecord", WRITTEN, rejects=[FLAT])]
    commit.commit(dataclasses.replace(options, writes=False), shards, [GONE], **_plan())
    found = read_folder(tmp_path)
    assert set(found) == {"problems.jsonl", "check.html"}
    assert "draw the box again" in found["check.html"].decode()
    assert "zero_size_box" in found["problems.jsonl"].decode()


LIMITS = [
    (1.0, True, "any number"),
    (0.5, True, "just as many as are allowed"),
    (0.49, False, "one too many"),
    (0.0, False, "none is allowed"),
]


@pytest.mark.parametrize(("limit", "whole", "reason"), LIMITS)
def test_max_rejected(tmp_path, options, limit, whole, reason):
    _write_example(tmp_path / "train-00000-of-00001.tfrecord")
    shards = [_shard("train-00000-of-00001.tfrecord", WRITTEN)]
    commit.commit(dataclasses.replace(options, max_rejected=limit), shards, [GONE], **_plan())
    assert (tmp_path / "dataset.json").exists() == whole, reason
    assert (tmp_path / "rejected.jsonl").exists(), reason
