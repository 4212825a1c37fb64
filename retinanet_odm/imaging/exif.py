"""What EXIF says about an image: how it is rotated, and when it was taken."""

import re
from datetime import datetime

from PIL import Image

from retinanet_odm.imaging.errors import CORRUPT_DATA_ERRORS

_ORIENTATION_TAG = 0x0112
# DateTimeOriginal in the Exif part (CIPA DC-008 Exif 2.32, 4.6.5); DateTime in the main part is the last edit.
_EXIF_PART, _CAPTURE_TIME_TAG = 0x8769, 0x9003
# The standard has "2026:02:03 04:05:06". Other programs also write ISO 8601, fractions of a second and a time zone.
_TIME = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)(?:[.,]\d+)?\s*(?:Z|[+-]\d\d:?\d\d)?")
_MIN_YEAR = 1900  # cameras without a clock write earlier years


def orientation_of(image: Image.Image) -> int:
    """Return the orientation 1..8; 1, upright, if there is none or an invalid one."""
    found = image.getexif().get(_ORIENTATION_TAG, 1)
    return int(found) if found in range(1, 9) else 1


def capture_time_of(image: Image.Image) -> datetime | None:
    """Return the time on the camera's clock, to the second; None if it is missing or invalid.

    A time zone is ignored: names of frames and most cameras have none, and times of one archive must be comparable.
    """
    # Invalid EXIF is no reason to reject an image: its pixels may be valid all the same.
    try:
        text = str(image.getexif().get_ifd(_EXIF_PART).get(_CAPTURE_TIME_TAG, ""))
        found = _TIME.fullmatch(text.strip("\0 "))
        time = datetime.strptime("".join(found.groups()), "%Y%m%d%H%M%S") if found else None
    except CORRUPT_DATA_ERRORS:
        return None
    return time if time and time.year >= _MIN_YEAR else None
