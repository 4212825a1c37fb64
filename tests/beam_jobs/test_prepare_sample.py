"""What `prepare` says about the sample data set, with the flags of the quickstart: nothing is wrong."""

import json
from collections import Counter
from pathlib import Path

import pytest

from beam_jobs.main import main
from retinanet_odm.dataset.frame_names import BY_NAME
from retinanet_odm.dataset.source_ids import parse_id_map
from retinanet_odm.samples.command import write_sample


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder / "sample", images=120, archive_images=0, seed=0)
    flags = ["--splits=train=0.8,val=0.2", "--split_group=deployment", f"--output={folder / 'dataset'}"]
    sources = [f"--images={folder}/sample/images/*", f"--annotations={folder}/sample/annotations/*.xml"]
    assert main(["prepare", *sources, *flags]) == 0
    return folder / "dataset"


def test_there_is_no_error_and_no_warning(dataset: Path) -> None:
    """Above all no near duplicate of training in the validation split, and no class that anchors miss."""
    problems = [json.loads(line) for line in (dataset / "problems.jsonl").read_text().splitlines()]
    assert Counter((problem["severity"], problem["code"]) for problem in problems) == {
        ("info", "images_without_objects"): 1
    }


def test_each_deployment_is_in_one_split_and_each_split_has_some(dataset: Path) -> None:
    path = dataset / "id_map.csv"
    rows = parse_id_map(path.read_text(), source=str(path)).rows
    places = {(BY_NAME.deployment_of(row.image), row.split) for row in rows}
    assert Counter(split for _, split in places) == {"train": 8, "val": 2}
    assert len({deployment for deployment, _ in places}) == 10
