"""Names of camera frames: the deployment of an image, and the time in names like ``StaM_6701_20161110_14_24_12.JPG``.

Begin with `parse_frame_name`. A deployment is a camera at a place. Every program finds it in the same way, by
`DeploymentRule`: in the folders of the image and the part of its name before the date, or by the rule of
``--deployment``.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from retinanet_odm.errors import UsageError

# Date, then time, each with or without one kind of separator. The lookahead makes matches overlap: if digits look like
# a date and a time but are none, the next match is tried.
_TIME = re.compile(
    r"(?=(?<!\d)(?P<Y>(?:19|20)\d\d)(?P<day>[-_.:]?)(?P<m>\d\d)(?P=day)(?P<d>\d\d)"
    r"[-_.T ]?(?P<H>\d\d)(?P<clock>[-_.:]?)(?P<M>\d\d)(?P=clock)(?P<S>\d\d)(?!\d))",
    re.ASCII,
)
_PARTS = ("Y", "m", "d", "H", "M", "S")
_SEPARATORS = "-_. "

# What cameras write themselves says nothing about the place. Folders: DCIM, and three digits with five further
# characters, such as 100MEDIA (DCF, JEITA CP-3461, 3.2.1 and 3.2.2); Camera, of telephones.
_CAMERA_FOLDER = re.compile(r"DCIM|Camera|[1-9]\d\d(?=\w*[a-z_])\w{5}", re.IGNORECASE | re.ASCII)
# Beginnings of file names, alone or with a running number: cameras, telephones, then camera traps and drones.
_CAMERA_PREFIX = re.compile(
    r"M|P|P\d{7}|_?(?:IMG|IMAG|IMAGE|PICT|PIC|DSC|DSCF|DSCN|SAM|CIMG|PXL|MVIMG|PANO|BURST|VID|MOV|WP"
    r"|RCNX|MFDC|SUNP|SYFW|SYEW|PTDC|WSCT|STC|EK|BTCF|GOPR|DJI)(?:[-_ ]?E?\d{3,6})?",
    re.IGNORECASE | re.ASCII,
)

DEPLOYMENT_HELP = (
    "regular expression that finds the deployment in the image name: the text of its capturing groups, or the complete"
    " match; such as '^([^/]+)/' for the first folder. Default, also for names in which it finds nothing: folders and"
    " the name before the date, without what cameras write themselves (DCIM, 100MEDIA, IMG, ...)"
)

_SHOWN = 3  # deployments that a summary names


@dataclass(frozen=True)
class NamePattern:
    """A regular expression that is searched in the names of images.

    Attributes:
      text: the expression. It finds the text of its capturing groups, joined by +, or of the complete match if it has
        none.
      flag: the flag that it comes from, for messages.

    Raises:
      UsageError: the text is no regular expression, or matches the empty text and so every name.
    """

    text: str
    flag: str

    def __post_init__(self) -> None:
        try:
            matches_empty_text = self._pattern.search("")
        except (re.error, OverflowError) as error:
            raise UsageError(f"{self.flag}: {self.text!r} is not a regular expression: {error}") from error
        if matches_empty_text:
            raise UsageError(f"{self.flag}: {self.text!r} matches the empty text, and so any name")

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self.text)

    def find(self, image: str) -> str | None:
        r"""Return what the expression finds in a name; None if it finds nothing.

        Example:
          >>> NamePattern(r"^dive(\d+)_cam(\d)", "--split_group").find("dive7_cam2_0001.jpg")
          '7+2'
        """
        match = self._pattern.search(image)
        if match is None:
            return None
        # A group that took no part in the match counts as empty, so that all names of a rule have as many parts.
        parts = match.groups(default="") or (match[0],)
        return "+".join(parts) if any(parts) else None


@dataclass(frozen=True)
class DeploymentRule:
    """The rule that finds the deployment of an image.

    Attributes:
      text: the regular expression of ``--deployment``, searched in the image's name (its path below the images' root);
        "" for none. A name in which it finds nothing has the deployment that it has without the rule.

    Raises:
      UsageError: the text is no regular expression, or matches every name.
    """

    text: str = ""

    def __post_init__(self) -> None:
        _ = self._pattern

    @cached_property
    def _pattern(self) -> NamePattern | None:
        return NamePattern(self.text, "--deployment") if self.text else None

    def deployment_of(self, image: str) -> str:
        """Return the deployment of an image: its folders and its name before the date, joined by /.

        What cameras write themselves is left out. A file name without a date and time adds nothing, because the rest
        of it numbers the images. "" means that nothing is known.

        Example:
          >>> DeploymentRule().deployment_of("east/DCIM/100MEDIA/IMG_20240203_040500.jpg")
          'east'
        """
        return (self._pattern and self._pattern.find(image)) or _split_name(image)[0]


BY_NAME = DeploymentRule()


@dataclass(frozen=True, kw_only=True)
class FrameName:
    """Deployment and time of a frame.

    Attributes:
      deployment: as DeploymentRule finds it.
      time: by the camera's clock, without time zone.
    """

    deployment: str
    time: datetime


def parse_frame_name(name: str, rule: DeploymentRule = BY_NAME) -> FrameName | None:
    """Parse the path of an image below the images' root; return None if its file name contains no date and time.

    The first valid date and time count. What follows (an extension, fractions of a second, a time zone,
    "_edited_20200101_120000") is ignored: a later date would split the frames of one deployment.

    Example:
      >>> parse_frame_name("dive/StaM_6701_NF_tripod_20161110_14_24_12.JPG")
      FrameName(deployment='dive/StaM_6701_NF_tripod', time=datetime.datetime(2016, 11, 10, 14, 24, 12))
    """
    deployment, time = _split_name(name)
    if time is None:
        return None
    return FrameName(deployment=rule.deployment_of(name) if rule.text else deployment, time=time)


def _split_name(image: str) -> tuple[str, datetime | None]:
    """Return the deployment by folders and name, and the time in the name."""
    # Some Windows archivers write backslashes into zip files.
    *folders, file_name = image.replace("\\", "/").split("/")
    parts = [folder for folder in folders if not _CAMERA_FOLDER.fullmatch(folder)]
    start, time = _find_time(file_name)
    before = file_name[:start].rstrip(_SEPARATORS) if time else ""
    if before and not _CAMERA_PREFIX.fullmatch(before):
        parts.append(before)
    return "/".join(parts), time


def _find_time(file_name: str) -> tuple[int, datetime | None]:
    for match in _TIME.finditer(file_name):
        try:
            year, month, day, hour, minute, second = map(int, match.group(*_PARTS))
            return match.start(), datetime(year, month, day, hour, minute, second)  # much faster than strptime
        except ValueError:
            continue  # 31 February, 25 o'clock
    return 0, None


def describe_deployments(found: Collection[str]) -> str:
    """Return the line of a summary: how many deployments there are, and the first few of them.

    Example:
      >>> describe_deployments({"west", "east"})
      'deployments: 2 (east, west)'
    """
    return f"deployments: {len(found)} ({', '.join(_shown(found))})" if found else "deployments: none"


def _shown(found: Collection[str]) -> Iterator[str]:
    yield from ((name or "without a name") for name in sorted(found)[:_SHOWN])
    if len(found) > _SHOWN:
        yield "…"
