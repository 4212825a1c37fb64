r"""What differs between Linux, macOS and Windows. All of it is here; ruff forbids it elsewhere (`banned-api`).

Inside the programs every path has slashes, as a URI has them; Windows accepts them too. Begin with `with_slashes`,
which converts what a person has typed. The lock on an output folder is that of filelock: see storage.folder_lock.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path

WINDOWS = sys.platform == "win32"

# Windows cannot send SIGHUP, and Python does not define it there.
ENDING_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

_URI = re.compile(r"[A-Za-z][\w+.-]+://")  # two letters or more: "C:" is a drive
_DRIVE = re.compile(r"[A-Za-z]:")
# Microsoft, "Naming Files, Paths, and Namespaces": devices, with any extension; superscript digits count as digits.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(?:\.|\Z)", re.IGNORECASE)
_NOT_IN_NAMES = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]+\Z')


# --- Paths ---


def with_slashes(path: str) -> str:
    r"""Return a path as the programs write it: on Windows a backslash becomes a slash. A URI stays as it is.

    Elsewhere a backslash is a character like any other.

    Example (on Windows):
      ``C:\dive 1\*.jpg`` → ``C:/dive 1/*.jpg``, ``\\server\share\a`` → ``//server/share/a``
    """
    if not WINDOWS or _URI.match(path):
        return path
    path = path.replace("\\", "/")
    # The prefix of long paths: its question mark would be a wildcard.
    if path.startswith("//?/"):
        path = path[4:].replace("UNC/", "//", 1) if path.startswith("//?/UNC/") else path[4:]
    # "C://a" would be read as a URI.
    return re.sub(r"\A([A-Za-z]:)/{2,}", r"\1/", path)


def path_in_wsl(path: str) -> str:
    r"""Return the path in WSL, the Linux of Windows, of a path with a drive such as ``C:\dive``; "" for all others.

    Example (not on Windows):
      ``C:\dive 1\*.jpg`` → ``/mnt/c/dive 1/*.jpg``
    """
    if WINDOWS or not re.match(r"[A-Za-z]:[\\/]", path):
        return ""
    return f"/mnt/{path[0].lower()}/" + path[3:].replace("\\", "/")


def is_rooted(path: str) -> bool:
    """Return whether a path with slashes begins at the root of a disk, and not in the current folder."""
    return path.startswith("/") or (WINDOWS and bool(_DRIVE.match(path)))


def split_drive(path: str) -> tuple[str, str]:
    """Return the Windows drive of a path, such as ``C:``, and the rest; elsewhere the drive is empty."""
    return (path[:2], path[2:]) if WINDOWS and _DRIVE.match(path) else ("", path)


def current_folder() -> str:
    """Return the path of the current folder, with slashes."""
    return with_slashes(str(Path.cwd()))


def folder_path(path: str) -> str:
    """Return a path of a folder that can be opened: the root of a Windows drive needs its slash.

    ``C:`` alone is the current folder of that drive.
    """
    return f"{path}/" if WINDOWS and _DRIVE.fullmatch(path) else path or "."


def writable_name(name: str) -> str:
    """Return a relative path that can be created here: on Windows without its devices and the characters it refuses."""
    return "/".join(map(_windows_name, name.split("/"))) if WINDOWS else name


def folded_name(name: str) -> str:
    """Return what two names have in common that are one name in a folder of Windows or macOS.

    Example:
      >>> folded_name("A.jpg") == folded_name("a.JPG"), folded_name("caf\u00e9") == folded_name("cafe\u0301")
      (True, True)
    """
    return unicodedata.normalize("NFC", name).casefold()


def _windows_name(part: str) -> str:
    safe = _NOT_IN_NAMES.sub(lambda found: "_" * len(found[0]), part)
    return f"_{safe}" if _DEVICE.match(safe) else safe


def is_same_place(one: str, other: str) -> bool:
    """Return whether two local paths name the same file or folder, also by links and in folders that ignore case."""
    try:
        return Path(one).samefile(other)
    except OSError:  # one of them does not exist
        return Path(one).resolve() == Path(other).resolve()


def is_within(path: str, folder: str) -> bool:
    """Return whether a local path is a folder or lies in it, also by links and in folders that ignore case."""
    place = Path(path).resolve()
    return any(is_same_place(str(above), folder) for above in (place, *place.parents))


def link_folder(link: Path, folder: Path) -> None:
    """Make a folder appear under another path: by a link or, where the user may not make links, as a copy.

    Windows lets only administrators and developers make links.
    """
    try:
        link.symlink_to(folder.resolve(), target_is_directory=True)
    except OSError:
        shutil.copytree(folder, link)


def folder_identity(folder: str) -> tuple[int, int] | str:
    """Return what identifies a folder, however it is reached: device and inode, or its path where it has no inode."""
    status = Path(folder).stat()
    return (status.st_dev, status.st_ino) if status.st_ino else str(Path(folder).resolve())


# --- Machine and processes ---


def memory_size() -> int | None:
    """Return the bytes of main memory; None on Windows, which has no such call in Python."""
    if not hasattr(os, "sysconf"):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def shell_word(text: str) -> str:
    """Return a text as one word of a command line for the shell of this system."""
    return subprocess.list2cmdline([text]) if WINDOWS else shlex.quote(text)
