"""The page of a learning curve."""

import re
from typing import Any

from retinanet_odm.reports.learning_curve_page import learning_curve_report


def point(images: int, ap: float | None) -> dict[str, Any]:
    interval = None if ap is None else {"over": "images", "units": 40, "AP": (ap - 0.1, ap + 0.1), "AP50": None}
    return {
        "images": images,
        "groups": 3,
        "boxes": 2 * images,
        "steps": 600,
        "AP": ap,
        "AP50": ap and ap + 0.2,
        "interval": interval,
        "folder": f"learning_curve/images-{images}",
    }


def page(*points: dict[str, Any], missing: tuple[int, ...] = (), **more: Any) -> str:
    curve = {
        **more,
        "split": "val",
        "held_out_images": 40,
        "rule": "by <hash>",
        "points": list(points),
        "missing": list(missing),
        "outlook": {"text": "More & more.", "doubling": None},
    }
    return learning_curve_report(curve, about=("2026-12-01",))


def test_it_begins_with_the_last_point_and_the_outlook() -> None:
    text = page(point(10, 0.25), point(1289, 0.5))
    assert "Trained on 1,289 images, the detector has AP 0.500 (AP50 0.700) on 40 held-out images." in text
    assert "More &amp; more." in text and "by &lt;hash&gt;" in text and "Not finished" not in text
    assert text.count('class="line"') == 2 and text.count('class="interval"') == 1
    # The last of the two moves of the bars is at the right end of the axis.
    assert len(re.findall("M58.0 ", text)) and "0.40 to 0.60" in text


def test_a_curve_on_tiles_says_so() -> None:
    text = page(point(10, 0.25), point(50, 0.5), tile={"side": 640, "overlap": 0.2})
    assert "on the tiles of 640 px of 40 held-out images." in text and "AP is per tile" in text
    assert "tiles" not in page(point(10, 0.25), point(50, 0.5)).partition("<main")[2]


def test_a_curve_that_is_not_finished() -> None:
    text = page(point(10, None), missing=(50, 289))
    assert "50, 289 images are still to be trained on" in text and "AP has no value" in text
    assert "<svg" not in text, "a single point is no curve"
