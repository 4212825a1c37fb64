"""Checkpoints are found by themselves: whatever becomes of the state file or of one checkpoint, a whole one is used."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.errors import ContractError, UsageError
from trainer.weights.checkpoint_files import (
    STATE_FILE,
    CheckpointFolder,
    find_damage,
    read_description,
    read_record,
    recorded_steps,
    rotate,
    state_text,
)

STEPS = (20, 40, 60)


def folder_of(path: Path) -> CheckpointFolder:
    return CheckpointFolder(folder=str(path), name="ckpt", keep=3)


def save(path: Path, *steps: int) -> None:
    for step in steps:
        folder_of(path).save({"value": tf.Variable([float(step)] * 2000)}, step, description={"step": step})


def value_of(path: Path, step: int) -> float:
    value = tf.Variable([0.0] * 2000)
    tf.train.Checkpoint(value=value).read(folder_of(path).prefix(step)).assert_existing_objects_matched()
    return float(value[0])


def names(path: Path) -> set[str]:
    return {file.name for file in path.iterdir()}


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def garble(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


FAULTS = [Path.unlink, empty, zero, cut, garble, replace_by_folder]


@pytest.mark.parametrize("fault", [None, *FAULTS], ids=lambda fault: getattr(fault, "__name__", "none"))
def test_the_state_file_decides_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: Callable[[Path], None] | None
) -> None:
    save(tmp_path, *STEPS)
    if fault:
        fault(tmp_path / STATE_FILE)
    assert folder_of(tmp_path).newest_whole() == 60
    names_it = fault in (None, cut)  # the first line of a state file names the newest
    assert [STATE_FILE in line and "ckpt-60" in line for line in caplog.messages] == ([] if names_it else [True])


STATES = [
    ("of a run that was killed before it wrote the state file", (20, 40), 60),
    ("names files that are gone", (20, 40, 60, 80), 60),
    ("names only files that are gone", (100, 120), 60),
]


@pytest.mark.parametrize(("why", "recorded", "expected"), STATES, ids=[row[0] for row in STATES])
def test_a_state_file_that_contradicts_the_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, why: str, recorded: tuple[int, ...], expected: int
) -> None:
    save(tmp_path, *STEPS)
    (tmp_path / STATE_FILE).write_text(state_text("ckpt", recorded))
    assert folder_of(tmp_path).newest_whole() == expected, why
    assert len(caplog.messages) == 1 and "ckpt-60" in caplog.messages[0]


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("fault", [*FAULTS, flip], ids=lambda fault: fault.__name__)
def test_the_next_older_whole_checkpoint_is_used_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: Callable[[Path], None], suffix: str
) -> None:
    save(tmp_path, *STEPS)
    fault(tmp_path / f"ckpt-60{suffix}")
    assert folder_of(tmp_path).newest_whole() == 40
    assert len(caplog.messages) == 1
    assert "ckpt-60 is damaged" in caplog.messages[0] and "using ckpt-40" in caplog.messages[0]
    assert value_of(tmp_path, 40) == 40


def test_none_whole_is_an_error_that_names_all(tmp_path: Path) -> None:
    save(tmp_path, 40, 60)
    cut(tmp_path / "ckpt-40.index")
    (tmp_path / "ckpt-60.data-00000-of-00001").unlink()
    with pytest.raises(ContractError, match=r"no whole checkpoint: ckpt-60 is damaged.*, ckpt-40 is damaged"):
        folder_of(tmp_path).newest_whole()
    for file in tmp_path.glob("ckpt-*"):
        file.unlink()
    with pytest.raises(ContractError, match="ckpt-60 is damaged"):  # named by the state file
        folder_of(tmp_path).newest_whole()


NOTHING = [
    ("no folder", []),
    ("files of others", ["notes.txt", "model-20.index", "ckpt-20.h5"]),
    ("killed while it wrote its first checkpoint, with initial weights", ["ckpt-0.data-00000-of-00001"]),
]


@pytest.mark.parametrize(("why", "present"), NOTHING, ids=[row[0] for row in NOTHING])
def test_nothing_is_lost_where_nothing_was_learned(tmp_path: Path, why: str, present: list[str]) -> None:
    for name in present:
        (tmp_path / "run" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / name).touch()
    assert folder_of(tmp_path / "run").newest_whole() is None, why


def test_saves_rotate(tmp_path: Path) -> None:
    save(tmp_path, 0, 20, 40, 60)
    assert names(tmp_path) == {STATE_FILE} | {
        f"ckpt-{step}.{part}" for step in STEPS for part in ("index", "data-00000-of-00001")
    }
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "ckpt-60")
    assert tf.train.get_checkpoint_state(str(tmp_path)).all_model_checkpoint_paths == [
        str(tmp_path / f"ckpt-{step}") for step in STEPS
    ]


def test_saves_rotate_after_a_recovery_and_delete_nothing_of_others(tmp_path: Path) -> None:
    save(tmp_path, *STEPS)
    for name in ("ckpt-3.index", "ckpt-3.data-00000-of-00001", "ckpt-20.h5", "notes.txt"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "ckpt-50_temp").mkdir()  # left by a killed run
    (tmp_path / STATE_FILE).unlink()
    cut(tmp_path / "ckpt-60.index")
    save(tmp_path, 50, 60, 70)
    steps = {name.partition(".")[0] for name in names(tmp_path)} - {STATE_FILE, "notes"}
    assert steps == {"ckpt-50", "ckpt-60", "ckpt-70", "ckpt-3", "ckpt-20"}
    assert (tmp_path / "ckpt-20.h5").exists() and not (tmp_path / "ckpt-20.index").exists()
    assert folder_of(tmp_path).newest_whole() == 70


ROTATIONS = [
    ("the first", set(), set(), 0, ([0], [])),
    ("the oldest goes", {20, 40, 60, 80}, {20, 40, 60}, 80, ([40, 60, 80], [20])),
    ("what the state file does not name is the user's", {5, 20, 40, 60, 80}, {20, 40, 60}, 80, ([40, 60, 80], [20])),
    ("newer than the state file: of a killed run", {20, 40, 60, 80}, {20, 40}, 80, ([40, 60, 80], [20])),
    ("the state file is lost: the newest are its own", {5, 20, 40, 60, 80}, set(), 80, ([40, 60, 80], [20])),
    ("a damaged one above stays until it is written again", {40, 60, 70, 80}, {40, 60, 80}, 70, ([40, 60, 70], [])),
    ("saved again", {20, 40, 60}, {20, 40, 60}, 60, ([20, 40, 60], [])),
]


@pytest.mark.parametrize(
    ("why", "present", "recorded", "step", "expected"), ROTATIONS, ids=[row[0] for row in ROTATIONS]
)
def test_rotation(
    why: str, present: set[int], recorded: set[int], step: int, expected: tuple[list[int], list[int]]
) -> None:
    assert rotate(present, recorded, step, keep=3) == expected, why


steps_sets = st.sets(st.integers(0, 9), max_size=8)


@given(present=steps_sets, recorded=steps_sets, step=st.integers(0, 9), keep=st.integers(1, 4))
def test_a_rotation_keeps_what_was_saved_and_at_most_so_many(
    present: set[int], recorded: set[int], step: int, keep: int
) -> None:
    kept, dropped = rotate(present | {step}, recorded, step, keep=keep)
    assert kept[-1] == step and len(kept) <= keep
    assert not set(kept) & set(dropped) and {*kept, *dropped} <= present | {step}
    assert all(old < new for old in dropped for new in kept)


def test_a_state_file_is_read_as_tensorflow_writes_it(tmp_path: Path) -> None:
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(v=tf.Variable(1.0)), str(tmp_path), max_to_keep=2)
    for step in STEPS:
        manager.save(checkpoint_number=step)
    assert recorded_steps((tmp_path / STATE_FILE).read_text(), "ckpt") == {40, 60}
    assert recorded_steps('model_checkpoint_path: "/elsewhere/ckpt-7"\n', "ckpt") == {7}
    assert folder_of(tmp_path).newest_whole() == 60 and read_description(folder_of(tmp_path).prefix(60)) == {}


def test_a_checkpoint_describes_itself(tmp_path: Path) -> None:
    labels = {"labels": ["Seegurke", "海参"]}
    folder_of(tmp_path).save({"value": tf.Variable(1.0)}, 5, description=labels)
    assert read_description(folder_of(tmp_path).prefix(5)) == labels


def test_a_record_is_an_object_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    assert read_record(str(path)) == {}
    for text, expected in ((b'{"step": 3}', {"step": 3}), (b"", {}), (b"\0\0\0", {}), (b"[1]", {}), (b"\xff{", {})):
        path.write_bytes(text)
        assert read_record(str(path)) == expected


def test_folders_whose_names_are_patterns(tmp_path: Path) -> None:
    save(tmp_path / "trip *?", 20)
    assert folder_of(tmp_path / "trip *?").newest_whole() == 20
    with pytest.raises(UsageError, match=r"TensorFlow cannot read checkpoints in a path that contains \[: "):
        folder_of(tmp_path / "trip [2024]")


def test_a_failed_write_leaves_the_others_and_takes_no_space(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path, 20)
    before = names(tmp_path)
    (tmp_path / "ckpt-40.index").mkdir()  # TensorFlow cannot rename to it
    with pytest.raises(tf.errors.OpError):
        save(tmp_path, 40)
    assert {name for name in names(tmp_path) if not name.startswith("ckpt-40.")} == before
    with caplog.at_level(logging.WARNING):
        assert folder_of(tmp_path).newest_whole() == 20


def test_find_damage_reads_all(tmp_path: Path) -> None:
    save(tmp_path, 20)
    assert find_damage(folder_of(tmp_path).prefix(20)) == ""
    flip(tmp_path / "ckpt-20.data-00000-of-00001")
    assert "Checksum does not match" in find_damage(folder_of(tmp_path).prefix(20))
