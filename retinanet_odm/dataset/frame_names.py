"""Names of camera frames: parses deployment and time from names like ``StaM_6701_NF_tripod_20161110_14_24_12.JPG``."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

# Date, then time, each with or without one kind of separator. The lookahead makes matches overlap: if digits look like
# a date and a time but are none, the next match is tried.
_TIME = re.compile(
    r"(?=(?<!\d)(?P<Y>(?:19|20)\d\d)(?P<day>[-_.]?)(?P<m>\d\d)(?P=day)(?P<d>\d\d)"
    r"[-_.T ]?(?P<H>\d\d)(?P<clock>[-_.]?)(?P<M>\d\d)(?P=clock)(?P<S>\d\d)(?!\d))",
    re.ASCII,
)
_PARTS = ("Y", "m", "d", "H", "M", "S")
_SEPARATORS = "-_. "


@dataclass(frozen=True, kw_only=True)
class FrameName:
    """Deployment and time of a frame.

    Attributes:
      deployment: the file name before the date, without separators at its end. If the file name starts with the date,
        it is the name of the folder, or "" if there is none.
      time: by the camera's clock, without time zone.
    """

    deployment: str
    time: datetime


def parse_frame_name(name: str) -> FrameName | None:
    """Parses the path of an image below the images' root; returns None if its file name contains no date and time.

    The first valid date and time count. What follows (an extension, fractions of a second, "_edited_20200101_120000")
    is ignored: a later date would split the frames of one deployment.

    Example:
      >>> parse_frame_name("dive/StaM_6701_NF_tripod_20161110_14_24_12.JPG")
      FrameName(deployment='StaM_6701_NF_tripod', time=datetime.datetime(2016, 11, 10, 14, 24, 12))
    """
    file_name = name.rpartition("/")[2]
    for match in _TIME.finditer(file_name):
        try:
            year, month, day, hour, minute, second = map(int, match.group(*_PARTS))
            time = datetime(year, month, day, hour, minute, second)  # much faster than strptime
        except ValueError:
            continue  # 31 February, 25 o'clock
        before = file_name[: match.start()].rstrip(_SEPARATORS)
        return FrameName(deployment=before or PurePosixPath(name).parent.name, time=time)
    return None
