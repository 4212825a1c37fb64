"""Filters of the templates."""

import pytest

from retinanet_odm.reports.rendering import mark_flags


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("a --image_size=640, b", 'a <code class="flag">--image_size=640</code>, b', id="a flag"),
        pytest.param("<b> --x", '&lt;b&gt; <code class="flag">--x</code>', id="the rest is escaped"),
        pytest.param("a – b -- c", "a – b -- c", id="dashes alone"),
        pytest.param("--x=<b>", '<code class="flag">--x</code>=&lt;b&gt;', id="no markup gets into a value"),
    ],
)
def test_flags_stand_out(text: str, shown: str) -> None:
    assert mark_flags(text) == shown
