"""Checks what the patterns of flags match before a job starts, and counts what it will pass over.

Begin with `check_input`, then `find_files` and `count_passed_over`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from retinanet_odm.errors import UsageError
from retinanet_odm.sources.listing import FileContent, is_image_name, is_zip_input
from retinanet_odm.storage import files
from retinanet_odm.storage.file_kinds import closed_archive, count_suffixes, describe_suffixes
from retinanet_odm.storage.file_names import absolute, looks_like_image, name_below, root_of
from retinanet_odm.storage.zip_files import list_zip_members

_MAX_NAMED = 3  # members that a message names


def check_input(patterns: Sequence[str], *, flag: str) -> None:
    """Raise UsageError if a pattern matches nothing, a folder, or archives that cannot be read."""
    for pattern in patterns:
        check_closed_archive(pattern, flag=flag)
        if files.is_folder(pattern):
            raise UsageError(
                f"{flag}: {pattern} is a folder; expected a pattern of files, such as '{pattern.rstrip('/')}/*'"
            )
    files.check_matches(patterns, flag=flag)


def check_closed_archive(value: str, *, flag: str) -> None:
    """Raise UsageError if a value of a flag names an archive that no program here can read."""
    if kind := closed_archive(value):
        raise UsageError(f"{flag}: {value}: {kind} cannot be read: unpack it, or make a zip file of it")


@dataclass(frozen=True, kw_only=True)
class FlagFiles:
    """The files that the patterns of a flag match.

    Attributes:
      content: What they must hold; several for files that hold everything, such as exports.
      names: By URI, the path below the root of the pattern.
      members: By URI of a zip file, the names of all its members.
    """

    content: tuple[FileContent, ...]
    names: Mapping[str, str]
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def zips(self) -> Collection[str]:
        """The URIs of the zip files."""
        return self.members.keys()

    def each_file(self) -> Iterator[tuple[str, str, bool]]:
        """Yield URI, name and whether the job reads it, for each loose file and each member."""
        for uri, name in self.names.items():
            if uri not in self.members:
                yield uri, name, not all(content.is_never(name) for content in self.content)
            for member in self.members.get(uri, ()):
                yield f"{uri}/{member}", member, any(content.is_member(member) for content in self.content)


def find_files(patterns: Iterable[str], flag: str, *content: FileContent) -> FlagFiles:
    """Find the files of a flag, and look into the zip files among them.

    Args:
      patterns: The patterns of the flag.
      flag: The flag, for messages.
      content: What each zip file must hold.

    Raises:
      UsageError: A zip file is corrupt, or does not hold what is required; or no file may hold the content.
    """
    # Checked before the job starts, because a worker would find an empty zip file only after hours.
    names = {uri: name_below(root_of(pattern), uri) for pattern in patterns for uri in files.iter_matches(pattern)}
    zips = sorted(uri for uri in names if is_zip_input(uri))
    members = {uri: [member.name for member in list_zip_members(uri, bool, flag=flag)] for uri in zips}
    for uri, inside in members.items():
        for required in content:
            if not any(map(required.is_member, inside)):
                found = ", ".join(inside[:_MAX_NAMED]) + (", …" if len(inside) > _MAX_NAMED else "")
                raise UsageError(f"{flag}: {uri}: expected {required.title}, found {found or 'an empty zip file'}")
    matched = FlagFiles(content=content, names=names, members=members)
    if names and not any(is_read for _, _, is_read in matched.each_file()):
        kinds = describe_suffixes(count_suffixes(names.values()))
        raise UsageError(
            f"{flag}: expected {content[0].title.partition(' (')[0]}, found only {kinds or 'hidden files'}"
        )
    return matched


def count_passed_over(found: Iterable[FlagFiles], output: str) -> Counter[str]:
    """Count the files that no flag reads by suffix, without those of operating systems and those below the output.

    Masks of Pascal VOC are no images that somebody misses, so they are not counted.
    """
    used: set[str] = set()
    left: dict[str, str] = {}
    below = files.join(absolute(output), "")
    for matched in found:
        for path, name, is_read in matched.each_file():
            uri = absolute(path)  # two flags may write it in two ways
            is_mask = looks_like_image(name) and not is_image_name(name)
            if is_read:
                used.add(uri)
            elif not uri.startswith(below) and not is_mask:
                left[uri] = name
    return count_suffixes(name for uri, name in left.items() if uri not in used)
