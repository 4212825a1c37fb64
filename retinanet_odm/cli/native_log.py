"""Start-up messages of libraries written in C++, such as TensorFlow, which no setting of theirs turns off.

Begin with `import_quietly`. Nothing is hidden after an import, except what TensorFlow itself hides by its variable.
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from retinanet_odm.cli.progress import BAR

# TensorFlow reads it when it is imported. Messages of errors that do not crash it are in its Python exceptions too.
_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_ALL, _ONLY_CRASHES = "0", "3"
# Lines of absl ("I0000 00:00:1733015730.001362 …"), of TensorFlow ("2026-12-01 01:15:30.001: W …"), and absl's notice.
_NOISE = re.compile(r"[IWE]\d{4} \d\d:|\d{4}-\d\d-\d\d [\d:.]+: [IWE] |WARNING: All log messages before absl::")
_STDERR = 2  # the file descriptor that C++ writes to, whatever sys.stderr is
# Runs beside the import, because a process that aborts cannot show anything. A byte says that the import has ended.
_WATCH = """
import pathlib, shutil, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
held = pathlib.Path(sys.argv[1])
if not sys.stdin.buffer.read(1):
    sys.stderr.write(held.read_text(encoding="utf-8", errors="replace"))
    shutil.rmtree(held.parent)
"""
_Module = TypeVar("_Module")


def import_quietly(load: Callable[[], _Module]) -> _Module:
    """Import a library without its messages about the machine; return what load returns.

    Everything written to the native standard error during the import is held back. Then the messages about the machine
    are dropped, and all other lines are shown. If the import fails, or ends the process, all lines are shown.

    With TF_CPP_MIN_LOG_LEVEL=0 nothing is held back. A variable that is not set is set so that TensorFlow shows
    only crashes afterwards.

    Args:
      load: Imports the library.
    """
    if os.environ.setdefault(_LEVEL, _ONLY_CRASHES) == _ALL:
        return load()
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder, "stderr")
        # What the bar draws meanwhile would be held back too.
        with _watched(held), BAR.paused():
            try:
                with _stderr_in(held):
                    module = load()
            except BaseException:
                _show(_read_lines(held))
                raise
        _show(line for line in _read_lines(held) if not _NOISE.match(line))
    return module


@contextlib.contextmanager
def _stderr_in(path: Path) -> Iterator[None]:
    """Send everything that this process writes to its standard error to a file."""
    sys.stderr.flush()
    saved = os.dup(_STDERR)
    try:
        with path.open("wb") as file:
            os.dup2(file.fileno(), _STDERR)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, _STDERR)
        os.close(saved)


@contextlib.contextmanager
def _watched(path: Path) -> Iterator[None]:
    """Let another process show a file if this process ends within the block without an exception."""
    command = [sys.executable, "-I", "-S", "-c", _WATCH, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as watcher:  # noqa: S603 - this interpreter, without a shell
        try:
            yield
        finally:
            watcher.communicate(b"\n")


def _read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)


def _show(lines: Iterable[str]) -> None:
    with BAR.above():
        sys.stderr.write("".join(lines))
        sys.stderr.flush()
