"""Two runs into one folder would overwrite each other's shards: the second is rejected."""

import errno
import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from retinanet_odm.errors import UsageError
from retinanet_odm.storage.folder_lock import lock_folder

REPOSITORY = Path(__file__).parents[3]
HOLDER = """
import sys
from retinanet_odm.storage.folder_lock import lock_folder
with lock_folder(sys.argv[1]):
    print("held", flush=True)
    input()
"""


def test_second_run_is_refused_and_the_third_is_not(tmp_path):
    with lock_folder(str(tmp_path)), pytest.raises(UsageError, match="another run"), lock_folder(str(tmp_path)):
        pass
    assert not list(tmp_path.iterdir())
    with lock_folder(str(tmp_path)):
        pass


def test_the_file_of_a_run_that_has_just_ended_locks_nothing(tmp_path, monkeypatch):
    """The file is deleted after this run has opened it, and before it asks for the lock."""
    lock = fcntl.flock

    def end_other_run(descriptor, operation):
        (tmp_path / ".retinanet-odm-lock").unlink()
        monkeypatch.setattr(fcntl, "flock", lock)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", end_other_run)
    with lock_folder(str(tmp_path)):
        assert (tmp_path / ".retinanet-odm-lock").exists()
    assert not list(tmp_path.iterdir())


def test_the_lock_goes_with_a_killed_process(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], cwd=REPOSITORY, **pipes)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(UsageError, match="another run"), lock_folder(str(tmp_path)):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with lock_folder(str(tmp_path)):
        pass


def test_a_folder_is_made_and_kept_if_something_was_written(tmp_path):
    folder = tmp_path / "a" / "b"
    with lock_folder(str(folder)):
        assert folder.is_dir()
    assert not list(tmp_path.iterdir())
    with lock_folder(str(folder)):
        (folder / "rows").touch()
    with lock_folder(str(folder)):
        pass
    assert list(folder.iterdir()) == [folder / "rows"]


def test_a_folder_that_cannot_be_made(tmp_path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(UsageError, match=f"cannot write to the folder {path}"), lock_folder(str(path)):
        pass


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    """A lock by the mere existence of a file would outlive a killed run."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UsageError, match=r"cannot write to the folder .*not implemented"), lock_folder(str(tmp_path)):
        pass
