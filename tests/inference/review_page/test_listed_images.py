from typing import Any

import pytest

from inference.review_page import listed_images
from inference.review_page.decisions import Decision, ReviewedObject
from inference.review_page.listed_images import ImageFilter, filter_images, image_uncertainty
from retinanet_odm.errors import UsageError
from retinanet_odm.predictions.rows import Detection
from tests.inference.review_page.made import ROWS, listed
from tests.retinanet_odm.prediction_rows import CRAB, PIG, RUN, STAR, failed, scored

_WEAK = Detection(label="crab", label_id=1, score=0.2, box=(1, 2, 3, 4))
_IMAGES = listed(
    (
        scored("a.jpg", PIG, CRAB),
        scored("b.jpg", STAR),
        failed("broken.jpg"),
        scored("dive/c.jpg", _WEAK),
        scored("empty.jpg"),
    ),
    audited=frozenset({"b.jpg", "empty.jpg"}),
)


def _state(image: str, *, done: bool, label: str = "sea pig", verdict: str = "accepted") -> Decision:
    item = ReviewedObject(label=label, box=(1, 2, 3, 4), verdict=verdict)
    return Decision(image=image, row=None, action="draw", done=done, objects=(item,), time="")


_STATES = {"b.jpg": _state("b.jpg", done=True), "empty.jpg": _state("empty.jpg", done=False, verdict="rejected")}
SELECTED: list[tuple[dict[str, Any], list[int], str]] = [
    ({}, [0, 1, 2, 3, 4], "all, failed ones too"),
    ({"status": "unreviewed"}, [0, 3, 4], "not those that failed"),
    ({"status": "started"}, [4], "decided about, not done"),
    ({"status": "reviewed"}, [1], "done"),
    ({"status": "failed"}, [2], "not scored"),
    ({"audited": True}, [1, 4], "of the audit"),
    ({"label": "crab"}, [0], "that count: the weak one does not"),
    ({"label": "crab", "low": 0.1}, [0, 3], "from a lower score"),
    ({"label": "crab", "low": 0.1, "high": 0.3}, [3], "up to a score"),
    ({"label": "sea pig"}, [0, 1], "an accepted object counts as well, a rejected one does not"),
    ({"low": 0.9}, [0], "of any class"),
    ({"deployment": "dive"}, [3], "a deployment"),
    ({"text": "A.JP"}, [0], "part of the name, in any case"),
    ({"uncertainty": 0.3}, [1], "at its threshold, a detection is most uncertain"),
    ({"order": "uncertainty"}, [1, 0, 3, 2, 4], "most uncertain first, equal ones by name"),
    ({"order": "score", "label": "crab"}, [0], "an order of a class"),
    ({"order": "score"}, [0, 1, 3, 2, 4], "highest score first"),
]


@pytest.mark.parametrize(("wanted", "expected", "reason"), SELECTED)
def test_what_a_filter_selects(wanted: dict[str, Any], expected: list[int], reason: str) -> None:
    assert filter_images(_IMAGES, ImageFilter(**wanted), _STATES) == expected, reason


def test_an_image_is_as_uncertain_as_its_most_uncertain_class() -> None:
    assert image_uncertainty(scored("a", STAR, PIG), RUN.thresholds) == round(1 / 3, 4)
    assert image_uncertainty(scored("a"), RUN.thresholds) == 0


def test_which_images_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [row.image for row in listed(below="dive 1").rows] == [ROWS[3].image]
    assert [row.image for row in listed(audited=frozenset({"b.jpg"}), only_audited=True).rows] == ["b.jpg"]
    with pytest.raises(UsageError, match="--below: no image's name begins with a/"):
        listed(below="a")
    monkeypatch.setattr(listed_images, "MAX_LISTED", 4)
    with pytest.raises(UsageError, match="more than 4 images: choose a part"):
        listed()
