"""Checks what the patterns of flags match before a job starts, and counts what it will pass over.

Begin with `folders_as_patterns` and `check_input`, then `find_files` and `count_passed_over`.
"""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from retinanet_odm.annotations.zip_names import is_annotation_name
from retinanet_odm.errors import UsageError
from retinanet_odm.sources.listing import FileContent, is_image_name, is_zip_input
from retinanet_odm.storage import files
from retinanet_odm.storage.file_kinds import closed_archive, count_suffixes, describe_suffixes
from retinanet_odm.storage.file_names import (
    absolute,
    complete_pattern,
    escape_glob,
    looks_like_image,
    name_below,
    root_of,
    to_regex,
)
from retinanet_odm.storage.no_match import check_matches
from retinanet_odm.storage.zip_files import list_zip_members

_MAX_NAMED = 3  # members that a message names


def folders_as_patterns(values: Iterable[str]) -> list[str]:
    """Return the values of a flag as patterns: a folder stands for all files below it.

    Example (where there is a folder ``images``):
      ``images`` → ``images/**``
    """
    return [files.join(escape_glob(value), "**") if _is_folder(value) else value for value in values]


def _is_folder(value: str) -> bool:
    # An empty local folder too: the message about what it lacks then names the folder.
    return files.is_folder(value) or ("://" not in value and Path(value).is_dir())


def check_input(patterns: Sequence[str], *, flag: str) -> None:
    """Raise UsageError if a pattern matches nothing, or archives that cannot be read."""
    for pattern in patterns:
        check_closed_archive(pattern, flag=flag)
    check_matches(patterns, flag=flag)


def check_closed_archive(value: str, *, flag: str) -> None:
    """Raise UsageError if a value of a flag names an archive that no program here can read."""
    if kind := closed_archive(value):
        raise UsageError(f"{flag}: {value}: {kind} cannot be read: unpack it, or make a zip file of it")


class UnreadFile(NamedTuple):
    """A file or a member of a zip file that a flag does not read.

    Attributes:
      name: Below the root of the pattern, or in the zip file.
      zip_path: The absolute path of the zip file; "" for a loose file.
    """

    name: str
    zip_path: str = ""


@dataclass(frozen=True, kw_only=True)
class FlagFiles:
    """What the patterns of a flag match. Of loose files only those are held that are not read: others may be millions.

    Attributes:
      patterns: As they are listed.
      zips: The URIs of the zip files.
      first_loose: The first URI of a loose file, in alphabetical order; "" if there is none.
      unread: By absolute path, files and members of zip files that the job does not read for this flag.
    """

    patterns: tuple[str, ...]
    zips: frozenset[str]
    first_loose: str
    unread: Mapping[str, UnreadFile]

    def reads(self, path: str, file: UnreadFile) -> bool:
        """Return whether the job reads for this flag what another flag has as unread."""
        is_matched = (
            file.zip_path in self._zip_paths if file.zip_path else any(regex.match(path) for regex in self._regexes)
        )
        return is_matched and path not in self.unread

    @functools.cached_property
    def _zip_paths(self) -> frozenset[str]:
        return frozenset(map(absolute, self.zips))

    @functools.cached_property
    def _regexes(self) -> list[re.Pattern[str]]:
        # Two flags may write one path in two ways.
        return [to_regex(absolute(complete_pattern(pattern))) for pattern in self.patterns]


def find_files(patterns: Iterable[str], flag: str, *content: FileContent) -> FlagFiles:
    """Find the files of a flag, and look into the zip files among them.

    Args:
      patterns: The patterns of the flag.
      flag: The flag, for messages.
      content: What each zip file must hold; several for files that hold everything, such as exports.

    Raises:
      UsageError: A zip file is corrupt, or does not hold what is required; or no file may hold the content.
    """
    listed = tuple(map(files.as_written, patterns))
    zips: set[str] = set()
    unread: dict[str, UnreadFile] = {}
    first_loose, is_any_read = "", False
    for uri, root in ((uri, root_of(pattern)) for pattern in listed for uri in files.iter_matches(pattern)):
        if is_zip_input(uri):
            zips.add(uri)
            continue
        first_loose, name = min(first_loose or uri, uri), name_below(root, uri)
        if all(kind.is_never(name) for kind in content):
            unread[absolute(uri)] = UnreadFile(name)
        else:
            is_any_read = True
            if unread:  # another pattern of the flag may have named it differently
                unread.pop(absolute(uri), None)
    for uri in sorted(zips):
        unread |= _look_into_zip(uri, flag, content)
    if not (is_any_read or zips) and unread:
        kinds = describe_suffixes(count_suffixes(file.name for file in unread.values()))
        expected = content[0].title.partition(" (")[0]
        raise UsageError(
            f"{flag}: expected {expected}, found only {kinds or 'hidden files'}{_swapped(unread.values())}"
        )
    return FlagFiles(patterns=listed, zips=frozenset(zips), first_loose=first_loose, unread=unread)


def _swapped(unread: Iterable[UnreadFile]) -> str:
    """Return a hint if all files are what another flag takes; annotations and images are the two that are confused."""
    names = [file.name for file in unread]
    if all(map(is_annotation_name, names)) or all(map(looks_like_image, names)):
        return "; did you exchange images and annotations?"
    return ""


def _look_into_zip(uri: str, flag: str, content: Sequence[FileContent]) -> dict[str, UnreadFile]:
    """Return the members of a zip file that the job does not read, by absolute path.

    Raises:
      UsageError: It is corrupt, or does not hold what is required.
    """
    # Checked before the job starts, because a worker would find an empty zip file only after hours.
    names = [member.name for member in list_zip_members(uri, list, flag=flag)]
    read: set[str] = set()
    for required in content:
        chosen = set(required.choose(names))
        read |= chosen
        if not chosen:
            found = ", ".join(names[:_MAX_NAMED]) + (", …" if len(names) > _MAX_NAMED else "")
            raise UsageError(f"{flag}: {uri}: expected {required.title}, found {found or 'an empty zip file'}")
    path = absolute(uri)
    return {absolute(f"{uri}/{name}"): UnreadFile(name, path) for name in names if name not in read}


def count_passed_over(found: Sequence[FlagFiles], output: str) -> Counter[str]:
    """Count the files that no flag reads by suffix, without those of operating systems and those below the output.

    Masks of Pascal VOC are no images that somebody misses, so they are not counted.
    """
    below = files.join(absolute(output), "")
    unread = {path: file for flag_files in found for path, file in flag_files.unread.items()}
    return count_suffixes(
        file.name
        for path, file in unread.items()
        if not path.startswith(below)
        and not (looks_like_image(file.name) and not is_image_name(file.name))  # a mask
        and not any(flag_files.reads(path, file) for flag_files in found)
    )
