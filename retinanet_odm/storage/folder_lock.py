"""Lets one run at a time write into an output folder. Only launchers lock it: workers need no filelock."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from retinanet_odm.errors import UsageError
from retinanet_odm.storage.local import LOCK_FILE
from retinanet_odm.systems import folder_path

_SECONDS_OF_RELEASE = 0.2


@contextlib.contextmanager
def lock_folder(output: str) -> Iterator[None]:
    """Lock a folder while the body runs. Create it if needed, and delete it again if it stays empty.

    The operating system releases the lock with the process, however that ends. The file that a killed process leaves
    behind locks nothing, and the next run deletes it. Object stores have no lock.

    Raises:
      UsageError: Another process holds the lock, a file has that name, or the folder cannot be created or written to.
    """
    if "://" in output:
        yield
        return
    if Path(output).is_file():
        raise UsageError(f"cannot write to the folder {output}: a file has that name")
    path = Path(folder_path(output), LOCK_FILE)
    # From the inner folder to the outer one: they are deleted in this order if they stay empty.
    created = [folder for folder in path.parents if not folder.exists()]
    lock = _acquire(path, output)
    try:
        yield
    finally:
        _release(lock, path)
        with contextlib.suppress(OSError):  # ends at the first folder that is not empty
            for folder in created:
                folder.rmdir()


def _acquire(path: Path, output: str) -> FileLock:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # No soft lock where the file system has none of its own: a killed run would leave it behind, locked.
        lock = FileLock(path, fallback_to_soft=False)
        # A moment, because a run that ends deletes the file before it releases it: who opened the file before that
        # gets no lock, though nobody writes. No longer: two runs into one folder are a mistake.
        lock.acquire(timeout=_SECONDS_OF_RELEASE, poll_interval=_SECONDS_OF_RELEASE / 10)
    except Timeout:
        raise UsageError(f"--output: another run is writing into {output}: wait until it has ended") from None
    except OSError as error:
        raise UsageError(f"cannot write to the folder {output}: {error}") from error
    return lock


def _release(lock: FileLock, path: Path) -> None:
    # The order matters: a file that is deleted after the lock is released may be the next run's. Windows deletes no
    # open file; there filelock deletes it after the release, which fails, harmlessly, if the next run has opened it.
    with contextlib.suppress(PermissionError):
        path.unlink(missing_ok=True)
    lock.release()
