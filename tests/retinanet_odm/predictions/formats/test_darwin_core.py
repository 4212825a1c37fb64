"""Darwin Core Archive: what its documents promise, its occurrences and absences, and what a reader makes of it."""

import csv
import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest
from lxml import etree

from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.labels.taxa import parse_taxa
from retinanet_odm.predictions.deployments import parse_deployments
from retinanet_odm.predictions.formats.darwin_core import to_darwin_core
from retinanet_odm.predictions.publication import Publication, parse_publication_facts
from retinanet_odm.predictions.roll_up import TaxonScores
from retinanet_odm.predictions.rows import PredictionRow, ScoringRun
from tests.retinanet_odm.prediction_rows import CRAB, FRAME, PIG, RUN, STAR, failed, scored

_STAR = STAR.label.replace('"', '""')
TAXA = parse_taxa(
    "label,AphiaID,rank,parent,scientificName\n"
    "Animalia,2,kingdom,,\n"
    "crab,106673,infraorder,Animalia,Brachyura\n"
    "Echinodermata,1806,phylum,Animalia,\n"
    "sea pig,123083,class,Echinodermata,Holothuroidea\n"
    f'"{_STAR}",123080,class,Echinodermata,Asteroidea\n',
    source="taxa.csv",
)
DEPLOYMENTS = parse_deployments(
    "deploymentID,locationName,latitude,longitude,cameraDepth,deploymentStart,deploymentEnd\n"
    'dive 1/StaM_6701,"Reef, east",-41.5,174.25,12,2016-11-10T00:00:00+13:00,2016-11-11T00:00:00+13:00\n'
    "dive 2,,-41.5,174.25,,2016-11-12T00:00:00+13:00,2016-11-13T00:00:00+13:00\n"
    "not used,,0,0,,2016-11-12T00:00:00Z,2016-11-13T00:00:00Z\n",
    source="d.csv",
)
PERSON = {"surName": "Doe", "electronicMailAddress": "doe@a.org"}
SECTION = {"title": "Reef", "abstract": "Of a reef & more.", "license": "CC-BY-4.0", "creator": PERSON}
ROWS = [scored(FRAME, PIG, PIG), scored("dive 2/a.jpg"), failed("dive 2/b.jpg"), scored('dive 2/c "\n.jpg', STAR)]
DWC = "http://rs.tdwg.org/dwc/terms/"


def _publication(**changed: object) -> Publication:
    value = {"created": "2024-06-30T12:00:00Z", "image_url": "https://a.org/", "darwincore": SECTION}
    facts = parse_publication_facts(json.dumps(value), source="p.json")
    given = Publication(
        files=lambda names: ((name, name.encode()) for name in names),
        facts=facts,
        deployments=DEPLOYMENTS,
        taxonomy=TAXA,
        audited=frozenset([FRAME]),
    )
    return dataclasses.replace(given, **changed)


def _archive(rows: list[PredictionRow] = ROWS, run: ScoringRun = RUN, **changed: object) -> bytes:
    return b"".join(to_darwin_core(iter(rows), run, _publication(**changed)))


def _table(data: bytes, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(zipfile.ZipFile(io.BytesIO(data)).read(name).decode(), newline="")))


def test_presence() -> None:
    pig, second, star, *_ = _table(_archive(), "occurrence.csv")
    sha256 = hashlib.sha256(FRAME.encode()).hexdigest()
    expected = {
        "basisOfRecord": "MachineObservation",
        "occurrenceStatus": "present",
        "individualCount": "1",
        "scientificName": "Holothuroidea",
        "scientificNameID": "urn:lsid:marinespecies.org:taxname:123083",
        "taxonRank": "class",
        "verbatimIdentification": "sea pig",
        "kingdom": "Animalia",
        "phylum": "Echinodermata",
        "order": "",
        "eventDate": "2016-11-10T14:24:12+13:00",
        "parentEventID": "dive 1/StaM_6701",
        "identificationVerificationStatus": "PredictedByMachine",
        "identificationRemarks": "score 0.9, minimum score 0.4; audit: sampled",
        "decimalLatitude": "-41.5",
        "minimumDepthInMeters": "12",
        "locality": "Reef, east",
        "associatedMedia": "https://a.org/dive%201/StaM_6701_20161110_14_24_12.JPG",
    }
    assert {name: pig[name] for name in expected} == expected
    assert json.loads(pig["dynamicProperties"]) == {
        "score": 0.9,
        "image_sha256": sha256,
        "model": RUN.model_hash,
        "threshold": "0.4",
        "audit": "sampled",
        "box": list(PIG.box),
    }
    assert pig["occurrenceID"] != second["occurrenceID"]  # equal boxes are two occurrences
    # Without a time of its own, the image is of some time of its deployment.
    assert star["eventDate"] == "2016-11-12T00:00:00+13:00/2016-11-13T00:00:00+13:00"


def test_absences_are_of_deployments_that_were_looked_at() -> None:
    absent = [line for line in _table(_archive(), "occurrence.csv") if line["occurrenceStatus"] == "absent"]
    assert [(line["eventID"], line["verbatimIdentification"], line["sampleSizeValue"]) for line in absent] == [
        ("dive 1/StaM_6701", "crab", "1"),
        ("dive 1/StaM_6701", STAR.label, "1"),
        ("dive 2", "crab", "2"),  # of three images, of which one failed
        ("dive 2", "sea pig", "2"),
    ]
    digest = hashlib.sha256(b"".join(hashlib.sha256(row.image.encode()).digest() for row in (ROWS[1], ROWS[3])))
    assert {line["individualCount"] for line in absent} == {"0"}
    assert json.loads(absent[-1]["dynamicProperties"]) == {
        "image_sha256": digest.hexdigest(),
        "model": RUN.model_hash,
        "threshold": "0.4",
        "audit": "0 of 2 images sampled",
    }


def test_a_class_is_not_absent_where_only_a_taxon_above_it_was_sure() -> None:
    # Together they reach the score of the phylum, 0.4, and neither does alone.
    low = [dataclasses.replace(item, score=0.23, box=PIG.box) for item in (PIG, STAR)]
    taxa = TaxonScores(RUN, TAXA)
    lines = _table(_archive([taxa.roll_up(scored(FRAME, *low))], taxa.run), "occurrence.csv")
    assert lines[0]["identificationRemarks"] == "summed score 0.46, minimum score 0.4; audit: sampled"
    assert [(line["occurrenceStatus"], line["scientificName"]) for line in lines] == [
        ("present", "Echinodermata"),
        ("absent", "Brachyura"),  # nor are the taxa above the classes absent, of which the model knows a few only
    ]


def test_images_and_regions() -> None:
    data = _archive()
    occurrences = _table(data, "occurrence.csv")
    image, region, *_ = _table(data, "multimedia.csv")
    assert image["occurrenceID"] == region["occurrenceID"] == occurrences[0]["occurrenceID"]
    assert image["hashValue"] == hashlib.sha256(FRAME.encode()).hexdigest()
    assert (image["accessURI"], image["identifier"]) == (occurrences[0]["associatedMedia"], region["isROIOf"])
    fractions = ("0.125", "0.2", "0.38125", "0.333333")  # of 40 × 30 pixels
    assert tuple(region[name] for name in ("xFrac", "yFrac", "widthFrac", "heightFrac")) == fractions


def test_without_addresses_there_are_no_links() -> None:
    facts = dataclasses.replace(_publication().facts, image_url="")
    data = _archive(facts=facts)
    assert {line["associatedMedia"] for line in _table(data, "occurrence.csv")} == {""}
    assert {line["accessURI"] for line in _table(data, "multimedia.csv")} == {""}


def test_equal_input_makes_equal_bytes() -> None:
    assert _archive() == _archive()


def test_meta_names_the_columns_of_both_tables() -> None:
    archive = zipfile.ZipFile(io.BytesIO(_archive()))
    names = {"t": "http://rs.tdwg.org/dwc/text/"}
    for table in etree.fromstring(archive.read("meta.xml")).iterfind("*"):
        (location,) = table.iterfind("t:files/t:location", names)
        header = archive.read(str(location.text)).decode().splitlines()[0].split(",")
        fields = {int(field.get("index", "")): field.get("term", "") for field in table.iterfind("t:field", names)}
        # Every column is the key or a field, and no field is another column.
        assert {0, *fields} == set(range(len(header)))
        assert all(term.endswith(f"/{header[index]}") for index, term in fields.items())


def test_eml_has_what_gbif_requires() -> None:
    (dataset,) = etree.fromstring(zipfile.ZipFile(io.BytesIO(_archive())).read("eml.xml"))
    texts = {str(element.tag): "".join(map(str, element.itertext())).strip() for element in dataset}
    assert texts["title"] == "Reef"
    assert texts["pubDate"] == "2024-06-30"
    assert texts["abstract"] == "Of a reef & more."
    assert texts["intellectualRights"].startswith("This work is licensed under a Creative Commons Attribution (CC-BY)")
    assert RUN.model_hash in texts["methods"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"license": "CC-BY-SA-4.0"}, "license: expected CC0-1.0, .*; found 'CC-BY-SA-4.0'"),
        ({"title": ""}, "title: expected a text, found ''"),
        ({"titel": "x"}, "unknown key 'titel'; did you mean 'title'"),
        ({"creator": "Doe"}, "creator: expected an object"),
        ({"creator": {"surName": "Doe"}}, "creator: expected surName .*, and electronicMailAddress"),
        ({"creator": {**PERSON, "surname": "Doe"}}, "creator: unknown key 'surname'; did you mean 'surName'"),
    ],
)
def test_refused_facts(changed: dict[str, object], message: str) -> None:
    value = {"created": "2024-06-30T12:00:00Z", "darwincore": {**SECTION, **changed}}
    with pytest.raises(ContractError, match=f"p.json: darwincore: {message}"):
        _archive(facts=parse_publication_facts(json.dumps(value), source="p.json"))


@pytest.mark.parametrize("missing", ["taxonomy", "deployments"])
def test_needs_files_about_the_survey(missing: str) -> None:
    with pytest.raises(UsageError, match=r"^--formats=darwincore: needs --(taxa|deployments) FILE"):
        _archive(**{missing: None})


def test_a_reader_of_archives_reads_it(tmp_path: Path) -> None:
    read = pytest.importorskip("dwca.read")
    path = tmp_path / "darwincore.zip"
    path.write_bytes(_archive([*ROWS, scored("dive 2/z.jpg", CRAB)]))
    with read.DwCAReader(str(path)) as archive:
        assert archive.descriptor.core.type == f"{DWC}Occurrence"
        assert archive.metadata.find("dataset/title").text == "Reef"
        lines = archive.rows
        assert [line.data[f"{DWC}verbatimIdentification"] for line in lines][:3] == ["sea pig", "sea pig", STAR.label]
        # Two lines of the extension for each occurrence that is present, and none of an absence.
        assert [len(line.extensions) for line in lines] == [2, 2, 2, 2, 0, 0, 0]
