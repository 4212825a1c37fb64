"""Names of camera frames: deployment and time, or none."""

import pickle
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.dataset.frame_names import DeploymentRule, FrameName, describe_deployments, parse_frame_name
from retinanet_odm.errors import UsageError

_WHEN = datetime(2016, 11, 10, 14, 24, 12)
_STATION = "StaM_6701_NF_tripod"


@pytest.mark.parametrize(
    ("name", "deployment"),
    [
        pytest.param("StaM_6701_NF_tripod_20161110_14_24_12.JPG", _STATION, id="Station M, as it is"),
        pytest.param(
            "2016/tripod/StaM_6701_NF_tripod_20161110_14_24_12.JPG", f"2016/tripod/{_STATION}", id="in sub-folders"
        ),
        pytest.param("StaM_6701_NF_tripod_20161110_14_24_12.jpeg", _STATION, id="another extension"),
        pytest.param("StaM_6701_NF_tripod_20161110_14_24_12", _STATION, id="no extension"),
        pytest.param("StaM 6701-20161110T142412.250Z.png", "StaM 6701", id="ISO basic, fractions, zone"),
        pytest.param("cam-2016-11-10 14.24.12.tif", "cam", id="separators of two kinds"),
        pytest.param("cam_20161110142412.png", "cam", id="one run of digits"),
        pytest.param("rover.A_2016_11_10_14_24_12.jpg", "rover.A", id="underscores all along"),
        pytest.param("6701_20161110_142412.jpg", "6701", id="6701_20_16 is no date"),
        pytest.param("cam_20161310_142412_20161110_142412.jpg", "cam_20161310_142412", id="month 13: the next one"),
        pytest.param("cam_20161110_142412_edited_20200101_120000.jpg", "cam", id="of two dates the first"),
        pytest.param("dives/StaM_6701/20161110_142412.jpg", "dives/StaM_6701", id="the name is the date"),
        pytest.param("2016-11-10T14:24:12.123+02:00.jpg", "", id="ISO 8601, colons, fractions, zone"),
        pytest.param("cam_2016:11:10 14:24:12.jpg", "cam", id="as EXIF writes it"),
        pytest.param("camA/IMG_20161110_142412.jpg", "camA", id="a telephone's or camera's prefix"),
        pytest.param("camB/PXL_20161110_142412123.MP.jpg".replace("412123", "412.123"), "camB", id="Pixel"),
        pytest.param("camB/DSC_0042_20161110_142412.jpg", "camB", id="prefix and running number"),
        pytest.param("camB/img-e1234-20161110-142412.jpg", "camB", id="lower case, an edited image of an iPhone"),
        pytest.param("camB/P1000123_20161110_142412.jpg", "camB", id="Panasonic's number"),
        pytest.param("M_20161110_142412.jpg", "", id="M alone"),
        pytest.param("M6701_20161110_142412.jpg", "M6701", id="a mooring, not a camera's M"),
        pytest.param("IMG_east_20161110_142412.jpg", "IMG_east", id="prefix and a name: kept"),
        pytest.param("east/DCIM/101RECNX/RCNX0042_20161110_142412.jpg", "east", id="what a camera trap writes"),
        pytest.param("DCIM/Camera/20161110_142412.jpg", "", id="what a telephone writes"),
        pytest.param("x.zip/east/20161110/20161110_142412.jpg", "x.zip/east/20161110", id="a date is no camera folder"),
        pytest.param("101 north/100MEDIA/20161110_142412.jpg", "101 north", id="three digits of a person"),
        pytest.param("east\\100MEDIA\\IMG_20161110_142412.jpg", "east", id="backslashes of a Windows archiver"),
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
    st.text(st.characters(exclude_characters="/\\0123456789", exclude_categories=["Cs"])),
    st.datetimes(datetime(1900, 1, 1), datetime(2099, 12, 31, 23, 59, 59)),
    st.sampled_from(["%Y%m%d_%H_%M_%S", "%Y%m%dT%H%M%S", "%Y-%m-%d_%H-%M-%S", "%Y%m%d%H%M%S"]),
)
def test_every_time_is_read_back(deployment: str, when: datetime, form: str) -> None:
    name = deployment.rstrip("-_. ")
    # A letter of no camera in front: the text may be what cameras write.
    found = parse_frame_name(f"ü{deployment}_{when.strftime(form)}.JPG")
    assert found == FrameName(deployment=f"ü{name}", time=when.replace(microsecond=0))


@pytest.mark.parametrize(
    ("rule", "name", "deployment"),
    [
        pytest.param(r"^([^/]+)/", "east/100MEDIA/IMG_1.jpg", "east", id="the first folder"),
        pytest.param(r"site\d+", "x/site7_cam2_0001.jpg", "site7", id="no capturing group: the complete match"),
        pytest.param(r"(site\d+)_(cam\d)", "x/site7_cam2_0001.jpg", "site7+cam2", id="groups joined"),
        pytest.param(r"^DCIM", "DCIM/IMG_1.jpg", "DCIM", id="the rule knows no camera folders"),
        pytest.param(r"site\d+", "east/IMG_20161110_142412.jpg", "east", id="nothing found: as without the rule"),
        pytest.param("", "east/100MEDIA/IMG_1.jpg", "east", id="no rule, no time"),
        pytest.param("", "100MEDIA/IMG_1.jpg", "", id="nothing known"),
        pytest.param("", "east/site7_0001.jpg", "east", id="without a time, the name numbers images"),
    ],
)
def test_deployment(rule: str, name: str, deployment: str) -> None:
    found = DeploymentRule(rule)
    assert found.deployment_of(name) == deployment
    assert pickle.loads(pickle.dumps(found)) == found
    frame = parse_frame_name(name, found)
    assert frame is None or frame.deployment == deployment, "one deployment, whichever function is asked"


@pytest.mark.parametrize("rule", [pytest.param("(", id="an open bracket"), pytest.param(r"\d*", id="any name")])
def test_faulty_rules_are_refused(rule: str) -> None:
    with pytest.raises(UsageError, match="--deployment"):
        DeploymentRule(rule)


_PLACES = st.lists(st.sampled_from(["east", "west", "dive 7", "2016", "x.zip"]), min_size=1, max_size=3)
_CAMERA_FOLDERS = st.sampled_from(["", "DCIM/", "100MEDIA/", "DCIM/101_FUJI/", "102canon/", "Camera/"])
_CAMERA_NAMES = st.sampled_from(["IMG_20240203_040500.jpg", "DSCF0001.JPG", "PXL_20240203_040500.jpg", "RCNX0007.JPG"])


@given(_PLACES, _PLACES, _CAMERA_FOLDERS, _CAMERA_FOLDERS, _CAMERA_NAMES, _CAMERA_NAMES)
def test_two_images_share_a_deployment_if_and_only_if_they_share_their_place(
    one: list[str], other: list[str], card: str, other_card: str, name: str, other_name: str
) -> None:
    of = DeploymentRule().deployment_of
    assert of(f"{'/'.join(one)}/{card}{name}") == "/".join(one)
    assert (of(f"{'/'.join(one)}/{card}{name}") == of(f"{'/'.join(other)}/{other_card}{other_name}")) == (one == other)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        pytest.param(set(), "deployments: none", id="no image"),
        pytest.param({""}, "deployments: 1 (without a name)", id="nothing known"),
        pytest.param(set("dbca"), "deployments: 4 (a, b, c, …)", id="the first few, by name"),
    ],
)
def test_summary(found: set[str], line: str) -> None:
    assert describe_deployments(found) == line
