"""What EXIF says about an image: how it is rotated, and when it was taken."""

from datetime import datetime

from PIL import Image

from retinanet_odm.imaging.errors import CORRUPT_DATA_ERRORS

_ORIENTATION_TAG = 0x0112
# DateTimeOriginal in the Exif part (CIPA DC-008 Exif 2.32, 4.6.5); DateTime in the main part is the last edit.
_EXIF_PART, _CAPTURE_TIME_TAG = 0x8769, 0x9003
_MIN_YEAR = 1900  # cameras without a clock write earlier years


def orientation_of(image: Image.Image) -> int:
    """Return the orientation 1..8; 1, upright, if there is none or an invalid one."""
    found = image.getexif().get(_ORIENTATION_TAG, 1)
    return int(found) if found in range(1, 9) else 1


def capture_time_of(image: Image.Image) -> datetime | None:
    """Return the capture time; None if it is missing or invalid, because the pixels may be valid all the same."""
    try:
        text = str(image.getexif().get_ifd(_EXIF_PART).get(_CAPTURE_TIME_TAG, ""))
        time = datetime.strptime(text.strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except CORRUPT_DATA_ERRORS:
        return None
    return time if time.year >= _MIN_YEAR else None
