"""Camtrap DP: the package is valid by the standard's own schemas, and says what the rows say.

The validators are frictionless, where it is installed (pip install -e '.[dev]'), and jsonschema for the profile.
"""

import csv
import dataclasses
import io
import json
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.labels.taxa import parse_taxa
from retinanet_odm.predictions.deployments import parse_deployments
from retinanet_odm.predictions.formats.camtrapdp import to_camtrapdp
from retinanet_odm.predictions.publication import Publication, parse_publication_facts
from retinanet_odm.predictions.rows import Detection, PredictionRow
from tests.retinanet_odm.prediction_rows import CRAB, PIG, RUN, STAR, failed, random_rows, scored

SCHEMAS = Path(__file__).parent / "schemas/camtrap-dp-1.0.2"
HEAD = "deploymentID,latitude,longitude,deploymentStart,deploymentEnd,cameraDepth,habitat\n"
TABLE = (
    f"{HEAD}reef,-41.5,174.25,2016-11-10T00:00:00+13:00,2016-11-11T00:00:00+13:00,12,\n"
    'sand,-41.25,174.5,2016-11-10T00:00:00+13:00,2016-11-30T00:00:00+13:00,,"sand, flat"\n'
)
FACTS: dict[str, Any] = {
    "created": "2017-01-31T12:00:00Z",
    "camtrapdp": {
        "contributors": [{"title": "A. Diver", "role": "contact"}],
        "project": {
            "title": "Reefs",
            "samplingDesign": "opportunistic",
            "captureMethod": ["timeLapse"],
            "individualAnimals": False,
        },
    },
}
ROWS = [
    scored("reef/20161110_142412.JPG", PIG, CRAB, CRAB),
    scored("reef/20161110_142413.png"),
    failed("reef/20161110_142414.jpg"),
    scored("reef/20161110_142415_é #1.jpg", STAR),
]


def _publication(table: str = TABLE, facts: dict[str, Any] = FACTS, **known: Any) -> Publication:
    return Publication(
        files=lambda names: ((name, name.encode(errors="replace")) for name in names),
        deployments=parse_deployments(table, source="d.csv") if table else None,
        facts=parse_publication_facts(json.dumps(facts), source="p.json"),
        **known,
    )


def _write(rows: list[PredictionRow], publication: Publication) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(b"".join(to_camtrapdp(rows, RUN, publication)))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _table(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def _errors(found: dict[str, bytes], folder: Path) -> list[str]:
    """What frictionless finds by the standard's table schemas, with their foreign keys."""
    frictionless = pytest.importorskip("frictionless")
    for name, data in found.items():
        (folder / name).write_bytes(data)
    package = json.loads(found["datapackage.json"])
    del package["profile"]  # an address: see test_the_profile
    for resource in package["resources"]:
        resource["schema"] = json.loads((SCHEMAS / Path(resource["schema"]).name).read_text())
    report = frictionless.Package.from_descriptor(package, basepath=str(folder)).validate()
    return [str(row) for row in report.flatten(["message"])]


def test_the_tables_are_valid(tmp_path: Path) -> None:
    found = _write(ROWS, _publication())
    assert _errors(found, tmp_path) == []
    broken = {**found, "observations.csv": found["observations.csv"].replace(b",machine,", b",robot,")}
    assert _errors(broken, tmp_path), "the validator sees what is wrong"


@pytest.mark.long
@settings(max_examples=10, deadline=None)
@given(rows=random_rows)
def test_random_tables_are_valid(rows: list[PredictionRow], tmp_path_factory: pytest.TempPathFactory) -> None:
    time = datetime(2016, 11, 10, 14)
    dated = [
        dataclasses.replace(row, image=f"{number}.jpg", place="reef", time=time) for number, row in enumerate(rows)
    ]
    assert _errors(_write(dated, _publication()), tmp_path_factory.mktemp("package")) == []


@pytest.mark.parametrize("rows", [ROWS, []], ids=["rows", "no image"])
def test_the_profile(rows: list[PredictionRow]) -> None:
    package = json.loads(_write(rows, _publication())["datapackage.json"])
    profile = json.loads((SCHEMAS / "camtrap-dp-profile.json").read_text())
    # It refers to two further schemas by address; the package itself is what frictionless checks.
    addresses = (
        "https://specs.frictionlessdata.io/schemas/data-package.json",
        "http://json.schemastore.org/geojson.json",
    )
    registry = Registry().with_resources([(address, Resource.from_contents({}, DRAFT4)) for address in addresses])
    validator = jsonschema.Draft4Validator(profile, registry=registry)
    assert [error.message for error in validator.iter_errors(package)] == []
    assert list(validator.iter_errors({**package, "project": {}}))
    assert package["temporal"] == {"start": "2016-11-10", "end": "2016-11-30"}
    assert package["spatial"]["coordinates"][0][0] == [174.25, -41.5]
    assert [taxon["scientificName"] for taxon in package["taxonomic"]] == (
        ["crab", "sea pig", 'Étoile "de", mer'] if rows else []
    )


def test_detections_blanks_and_failures() -> None:
    found = _write(ROWS, _publication(audited=frozenset(["reef/20161110_142412.JPG"])))
    media, observations = _table(found["media.csv"]), _table(found["observations.csv"])
    assert [line["timestamp"] for line in media][:2] == ["2016-11-10T14:24:12+13:00", "2016-11-10T14:24:13+13:00"]
    assert media[0]["mediaComments"].startswith("sha256:")
    image_of = {line["mediaID"]: line["fileName"] for line in media}
    assert [(image_of[line["mediaID"]][9:15], line["observationType"], line["count"]) for line in observations] == [
        *[("142412", "animal", "1")] * 3,
        ("142413", "blank", ""),
        ("142414", "unclassified", ""),
        ("142415", "animal", "1"),
    ]
    pig = observations[0]
    box = {"bboxX": "0.125", "bboxY": "0.2", "bboxWidth": "0.38125", "bboxHeight": "0.333333"}
    assert {name: pig[name] for name in box} == box
    assert (pig["classificationMethod"], pig["classificationProbability"]) == ("machine", "0.9")
    assert pig["classifiedBy"] == "retinanet-odm 1.2.3, model 0123456789ab"
    sha256 = media[0]["mediaComments"].removeprefix("sha256:")
    assert pig["observationTags"] == f"image_sha256:{sha256} | model:{RUN.model_hash} | threshold:0.4 | audit:sampled"
    assert observations[3]["observationTags"].endswith("threshold:0.25 | audit:not sampled")
    effort = [line["deploymentID"] for line in _table(found["deployments.csv"])]
    assert effort == ["reef", "sand"], "also without images"


def test_with_taxa_it_names_and_classifies_them(tmp_path: Path) -> None:
    text = "label,AphiaID,rank,parent,scientificName\nAnimalia,2,kingdom,,\ncrab,106673,infraorder,Animalia,Brachyura\n"
    taxonomy = parse_taxa(f"{text}sea pig,123083,class,Animalia,Holothuroidea\n", source="taxa.csv")
    found = _write(ROWS[:2], _publication(taxonomy=taxonomy))
    assert [line["scientificName"] for line in _table(found["observations.csv"])][:2] == ["Holothuroidea", "Brachyura"]
    crab, pig = json.loads(found["datapackage.json"])["taxonomic"]
    lsid = "urn:lsid:marinespecies.org:taxname:"
    # The standard has no rank between order and family.
    assert crab == {"scientificName": "Brachyura", "taxonID": f"{lsid}106673", "kingdom": "Animalia"}
    assert (pig["taxonID"], pig["taxonRank"], pig["class"]) == (f"{lsid}123083", "class", "Holothuroidea")
    assert _errors(found, tmp_path) == []


def test_the_same_rows_give_the_same_bytes() -> None:
    assert b"".join(to_camtrapdp(ROWS, RUN, _publication())) == b"".join(to_camtrapdp(ROWS, RUN, _publication()))


def test_people_and_addresses() -> None:
    person = Detection(label="Person", label_id=1, score=0.5, box=(-3, 0, -1, 10))
    facts = {**FACTS, "image_url": "https://a.org/"}
    found = _write([scored("reef/20161110_142412 a.jpg", person)], _publication(facts=facts))
    (line,) = _table(found["observations.csv"])
    assert (line["observationType"], line["scientificName"]) == ("human", "Homo sapiens")
    assert (line["bboxX"], line["bboxWidth"]) == ("0.0", "1e-06")
    (image,) = _table(found["media.csv"])
    assert (image["filePath"], image["filePublic"]) == ("https://a.org/reef/20161110_142412%20a.jpg", "true")


def _without(*keys: str) -> dict[str, Any]:
    facts = json.loads(json.dumps(FACTS))
    *above, last = keys
    place = facts
    for key in above:
        place = place[key]
    del place[last]
    return facts


def _with(**keys: Any) -> dict[str, Any]:
    return {**FACTS, "camtrapdp": {**FACTS["camtrapdp"], **keys}}


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (
            {"table": ""},
            "needs --deployments FILE with the columns latitude, longitude, deploymentStart, deploymentEnd",
        ),
        ({"table": "deploymentID,latitude\nreef,1\n"}, "d.csv: camtrapdp needs the column longitude"),
        ({"table": TABLE.replace(",174.25,", ",,")}, "d.csv: line 2: camtrapdp needs longitude of 'reef'"),
        ({"facts": _without("created")}, "p.json: camtrapdp needs created"),
        ({"facts": _without("camtrapdp")}, "p.json: camtrapdp: expected the keys contributors, project"),
        (
            {"facts": _without("camtrapdp", "project", "title")},
            "p.json: camtrapdp: project: expected an object with title",
        ),
        (
            {"facts": _with(contributors=[])},
            "contributors: expected a list",
        ),
        ({"facts": _with(spatial={})}, "spatial follow from the data"),
    ],
)
def test_what_is_missing_is_named(known: dict[str, Any], message: str) -> None:
    with pytest.raises((ContractError, UsageError)) as caught:
        _write(ROWS, _publication(**known))
    assert message in str(caught.value)


def test_an_image_without_a_time() -> None:
    with pytest.raises(UsageError, match=r"reef/a.jpg has a time neither in its name nor in EXIF"):
        _write([scored("reef/a.jpg")], _publication())
