"""iFDO: the document is valid by the standard's schema and for its Python package, and says what the rows say."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.labels.taxa import parse_taxa
from retinanet_odm.predictions.deployments import parse_deployments
from retinanet_odm.predictions.formats.ifdo import to_ifdo
from retinanet_odm.predictions.publication import Publication, parse_publication_facts
from retinanet_odm.predictions.rows import PredictionRow
from retinanet_odm.samples.survey import PUBLICATION
from tests.retinanet_odm.prediction_rows import CRAB, PIG, RUN, failed, scored

SCHEMAS = Path(__file__).parent / "schemas/ifdo-2.1.0"
ADDRESS = "https://marine-imaging.com/fair/schemas/"
TABLE = (
    "deploymentID,latitude,longitude,coordinateUncertainty,cameraDepth,deploymentStart,deploymentEnd\n"
    "reef,-41.5,174.25,30,12.5,2016-11-10T00:00:00+13:00,2016-11-11T00:00:00+13:00\n"
)
FACTS = {"created": "2017-01-31T12:00:00Z", "ifdo": PUBLICATION["ifdo"]}
IMAGES = tuple(f"reef/20161110_14241{second}.jpg" for second in range(2, 6))
ROWS = [scored(IMAGES[0], PIG, CRAB), scored(IMAGES[1]), failed(IMAGES[2]), failed(IMAGES[3])]


def _write(rows: list[PredictionRow], *, table: str = TABLE, facts: Any = FACTS, taxa: str = "") -> dict[str, Any]:
    publication = Publication(
        files=lambda names: ((name, name.encode()) for name in names if name != IMAGES[3]),
        deployments=parse_deployments(table, source="d.csv") if table else None,
        facts=parse_publication_facts(json.dumps(facts), source="p.json"),
        audited=frozenset(IMAGES[:1]),
        taxonomy=parse_taxa(taxa, source="taxa.csv") if taxa else None,
    )
    return json.loads(b"".join(to_ifdo(rows, RUN, publication)))


def _errors(document: dict[str, Any]) -> list[str]:
    resources = [json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")]
    registry = Registry().with_resources((each["$id"], Resource.from_contents(each)) for each in resources)
    schema = registry.contents(f"{ADDRESS}ifdo-v2.1.0.json")
    validator = jsonschema.Draft202012Validator(schema, registry=registry)
    return [error.message for error in validator.iter_errors(document)]


@pytest.mark.parametrize("rows", [ROWS, []], ids=["rows", "no image"])
def test_the_document_is_valid(rows: list[PredictionRow]) -> None:
    document = _write(rows)
    assert _errors(document) == []
    broken = {**document, "image-set-items": {"a.jpg": {"image-uuid": "a", "image-hash-sha256": "b"}}}
    assert _errors(broken), "the validator sees what is wrong"


def test_the_package_of_the_standard_reads_it(tmp_path: Path) -> None:
    ifdo = pytest.importorskip("ifdo")
    (tmp_path / "ifdo.json").write_text(json.dumps(_write(ROWS)))
    found = ifdo.iFDO.load(tmp_path / "ifdo.json")
    assert {name: len(item.image_annotations or ()) for name, item in found.image_set_items.items()} == {
        IMAGES[0]: 2,
        IMAGES[1]: 0,
        IMAGES[2]: 0,
    }


def test_items() -> None:
    document = _write(ROWS)
    items = document["image-set-items"]
    assert list(items) == list(IMAGES[:3]), "a failed image that is gone has no hash, and so no item"
    first = items[IMAGES[0]]
    assert (first["image-datetime"], first["image-altitude-meters"]) == ("2016-11-10 01:24:12.000000", -12.5)
    assert first["image-handle"] == f"hash://sha256/{first['image-hash-sha256']}"
    assert first["image-curation-protocol"] == "machine annotations; audit: sampled"
    pig = first["image-annotations"][0]
    assert pig["coordinates"] == [[5.0, 6.0, 20.25, 6.0, 20.25, 16.0, 5.0, 16.0]]
    assert (pig["labels"][0]["label"], pig["labels"][0]["confidence"]) == ("sea pig", 0.9)
    (creator,) = document["image-set-header"]["image-annotation-creators"]
    assert pig["labels"][0]["annotator"] == creator["id"] == f"hash://sha256/{RUN.model_hash}"
    assert items[IMAGES[1]]["image-annotations"] == []
    assert "image-annotations" not in items[IMAGES[2]]


def test_labels_have_the_identifiers_of_their_taxa() -> None:
    table = 'label,AphiaID,rank,parent\ncrab,1,order,\nsea pig,2,genus,\n"Étoile ""de"", mer",3,class,\n'
    document = _write(ROWS, taxa=table)
    assert _errors(document) == []
    known = {label["id"]: label["name"] for label in document["image-set-header"]["image-annotation-labels"]}
    pig = document["image-set-items"][IMAGES[0]]["image-annotations"][0]["labels"][0]
    assert (pig["label"], known[pig["label"]]) == ("urn:lsid:marinespecies.org:taxname:2", "sea pig")


def _without(key: str) -> dict[str, Any]:
    return {**FACTS, "ifdo": {name: value for name, value in FACTS["ifdo"].items() if name != key}}


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"table": ""}, "--formats=ifdo: needs --deployments FILE with the columns latitude, longitude, cameraDepth"),
        ({"table": TABLE.replace("cameraDepth", "depth")}, "d.csv: ifdo needs the column cameraDepth"),
        ({"table": TABLE.replace(",30,", ",,")}, "d.csv: line 2: ifdo needs coordinateUncertainty of 'reef', or"),
        ({"facts": _without("image-pi")}, "; without image-pi"),
        ({"facts": {**FACTS, "ifdo": {**FACTS["ifdo"], "image-latitude": 1}}}, "image-latitude follow from the data"),
    ],
)
def test_what_is_missing_is_named(known: dict[str, Any], message: str) -> None:
    with pytest.raises((ContractError, UsageError)) as caught:
        _write(ROWS, **known)
    assert message in str(caught.value)
