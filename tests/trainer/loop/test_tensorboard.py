"""TensorFlow loses events without an error when a disk is full."""

from pathlib import Path

import pytest

from retinanet_odm.errors import UsageError
from retinanet_odm.storage import files
from trainer.loop.tensorboard import EventGrowth


def test_events_that_do_not_grow_are_reported(tmp_path: Path) -> None:
    events = tmp_path / "events.out.tfevents.1.v2"
    growth = EventGrowth(str(tmp_path))
    for _ in range(2):
        with events.open("ab") as file:
            file.write(b"event")
        growth.check()
    with pytest.raises(UsageError, match=f"cannot write the curves to {tmp_path}"):
        growth.check()
    assert not (tmp_path / files.PROBE).exists()


def test_events_that_the_user_deletes_are_no_fault(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.1.v2").write_bytes(b"of an earlier run")
    growth = EventGrowth(str(tmp_path))
    (tmp_path / "events.out.tfevents.1.v2").unlink()
    growth.check()


def test_a_bucket_is_not_measured() -> None:
    growth = EventGrowth("gs://bucket/model/tensorboard")
    growth.check()
