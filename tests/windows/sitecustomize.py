"""Makes a Python process on Linux refuse what Windows refuses; Python imports this file at its start, see `site`.

Modules and attributes that only POSIX has are hidden from our packages (others may use them behind a condition). Files
behave as on Windows for the whole process: an open file is neither deleted nor replaced, a rename never replaces, links
need rights, folders cannot be opened, and some names cannot be made. A path may have backslashes.

Not shown: the file system that ignores case, drives, and the libraries' own code for Windows.
"""

import builtins
import io
import os
import re
import shutil
import signal
import sys
import time
import types
import warnings
from collections.abc import Callable
from typing import Any

OURS = ("retinanet_odm", "beam_jobs", "inference", "trainer")
MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
# Beside what differs by name, all that Python documents as "Availability: Unix".
ATTRIBUTES = {
    os: "O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_CLOEXEC chown chroot ctermid fchdir fchmod fchown fork forkpty"
    " getegid geteuid getgid getgroups getloadavg getpgid getpgrp getpriority getsid getuid initgroups killpg"
    " lchown lockf mkfifo mknod nice openpty pathconf pipe2 posix_fadvise posix_fallocate posix_spawn pread"
    " preadv pwrite readv register_at_fork sched_getaffinity sched_setaffinity sched_yield sendfile setegid"
    " seteuid setgid setpgid setpriority setsid setuid statvfs sync sysconf tcgetpgrp ttyname uname wait wait3"
    " wait4 waitid writev WNOHANG",
    signal: "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2 alarm getitimer"
    " pause pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigwait",
    time: "tzset clock_getres pthread_getcpuclockid",
}
_NAME = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]\Z|\A(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z)', re.IGNORECASE)


def _view(module: types.ModuleType) -> types.ModuleType:
    hidden = ATTRIBUTES[module].split()
    view = types.ModuleType(module.__name__)
    view.__dict__.update({name: value for name, value in vars(module).items() if name not in hidden})
    return view


def _hide() -> None:
    views = {module.__name__: _view(module) for module in ATTRIBUTES}
    real = builtins.__import__

    def hiding(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        if (globals or {}).get("__name__", "").partition(".")[0] in OURS and level == 0:
            if name.partition(".")[0] in MODULES:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            if name in views:
                return views[name]
        return real(name, globals, locals, fromlist, level)

    builtins.__import__ = hiding


def _absolute(path: Any, folder: int | None) -> str:
    above = os.readlink(f"/proc/self/fd/{folder}") if folder is not None else ""
    return os.path.realpath(os.path.join(above, os.fsdecode(path)))


def _check_not_open(path: Any, folder: int | None = None) -> None:
    wanted = _absolute(path, folder)
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue
        if found == wanted and os.path.isfile(wanted):
            raise PermissionError(32, "The process cannot access the file because it is being used", wanted)
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        if any(line.rstrip("\n").endswith(f" {wanted}") for line in maps):
            raise PermissionError(1224, "The file has a section that is mapped by a user", wanted)


def _check_name(path: Any) -> None:
    if not isinstance(path, int) and _NAME.search(os.path.basename(os.fsdecode(path).rstrip("/"))):
        raise OSError(22, "The filename, directory name, or volume label syntax is incorrect", path)


def _deleting(real: Callable[..., None]) -> Callable[..., None]:
    def delete(path: Any, *, dir_fd: int | None = None) -> None:
        _check_not_open(path, dir_fd)
        real(path, dir_fd=dir_fd)

    return delete


def _moving(real: Callable[..., None], *, replaces: bool) -> Callable[..., None]:
    def move(source: Any, target: Any, **folders: Any) -> None:
        _check_name(target)
        if os.path.lexists(target) and not replaces:
            raise FileExistsError(183, "Cannot create a file when that file already exists", target)
        _check_not_open(source)
        _check_not_open(target)
        real(source, target, **folders)

    return move


def _opening(real: Callable[..., Any]) -> Callable[..., Any]:
    def opened(file: Any, mode: str = "r", *others: Any, **options: Any) -> Any:
        if mode.strip("rbtU"):
            _check_name(file)
        return real(file, mode, *others, **options)

    return opened


def _restrict_files() -> None:
    real_open, real_mkdir = os.open, os.mkdir

    def open_file(path: Any, flags: int, *others: Any, **options: Any) -> int:
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied", path)
        return real_open(path, flags, *others, **options)

    def make_folder(path: Any, *others: Any, **options: Any) -> None:
        _check_name(path)
        real_mkdir(path, *others, **options)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(1314, "A required privilege is not held by the client")

    shutil._use_fd_functions = False  # type: ignore[attr-defined] # as on Windows; or else it opens folders
    os.unlink = os.remove = _deleting(os.unlink)
    os.rename, os.replace = _moving(os.rename, replaces=False), _moving(os.replace, replaces=True)
    os.symlink = os.link = refuse
    os.open, os.mkdir = open_file, make_folder
    io.open = builtins.open = _opening(open)


def _be_windows() -> None:
    _restrict_files()
    _hide()
    # Text that is opened without an encoding has another one on every Windows.
    for package in OURS:
        warnings.filterwarnings("error", category=EncodingWarning, module=package)
    from retinanet_odm import systems

    systems.WINDOWS = True


if os.environ.get("RETINANET_ODM_LIKE_WINDOWS") and sys.platform == "linux":
    _be_windows()
