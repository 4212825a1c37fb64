"""Units and periods of an audit; without numpy, because the command line reads them.

Begin with `name_period`. What units mean is in `audit_units`, and how they are drawn in `audit_design`.
"""

from datetime import datetime

IMAGE, BURST, DAY = UNITS = ("image", "burst", "day")
MIN_SIZE = 10  # units of an audit; of fewer, no stratum has a spread
PERIODS = ("day", "week", "month", "year", "all")


def name_period(time: datetime | None, period: str) -> str:
    """Return the name of the period of a time; names sort by time. "" for all times, and without a time.

    Args:
      time: by the camera's clock.
      period: one of PERIODS; weeks are those of ISO 8601.

    Example:
      >>> [name_period(datetime(2021, 1, 2), period) for period in PERIODS]
      ['2021-01-02', '2020-W53', '2021-01', '2021', '']
    """
    if time is None:
        return ""
    match period:
        case "day":
            return f"{time:%Y-%m-%d}"
        case "week":
            year, week, _ = time.isocalendar()
            return f"{year}-W{week:02}"
        case "month":
            return f"{time:%Y-%m}"
        case "year":
            return f"{time:%Y}"
        case _:
            return ""
