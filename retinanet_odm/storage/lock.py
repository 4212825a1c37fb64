"""One run at a time into one folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from retinanet_odm.errors import UsageError

LOCK_FILE = ".retinanet-odm-lock"


@contextlib.contextmanager
def lock_folder(output: str) -> Iterator[None]:
    """Holds the folder while the body runs; one that did not exist is made, and goes again if it is left empty.

    The operating system's own lock: it goes with the process, however that ends. A killed one leaves its file, which
    locks nothing and goes with the next run. Object stores have no lock.

    Raises:
      UsageError: another process holds the folder, or it cannot be made or written to.
    """
    if "://" in output:
        yield
        return
    path = Path(output, LOCK_FILE)
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(path, output)
    except OSError as error:
        raise UsageError(f"cannot write to the folder {output}: {error}") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)
        with contextlib.suppress(OSError):  # the first that holds something ends it
            for folder in made:
                folder.rmdir()


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
