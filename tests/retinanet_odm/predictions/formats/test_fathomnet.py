"""FathomNet's CSV: the columns of its instructions, and where each line comes from."""

import csv
import hashlib
import io

import pytest

from retinanet_odm.errors import ContractError
from retinanet_odm.predictions.deployments import parse_deployments
from retinanet_odm.predictions.formats.fathomnet import to_fathomnet
from retinanet_odm.predictions.publication import Publication, PublicationFacts
from retinanet_odm.predictions.rows import Detection
from tests.retinanet_odm.prediction_rows import FRAME, PIG, RUN, STAR, failed, scored

SHA256 = hashlib.sha256(b"x").hexdigest()
TABLE = (
    "deploymentID,latitude,longitude,cameraDepth,deploymentStart,deploymentEnd\n"
    "dive 1/StaM_6701,-41.5,174.25,12,2016-11-10T00:00:00+13:00,2016-11-11T00:00:00+13:00\n"
)
ROWS = [scored("a b.jpg", PIG), failed("broken.jpg"), scored("empty.jpg"), scored(FRAME, STAR)]


def _lines(rows: list, **known: object) -> list[dict[str, str]]:
    publication = Publication(files=lambda names: ((name, b"x") for name in names), **known)
    return list(csv.DictReader(io.StringIO(b"".join(to_fathomnet(rows, RUN, publication)).decode())))


def test_lines() -> None:
    facts = PublicationFacts(image_url="https://a.org/i/", source="p.json")
    pig, star = _lines(ROWS, facts=facts, audited=frozenset([FRAME]))
    box = {name: pig[name] for name in ("concept", "image", "x", "y", "width", "height")}
    assert box == {
        "concept": "sea pig",
        "image": "https://a.org/i/a%20b.jpg",
        "x": "5",
        "y": "6",
        "width": "16",
        "height": "10",
    }
    origin = {
        "score": "0.9",
        "image_sha256": SHA256,
        "model": RUN.model_hash,
        "threshold": "0.4",
        "audit": "not sampled",
    }
    assert {name: pig[name] for name in origin} == origin
    assert (star["audit"], star["observer"]) == ("sampled", "retinanet-odm 1.2.3, model 0123456789ab")
    assert len({pig["userdefinedkey"], star["userdefinedkey"]}) == 2
    assert len(pig["userdefinedkey"]) <= 56  # the limit of its instructions


def test_where_and_when() -> None:
    (star,) = _lines(ROWS[3:], deployments=parse_deployments(TABLE, source="d.csv"))
    place = ("2016-11-10T14:24:12+13:00", "-41.5", "174.25", "12")
    assert tuple(star[name] for name in ("timestamp", "latitude", "longitude", "depth")) == place
    with pytest.raises(ContractError, match=r"d.csv: no line has the deploymentID ''"):
        _lines(ROWS, deployments=parse_deployments(TABLE, source="d.csv"))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-4, -2.5, 50, 31), ("0", "0", "40", "30")),
        ((39.2, 29.9, 39.3, 30), ("39", "29", "1", "1")),
        ((3, 4, 3.5, 8), ("3", "4", "1", "4")),
        ((41, 31, 44, 35), ("39", "29", "1", "1")),
    ],
    ids=["cut at the borders", "within a pixel", "edges on pixels", "outside"],
)
def test_whole_pixels(box: tuple[float, float, float, float], expected: tuple[str, ...]) -> None:
    (line,) = _lines([scored("a.jpg", Detection(label="crab", label_id=1, score=0.5, box=box))])
    assert tuple(line[name] for name in ("x", "y", "width", "height")) == expected
