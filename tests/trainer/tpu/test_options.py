"""The flags of trainer.submit as values; tests/trainer/test_submit.py has the command lines."""

import pytest

from retinanet_odm.errors import UsageError
from tests.trainer.tpu.worlds import TRAINING
from trainer.tpu.accelerators import image_family, machine_type
from trainer.tpu.options import RunRequest, TpuTarget

RUNTIMES = [
    ("v5litepod-8", "v2-alpha-tpuv5-lite"),
    ("v6e-8", "v2-alpha-tpuv6e"),
    ("v3-8", "tpu-ubuntu2204-base"),
    ("ct6e-standard-8t", "ubuntu-accel-2204-amd64-tpu-v5e-v5p-v6e"),
]


@pytest.mark.parametrize(("accelerator", "expected"), RUNTIMES)
def test_the_image_follows_the_accelerator(accelerator: str, expected: str) -> None:
    assert RunRequest(zone="z", accelerator_type=accelerator, training=TRAINING).runtime == expected


def test_a_name_that_google_would_refuse() -> None:
    with pytest.raises(UsageError, match="--name"):
        TpuTarget(zone="z", name="a" * 41)


PLACES = [
    ("what is in use stays", {}, False),
    ("an accelerator type", {"accelerator_type": "v6e-8"}, False),
    ("a machine type", {"accelerator_type": "ct6e-standard-1t"}, True),
    ("a machine type of v5e", {"accelerator_type": "ct5lp-hightpu-8t"}, True),
    ("the platform is named", {"accelerator_type": "v6e-8", "platform": "compute"}, True),
    ("a pod", {"accelerator_type": "v5litepod-16", "platform": "tpu_vm"}, False),
]


@pytest.mark.parametrize(("reason", "flags", "expected"), PLACES, ids=[row[0] for row in PLACES])
def test_the_platform_follows_the_accelerator(reason: str, flags: dict[str, str], expected: bool) -> None:
    assert RunRequest(zone="z", training=TRAINING, **flags).on_compute_engine is expected, reason


MACHINES = [
    ("v5litepod-1", "ct5lp-hightpu-1t"),
    ("v6e-8", "ct6e-standard-8t"),
    ("v5p-8", "ct5p-hightpu-4t"),
    ("ct6e-standard-4t-tpu", "ct6e-standard-4t-tpu"),
]


@pytest.mark.parametrize(("accelerator", "expected"), MACHINES)
def test_the_machine_type(accelerator: str, expected: str) -> None:
    assert machine_type(accelerator) == expected


def test_tpu7x_has_another_image() -> None:
    assert image_family("tpu7x-standard-4t") == "ubuntu-accel-2404-amd64-tpu-tpu7x"


@pytest.mark.parametrize("accelerator", ["v6e-16", "v5litepod-256", "v3-8", "v5p-16"])
def test_several_machines_are_left_to_the_platform_that_has_them(accelerator: str) -> None:
    with pytest.raises(UsageError, match=f"{accelerator} is not a single machine.*--platform=tpu_vm"):
        RunRequest(zone="z", platform="compute", accelerator_type=accelerator, training=TRAINING)
