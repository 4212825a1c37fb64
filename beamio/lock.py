"""One run at a time into one folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from detection.errors import UsageError

LOCK = ".retinanet-odm-lock"


@contextlib.contextmanager
def sole_use(output: str) -> Iterator[None]:
    """Holds the folder, which must exist, while the body runs.

    The operating system's own lock: it goes with the process, however that ends, so no lock is ever left behind.
    Object stores have none.

    Raises:
      UsageError: another process holds it.
    """
    if "://" in output:
        yield
        return
    path = Path(output, LOCK)
    descriptor = _acquire(path, output)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path, output: str) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise UsageError(f"--output: another run is writing into {output}: wait until it has ended") from None
        # The holder before us may have removed the name between our opening and locking: then ours locks nothing.
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
        os.close(descriptor)
