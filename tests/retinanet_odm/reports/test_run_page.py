"""The page of a run: all of it is there, also for a run with few steps, and every text is escaped."""

from typing import Any

import pytest

from retinanet_odm.reports.run_page import RunStep, run_report
from tests.retinanet_odm.reports.pages import EVIL, make_manifest, parse_page, tables_under
from tests.retinanet_odm.workflow.projects import METRICS, SUMMARY, split

_LINKS = {"dataset": "dataset/report.html", "scored": "scored/report.html", "to_label": "scored/to_label.csv"}


def _page(**changes: Any) -> Any:
    plain: dict[str, Any] = {
        "evaluation": METRICS,
        "test": {**METRICS, "split": "test", "images": 9},
        "scored": SUMMARY,
        "links": _LINKS,
        "steps": [RunStep(name="check", purpose=EVIL, command=f"python {EVIL}", seconds=65)],
        "command": f"retinanet-odm run {EVIL}",
        "folder": EVIL,
        "date": "2026-12-01",
    }
    manifest = changes.pop("manifest", make_manifest())
    return parse_page(run_report(manifest, **{**plain, **changes}))


def test_page() -> None:
    tree = _page()
    assert tree.xpath("//a/@href") == list(_LINKS.values())
    (steps,) = tables_under(tree, "How it was made")
    assert steps == [[f"check{EVIL}", "1 min 5 s", f"python {EVIL}"]]
    (counts,) = tables_under(tree, "What did it count?")
    assert counts == [[EVIL, "0", "–", "–"], ["Actiniaria", "143", "200", "194"]]
    titles = [title.text_content() for title in tree.xpath("//h3")]
    assert titles == ["Split test, 9 images", "Split val, 75 images"], "what took no part comes first"


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        pytest.param({"scored": None, "links": {}}, "What did it count?", id="no archive"),
        pytest.param({"test": None}, "Split test", id="no test"),
        pytest.param({"test": None, "evaluation": None}, "true in", id="nothing held out"),
        pytest.param({"test": None, "evaluation": {"split": "val", "images": 1}}, "true in", id="nothing to match"),
        pytest.param(
            {"manifest": make_manifest(splits={"train": split(1234)}), "test": None}, "Split test", id="small"
        ),
    ],
)
def test_parts_that_a_run_does_not_have(changes: dict[str, Any], missing: str) -> None:
    text = _page(**changes).text_content()
    assert missing not in text and "What to do next" in text and "None" not in text
