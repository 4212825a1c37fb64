"""--taxa of convert: published files hold rolled-up detections, other files do not; wrong tables end in one line."""

import csv
import dataclasses
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.main import main
from tests.inference.outputs import write_output
from tests.retinanet_odm.prediction_rows import FRAME, PIG, STAR, scored

TAXA = """\
label,AphiaID,rank,parent,scientificName
Echinodermata,1806,phylum,,
crab,106673,infraorder,,Brachyura
sea pig,123083,class,Echinodermata,Holothuroidea
"Étoile ""de"", mer",123080,class,Echinodermata,Asteroidea
"""
DEPLOYMENTS = """\
deploymentID,latitude,longitude,deploymentStart,deploymentEnd
dive 1/StaM_6701,-41.5,174.25,2016-11-10T00:00:00+13:00,2016-11-11T00:00:00+13:00
"""
FACTS = {
    "created": "2024-06-30T12:00:00Z",
    "darwincore": {
        "title": "Reef",
        "abstract": "Of a reef.",
        "license": "CC0-1.0",
        "creator": {"organizationName": "A", "electronicMailAddress": "a@a.org"},
    },
}


@pytest.fixture
def survey(tmp_path: Path) -> list[str]:
    """A run of one image with one animal that two classes compete for; returns the arguments of convert."""
    # The minimum scores are 0.4 and 0.25, and the rows begin at 0.1.
    row = scored(FRAME, *(dataclasses.replace(item, score=0.23, box=PIG.box) for item in (PIG, STAR)))
    output = write_output(tmp_path / "out", [row])
    (tmp_path / "images" / "dive 1").mkdir(parents=True)
    (tmp_path / "images" / FRAME).write_bytes(b"an image")
    (tmp_path / "taxa.csv").write_text(TAXA, encoding="utf-8")
    (tmp_path / "deployments.csv").write_text(DEPLOYMENTS)
    (tmp_path / "publication.json").write_text(json.dumps(FACTS))
    files = [f"--deployments={tmp_path}/deployments.csv", f"--publication={tmp_path}/publication.json"]
    return ["convert", str(output), f"--taxa={tmp_path}/taxa.csv", f"--images={tmp_path}/images", *files]


def test_only_published_files_are_rolled_up(tmp_path: Path, survey: list[str]) -> None:
    assert main([*survey, "--formats=darwincore,csv"]) == 0
    data = (tmp_path / "out" / "darwincore.zip").read_bytes()
    text = zipfile.ZipFile(io.BytesIO(data)).read("occurrence.csv").decode()
    found = [(row["occurrenceStatus"], row["scientificName"]) for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert found == [("present", "Echinodermata"), ("absent", "Brachyura")]
    (line,) = csv.DictReader((tmp_path / "out" / "detections.csv").open(newline=""))
    assert line["label"] == "", "no class reaches its minimum score"
    entries = {entry["name"]: entry for entry in json.loads((tmp_path / "out" / "summary.json").read_text())["exports"]}
    assert entries["darwincore.zip"]["options"]["taxa"] == f"{tmp_path}/taxa.csv"
    assert entries["darwincore.zip"]["min_scores"]["Echinodermata"] == 0.4
    assert "taxa" not in entries["detections.csv"]["options"]
    # The same again: nothing differs that would need --replace.
    assert main([*survey, "--formats=darwincore"]) == 0
    assert (tmp_path / "out" / "darwincore.zip").read_bytes() == data


def test_a_class_without_a_row_ends_the_command(tmp_path: Path, survey: list[str], fail: Callable[..., str]) -> None:
    (tmp_path / "taxa.csv").write_text(TAXA.replace("crab,", "crabs,"), encoding="utf-8")
    line = fail(*survey, "--formats=darwincore")
    assert "taxa.csv: expected a row for every class, found none for 'crab' (did you mean 'crabs'?)" in line
    assert not (tmp_path / "out" / "darwincore.zip").exists()
    assert main([*survey, "--formats=darwincore", "--classes", "sea pig", STAR.label]) == 0


def test_without_a_published_format_it_has_no_effect(survey: list[str], fail: Callable[..., str]) -> None:
    assert "--taxa has no effect without any of --formats=" in fail(*survey[:3], "--formats=csv")
