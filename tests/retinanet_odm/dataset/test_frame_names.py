"""Names of camera frames: deployment and time, or none."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.dataset.frame_names import FrameName, parse_frame_name

_WHEN = datetime(2016, 11, 10, 14, 24, 12)
_STATION = "StaM_6701_NF_tripod"


@pytest.mark.parametrize(
    ("name", "deployment"),
    [
        pytest.param("StaM_6701_NF_tripod_20161110_14_24_12.JPG", _STATION, id="Station M, as it is"),
        pytest.param("2016/tripod/StaM_6701_NF_tripod_20161110_14_24_12.JPG", _STATION, id="in sub-folders"),
        pytest.param("StaM_6701_NF_tripod_20161110_14_24_12.jpeg", _STATION, id="another extension"),
        pytest.param("StaM_6701_NF_tripod_20161110_14_24_12", _STATION, id="no extension"),
        pytest.param("StaM 6701-20161110T142412.250Z.png", "StaM 6701", id="ISO basic, fractions, zone"),
        pytest.param("cam-2016-11-10 14.24.12.tif", "cam", id="separators of two kinds"),
        pytest.param("cam_20161110142412.png", "cam", id="one run of digits"),
        pytest.param("rover.A_2016_11_10_14_24_12.jpg", "rover.A", id="underscores all along"),
        pytest.param("6701_20161110_142412.jpg", "6701", id="6701_20_16 is no date"),
        pytest.param("cam_20161310_142412_20161110_142412.jpg", "cam_20161310_142412", id="month 13: the next one"),
        pytest.param("cam_20161110_142412_edited_20200101_120000.jpg", "cam", id="of two dates the first"),
        pytest.param("dives/StaM_6701/20161110_142412.jpg", "StaM_6701", id="the folder, where the name is the date"),
        pytest.param("20161110_142412.jpg", "", id="no deployment at all"),
        pytest.param("Grönland №7_20161110_142412.jpg", "Grönland №7", id="letters of any script"),
        pytest.param("b\udce9_20161110_142412.jpg", "b\udce9", id="a name that is not UTF-8"),
    ],
)
def test_parse(name: str, deployment: str) -> None:
    assert parse_frame_name(name) == FrameName(deployment=deployment, time=_WHEN)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("img_0001.jpg", id="a running number"),
        pytest.param("cam_20161110.jpg", id="a day without a time"),
        pytest.param("cam_20170229_120000.jpg", id="29 February in a common year"),
        pytest.param("cam_20161131_120000.jpg", id="31 November"),
        pytest.param("cam_20161110_240000.jpg", id="24 o'clock"),
        pytest.param("cam_20161110_126000.jpg", id="60 minutes"),
        pytest.param("cam_20161110_120060.jpg", id="a leap second, which datetime does not know"),
        pytest.param("cam_16161110_120000.jpg", id="a year before cameras"),
        pytest.param("cam_201611101424125.jpg", id="15 digits: a number"),
        pytest.param("120161110_142412.jpg", id="a digit before: a number"),
        pytest.param("StaM_20161110_142412/frame_7.jpg", id="the time is the folder's, not the frame's"),
        pytest.param("cam_201611\uff11\uff10_142412.jpg", id="digits of another script"),
        pytest.param("", id="nothing"),
    ],
)
def test_no_time(name: str) -> None:
    assert parse_frame_name(name) is None


@given(
    st.text(st.characters(exclude_characters="/0123456789", exclude_categories=["Cs"])),
    st.datetimes(datetime(1900, 1, 1), datetime(2099, 12, 31, 23, 59, 59)),
    st.sampled_from(["%Y%m%d_%H_%M_%S", "%Y%m%dT%H%M%S", "%Y-%m-%d_%H-%M-%S", "%Y%m%d%H%M%S"]),
)
def test_every_time_is_read_back(deployment: str, when: datetime, form: str) -> None:
    found = parse_frame_name(f"{deployment}_{when.strftime(form)}.JPG")
    assert found == FrameName(deployment=deployment.rstrip("-_. "), time=when.replace(microsecond=0))
