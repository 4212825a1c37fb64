"""Names of camera frames: which deployment, and when, as ``StaM_6701_NF_tripod_20161110_14_24_12.JPG`` says it."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

# Date, then time, each with or without one kind of separator; tried at every position, since what looks like a date
# ("6701_20161110" holds 6701_20_16) need not be one.
_TIME = re.compile(
    r"(?=(?<!\d)(?P<Y>(?:19|20)\d\d)(?P<day>[-_.]?)(?P<m>\d\d)(?P=day)(?P<d>\d\d)"
    r"[-_.T ]?(?P<H>\d\d)(?P<clock>[-_.]?)(?P<M>\d\d)(?P=clock)(?P<S>\d\d)(?!\d))",
    re.ASCII,
)
_PARTS = ("Y", "m", "d", "H", "M", "S")
_SEPARATORS = "-_. "


@dataclass(frozen=True, kw_only=True)
class FrameName:
    """What a frame's name tells.

    Attributes:
      deployment: the file name before the date, without separators at its end; where the file name starts with the
        date, the name of the folder; empty where there is none.
      time: the camera's clock, of no known time zone.
    """

    deployment: str
    time: datetime


def parse_frame_name(name: str) -> FrameName | None:
    """Deployment and time of an image, from its path below the images' root; None where its file name holds no time.

    The first valid date and time count. What follows (an extension, fractions of a second, "_edited_20200101_120000")
    does not: a later date would part frames of one deployment.
    """
    file_name = name.rpartition("/")[2]
    for match in _TIME.finditer(file_name):
        try:
            year, month, day, hour, minute, second = map(int, match.group(*_PARTS))
            time = datetime(year, month, day, hour, minute, second)  # strptime takes much longer, for a million names
        except ValueError:
            continue  # 31 February, 25 o'clock
        before = file_name[: match.start()].rstrip(_SEPARATORS)
        return FrameName(deployment=before or PurePosixPath(name).parent.name, time=time)
    return None
