"""A lock on an output folder: only one run at a time writes into it."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from retinanet_odm.errors import UsageError

LOCK_FILE = ".retinanet-odm-lock"


@contextlib.contextmanager
def lock_folder(output: str) -> Iterator[None]:
    """Locks a folder while the body runs. Creates it if needed, and deletes it again if it stays empty.

    The operating system releases the lock with the process, however that ends. The file that a killed process leaves
    behind locks nothing, and the next run deletes it. Object stores have no lock.

    Raises:
      UsageError: Another process holds the lock, or the folder cannot be created or written to.
    """
    if "://" in output:
        yield
        return
    path = Path(output, LOCK_FILE)
    created = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(path, output)
    except OSError as error:
        raise UsageError(f"cannot write to the folder {output}: {error}") from error
    try:
        yield
    finally:
        # The order matters: a file that is deleted after the lock is released may be the next run's.
        path.unlink(missing_ok=True)
        os.close(descriptor)
        with contextlib.suppress(OSError):  # ends at the first folder that is not empty
            for folder in created:
                folder.rmdir()


def _acquire(path: Path, output: str) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise UsageError(f"--output: another run is writing into {output}: wait until it has ended") from None
        # The previous holder may have deleted the file after we opened it: then our lock excludes nobody.
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
        os.close(descriptor)
