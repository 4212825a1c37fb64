"""What the names of files mean: patterns, images, hidden files, members of archives.

In a pattern, ``*``, ``?`` and ``[...]`` match characters of one name, ``**`` matches across folders. Begin with
`to_regex`. The name of a member of an archive is only a name: nothing is unpacked, so ``../a.jpg`` is harmless.
"""

import itertools
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from retinanet_odm.systems import current_folder, is_rooted, is_same_place, is_within, split_drive

_WILDCARD = re.compile(r"[*?\[]")
_ESCAPED = re.compile(r"\[\\?([\[*?])\]")  # a wildcard that is meant literally, as escape_glob or a person writes it
# "[" begins a set only where a "]" ends it that is not its first character.
_TOKEN = re.compile(
    r"(?P<deep>\*\*)|(?P<any>\*)|(?P<one>\?)|\[(?P<not>!?+)(?P<set>\]?+[^\]]*+)\]|(?P<char>.)", re.DOTALL
)
# Not at the beginning of a name: ".jpg" is hidden. A second member of the name a.jpg in an archive is named a.jpg#2.
_EXTENSION = re.compile(r"(?<=[^/])\.(?:[A-Za-z]{1,6}[0-9]?[A-Za-z]?|3fr|7z)(?:#[0-9]+)?\Z")
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")  # control characters, lone surrogates
# A part of a path that begins with a dot and is neither "." nor "..", or the folder of macOS.
_HIDDEN = re.compile(r"(?:\A|/)(?:\.(?!\.?(?:/|\Z))|__MACOSX(?:/|\Z))")
_SCHEME = re.compile(r"\w\w+:/?")  # two letters or more: "C:" is a drive
_Member = TypeVar("_Member")
# The formats that retinanet_odm.imaging.images decodes; the last three with the extra [heif].
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif"),
    *(".heic", ".heif", ".hif"),
)
# --- Patterns ---


def to_regex(pattern: str) -> re.Pattern[str]:
    """Return a regular expression that matches the same full paths as a pattern.

    Patterns have the syntax of Beam, except that a backslash is an ordinary character.

    Example:
      >>> bool(to_regex("gs://b/*.jpg").match("gs://b/a.jpg")), bool(to_regex("gs://b/*.jpg").match("gs://b/c/a.jpg"))
      (True, False)

    Raises:
      re.error: A set has a range that runs backwards.
    """
    return re.compile("".join(map(_translate, _TOKEN.finditer(pattern))) + r"\Z", re.DOTALL)


def _translate(token: re.Match[str]) -> str:
    if token["deep"]:
        return ".*"
    if token["any"]:
        return "[^/]*"
    # Any character, as in Beam, so also a slash.
    if token["one"]:
        return "."
    if token["char"]:
        return re.escape(token["char"])
    # All characters but the hyphen are literal, also those that a future Python may read as set operators.
    members = re.sub(r"[\\^\[&|~]", r"\\\g<0>", token["set"])
    return f"[{'^' if token['not'] else ''}{members}]"


def escape_glob(path: str) -> str:
    r"""Return a pattern that matches only this path, even if the path contains ``[``, ``*`` or ``?``.

    Example:
      >>> escape_glob("dive [1]/*.jpg")
      'dive [\\[]1]/[*].jpg'
    """
    # Beam turns it into a regular expression, and Python warns about "[[": hence the backslash between the brackets.
    return _WILDCARD.sub(lambda match: r"[\[]" if match[0] == "[" else f"[{match[0]}]", path)


def literal_names(pattern: str, exists: Callable[[str], bool]) -> str:
    r"""Return a pattern in which names with brackets are escaped if they exist, with the folders before them.

    Args:
      pattern: As a person writes it; names that are escaped already stay.
      exists: Whether there is a file or folder of exactly this path.

    Example:
      >>> literal_names("trips/[2024]/[ab]*", {"trips/[2024]"}.__contains__)
      'trips/[\\[]2024]/[ab]*'
    """
    escaped = escape_glob("[")
    names = pattern.split("/")
    for position, name in enumerate(names):
        if "[" in name and escaped not in name and exists("/".join(pattern.split("/")[: position + 1])):
            names[position] = escape_glob(name)
    return "/".join(names)


def complete_pattern(pattern: str) -> str:
    """Return the pattern of the files in a folder for one that ends with a slash; others are returned unchanged.

    Example:
      >>> complete_pattern("gs://b/images/"), complete_pattern("gs://b/images/*.jpg")
      ('gs://b/images/*', 'gs://b/images/*.jpg')
    """
    return f"{pattern}*" if pattern.endswith("/") else pattern


def literal_prefix(pattern: str) -> str:
    """Return the part of a pattern before its first wildcard; the whole pattern if there is none.

    Example:
      >>> literal_prefix("gs://b/2016*/x.jpg")
      'gs://b/2016'
    """
    return _WILDCARD.split(pattern, maxsplit=1)[0]


def root_of(pattern: str) -> str:
    """Return the folder above the first wildcard, without a trailing slash: file names are relative to it.

    Example:
      >>> root_of("gs://b/2016*/x/*.jpg"), root_of("dive [[]1]/*.jpg")
      ('gs://b', 'dive [1]')
    """
    folders = []
    for folder in posixpath.dirname(pattern).split("/"):
        if _WILDCARD.search(_ESCAPED.sub("", folder)):
            break
        folders.append(_ESCAPED.sub(r"\1", folder))
    return "/".join(folders) or ("/" if pattern.startswith("/") else "")


# --- Folders ---


def common_folder(roots: Sequence[str]) -> str:
    """Return the deepest folder that contains all roots; "" if there is none, as for a bucket and a local disk.

    Example:
      >>> common_folder(["gs://bucket/dives/1", "gs://bucket/dives/2/a"])
      'gs://bucket/dives'
    """
    shared = []
    # By whole names of folders: "dives/1" and "dives/10" share only "dives".
    for parts in zip(*(root.split("/") for root in roots), strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    folder = "/".join(shared)
    # "gs:/" is not a folder.
    return "" if _SCHEME.fullmatch(folder) else folder


def parent_folder(path: str) -> str:
    """Return the folder of a path, which for a name alone is the current one.

    Example:
      >>> parent_folder("gs://bucket/export/model.json"), parent_folder("model.json")
      ('gs://bucket/export', '.')
    """
    return posixpath.dirname(path) or "."


def absolute(path: str) -> str:
    """Return a local path from the root of the disk; a URI unchanged.

    Example:
      >>> absolute("gs://bucket/a.jpg"), absolute("/data/../a.jpg")
      ('gs://bucket/a.jpg', '/a.jpg')
    """
    if "://" in path:
        return path
    # Not os.path.abspath: on Windows its backslashes would end the escapes of a pattern.
    drive, rest = split_drive(path if is_rooted(path) else posixpath.join(current_folder(), path))
    return drive + posixpath.normpath(rest or "/")


def is_same_path(one: str, other: str) -> bool:
    """Return whether two paths name the same file or folder, however both are written."""
    # A bucket has no links, and its names differ by case.
    if "://" in one or "://" in other:
        return one.rstrip("/") == other.rstrip("/")
    return is_same_place(one, other)


def is_below(path: str, folder: str) -> bool:
    """Return whether a path is a folder or lies in it, however both are written.

    Example:
      >>> is_below("gs://bucket/a/b.jpg", "gs://bucket/a"), is_below("gs://bucket/ab.jpg", "gs://bucket/a")
      (True, False)
    """
    if "://" in path or "://" in folder:
        return f"{path}/".startswith(f"{folder.rstrip('/')}/")
    return is_within(path, folder)


# --- Extensions, and paths from elsewhere ---


def without_extension(path: str) -> str:
    """Return a path without its last extension, of letters and few digits: ``x.01`` is the name of a frame.

    Example:
      >>> without_extension("2024.01.07/a.b.JPG"), without_extension("frame.01"), without_extension("a.jpg#2")
      ('2024.01.07/a.b', 'frame.01', 'a')
    """
    return _EXTENSION.sub("", path)


def without_extensions(path: str) -> str:
    """Return a path without all extensions at its end.

    Example:
      >>> without_extensions("dive/a.jpg.xml")
      'dive/a'
    """
    # The loop ends where nothing more looks like an extension.
    while (shorter := without_extension(path)) != path:
        path = shorter
    return path


def safe_path(path: str) -> str:
    r"""Return a path that stays inside the folder it is unpacked in, in one line of text that is valid Unicode.

    Example:
      >>> safe_path("/../dive\\1/./a\n.jpg")
      'dive/1/a_.jpg'
    """
    # Windows archivers write backslashes. Without empty parts the path is relative; without ".." it cannot leave the
    # folder.
    parts = (part for part in path.replace("\\", "/").split("/") if part not in ("", ".", ".."))
    return _NOT_IN_NAMES.sub("_", "/".join(parts))


# --- Images, hidden files, and members of archives ---


def looks_like_image(name: str) -> bool:
    """Return whether a path below a folder or in an archive is that of an image, judged by its name.

    Example:
      >>> looks_like_image("dive 1/a.JPG"), looks_like_image(".thumbs/a.jpg")
      (True, False)
    """
    return has_image_suffix(name) and not is_hidden(name)


def has_image_suffix(name: str) -> bool:
    """Return whether a name ends like that of an image, in any case.

    Example:
      >>> has_image_suffix("a.JPG"), has_image_suffix("a.xml")
      (True, False)
    """
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_hidden(name: str) -> bool:
    """Return whether a path is a hidden file, in a hidden folder, or in the ``__MACOSX/`` folder of macOS.

    Example:
      >>> is_hidden("a/.thumbs/b.jpg"), is_hidden("__MACOSX/a.jpg"), is_hidden("../a.jpg")
      (True, True, False)
    """
    return _HIDDEN.search(name) is not None


def with_unique_names(members: Iterable[_Member], name_of: Callable[[_Member], str]) -> Iterator[tuple[str, _Member]]:
    """Yield the members of an archive with their names; a name that was used before gets a number.

    Example:
      >>> [name for name, _ in with_unique_names(["a.jpg", "b.jpg", "a.jpg"], str)]
      ['a.jpg', 'b.jpg', 'a.jpg#2']
    """
    # The names used so far, and not only the number of repetitions: an archive may itself contain "a.jpg#2".
    used: set[str] = set()
    numbers: dict[str, Iterator[int]] = {}
    for member in members:
        unique = name = name_of(member)
        while unique in used:
            unique = f"{name}#{next(numbers.setdefault(name, itertools.count(2)))}"
        used.add(unique)
        yield unique, member


def name_below(root: str, path: str) -> str:
    """Return the path of a file relative to a folder above it."""
    return path.removeprefix(root).lstrip("/")
