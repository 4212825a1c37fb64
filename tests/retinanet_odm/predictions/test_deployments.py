"""The table of deployments: what it may hold, and what each message names."""

from datetime import datetime

import pytest

from retinanet_odm.errors import ContractError
from retinanet_odm.predictions.deployments import DEPLOYMENT_COLUMNS, Deployments, parse_deployments

HEAD = "deploymentID,latitude,longitude,deploymentStart,deploymentEnd"
REEF = "reef,-41.5,174.25,2016-11-10T00:00:00+13:00,2016-11-11T12:00:00+13:00"


def _parse(*lines: str) -> Deployments:
    return parse_deployments("\n".join(lines), source="d.csv")


def test_a_table_in_another_order_with_more_columns() -> None:
    found = _parse("latitude,note,deploymentID,cameraDepth", "-41.5,x,reef,12", ",,dive 1/east,")
    assert list(found.by_name) == ["reef", "dive 1/east"]
    reef = found.by_name["reef"]
    assert (reef.number("latitude"), reef.number("cameraDepth"), reef.number("longitude")) == (-41.5, 12, None)
    assert found.columns == {"deploymentID", "latitude", "cameraDepth"}
    assert list(reef.cells) == list(DEPLOYMENT_COLUMNS)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param([], "line 1: expected the header deploymentID; found ''", id="empty file"),
        pytest.param(["deployment,latitude", "a,1"], "expected the header deploymentID", id="no name"),
        pytest.param([HEAD], "d.csv: expected at least one deployment, found none", id="only a header"),
        pytest.param([HEAD, REEF, REEF], "line 3: deployment 'reef' also has d.csv: line 2", id="twice"),
        pytest.param(
            ["deploymentID,latitude", "a,91"], "latitude: expected a number from -90 to 90, found '91'", id="range"
        ),
        pytest.param(["deploymentID,latitude", "a,41°S"], "line 2: latitude: expected a number", id="no number"),
        pytest.param(["deploymentID,latitude", "a,nan"], "latitude: expected a number", id="not a number"),
        pytest.param(
            ["deploymentID,cameraTilt", "a,1.5"], "cameraTilt: expected an integer from -90 to 90", id="integer"
        ),
        pytest.param(["deploymentID,baitUse", "a,no"], "baitUse: expected true or false, found 'no'", id="boolean"),
        pytest.param(["deploymentID,featureType", "a,reef"], "featureType: expected any of roadPaved,", id="a list"),
        pytest.param(
            ["deploymentID,deploymentStart", "a,2016-11-10T00:00:00"],
            "deploymentStart: expected a date and time with its offset from UTC, such as",
            id="no offset",
        ),
        pytest.param(
            ["deploymentID,deploymentEnd", "a,2016-02-31T00:00:00Z"], "deploymentEnd: expected a", id="no date"
        ),
        pytest.param(
            ["deploymentID,deploymentStart,deploymentEnd", "a,2016-11-10T00:00:00Z,2016-11-09T00:00:00Z"],
            "expected deploymentEnd after deploymentStart",
            id="ends before it begins",
        ),
    ],
)
def test_bad_tables(lines: list[str], message: str) -> None:
    with pytest.raises(ContractError) as caught:
        _parse(*lines)
    assert message in str(caught.value)


def test_what_a_format_needs_is_named() -> None:
    with pytest.raises(
        ContractError, match=r"d.csv: camtrapdp needs the column longitude, which the file does not have"
    ):
        _parse("deploymentID,latitude", "a,1").require("latitude", "longitude", needed_by="camtrapdp")
    with pytest.raises(ContractError, match=r"d.csv: line 2: camtrapdp needs latitude of 'a', found an empty cell"):
        _parse("deploymentID,latitude", "a,").require("latitude", needed_by="camtrapdp")
    with pytest.raises(
        ContractError, match=r"d.csv: no line has the deploymentID 'b', the deployment of the image 'b/x.jpg'"
    ):
        _parse("deploymentID", "a").of("b", image="b/x.jpg")


def test_times_have_the_offset_of_the_start() -> None:
    reef = _parse(HEAD, REEF).by_name["reef"]
    assert reef.date_time(datetime(2016, 11, 10, 14, 24, 12)).isoformat() == "2016-11-10T14:24:12+13:00"
    with pytest.raises(ContractError, match=r"'reef' is from .* but has an image of 2016-11-12T00:00:00"):
        reef.date_time(datetime(2016, 11, 12))
    broken = _parse(f"{HEAD},timestampIssues", f"{REEF},true").by_name["reef"]
    assert broken.date_time(datetime(2001, 1, 1)).isoformat() == "2001-01-01T00:00:00+13:00"
