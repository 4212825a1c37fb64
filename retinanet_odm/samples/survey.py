"""What the sample says about its survey, for what is published: the deployments of its archive, and the project."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from retinanet_odm.csv_tables import format_table

# Station M (Smith et al. 2013, PNAS 110:19838), where such images are taken.
_LATITUDE, _LONGITUDE, _DEPTH = 34.8333, -123.0, 4000
_COLUMNS = ("deploymentID", "latitude", "longitude", "coordinateUncertainty", "deploymentStart", "deploymentEnd")
_MORE_COLUMNS = ("cameraID", "cameraDepth")

PUBLICATION: Mapping[str, Any] = {
    "created": "2026-01-31T12:00:00Z",
    "image_url": "https://example.org/station-m/",
    "camtrapdp": {
        "contributors": [{"title": "Ada Example", "role": "contact"}],
        "project": {
            "title": "Sample of Station M",
            "samplingDesign": "opportunistic",
            "captureMethod": ["timeLapse"],
            "individualAnimals": False,
        },
        "licenses": [{"name": "CC0-1.0", "scope": "data"}, {"name": "CC0-1.0", "scope": "media"}],
    },
    "darwincore": {
        "title": "Sample of Station M",
        "abstract": "Detections in generated images of a seafloor.",
        "license": "CC0-1.0",
        "creator": {"organizationName": "Example", "electronicMailAddress": "ada@example.org"},
    },
    "ifdo": {
        "image-set-name": "Sample of Station M, tripod",
        "image-set-handle": "https://example.org/station-m/",
        "image-context": {"name": "Time series of the abyssal seafloor"},
        "image-project": {"name": "Sample of Station M"},
        "image-event": {"name": "6712 to 6714"},
        "image-platform": {"name": "tripod"},
        "image-sensor": {"name": "time-lapse camera"},
        "image-pi": {"name": "Ada Example"},
        "image-creators": [{"name": "Ada Example"}],
        "image-license": {"name": "CC0-1.0"},
        "image-copyright": "none: the images are generated",
        "image-abstract": "Generated images of a seafloor.",
    },
}


def deployments_table(spans: Mapping[int, tuple[datetime, datetime]]) -> bytes:
    """Return deployments.csv: the number of each deployment, and its first and last frame in UTC."""
    hour = timedelta(hours=1)  # the camera is in the water before its first frame and after the last
    rows = [
        (
            str(number),
            str(_LATITUDE),
            str(_LONGITUDE),
            "100",
            _iso(first - hour),
            _iso(last + hour),
            "tripod",
            str(_DEPTH),
        )
        for number, (first, last) in spans.items()
    ]
    return format_table((*_COLUMNS, *_MORE_COLUMNS), rows).encode()


def publication_text() -> bytes:
    """Return publication.json."""
    return (json.dumps(PUBLICATION, indent=2) + "\n").encode()


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
