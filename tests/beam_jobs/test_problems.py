"""The problems of a data set: all sources of problems are included, and the flags decide what is an error."""

import dataclasses
import hashlib

import pytest

from beam_jobs.options import REFUSE, TELL, NamedFile, PrepareOptions
from beam_jobs.problems import analyse_dataset, problem_of
from beam_jobs.rows import ANNOTATION_REJECT, IMAGE_REJECT, NO_MATCHING_IMAGE, REMARK, DatasetPlan, Reject
from beam_jobs.shard_results import ImageOutcome, ShardResult
from retinanet_odm.dataset.problem_codes import INFO, WARNING
from retinanet_odm.dataset.statistics import BoxStatistics, ImageBoxes
from retinanet_odm.labels.label_map import LabelMap

LOST = Reject(kind=IMAGE_REJECT, name="b.jpg", reason="image_empty", detail="b.jpg: empty", source="i/b.jpg")
ORPHAN = Reject(kind=ANNOTATION_REJECT, name="x/c.xml", reason=NO_MATCHING_IMAGE, detail="c", source="x/c.xml", line=2)
SCALED = Reject(kind=REMARK, name="a.jpg", reason="size_scaled", detail="a.jpg: scaled", source="x/a.xml")


def _options(without_image: str = TELL) -> PrepareOptions:
    return PrepareOptions(images=("i/*",), annotations=("x/*",), output="o", without_image=without_image)


@pytest.mark.parametrize(("without_image", "severity"), [(TELL, "warning"), (REFUSE, "error")])
def test_an_annotation_without_image_is_an_error_only_if_it_is_refused(without_image, severity):
    problem = problem_of(ORPHAN, _options(without_image))
    assert (problem.severity, problem.code, problem.file, problem.line) == (severity, NO_MATCHING_IMAGE, "x/c.xml", 2)


def _shard(split: str, *images: ImageOutcome, boxes: int, **changes) -> ShardResult:
    """Returns the result of a shard; its images have this number of crabs each, nearly as large as the image."""
    box = [(0.0, 0.0, 0.9, 0.9)] * boxes
    statistics = BoxStatistics.from_images([ImageBoxes(image.name, 48, 32, box, ["crab"] * boxes) for image in images])
    return ShardResult(split=split, name=f"{split}-0", statistics=statistics, images=[*images], **changes)


def test_every_source_of_problems_is_included():
    twin = "0" * 64
    shards = [
        _shard("train", ImageOutcome(1, "a.jpg", twin, 7), boxes=101, remarks=[SCALED], clipped=3),
        _shard("val", ImageOutcome(2, "c.jpg", twin, 7), ImageOutcome(3, "b.jpg"), boxes=0),
    ]
    plan = DatasetPlan(
        images_in=3,
        labels=LabelMap(((1, "crab"),)),
        label_counts={"crab": 1, "CRAB": 1},
        ignored={"points": 4},
        pairings={"paired_across_folders": (2, "1/a.jpg with 2/a.jpg"), "paired_by_filename": (1, "b.jpg with a.xml")},
        passed_over={".dng": 2, ".mp4": 1, ".txt": 3},
    )
    analysis = analyse_dataset(plan, shards, [LOST], _options())
    assert {problem.code for problem in analysis.problems} == {
        "image_empty",  # a reject
        "size_scaled",  # a remark
        "same_label_twice",  # labels
        "rare_label",
        "too_many_boxes",  # statistics
        "images_without_objects",
        "exact_duplicate_across_splits",  # leakage
        "boxes_clipped",  # notes
        "shapes_ignored",
        "paired_across_folders",  # pairings
        "paired_by_filename",
        "images_passed_over",  # files
        "files_passed_over",
    }
    passed = {problem.code: problem.detail for problem in analysis.problems if problem.code.endswith("_passed_over")}
    assert passed == {
        "images_passed_over": "passed over: 2 .dng, 1 .mp4",
        "files_passed_over": "passed over: 3 .txt",
    }
    told = [problem.detail for problem in analysis.problems if problem.code.startswith("paired_")]
    assert told == [
        "2 images were paired with an annotation for another folder, such as 1/a.jpg with 2/a.jpg",
        "1 image was paired by the <filename> in a file of another name, such as b.jpg with a.xml",
    ]
    assert analysis.statistics.images == 3
    assert analysis.leakage.across.images == 2, "a rejected image has no hash"


@pytest.mark.parametrize(
    ("split", "told"),
    [
        pytest.param("train", ["crab"], id="the trainer learns from these boxes"),
        pytest.param("val", [], id="no box is for training"),
    ],
)
def test_anchors_are_judged_for_training_boxes_only(split: str, told: list[str]):
    thin = BoxStatistics.from_images([ImageBoxes("a.jpg", 48, 32, [(0.0, 0.0, 0.02, 0.02)] * 20, ["crab"] * 20)])
    shard = ShardResult(split=split, name=f"{split}-0", statistics=thin)
    plan = DatasetPlan(images_in=1, labels=None, label_counts={}, ignored={})
    analysis = analyse_dataset(plan, [shard], [], _options())
    assert [problem.object for problem in analysis.problems if problem.code == "low_anchor_recall"] == told
    assert analysis.training.images == len(told)


def test_a_class_that_a_split_lacks():
    shards = [_shard("train", ImageOutcome(1, "a.jpg", "0" * 64), boxes=2)]
    other = ShardResult(
        split="val",
        name="val-0",
        statistics=BoxStatistics.from_images([ImageBoxes("b.jpg", 48, 32, [(0.0, 0.0, 0.9, 0.9)], ["fish"])]),
    )
    plan = DatasetPlan(images_in=2, labels=None, label_counts={}, ignored={})
    analysis = analyse_dataset(plan, [*shards, other], [], _options())
    assert {
        (problem.object, problem.value) for problem in analysis.problems if problem.code == "split_without_class"
    } == {
        ("crab", "val"),
        ("fish", "train"),
    }


def test_what_partial_labels_name_and_nothing_has(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text("image,exhaustive_classes\na.jpg,crab\nb.jpg,crap\nlost.jpg,crab\n")
    given = NamedFile(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    options = dataclasses.replace(_options(), exhaustive=given, ignore_labels=("unclear",))
    statistics = BoxStatistics.from_images([ImageBoxes("a.jpg", 48, 32, [], [], ["fish"])])
    shard = ShardResult(split="val", name="v", statistics=statistics, images=[ImageOutcome(1, "a.jpg", "0" * 64)])
    plan = DatasetPlan(images_in=2, labels=LabelMap(((1, "crab"), (2, "fish"))), label_counts={}, ignored={})
    found = {problem.code: problem for problem in analyse_dataset(plan, [shard], [LOST], options).problems}
    assert found["exhaustive_class_never_seen"].object == "crap"
    assert "lists 1 unknown image, such as 'lost.jpg'" in found["exhaustive_row_unused"].detail
    assert "'unclear'" in found["ignore_label_never_seen"].detail
    assert found["class_not_exhaustive"].detail == "'fish' is exhaustive in 0 of 1 image"


NOT_EXHAUSTIVE = [
    ("in all images, of which some train", {"train": ["fish"], "val": ["fish"]}, "class_never_exhaustive"),
    ("in all training images", {"train": ["fish"], "val": []}, "class_never_exhaustive"),
    ("in validation alone", {"train": [], "val": ["fish"]}, "class_not_exhaustive"),
]


@pytest.mark.parametrize(("why", "unknown", "code"), NOT_EXHAUSTIVE, ids=[row[0] for row in NOT_EXHAUSTIVE])
def test_a_class_that_no_training_image_knows_is_a_warning(why: str, unknown: dict[str, list[str]], code: str) -> None:
    shards = [
        ShardResult(
            split=split,
            name=split,
            statistics=BoxStatistics.from_images([ImageBoxes(f"{split}.jpg", 48, 32, [], [], names)]),
        )
        for split, names in unknown.items()
    ]
    plan = DatasetPlan(images_in=2, labels=LabelMap(((1, "crab"), (2, "fish"))), label_counts={}, ignored={})
    found = analyse_dataset(plan, shards, [], _options()).problems
    problems = [(item.code, item.severity, item.object) for item in found if "exhaustive" in item.code]
    assert problems == [(code, WARNING if code == "class_never_exhaustive" else INFO, "fish")], why
