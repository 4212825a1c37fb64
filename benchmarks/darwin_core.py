"""Reads `convert --formats=darwincore` with a reader of archives, and validates its tables and its EML.

    python -m benchmarks.darwin_core [--env DIR]

Installs, by pip, in an environment of its own (--env keeps it): python-dwca-reader, which reads the archive; metapype,
the rules of EML 2.2; and pyobistools, the checks of OBIS Canada. The rows have folders, accents, commas, quotes and
line breaks in names, images without detections, one that failed, and an object of which only the phylum is sure.
metapype does not know the `ulink` by which GBIF recognises a license, though EML's schema has it; OBIS Canada requires
countryCode, which OBIS and GBIF do not. Exits with 1 if anything else differs.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measures import Result, make_environment, print_results, python
from retinanet_odm.labels.taxa import parse_taxa
from retinanet_odm.predictions.deployments import parse_deployments
from retinanet_odm.predictions.formats.darwin_core import to_darwin_core
from retinanet_odm.predictions.publication import Publication, parse_publication_facts
from retinanet_odm.predictions.roll_up import TaxonScores
from retinanet_odm.predictions.rows import FAILED, Detection, PredictionRow, ScoringRun

PINS = ("python-dwca-reader==0.17.1", "metapype==0.3.0", "pyobistools==1.1.0")
CLASSES = {1: "crab, brown", 2: "Étoile de mer", 4: 'the "red" star'}
SCORES = dict.fromkeys(CLASSES, 0.5)
TAXA = """\
label,AphiaID,rank,parent,scientificName
Animalia,2,kingdom,,
Echinodermata,1806,phylum,Animalia,
"crab, brown",107276,species,Animalia,Cancer pagurus
Étoile de mer,123080,class,Echinodermata,Asteroidea
"the ""red"" star",123084,class,Echinodermata,Ophiuroidea
"""
DEPLOYMENTS = """\
deploymentID,locationName,latitude,longitude,coordinateUncertainty,cameraDepth,deploymentStart,deploymentEnd
récif/a,"reef, east",-41.5,174.25,10,12.5,2016-11-10T00:00:00+13:00,2016-11-11T00:00:00+13:00
b,,51,-4.5,20,3,2016-11-10T00:00:00Z,2016-11-12T00:00:00Z
"""
FACTS = {
    "created": "2024-06-30T12:00:00Z",
    "image_url": "https://example.org/images/",
    "darwincore": {
        "title": "Stars & crabs",
        "abstract": "Detections in images of two reefs.",
        "license": "CC-BY-4.0",
        "creator": {"givenName": "Jo", "surName": "Doe", "electronicMailAddress": "jo@example.org"},
    },
}
NOT_KNOWN = "ulink", "citetitle"  # to metapype
NOT_REQUIRED = "countryCode"

READ = """
import json, sys
import pandas
from dwca.read import DwCAReader
from metapype.eml import validate
from metapype.model import metapype_io
from pyobistools.validation.check_fields import check_fields
with DwCAReader(sys.argv[1]) as archive:
    rows = [
        {**{name.rpartition("/")[2]: value for name, value in row.data.items()}, "media": len(row.extensions)}
        for row in archive.rows
    ]
    eml = archive.open_included_file("eml.xml").read()
faults = []
validate.tree(metapype_io.from_xml(eml if isinstance(eml, str) else eml.decode()), faults)
table = pandas.DataFrame(rows)
found = check_fields(table.mask(table == ""), level="error", analysis_type="occurrence_core")
obis = [] if found is None else found.to_dict("records")
print(json.dumps({"rows": rows, "eml": [fault[1] for fault in faults], "obis": obis}, default=str))
"""


def make_rows() -> list[PredictionRow]:
    """Make rows of six images, as score has them."""

    def item(label_id: int, score: float, left: float) -> Detection:
        return Detection(label=CLASSES[label_id], label_id=label_id, score=score, box=(left, 10.0, left + 40, 60.5))

    crab, star, unsure = item(1, 0.9, 5), item(2, 0.8, 100), (item(2, 0.4, 200), item(4, 0.3, 201))
    names = {
        "récif/a_20161110_120000.jpg": (crab, star, *unsure),
        "récif/a_20161110_120100.jpg": (),
        'b_20161110_120000 "x", y\n.jpg': (star, star),
        "b_20161110_120200.jpg": (),
    }
    rows = [PredictionRow(image=name, width=400, height=300, detections=found) for name, found in names.items()]
    return [*rows, PredictionRow(image="b_20161111_120000.jpg", status=FAILED, reason="image_empty", detail="empty")]


def write_archive(path: Path) -> None:
    """Write an archive of the rows, with their taxa rolled up."""
    run = ScoringRun(
        classes=CLASSES,
        model_hash="0123456789abcdef" * 4,
        thresholds=SCORES,
        min_scores=SCORES,
        nms_iou=0.5,
        code_version="0",
    )
    taxa = TaxonScores(run, parse_taxa(TAXA, source="taxa.csv"))
    publication = Publication(
        files=lambda names: ((name, name.encode()) for name in names),
        facts=parse_publication_facts(json.dumps(FACTS), source="publication.json"),
        deployments=parse_deployments(DEPLOYMENTS, source="deployments.csv"),
        taxonomy=taxa.taxonomy,
        audited=frozenset(),
    )
    rows = (dataclasses.replace(row, place=row.deployment) for row in map(taxa.roll_up, make_rows()))
    path.write_bytes(b"".join(to_darwin_core(rows, taxa.run, publication)))


def judge(found: dict) -> Iterator[Result]:
    """Yield what the validators say, and whether the reader finds what was written."""
    rows = [(row["occurrenceStatus"], row["scientificName"], row["media"]) for row in found["rows"]]
    expected = [
        ("present", "Cancer pagurus", 2),
        ("present", "Asteroidea", 2),
        ("present", "Echinodermata", 2),  # only the phylum is sure
        ("present", "Asteroidea", 2),
        ("present", "Asteroidea", 2),
        # Of the reef without it; a star of either class may have been there where only the phylum was sure.
        ("absent", "Cancer pagurus", 0),
        ("absent", "Ophiuroidea", 0),
    ]
    value = f"{len(rows)} occurrences" if rows == expected else f"expected {expected}, found {rows}"
    yield Result(title="python-dwca-reader: occurrences and their media", value=value, good=rows == expected)
    eml = [fault for fault in found["eml"] if not any(name in fault for name in NOT_KNOWN)]
    yield Result(title="metapype: errors in eml.xml", value=str(eml or 0), good=not eml)
    obis = [f"{fault['field']}: {fault['message']}" for fault in found["obis"] if fault["field"] != NOT_REQUIRED]
    yield Result(title="pyobistools: required fields that are missing or empty", value=str(obis or 0), good=not obis)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", type=Path, help="folder of the environment to use and keep; default: a temporary one")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        archive = Path(work) / "darwincore.zip"
        write_archive(archive)
        interpreter = make_environment(flags.env or Path(work) / "env", PINS)
        printed = python("-W", "ignore", "-c", READ, str(archive), interpreter=interpreter)
        return 0 if print_results(judge(json.loads(printed.splitlines()[-1]))) else 1


if __name__ == "__main__":
    sys.exit(main())
