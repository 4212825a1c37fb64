"""The flags of trainer.submit as values; tests/trainer/test_submit.py has the command lines."""

import pytest

from retinanet_odm.errors import UsageError
from tests.trainer.tpu.worlds import TRAINING
from trainer.tpu.options import RunRequest, TpuTarget

RUNTIMES = [("v5litepod-8", "v2-alpha-tpuv5-lite"), ("v6e-8", "v2-alpha-tpuv6e"), ("v3-8", "tpu-ubuntu2204-base")]


@pytest.mark.parametrize(("accelerator", "expected"), RUNTIMES)
def test_the_image_follows_the_accelerator(accelerator: str, expected: str) -> None:
    assert RunRequest(zone="z", accelerator_type=accelerator, training=TRAINING).runtime == expected


def test_a_name_that_google_would_refuse() -> None:
    with pytest.raises(UsageError, match="--name"):
        TpuTarget(zone="z", name="a" * 41)
