"""Splits: a name's split depends on nothing but the name."""

import pickle
from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.dataset.frame_names import DeploymentRule
from retinanet_odm.dataset.splits import (
    DEPLOYMENT,
    DEPLOYMENT_DAY,
    GroupRule,
    SplitError,
    SplitPlan,
    Splits,
    parse_num_shards,
    parse_split_list,
    parse_splits,
)
from retinanet_odm.errors import ContractError, UsageError

_DEFAULT = parse_splits("train=0.8,val=0.1,test=0.1")


@given(st.lists(st.text(), unique=True), st.lists(st.text(), unique=True))
def test_additions_and_order_move_nothing(names: list[str], others: list[str]) -> None:
    alone = {name: _DEFAULT.split_of(name) for name in names}
    together = {name: _DEFAULT.split_of(name) for name in [*others, *reversed(names)]}
    assert all(together[name] == split for name, split in alone.items())


def test_golden_names_stay_where_they_are() -> None:
    """Published data sets must not be reshuffled by an upgrade."""
    held_out = {"val": [14, 17, 19, 24], "test": [9, 22]}
    found = [_DEFAULT.split_of(f"img_{number}.jpg") for number in range(30)]
    for split, numbers in held_out.items():
        assert [number for number, name in enumerate(found) if name == split] == numbers


def test_fractions_are_met() -> None:
    counts = Counter(_DEFAULT.split_of(f"frame {number}") for number in range(20000))
    for name, fraction in _DEFAULT.fractions:
        assert counts[name] / 20000 == pytest.approx(fraction, abs=0.01)


@given(st.text())
def test_a_fraction_of_0_gets_nothing_and_of_1_everything(name: str) -> None:
    assert parse_splits("train=0,val=1").split_of(name) == "val"
    assert parse_splits("train=1,val=0").split_of(name) == "train"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("train=0.8,val=0.1", "add up to 1, found 0.9", id="sum under 1"),
        pytest.param("train=0.8,val=0.3", "add up to 1, found 1.1", id="sum over 1"),
        pytest.param("train=1.5,val=-0.5", r"\[0, 1\]", id="sum 1 of impossible parts"),
        pytest.param("train=nan,val=1", r"\[0, 1\]", id="nan compares false with everything"),
        pytest.param("train=most", "not a number", id="a word"),
        pytest.param("train", "name=value", id="no fraction"),
        pytest.param("train=0.5,", "name=value", id="comma at the end"),
        pytest.param("train=0.5,train=0.5", "is repeated", id="twice"),
        pytest.param("Train=1", "lower-case", id="capitals: file names of shards carry it"),
        pytest.param("tr/ain=1", "lower-case", id="a path"),
        pytest.param("", "name=value", id="nothing"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_splits(text)


def test_a_name_twice_is_refused_in_values_too() -> None:
    with pytest.raises(UsageError, match="once"):
        Splits((("train", 0.5), ("train", 0.5)))


def test_thirds_that_do_not_quite_add_up_leave_no_gap() -> None:
    thirds = parse_splits("a=0.333333,b=0.333333,c=0.333334")
    assert thirds.names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("rule", "image", "group"),
    [
        pytest.param(DEPLOYMENT_DAY, "x/StaM_6701_20161110_14_24_12.JPG", "x/StaM_6701+20161110", id="a frame"),
        pytest.param(DEPLOYMENT, "x/StaM_6701_20161110_14_24_12.JPG", "x/StaM_6701", id="a frame, whatever the day"),
        pytest.param(DEPLOYMENT, "dive7/img_7.jpg", "dive7", id="a folder, without any date"),
        pytest.param(DEPLOYMENT_DAY, "StaM_6701/20161110_142412.jpg", "StaM_6701+20161110", id="deployment as folder"),
        pytest.param(r"^[^/]+/", "dive 7/a.jpg", "dive 7/", id="no capturing group: the complete match"),
        pytest.param(r"dive(\d+)_cam(\d)", "x/dive12_cam3_0001.jpg", "12+3", id="capturing groups joined"),
        pytest.param(r"dive(\d+)(?:_cam(\d))?", "dive12.jpg", "12+", id="a group that took no part"),
        pytest.param(r"d(\d)(\d*)_", "d12_.jpg d34_.jpg", "1+2", id="the first match"),
        pytest.param(r"^(.)", "\udce9.jpg", "\udce9", id="a name that is not UTF-8"),
    ],
)
def test_group(rule: str, image: str, group: str) -> None:
    assert GroupRule(rule).group_of(image) == group
    assert pickle.loads(pickle.dumps(GroupRule(rule))) == GroupRule(rule)


@pytest.mark.parametrize(
    ("rule", "image"),
    [
        pytest.param(DEPLOYMENT, "img_7.jpg", id="neither folder nor date"),
        pytest.param(DEPLOYMENT_DAY, "img_7.jpg", id="no date"),
        pytest.param(DEPLOYMENT_DAY, "StaM_20161310_142412.jpg", id="month 13"),
        pytest.param(r"dive\d+", "cruise7.jpg", id="no match"),
        pytest.param(r"dive(\d*)", "dive_7.jpg", id="a match whose group is empty"),
    ],
)
def test_an_image_without_a_group_is_an_error_and_no_group_of_its_own(rule: str, image: str) -> None:
    with pytest.raises(SplitError, match=image) as caught:
        GroupRule(rule).group_of(image)
    assert caught.value.reason == "no_split_group"


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param("dive(", id="an open bracket"),
        pytest.param("x{99999999999999999999}", id="more repeats than Python counts"),
        pytest.param("", id="nothing"),
        pytest.param(r"\d*", id="finds a group in any name"),
    ],
)
def test_faulty_rules_are_refused(rule: str) -> None:
    with pytest.raises(UsageError, match="--split_group"):
        GroupRule(rule)


@given(
    st.text(st.characters(exclude_characters="/0123456789", exclude_categories=["Cs"])),
    st.datetimes(datetime(1990, 1, 1), datetime(2089, 1, 1)),
    st.lists(st.timedeltas(timedelta(0), timedelta(hours=23, minutes=59)), min_size=2),
    st.sampled_from(["", "a/", "a/b/"]),
)
def test_frames_of_one_day_never_part(deployment: str, day: datetime, times: list[timedelta], folder: str) -> None:
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
    rule = SplitPlan(splits=_DEFAULT, group=GroupRule(DEPLOYMENT_DAY))
    frames = [f"x{deployment}_{midnight + time:%Y%m%d_%H_%M_%S}.JPG" for time in times]
    assert len({rule.split_of(folder + frame) for frame in frames}) == 1


def test_deployments_of_a_group_follow_their_rule() -> None:
    rule = GroupRule(DEPLOYMENT_DAY, DeploymentRule(r"site\d"))
    assert rule.group_of("x/site7_IMG_20161110_14_24_12.JPG") == "site7+20161110"


@given(st.integers(0, 50), st.lists(st.text("ab_.", max_size=4), min_size=2))
def test_images_of_one_group_never_part(dive: int, rest: list[str]) -> None:
    plan = SplitPlan(splits=_DEFAULT, group=GroupRule(r"^dive(\d+)/"))
    assert {plan.split_of(f"dive{dive}/{name}") for name in rest} == {_DEFAULT.split_of(str(dive))}


@given(st.text())
def test_by_default_an_image_is_its_own_group(image: str) -> None:
    assert SplitPlan(splits=_DEFAULT).split_of(image) == _DEFAULT.split_of(image)


def test_only_the_list_decides_and_it_must_name_every_image() -> None:
    listed = parse_split_list('image,split\nx/a b.jpg,val\n"c,d.jpg",train\n', _DEFAULT, source="list.csv")
    plan = SplitPlan(splits=_DEFAULT, group=GroupRule("dive"), listed=listed)
    assert (plan.split_of("x/a b.jpg"), plan.split_of("c,d.jpg")) == ("val", "train")
    with pytest.raises(SplitError, match=r"e\.jpg") as caught:
        plan.split_of("e.jpg")
    assert caught.value.reason == "not_in_split_list"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("image,split\n", "at least one image", id="empty: all images would be rejected"),
        pytest.param("a.jpg,train\n", "line 1: expected the header image,split", id="no header"),
        pytest.param("image,split\na,train\n\na,train\n", "line 4: image 'a' is listed twice", id="twice"),
        pytest.param("image,split\na,dev\n", "line 2: image 'a': .*train, val, test; found 'dev'", id="no such split"),
        pytest.param("image,split\na,\n", "line 2: image 'a': .*found ''", id="no split"),
        pytest.param("image,split\na,b,train\n", "line 2: expected 2 cells", id="an unquoted comma"),
    ],
)
def test_lists_refused(text: str, message: str) -> None:
    with pytest.raises(ContractError, match=f"list.csv: .*{message}"):
        parse_split_list(text, _DEFAULT, source="list.csv")


def test_parse_num_shards():
    assert parse_num_shards("train=32, val=4") == {"train": 32, "val": 4}
