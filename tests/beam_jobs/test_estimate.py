"""--estimate: what a job would take, by listing its files."""

import pytest

from beam_jobs.estimate import SPEED, PrepareEstimate, count_shards, describe_prepare_estimate
from beam_jobs.main import main
from beam_jobs.options import PrepareOptions
from retinanet_odm.cli.estimate import FileTotals
from retinanet_odm.dataset.splits import parse_splits


def _options(splits: str, **num_shards: int) -> PrepareOptions:
    return PrepareOptions(
        images=("i",), annotations=("a",), output="o", splits=parse_splits(splits), num_shards=num_shards
    )


SHARDS = [
    (1_000_000, "train=0.8,val=0.1,test=0.1", {}, 40, "32 and twice 4"),
    (1_000_000, "train=0.8,val=0.2", {"train": 512}, 516, "as is asked"),
    (10, "train=0.8,val=0.2", {}, 10, "never more than images"),
    (0, "train=1", {}, 0, "none"),
    (10, "train=1,val=0", {}, 10, "a split without images"),
]


@pytest.mark.parametrize(("images", "splits", "num_shards", "count", "reason"), SHARDS)
def test_shards(images, splits, num_shards, count, reason):
    assert count_shards(images, _options(splits, **num_shards)) == count, reason


def test_work_and_money_grow_with_bytes_and_with_images():
    none = FileTotals(count=0, size=0)
    bytes_alone = FileTotals(count=0, size=20_000_000 * 3600)
    images_alone = PrepareEstimate(images=FileTotals(count=200 * 7200, size=0), annotations=none, shards=1)
    assert SPEED.vcpu_hours(bytes_alone) == pytest.approx(1)
    assert (
        "2.00 vCPU-hours" in describe_prepare_estimate(images_alone, None)[3]
        and len(describe_prepare_estimate(images_alone, None)) == 4
    )
    assert describe_prepare_estimate(images_alone, 0.06)[4] == "money: 0.12 at 0.06 per vCPU-hour"


def test_nothing_is_read_or_written(source, tmp_path, capsys):
    source.fill(5)
    flags = source.flags(tmp_path / "out", "--estimate", "--vcpu_hour_price=0.05")
    assert main(flags) == 0
    printed = capsys.readouterr()
    assert all(words in printed.out for words in ("images: 5 objects", "annotations: 5 objects", "money: 0.00"))
    assert printed.err == "" and not (tmp_path / "out").exists()
    folders = [f"--images={source.images}", f"--annotations={source.annotations}"]
    assert main([*flags, *folders]) == 0
    assert capsys.readouterr().out == printed.out, "a folder in place of a pattern"


def test_a_price_without_an_estimate_is_refused(source, tmp_path, capsys):
    assert main(source.flags(tmp_path / "out", "--vcpu_hour_price=1")) == 2
    assert "--vcpu_hour_price: expected --estimate too" in capsys.readouterr().err
